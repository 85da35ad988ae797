//! The gradients of pairs: what every kind of attention appends for the pairs it computes exactly.

use super::attention_grad_keys::AttentionGradKeys;
use super::attention_grad_queries::AttentionGradQueries;
use super::attention_grad_rows::AttentionGradRows;
use super::pairs::Pairs;
use crate::error::Result;
use crate::kernels::{Backward, BackwardExt};
use crate::tensor::TensorId;

impl Pairs {
    /// The gradients of a node that computes attention, apart from what goes through a state: appends the
    /// gradient rows, and dqueries and dkeys where they are wanted. Inputs 0 and 1 are queries and keys,
    /// outputs o and the normaliser.
    pub(in crate::kernels) fn backward(
        &self,
        pass: &mut dyn Backward,
        bias: f64,
        wants: [bool; 2],
    ) -> Result<(TensorId, Option<TensorId>, Option<TensorId>)> {
        let keys = pass.input(1);
        let rows = AttentionGradRows { layout: self.layout.clone(), affinity: self.affinity, bias };
        let arguments = [pass.gradient(0)?, pass.output(0), pass.output(1), keys];
        let drows = pass.apply1("drows", rows, &arguments)?;
        let (dqueries, dkeys) = self.of_rows(pass, drows, wants)?;
        Ok((drows, dqueries, dkeys))
    }

    /// The same from gradient rows.
    pub(in crate::kernels) fn of_rows(
        &self,
        pass: &mut dyn Backward,
        drows: TensorId,
        wants: [bool; 2],
    ) -> Result<(Option<TensorId>, Option<TensorId>)> {
        let inputs = [pass.input(0), pass.input(1), drows];
        let dqueries = wants[0]
            .then(|| pass.apply1("dqueries", AttentionGradQueries(self.clone()), &inputs))
            .transpose()?;
        let dkeys =
            wants[1].then(|| pass.apply1("dkeys", AttentionGradKeys(self.clone()), &inputs)).transpose()?;
        Ok((dqueries, dkeys))
    }
}
