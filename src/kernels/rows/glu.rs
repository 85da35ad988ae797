//! Gated GELU.

use crate::error::Result;
use crate::kernels::shader::glu as shader;
use crate::kernels::{DeviceTraits, Dispatch, Gradient, Kernel, Real, Variant, cpu, shape_error};
use crate::tensor::{Call, Capacity, TensorType, Unit};
use crate::{shape, twins};

/// Arguments: y `[rows, 2 width]` (gate, then up) → z `[rows, width] = gelu_tanh(gate) * up`.
#[derive(Debug)]
pub struct Glu {
    /// Columns of the output.
    pub width: usize,
}

impl Kernel for Glu {
    fn stem(&self) -> &'static str {
        "glu"
    }

    fn infer(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>> {
        if inputs.len() != 1 || inputs[0].shape != shape![Unit::Rows, 2 * self.width] {
            return Err(shape_error(self.stem(), inputs, format_args!("needs [rows, {}]", 2 * self.width)));
        }
        Ok(vec![TensorType::f32(shape![Unit::Rows, self.width])])
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

    fn gradient(&self) -> Option<&dyn Gradient> {
        Some(self)
    }

    twins!(shader);
}

impl Glu {
    fn twin<R: Real>(&self, args: shader::Args<'_, R>, call: &Call) {
        let shader::Args { y, z, .. } = args;
        gated(y, &mut z[..call.unit(Unit::Rows) * self.width], self.width);
    }
}

/// `z = gelu(y[.., :width]) * y[.., width:]`, several rows a task.
pub(in crate::kernels) fn gated<R: Real>(y: &[R], z: &mut [R], width: usize) {
    const ROWS: usize = 16;
    cpu::parallel_chunks(z, ROWS * width, |task, z| {
        for (r, z) in z.chunks_exact_mut(width).enumerate() {
            let (gate, up) = y[(task * ROWS + r) * 2 * width..][..2 * width].split_at(width);
            z.copy_from_slice(gate);
            cpu::gelu_tanh(z);
            cpu::vectorized(
                #[inline(always)]
                || z.iter_mut().zip(up).for_each(|(z, up)| *z *= *up),
            );
        }
    });
}
