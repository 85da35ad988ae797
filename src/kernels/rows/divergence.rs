//! How far a model's predictions are from its teacher's.

use crate::error::Result;
use crate::kernels::shader::divergence as shader;
use crate::kernels::{DeviceTraits, Dispatch, Gradient, Kernel, Real, Variant, cpu, shape_error};
use crate::tensor::{Call, Capacity, TensorType, Unit};
use crate::{shape, twins};

/// Arguments: logits and the teacher's `[rows, vocabulary]` → `KL(softmax(teacher) ‖ softmax(logits))` `[rows]`, in
/// nats. The teacher's have no gradient.
#[derive(Debug)]
pub struct Divergence {
    /// Vocabulary size.
    pub vocabulary: usize,
}

impl Kernel for Divergence {
    fn stem(&self) -> &'static str {
        "divergence"
    }

    fn infer(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>> {
        let rows = shape![Unit::Rows, self.vocabulary];
        if inputs.len() != 2 || inputs.iter().any(|t| t.shape != rows) {
            let needs = format_args!("needs two of logits [rows, {}]", self.vocabulary);
            return Err(shape_error(self.stem(), inputs, needs));
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

impl Divergence {
    fn twin<R: Real>(&self, args: shader::Args<'_, R>, call: &Call) {
        let shader::Args { logits, teacher, kl, .. } = args;
        let vocabulary = self.vocabulary;
        cpu::parallel_chunks(&mut kl[..call.unit(Unit::Rows)], 1, |row, kl| {
            cpu::with_scratch(2 * vocabulary, |scratch: &mut [R]| {
                let (logs, weights) = scratch.split_at_mut(vocabulary);
                let own = row * vocabulary..(row + 1) * vocabulary;
                let (logits, teacher) = (&logits[own.clone()], &teacher[own]);
                let [norm, of_teacher] = [logits, teacher].map(|row| {
                    let high = cpu::largest(row);
                    weights.iter_mut().zip(row).for_each(|(w, l)| *w = *l - high);
                    cpu::exp_slice(weights);
                    cpu::sum(weights).ln() + high
                });
                weights.iter_mut().zip(teacher).for_each(|(w, t)| *w = *t - of_teacher);
                // Logarithms of both, not their sums over the row: these would cancel.
                for ((log, w), l) in logs.iter_mut().zip(&*weights).zip(logits) {
                    *log = *w - (*l - norm);
                }
                cpu::exp_slice(weights);
                logs.iter_mut().zip(&*weights).for_each(|(log, w)| *log *= *w);
                kl[0] = cpu::sum(logs);
            });
        });
    }
}
