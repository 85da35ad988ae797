//! The rules that give the gradients of this family. Of a row, with `d` before a name for the gradient of the
//! loss by it:
//!
//! ```text
//! embed        dtable[id] += Σ dx over the rows of that id, always in the same order
//! norm         g = dy · weight;  dx = (g - mean(g) - n mean(g · n)) / deviation
//!              dweight = Σ_rows dy · n,  dbias = Σ_rows dy
//! activate     dgate = dz · up · act'(gate),  dup = dz · act(gate);  plain: dy = dz · act'(y)
//! nll          dlogits = dℓ (softmax(logits) - onehot(target)), in the place of the logits
//! divergence   dlogits = dKL (softmax(logits) - softmax(teacher)), likewise
//! ```

use std::sync::Arc;

use super::activate::Activate;
use super::activate_grad::ActivateGrad;
use super::divergence::Divergence;
use super::divergence_grad::DivergenceGrad;
use super::embed::{Embed, Positions};
use super::embed_grad::EmbedGrad;
use super::nll::Nll;
use super::nll_grad::NllGrad;
use super::norm::Normalize;
use super::norm_grad::NormalizeGrad;
use super::position_grad::PositionGrad;
use super::sum_partials::{SumPartials, partials};
use crate::error::{Error, ErrorKind, Result};
use crate::kernels::{Asked, Backward, BackwardExt, Gradient};
use crate::tensor::DType;

impl Gradient for Embed {
    fn backward(&self, pass: &mut dyn Backward) -> Result<()> {
        let &Self { width, first, rows, .. } = self;
        if self.by_slot || self.dtype != DType::F32 {
            return Err(Error::new(
                ErrorKind::Shape,
                format!("{}: only an embedding of given ids in f32 has a gradient", pass.label()),
            ));
        }
        let (ids, dx) = (pass.input(0), pass.gradient(0)?);
        let order = pass.ask(Asked::Order);
        let table = pass.accumulator(2)?;
        pass.append("grad", Arc::new(EmbedGrad { width, first, rows }), &[order, ids, dx], &[table])?;
        // Every shard has the table of positions; one gives its gradient.
        if first == 0 && matches!(self.positions, Positions::Learned(_)) && pass.wants(3) {
            let (lanes, table) = (pass.input(1), pass.accumulator(3)?);
            pass.append("grad_positions", Arc::new(PositionGrad { width }), &[lanes, dx], &[table])?;
        }
        Ok(())
    }
}

impl Gradient for Activate {
    fn backward(&self, pass: &mut dyn Backward) -> Result<()> {
        let (y, dz) = (pass.input(0), pass.gradient(0)?);
        let dy = pass.apply1("grad", ActivateGrad(*self), &[y, dz])?;
        pass.give(0, dy)
    }
}

impl Gradient for Normalize {
    fn backward(&self, pass: &mut dyn Backward) -> Result<()> {
        let &Self { width, rows, norm: how } = self;
        let (x, norm, dy) = (pass.input(0), pass.input(1), pass.gradient(0)?);
        let place = if pass.wants(0) { pass.accumulate_into(0) } else { None };
        let kernel = NormalizeGrad { width, rows, accumulate: place.is_some(), norm: how };
        let outputs = pass.append("grad", Arc::new(kernel), &[x, norm, dy], place.as_slice())?;
        if pass.wants(1) {
            let sum = SumPartials { ty: partials(2 * width), offset: 0, width: 2 * width };
            let dnorm = pass.accumulator(1)?;
            pass.append("grad_norm", Arc::new(sum), &outputs[..1], &[dnorm])?;
        }
        if let Some(dx) = outputs.get(1) { pass.give(0, *dx) } else { Ok(()) }
    }
}

impl Gradient for Nll {
    fn backward(&self, pass: &mut dyn Backward) -> Result<()> {
        let (logits, targets, dnll) = (pass.input(0), pass.input(1), pass.gradient(0)?);
        // Nobody reads the logits afterwards: their gradient takes their place.
        pass.append("grad", Arc::new(NllGrad { vocabulary: self.vocabulary }), &[targets, dnll], &[logits])?;
        pass.give(0, logits)
    }
}

impl Gradient for Divergence {
    fn backward(&self, pass: &mut dyn Backward) -> Result<()> {
        let (logits, teacher, dkl) = (pass.input(0), pass.input(1), pass.gradient(0)?);
        let kernel = DivergenceGrad { vocabulary: self.vocabulary };
        pass.append("grad", Arc::new(kernel), &[teacher, dkl], &[logits])?;
        pass.give(0, logits)
    }
}
