//! The rules that give the gradients of this family. Of one head, with `d` before a name for the gradient of
//! the loss by it:
//!
//! ```text
//! pack_heads    g = (R_tᵀ dx) · weight          R_tᵀ where normed vectors are rotated
//!               dq̃ = (g - mean(g) - n mean(g · n)) / deviation,  n the standardised q̃
//!               dq = R_tᵀ dq̃            R_tᵀ where raw vectors are
//!               dweight = Σ R_tᵀ dx · n,  dbias = Σ R_tᵀ dx;  dv and ds are columns of the rows' gradients
//! gate_prefix   d(log gate)_t = Σ_{i ≥ t} dG_i over the rest of the text, as if G never restarted
//!               dlogit_t = σ(-logit_t) · d(log gate)_t
//! ```
//!
//! The references to block ends cancel in dG, so the suffix sum may run over blocks.

use std::sync::Arc;

use super::gate_prefix::GatePrefix;
use super::gate_prefix_grad::GatePrefixGrad;
use super::pack_heads::PackHeads;
use super::pack_heads_grad::PackHeadsGrad;
use super::unpack_heads::{Columns, UnpackHeads};
use crate::error::{Error, ErrorKind, Result};
use crate::kernels::rows::sum_partials::{SumPartials, partials};
use crate::kernels::{Backward, BackwardExt, Gradient};
use crate::shape;
use crate::tensor::{TensorId, TensorType, Unit};

impl Gradient for GatePrefix {
    fn backward(&self, pass: &mut dyn Backward) -> Result<()> {
        let dsums = pass.gradient(0)?;
        let arguments = [pass.input(0), pass.input(1), dsums];
        let rows_first = || {
            Error::new(
                ErrorKind::Shape,
                "the rows of keys and queries give the projections' gradient before their gates",
            )
        };
        let dqkv = pass.accumulate_into(0).ok_or_else(rows_first)?;
        let carry = pass.carry("carry", TensorType::f32(shape![Unit::Lanes, self.layout.heads]));
        pass.append(
            "logits",
            Arc::new(GatePrefixGrad { layout: self.layout.clone() }),
            &arguments,
            &[dqkv, carry],
        )
        .map(drop)
    }
}

impl Gradient for PackHeads {
    fn backward(&self, pass: &mut dyn Backward) -> Result<()> {
        let l = &self.layout;
        let (dqueries, dkeys) = (pass.gradient(0)?, pass.gradient(1)?);
        let arguments: Vec<TensorId> = (0..4).map(|i| pass.input(i)).chain([dqueries, dkeys]).collect();
        let outputs = pass.append("qkv", Arc::new(PackHeadsGrad { layout: l.clone() }), &arguments, &[])?;
        pass.give(0, outputs[0])?;
        if let (true, true, Some(norms)) = (l.exact && l.normed, pass.wants(2), pass.accumulate_into(2)) {
            let sum = SumPartials { ty: partials(4 * l.head), offset: 0, width: 4 * l.head };
            pass.append("norms", Arc::new(sum), &[outputs[1]], &[norms])?;
        }
        let columns = [
            (l.sketch > 0, 4, "sketch", Columns::Sketch),
            (self.sums, self.input_count() - 1, "gate", Columns::Gate),
        ];
        for (_, input, what, columns) in columns.into_iter().filter(|c| c.0) {
            let lanes = pass.input(1);
            let taken =
                pass.apply1(what, UnpackHeads { layout: l.clone(), columns }, &[lanes, dqueries, dkeys])?;
            pass.give(input, taken)?;
        }
        Ok(())
    }
}
