//! The rules that give the gradients of this family.

use super::linear::Linear;
use crate::error::{Error, ErrorKind, Result};
use crate::kernels::linear::linear::Addend;
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
        if self.norm || self.glu || self.dtype != DType::F32 {
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
                Arc::new(LinearGradWeight { inputs, outputs, first, shard, rows }),
                &[dy, x],
                &[dw],
            )?;
        }
        // What is added belongs to all columns, so that one shard hands on for all of them.
        match self.addend {
            Addend::Residual if first == 0 => pass.give(2, dy),
            Addend::Bias if first == 0 && pass.wants(2) => {
                let sums = pass.apply1("column_sums", ColumnSums { width: outputs, rows }, &[dy])?;
                let db = pass.accumulator(2)?;
                pass.append(
                    "grad_bias",
                    Arc::new(SumPartials { ty: partials(outputs), offset: 0, width: outputs }),
                    &[sums],
                    &[db],
                )
                .map(drop)
            }
            _ => Ok(()),
        }
    }
}
