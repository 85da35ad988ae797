//! The rules that give the gradients of this family.

use super::linear::Linear;
use crate::error::{Error, ErrorKind, Result};
use crate::kernels::linear::linear_grad_input::LinearGradInput;
use crate::kernels::linear::linear_grad_weight::LinearGradWeight;
use crate::kernels::rows::column_sums::ColumnSums;
use crate::kernels::rows::sum_partials::SumPartials;
use crate::kernels::rows::sum_partials::partials;
use crate::kernels::{Backward, BackwardExt, Gradient};
use crate::tensor::DType;
use std::sync::Arc;

impl Gradient for Linear {
    fn backward(&self, pass: &mut dyn Backward) -> Result<()> {
        let &Self { inputs, outputs, first, shard, rows, .. } = self;
        if self.norm.is_some() || self.gated.is_some() || self.dtype != DType::F32 {
            return Err(Error::new(
                ErrorKind::Shape,
                format!("{}: only a plain linear layer of f32 weights has a gradient", pass.label()),
            ));
        }
        let (x, w, dy) = (pass.input(0), pass.input(1), pass.gradient(0)?);
        pass.contribute(
            "grad_input",
            0,
            |accumulate| LinearGradInput { inputs, outputs, first, shard, rows, accumulate },
            &[dy, w],
        )?;
        if pass.wants(1) {
            let dw = pass.accumulator(1)?;
            pass.append(
                "grad_weight",
                Arc::new(LinearGradWeight { inputs, outputs, first, shard, rows, parts: None }),
                &[dy, x],
                &[dw],
            )?;
        }
        // What is added belongs to all columns, so that one shard hands on for all of them.
        let (bias, residual) = (self.addend.bias(), self.addend.residual());
        if first == 0 && bias && pass.wants(2) {
            let sums = pass.apply1("column_sums", ColumnSums { width: outputs, rows }, &[dy])?;
            let db = pass.accumulator(2)?;
            let sum = SumPartials { ty: partials(outputs), offset: 0, width: outputs };
            pass.append("grad_bias", Arc::new(sum), &[sums], &[db])?;
        }
        if first == 0 && residual { pass.give(2 + usize::from(bias), dy) } else { Ok(()) }
    }
}
