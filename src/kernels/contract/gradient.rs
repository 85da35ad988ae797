//! Shorthands for what gradient rules do most ([`Backward`]).

use std::sync::Arc;

use super::kernel::{Backward, Kernel};
use crate::error::{Error, ErrorKind, Result};
use crate::tensor::TensorId;

/// Shorthands over [`Backward`].
pub trait BackwardExt: Backward {
    /// Appends an operation with one fresh output.
    ///
    /// # Errors
    /// As [`Backward::append`], and for a kernel without an output.
    fn apply1(&mut self, what: &str, kernel: impl Kernel, inputs: &[TensorId]) -> Result<TensorId> {
        Ok(self.append(what, Arc::new(kernel), inputs, &[])?[0])
    }

    /// Where the gradient of input `i` is added up; an error if it is not a parameter and nobody gave one
    /// yet.
    ///
    /// # Errors
    /// As [`Backward::append`].
    fn accumulator(&mut self, i: usize) -> Result<TensorId> {
        let error = Error::new(
            ErrorKind::Shape,
            format!("{}: input {i} must be a parameter to get a gradient", self.label()),
        );
        self.accumulate_into(i).ok_or(error)
    }

    /// Appends the operation that computes the gradient of input `i`: `kernel(true)` adds it in place to what
    /// there is, `kernel(false)` makes it afresh. Does nothing where nobody wants it.
    ///
    /// # Errors
    /// As [`Backward::append`].
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
        match self.accumulate_into(i) {
            Some(place) => self.append(what, Arc::new(kernel(true)), inputs, &[place]).map(drop),
            None => {
                let fresh = self.append(what, Arc::new(kernel(false)), inputs, &[])?[0];
                self.give(i, fresh)
            }
        }
    }
}

impl<B: Backward + ?Sized> BackwardExt for B {}
