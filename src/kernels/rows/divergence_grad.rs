//! Gradient of the divergence from a teacher, in the place of the logits.

use crate::error::Result;
use crate::kernels::shader::divergence_grad as shader;
use crate::kernels::{DeviceTraits, Dispatch, Kernel, Real, Variant, cpu, shape_error};
use crate::tensor::{Call, Capacity, TensorType, Unit};
use crate::{shape, twins};

/// Arguments: the teacher's logits `[rows, vocabulary]`, dkl `[rows]` → logits `[rows, vocabulary]` in place: they
/// become their gradient, `dkl · (softmax(logits) − softmax(teacher))`.
#[derive(Debug)]
pub struct DivergenceGrad {
    /// Vocabulary size.
    pub vocabulary: usize,
}

impl Kernel for DivergenceGrad {
    fn stem(&self) -> &'static str {
        "divergence_grad"
    }

    fn infer(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>> {
        let [teacher, dkl] = inputs else {
            return Err(shape_error(self.stem(), inputs, "needs the teacher's logits and dkl"));
        };
        if teacher.shape != shape![Unit::Rows, self.vocabulary] || dkl.shape != shape![Unit::Rows] {
            let needs = format_args!("needs logits [rows, {}] and dkl [rows]", self.vocabulary);
            return Err(shape_error(self.stem(), inputs, needs));
        }
        Ok(vec![])
    }

    fn variant(&self, _: &DeviceTraits, _: &Capacity) -> Variant {
        shader::Overrides { vocabulary: self.vocabulary }.variant()
    }

    fn dispatches(&self, _: &Variant, call: &Call) -> Vec<Dispatch> {
        let rows = call.unit(Unit::Rows);
        Dispatch::once(&shader::Params { rows: rows as u32 }, Dispatch::linear(rows))
    }

    twins!(shader);
}

impl DivergenceGrad {
    fn twin<R: Real>(&self, args: shader::Args<'_, R>, call: &Call) {
        let shader::Args { teacher, dkl, logits, .. } = args;
        let vocabulary = self.vocabulary;
        cpu::parallel_chunks(&mut logits[..call.unit(Unit::Rows) * vocabulary], vocabulary, |row, logits| {
            cpu::with_scratch(vocabulary, |wanted: &mut [R]| {
                wanted.copy_from_slice(&teacher[row * vocabulary..(row + 1) * vocabulary]);
                for row in [&mut *logits, &mut *wanted] {
                    let high = cpu::largest(row);
                    row.iter_mut().for_each(|l| *l -= high);
                    cpu::exp_slice(row);
                }
                let [own, of_teacher] = [cpu::sum(logits), cpu::sum(wanted)].map(|sum| dkl[row] / sum);
                logits.iter_mut().zip(&*wanted).for_each(|(l, w)| *l = own * *l - of_teacher * *w);
            });
        });
    }
}
