//! The rules that give the gradients of this family.

use super::attention_dense::AttentionDense;
use crate::error::{Error, ErrorKind, Result};
use crate::kernels::dense::attention_dense::Keys;
use crate::kernels::pairs::mask::Mask;
use crate::kernels::pairs::pairs::Pairs;
use crate::kernels::{Backward, Gradient};

impl Gradient for AttentionDense {
    fn backward(&self, pass: &mut dyn Backward) -> Result<()> {
        if self.keys != Keys::Window(Mask::Causal) {
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
            in_block: false,
        };
        let (_, dqueries, dkeys) = pairs.backward(pass, self.bias)?;
        for (i, gradient) in [dqueries, dkeys].into_iter().enumerate() {
            gradient.map_or(Ok(()), |gradient| pass.give(i, gradient))?;
        }
        Ok(())
    }
}
