//! Gradient of the activation of an MLP.

use super::activate::Activate;
use crate::error::Result;
use crate::kernels::shader::{activate_grad as shader, shared};
use crate::kernels::{DeviceTraits, Dispatch, Kernel, Real, Variant, cpu, shape_error};
use crate::tensor::{Call, Capacity, TensorType, Unit};
use crate::{shape, twins};

/// Arguments: y of [`Activate`], dz `[rows, width]` → dy as y: `dz · act'(y)`; gated `dz · up · act'(gate)`, then
/// `dz · act(gate)`.
#[derive(Debug)]
pub struct ActivateGrad(pub Activate);

impl Kernel for ActivateGrad {
    fn stem(&self) -> &'static str {
        "activate_grad"
    }

    fn infer(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>> {
        let (y, dz) = (shape![Unit::Rows, self.0.columns()], shape![Unit::Rows, self.0.width]);
        if inputs.len() != 2 || inputs[0].shape != y || inputs[1].shape != dz {
            return Err(shape_error(self.stem(), inputs, format_args!("needs y {y} and dz {dz}")));
        }
        Ok(vec![TensorType::f32(y)])
    }

    fn variant(&self, _: &DeviceTraits, _: &Capacity) -> Variant {
        let Activate { width, activation, gated } = self.0;
        let activation = shared::Activation { activation: activation.code() };
        shader::Overrides { width, gated, activation }.variant()
    }

    fn dispatches(&self, _: &Variant, call: &Call) -> Vec<Dispatch> {
        let rows = call.unit(Unit::Rows);
        Dispatch::once(
            &shader::Params { rows: rows as u32 },
            Dispatch::linear((rows * self.0.width / 4).div_ceil(shader::INVOCATIONS)),
        )
    }

    twins!(shader);
}

impl ActivateGrad {
    fn twin<R: Real>(&self, args: shader::Args<'_, R>, call: &Call) {
        const ROWS: usize = 16;
        let Activate { width, activation, gated } = self.0;
        let columns = self.0.columns();
        let shader::Args { y, dz, dy, .. } = args;
        cpu::parallel_chunks(&mut dy[..call.unit(Unit::Rows) * columns], ROWS * columns, |task, dy| {
            for (r, dy) in dy.chunks_exact_mut(columns).enumerate() {
                let row = task * ROWS + r;
                let (gate, up) = y[row * columns..][..columns].split_at(width);
                let dz = &dz[row * width..][..width];
                let (dgate, dup) = dy.split_at_mut(width);
                if !gated {
                    dgate.copy_from_slice(dz);
                    activation.backward(gate, dgate);
                    continue;
                }
                dup.copy_from_slice(gate);
                activation.apply(dup);
                cpu::vectorized(
                    #[inline(always)]
                    || {
                        dup.iter_mut().zip(dz).for_each(|(dup, dz)| *dup *= *dz);
                        dgate.iter_mut().zip(up).zip(dz).for_each(|((dgate, up), dz)| *dgate = *dz * *up);
                    },
                );
                activation.backward(gate, dgate);
            }
        });
    }
}
