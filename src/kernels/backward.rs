//! What a kernel's gradient rule may do: read its operation's tensors and the gradients of its outputs,
//! append operations, hand on gradients of its inputs. The graph's backward pass implements it.

use std::sync::Arc;

use super::Kernel;
use crate::error::{Error, ErrorKind, Result};
use crate::tensor::{TensorId, TensorType};

/// One operation in the backward pass.
///
/// "Outputs" are the operation's fresh outputs, then the tensors it updated. All gradients have the type of
/// their tensor, in f32.
pub trait Backward {
    /// What the operation does in the model.
    fn label(&self) -> &str;

    /// Input `i` of the operation (computed again where the pass recomputes).
    fn input(&self, i: usize) -> TensorId;

    /// Output `i` of the operation (computed again where the pass recomputes).
    fn output(&self, i: usize) -> TensorId;

    /// Whether anyone wants the gradient of input `i`: it depends on a trained parameter.
    fn wants(&self, i: usize) -> bool;

    /// The gradient of output `i`; an error if no later operation gave one.
    fn gradient(&self, i: usize) -> Result<TensorId>;

    /// Where a gradient of input `i` is to be added in place, if there is such a place: the accumulator of a
    /// trained parameter (a state named `gradient.NAME`, which the caller of the plan clears), or what later
    /// operations gave so far.
    fn place(&mut self, i: usize) -> Option<TensorId>;

    /// Hands on a fresh gradient of input `i`, to be added to what there is. The tensor may be one that is
    /// also the gradient of something else (a residual's), but nobody may write it afterwards other than
    /// through [`Backward::place`].
    fn give(&mut self, i: usize, gradient: TensorId) -> Result<()>;

    /// Appends an operation labelled `LABEL.what`; returns its fresh outputs.
    fn append(
        &mut self,
        what: &str,
        kernel: Arc<dyn Kernel>,
        inputs: &[TensorId],
        updates: &[TensorId],
    ) -> Result<Vec<TensorId>>;

    /// A state tensor `LABEL.what` that lives from call to call: what later segments of a text hand to
    /// earlier ones. The caller of the plan clears it before a text's last segment.
    fn carry(&mut self, what: &str, ty: TensorType) -> TensorId;

    /// A tensor the caller writes before a call, by its own name.
    fn ask(&mut self, name: &str, ty: TensorType) -> TensorId;
}

/// Shorthands over [`Backward`].
pub trait BackwardExt: Backward {
    /// Appends an operation with one fresh output.
    fn apply1(&mut self, what: &str, kernel: impl Kernel, inputs: &[TensorId]) -> Result<TensorId> {
        Ok(self.append(what, Arc::new(kernel), inputs, &[])?[0])
    }

    /// Where the gradient of input `i` is added up; an error if it is not a parameter and nobody gave one
    /// yet.
    fn accumulator(&mut self, i: usize) -> Result<TensorId> {
        let error = Error::new(
            ErrorKind::Shape,
            format!("{}: input {i} must be a parameter to get a gradient", self.label()),
        );
        self.place(i).ok_or(error)
    }

    /// Appends the operation that computes the gradient of input `i`: `kernel(true)` adds it in place to what
    /// there is, `kernel(false)` makes it afresh. Does nothing where nobody wants it.
    fn contribute<K: Kernel>(
        &mut self,
        what: &str,
        i: usize,
        kernel: impl FnOnce(bool) -> K,
        inputs: &[TensorId],
    ) -> Result<()> {
        if !self.wants(i) {
            return Ok(());
        }
        match self.place(i) {
            Some(place) => self.append(what, Arc::new(kernel(true)), inputs, &[place]).map(drop),
            None => {
                let fresh = self.append(what, Arc::new(kernel(false)), inputs, &[])?[0];
                self.give(i, fresh)
            }
        }
    }
}

impl<B: Backward + ?Sized> BackwardExt for B {}
