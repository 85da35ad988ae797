//! Adds the parts of `attention_dense_decode`.

use crate::error::Result;
use crate::kernels::dense::attention_dense::{AttentionDense, Keys, far_share};
use crate::kernels::dense::attention_dense_decode::SPLITS;
use crate::kernels::shader::attention_dense_merge as shader;
use crate::kernels::{DeviceTraits, Dispatch, Kernel, Real, Variant, shape_error};
use crate::tensor::{Call, Capacity, TensorType, Unit};
use crate::{shape, twins};

/// Arguments: parts `[lanes, H, SPLITS, h + 4]`, with keys of a ring also far rows `[lanes, G, 1, M, h + 4]` → o `[rows,
/// H h]` (one row a lane).
#[derive(Debug)]
pub struct AttentionDenseMerge(pub AttentionDense);

impl Kernel for AttentionDenseMerge {
    fn stem(&self) -> &'static str {
        "attention_dense_merge"
    }

    fn infer(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>> {
        let l = &self.0.layout;
        let far = usize::from(self.0.keys == Keys::Ring);
        if inputs.len() != 1 + far
            || inputs[0].shape != shape![Unit::Lanes, l.query_heads(), SPLITS, l.head + 4]
        {
            return Err(shape_error(self.stem(), inputs, "needs the parts"));
        }
        Ok(vec![TensorType::f32(shape![Unit::Rows, l.width()])])
    }

    fn variant(&self, _: &DeviceTraits, _: &Capacity) -> Variant {
        let (bias, softmax) = (self.0.bias, self.0.affinity.softmax());
        let head_layout = self.0.layout.overrides();
        let flags = shader::Flags { far: self.0.keys == Keys::Ring };
        shader::Overrides { splits: SPLITS, bias, softmax, head_layout }.variant(flags)
    }

    fn dispatches(&self, _: &Variant, call: &Call) -> Vec<Dispatch> {
        let l = &self.0.layout;
        let params = shader::Params { lanes: call.lanes.len() as u32 };
        Dispatch::once(&params, [l.head.div_ceil(shader::INVOCATIONS), call.lanes.len() * l.query_heads(), 1])
    }

    twins!(shader);
}

impl AttentionDenseMerge {
    fn twin<R: Real>(&self, args: shader::Args<'_, R>, call: &Call) {
        let shader::Args { parts, far, o, .. } = args;
        let head = self.0.layout.head;
        let softmax = self.0.affinity.softmax();
        let parts = parts.chunks_exact(SPLITS * (head + 4));
        let outputs =
            parts.zip(o.chunks_exact_mut(head)).take(call.lanes.len() * self.0.layout.query_heads());
        for (at, (parts, o)) in outputs.enumerate() {
            let highest = parts.chunks_exact(head + 4).fold(R::of(-3e38), |m, p| m.max(p[head + 1]));
            o.fill(R::ZERO);
            let mut total = R::of(self.0.bias);
            for part in parts.chunks_exact(head + 4) {
                let scale = if softmax { (part[head + 1] - highest).exp() } else { R::ONE };
                total += scale * part[head];
                o.iter_mut().zip(part).for_each(|(o, p)| *o += scale * *p);
            }
            if let Some(far) = far {
                let share = far_share(highest);
                let far = &far[at * (head + 4)..];
                total += share * far[head];
                o.iter_mut().zip(far).for_each(|(o, far)| *o += share * *far);
            }
            o.iter_mut().for_each(|o| *o /= total);
        }
    }
}
