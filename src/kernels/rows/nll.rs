//! Negative log-likelihood of the next token.

use crate::error::Result;
use crate::kernels::shader::nll as shader;
use crate::kernels::{DeviceTraits, Dispatch, Gradient, Kernel, Real, Variant, cpu, shape_error};
use crate::tensor::{Call, Capacity, TensorType, Unit};
use crate::{shape, twins};

/// A target that is not scored.
pub const UNSCORED: u32 = u32::MAX;

/// Arguments: logits `[rows, vocabulary]`, targets `u32 [rows]` → nll `[rows]`, in nats; 0 where the target
/// is [`UNSCORED`].
#[derive(Debug)]
pub struct Nll {
    /// Vocabulary size.
    pub vocabulary: usize,
}

impl Kernel for Nll {
    fn stem(&self) -> &'static str {
        "nll"
    }

    fn infer(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>> {
        if inputs.len() != 2
            || inputs[0].shape != shape![Unit::Rows, self.vocabulary]
            || inputs[1].shape != shape![Unit::Rows]
        {
            return Err(shape_error(
                self.stem(),
                inputs,
                format_args!("needs logits [rows, {}] and targets [rows]", self.vocabulary),
            ));
        }
        Ok(vec![TensorType::f32(shape![Unit::Rows])])
    }

    fn variant(&self, _: &DeviceTraits, _: &Capacity) -> Variant {
        shader::Overrides { vocabulary: self.vocabulary }.variant()
    }

    fn dispatches(&self, _: &Variant, call: &Call) -> Vec<Dispatch> {
        let rows = call.unit(Unit::Rows);
        Dispatch::once(&shader::Params { rows: rows as u32 }, Dispatch::linear(rows))
    }

    fn gradient(&self) -> Option<&dyn Gradient> {
        Some(self)
    }

    twins!(shader);
}

impl Nll {
    fn twin<R: Real>(&self, args: shader::Args<'_, R>, call: &Call) {
        const ROWS: usize = 8;
        let shader::Args { logits, targets, nll, .. } = args;
        cpu::parallel_chunks(&mut nll[..call.unit(Unit::Rows)], ROWS, |task, nll| {
            cpu::with_scratch(self.vocabulary, |shifted: &mut [R]| {
                for (k, nll) in nll.iter_mut().enumerate() {
                    let row = task * ROWS + k;
                    let logits = &logits[row * self.vocabulary..(row + 1) * self.vocabulary];
                    *nll = R::ZERO;
                    if let Some(target) = logits.get(targets[row] as usize) {
                        let high = cpu::largest(logits);
                        shifted.iter_mut().zip(logits).for_each(|(s, l)| *s = *l - high);
                        cpu::exp_slice(shifted);
                        *nll = cpu::sum(shifted).ln() + high - *target;
                    }
                }
            });
        });
    }
}
