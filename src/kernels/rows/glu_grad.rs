//! Gradient of the gated GELU.

use crate::error::Result;
use crate::kernels::shader::glu_grad as shader;
use crate::kernels::{DeviceTraits, Dispatch, Kernel, Real, Variant, cpu, shape_error};
use crate::tensor::{Call, Capacity, TensorType, Unit};
use crate::{shape, twins};

/// Arguments: y `[rows, 2 width]` (gate, then up), dz `[rows, width]` → dy `[rows, 2 width]`:
/// `dz · up · gelu'(gate)`, then `dz · gelu(gate)`.
#[derive(Debug)]
pub struct GluGrad {
    /// Columns of dz.
    pub width: usize,
}

impl Kernel for GluGrad {
    fn stem(&self) -> &'static str {
        "glu_grad"
    }

    fn infer(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>> {
        let (y, dz) = (shape![Unit::Rows, 2 * self.width], shape![Unit::Rows, self.width]);
        if inputs.len() != 2 || inputs[0].shape != y || inputs[1].shape != dz {
            return Err(shape_error(self.stem(), inputs, format_args!("needs y {y} and dz {dz}")));
        }
        Ok(vec![TensorType::f32(y)])
    }

    fn variant(&self, _: &DeviceTraits, _: &Capacity) -> Variant {
        shader::Overrides { width: self.width }.variant()
    }

    fn dispatches(&self, _: &Variant, call: &Call) -> Vec<Dispatch> {
        let rows = call.unit(Unit::Rows);
        Dispatch::once(
            &shader::Params { rows: rows as u32 },
            Dispatch::linear((rows * self.width / 4).div_ceil(shader::INVOCATIONS)),
        )
    }

    twins!(shader);
}

impl GluGrad {
    fn twin<R: Real>(&self, args: shader::Args<'_, R>, call: &Call) {
        const ROWS: usize = 16;
        let width = self.width;
        let shader::Args { y, dz, dy, .. } = args;
        cpu::parallel_chunks(&mut dy[..call.unit(Unit::Rows) * 2 * width], ROWS * 2 * width, |task, dy| {
            for (r, dy) in dy.chunks_exact_mut(2 * width).enumerate() {
                let row = task * ROWS + r;
                let (gate, up) = y[row * 2 * width..][..2 * width].split_at(width);
                let dz = &dz[row * width..][..width];
                let (dgate, dup) = dy.split_at_mut(width);
                dup.copy_from_slice(gate);
                cpu::gelu_tanh(dup);
                cpu::vectorized(
                    #[inline(always)]
                    || {
                        dup.iter_mut().zip(dz).for_each(|(dup, dz)| *dup *= *dz);
                        dgate.iter_mut().zip(up).zip(dz).for_each(|((dgate, up), dz)| *dgate = *dz * *up);
                    },
                );
                cpu::gelu_tanh_backward(gate, dgate);
            }
        });
    }
}
