//! What an MLP does to its hidden units: an activation, gated or plain.

use crate::error::Result;
use crate::kernels::cpu::Activation;
use crate::kernels::shader::{activate as shader, shared};
use crate::kernels::{DeviceTraits, Dispatch, Gradient, Kernel, Real, Variant, cpu, shape_error};
use crate::tensor::{Call, Capacity, TensorType, Unit};
use crate::{shape, twins};

/// Gated, arguments: y `[rows, 2 width]` (gate, then up) → z `[rows, width] = act(gate) * up`; plain: y `[rows,
/// width]` → z `[rows, width] = act(y)`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Activate {
    /// Columns of the output.
    pub width: usize,
    /// The function.
    pub activation: Activation,
    /// Half of the columns are factors of the other half.
    pub gated: bool,
}

impl Activate {
    /// Gated GELU, as our own models have it (SPEC §2).
    pub fn gelu(width: usize) -> Self {
        Self { width, activation: Activation::GeluTanh, gated: true }
    }

    /// Columns of y.
    pub(in crate::kernels) fn columns(&self) -> usize {
        self.width * if self.gated { 2 } else { 1 }
    }
}

impl Kernel for Activate {
    fn stem(&self) -> &'static str {
        "activate"
    }

    fn infer(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>> {
        if inputs.len() != 1 || inputs[0].shape != shape![Unit::Rows, self.columns()] {
            return Err(shape_error(self.stem(), inputs, format_args!("needs [rows, {}]", self.columns())));
        }
        Ok(vec![TensorType::f32(shape![Unit::Rows, self.width])])
    }

    fn variant(&self, _: &DeviceTraits, _: &Capacity) -> Variant {
        let activation = shared::Activation { activation: self.activation.code() };
        shader::Overrides { width: self.width, gated: self.gated, activation }.variant()
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

impl Activate {
    fn twin<R: Real>(&self, args: shader::Args<'_, R>, call: &Call) {
        let shader::Args { y, z, .. } = args;
        self.apply(y, &mut z[..call.unit(Unit::Rows) * self.width]);
    }

    /// z of rows y, several rows a task.
    pub(in crate::kernels) fn apply<R: Real>(&self, y: &[R], z: &mut [R]) {
        const ROWS: usize = 16;
        let (width, columns) = (self.width, self.columns());
        cpu::parallel_chunks(z, ROWS * width, |task, z| {
            for (r, z) in z.chunks_exact_mut(width).enumerate() {
                let (gate, up) = y[(task * ROWS + r) * columns..][..columns].split_at(width);
                z.copy_from_slice(gate);
                self.activation.apply(z);
                cpu::vectorized(
                    #[inline(always)]
                    || z.iter_mut().zip(up).for_each(|(z, up)| *z *= *up),
                );
            }
        });
    }
}
