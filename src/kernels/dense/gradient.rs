//! The rules that give the gradients of this family.

use super::attention_dense::AttentionDense;
use crate::error::{Error, ErrorKind, Result};
use crate::kernels::dense::attention_dense::Keys;
use crate::kernels::pairs::attention_grad_far::AttentionGradFar;
use crate::kernels::pairs::mask::Mask;
use crate::kernels::pairs::pairs::{Pairs, Reach};
use crate::kernels::{Backward, BackwardExt, Gradient};

impl Gradient for AttentionDense {
    fn backward(&self, pass: &mut dyn Backward) -> Result<()> {
        let near = matches!(self.keys, Keys::Near { .. });
        if self.keys != Keys::Window(Mask::Causal) && !near {
            return Err(Error::new(
                ErrorKind::Shape,
                format!("{}: only attention of a training plan has a gradient", pass.label()),
            ));
        }
        let pairs = Pairs {
            layout: self.layout.clone(),
            affinity: self.affinity,
            offset: 0,
            width: self.layout.head,
            reach: if near { Reach::Near } else { Reach::Text },
        };
        let trained = self.keys != Keys::Near { trained: false };
        let wants = [0, 1].map(|i| trained && pass.wants(i));
        let (drows, dqueries, dkeys) = pairs.backward(pass, self.bias, wants)?;
        if near && pass.wants(3) {
            let kernel = AttentionGradFar { layout: self.layout.clone() };
            let dfar = pass.apply1("dfar", kernel, &[drows, pass.input(3), pass.input(1)])?;
            pass.give(3, dfar)?;
        }
        for (i, gradient) in [dqueries, dkeys].into_iter().enumerate() {
            gradient.map_or(Ok(()), |gradient| pass.give(i, gradient))?;
        }
        Ok(())
    }
}
