//! What one run of a program takes and gives.

use crate::tensor::{Call, TensorId};

/// One submission: what to run, what to write before it, what to read after it. The lane table of the calls
/// is written by the program itself.
#[derive(Clone, Copy, Debug, Default)]
pub struct Submission<'a> {
    /// Calls of the plan, in order.
    pub calls: &'a [Call],
    /// Inputs of the plan, as 32-bit words. One that is not given keeps what it had.
    pub inputs: &'a [(TensorId, &'a [u32])],
    /// Tensors to read, each with the number of elements from its start.
    pub reads: &'a [(TensorId, usize)],
}
