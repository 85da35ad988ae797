//! Gradient of the negative log-likelihood, in the place of the logits.

use crate::error::Result;
use crate::kernels::shader::nll_grad as shader;
use crate::kernels::{DeviceTraits, Dispatch, Kernel, Real, Variant, cpu, shape_error};
use crate::tensor::{Call, Capacity, TensorType, Unit};
use crate::{shape, twins};

/// Arguments: targets `u32 [rows]`, dnll `[rows]` → logits `[rows, vocabulary]` in place: they become their
/// gradient, `dnll · (softmax(logits) − onehot(target))`, 0 where the target is
/// [`UNSCORED`](crate::kernels::rows::nll::UNSCORED).
#[derive(Debug)]
pub struct NllGrad {
    /// Vocabulary size.
    pub vocabulary: usize,
}

impl Kernel for NllGrad {
    fn stem(&self) -> &'static str {
        "nll_grad"
    }

    fn infer(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>> {
        if inputs.len() != 2 || inputs.iter().any(|t| t.shape != shape![Unit::Rows]) {
            return Err(shape_error(self.stem(), inputs, "needs targets [rows] and dnll [rows]"));
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

impl NllGrad {
    fn twin<R: Real>(&self, args: shader::Args<'_, R>, call: &Call) {
        let shader::Args { targets, dnll, logits, .. } = args;
        let vocabulary = self.vocabulary;
        cpu::parallel_chunks(&mut logits[..call.unit(Unit::Rows) * vocabulary], vocabulary, |row, logits| {
            let target = targets[row] as usize;
            if target >= vocabulary {
                return logits.fill(R::ZERO);
            }
            let high = cpu::largest(logits);
            logits.iter_mut().for_each(|l| *l -= high);
            cpu::exp_slice(logits);
            let scale = dnll[row] / cpu::sum(logits);
            logits.iter_mut().for_each(|l| *l *= scale);
            logits[target] -= dnll[row];
        });
    }
}
