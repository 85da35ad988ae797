//! The rules that give the gradients of this family: into the projections, which have theirs already, and of
//! the learned sketch into its weights. With `d` before a name for the gradient of the loss by it:
//!
//! ```text
//! learned   t = tanh(a ⊙ b / √r) of the branches' outputs a and b:  da = ds (1 - t²) b,  db = ds (1 - t²) a
//!           of a level y = D z, z = gelu(c), c = U n, n = LN(x):
//!           dD += dy zᵀ,  dc = (Dᵀ dy) · gelu'(c),  dU += dc nᵀ,  dn = Uᵀ dc,  then LayerNorm's rule
//! affine    dplain = e^{γ/2} ds,  dγ = ⟨dplain, plain⟩ / 2,  dW += dplain dᵀ,  dB += dplain gelu(A d)ᵀ,
//!           dc = Bᵀ dplain · gelu',  dA += dc dᵀ,  dx = Wᵀ dplain + Aᵀ dc + dγ u,  du += dγ x
//! random    of a node y = gain (L a) ⊙ (R b):  da = gain Lᵀ (dy ⊙ R b),  db = gain Rᵀ (dy ⊙ L a)
//!           dx is the sum over the leaves; the matrices are not trained
//! ```

use std::sync::Arc;

use super::sketch_affine::SketchAffine;
use super::sketch_affine_grad::SketchAffineGrad;
use super::sketch_learned::SketchLearned;
use super::sketch_learned_grad::SketchLearnedGrad;
use super::sketch_random::SketchRandom;
use super::sketch_random_grad::SketchRandomGrad;
use crate::error::{Error, ErrorKind, Result};
use crate::kernels::rows::sum_partials::SumPartials;
use crate::kernels::{Backward, BackwardExt, Gradient, Kernel};
use crate::tensor::TensorId;

impl Gradient for SketchLearned {
    fn backward(&self, pass: &mut dyn Backward) -> Result<()> {
        let kernel = SketchLearnedGrad(self.clone());
        let slabs = kernel.slabs().ty();
        let partial = sketch_backward(pass, kernel)?;
        if let (true, Some(weights)) = (pass.wants(4), pass.accumulate_into(4)) {
            let sum = SumPartials { ty: slabs.clone(), offset: 0, width: self.weight_count() };
            pass.append("weights", Arc::new(sum), &[partial], &[weights])?;
        }
        if let (true, true, Some(norms)) = (self.layout.sketch_normed, pass.wants(2), pass.accumulate_into(2))
        {
            let sum = SumPartials { ty: slabs, offset: self.weight_count(), width: 4 * self.layout.head };
            pass.append("norms", Arc::new(sum), &[partial], &[norms])?;
        }
        Ok(())
    }
}

impl Gradient for SketchAffine {
    fn backward(&self, pass: &mut dyn Backward) -> Result<()> {
        let of_vectors = pass.wants(0);
        let kernel = SketchAffineGrad { sketch: self.clone(), of_vectors };
        let (slabs, count, norm_sums) = (kernel.slabs(), self.weight_count(), kernel.norm_sums());
        let partial = if of_vectors {
            sketch_backward(pass, kernel)?
        } else {
            let arguments: Vec<TensorId> = (0..5).map(|i| pass.input(i)).chain([pass.gradient(0)?]).collect();
            pass.apply1("weights_of_rows", kernel, &arguments)?
        };
        if let (true, Some(weights)) = (pass.wants(4), pass.accumulate_into(4)) {
            let sum = SumPartials { ty: slabs.clone(), offset: 0, width: count };
            pass.append("weights", Arc::new(sum), &[partial], &[weights])?;
        }
        if let (true, true, Some(norms)) = (self.layout.normed, pass.wants(2), pass.accumulate_into(2)) {
            let width = 4 * self.layout.head;
            for at in 0..norm_sums {
                let sum = SumPartials { ty: slabs.clone(), offset: count + at * width, width };
                pass.append(&format!("norms.{at}"), Arc::new(sum), &[partial], &[norms])?;
            }
        }
        Ok(())
    }
}

impl Gradient for SketchRandom {
    fn backward(&self, pass: &mut dyn Backward) -> Result<()> {
        let kernel = SketchRandomGrad(self.clone());
        let ty = kernel.slabs().ty();
        let partial = sketch_backward(pass, kernel)?;
        if let (true, true, Some(norms)) = (self.layout.sketch_normed, pass.wants(2), pass.accumulate_into(2))
        {
            pass.append(
                "norms",
                Arc::new(SumPartials { ty, offset: 0, width: 4 * self.layout.head }),
                &[partial],
                &[norms],
            )?;
        }
        Ok(())
    }
}

/// Appends the gradient of a sketch: into dqkv, in place; returns the partial sums of what else it gives
/// gradients to.
fn sketch_backward(pass: &mut dyn Backward, kernel: impl Kernel) -> Result<TensorId> {
    let arguments: Vec<TensorId> = (0..5).map(|i| pass.input(i)).chain([pass.gradient(0)?]).collect();
    let rows_first = || {
        Error::new(
            ErrorKind::Shape,
            "the rows of keys and queries give the projections' gradient before their sketch",
        )
    };
    let dqkv = pass.accumulate_into(0).ok_or_else(rows_first)?;
    Ok(pass.append("input", Arc::new(kernel), &arguments, &[dqkv])?[0])
}
