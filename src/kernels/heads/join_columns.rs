//! Separate q, k, v (and gate logits) as the joined projection that the attention kernels read.

use crate::error::Result;
use crate::kernels::heads::layout::HeadLayout;
use crate::kernels::shader::join_columns as shader;
use crate::kernels::{DeviceTraits, Dispatch, Kernel, Real, Variant, cpu, shape_error};
use crate::tensor::{Call, Capacity, TensorType, Unit};
use crate::{shape, twins};

/// Arguments: q `[rows, H h]`, k, v `[rows, G h]`, (gate logits `[rows, G]` where the layout is gated) → qkv
/// `[rows, qkv_width]`, the padding after the logits zero.
#[derive(Debug)]
pub struct JoinColumns {
    /// Row layouts.
    pub layout: HeadLayout,
}

impl JoinColumns {
    /// Columns of q, k, v.
    fn parts(&self) -> [usize; 3] {
        let l = &self.layout;
        [l.width(), l.heads * l.head, l.heads * l.head]
    }
}

impl Kernel for JoinColumns {
    fn stem(&self) -> &'static str {
        "join_columns"
    }

    fn infer(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>> {
        let l = &self.layout;
        let want = [
            self.parts().map(|columns| shape![Unit::Rows, columns]).to_vec(),
            if l.gated { vec![shape![Unit::Rows, l.heads]] } else { vec![] },
        ]
        .concat();
        if !inputs.iter().map(|t| &t.shape).eq(&want) {
            let want: Vec<String> = want.iter().map(|s| s.to_string()).collect();
            return Err(shape_error(self.stem(), inputs, format_args!("needs {}", want.join(", "))));
        }
        Ok(vec![TensorType::f32(shape![Unit::Rows, l.qkv_width()])])
    }

    fn variant(&self, _: &DeviceTraits, _: &Capacity) -> Variant {
        let flags = shader::Flags { gate: self.layout.gated };
        shader::Overrides { head_layout: self.layout.overrides() }.variant(flags)
    }

    fn dispatches(&self, _: &Variant, call: &Call) -> Vec<Dispatch> {
        let rows = call.unit(Unit::Rows);
        Dispatch::once(
            &shader::Params { rows: rows as u32 },
            Dispatch::linear((rows * self.layout.qkv_width() / 4).div_ceil(shader::INVOCATIONS)),
        )
    }

    twins!(shader);
}

impl JoinColumns {
    fn twin<R: Real>(&self, args: shader::Args<'_, R>, call: &Call) {
        const ROWS: usize = 64;
        let (l, parts) = (&self.layout, self.parts());
        let shader::Args { q, k, v, gate, qkv, .. } = args;
        let width = l.qkv_width();
        cpu::parallel_chunks(&mut qkv[..call.unit(Unit::Rows) * width], ROWS * width, |task, qkv| {
            for (row, out) in (task * ROWS..).zip(qkv.chunks_exact_mut(width)) {
                let mut rest = out;
                for (from, part) in [q, k, v].into_iter().zip(parts) {
                    let (out, after) = rest.split_at_mut(part);
                    out.copy_from_slice(&from[row * part..(row + 1) * part]);
                    rest = after;
                }
                if let Some(gate) = gate {
                    let (logits, padding) = rest.split_at_mut(l.heads);
                    logits.copy_from_slice(&gate[row * l.heads..(row + 1) * l.heads]);
                    padding.fill(R::ZERO);
                }
            }
        });
    }
}
