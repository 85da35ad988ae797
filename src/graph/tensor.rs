//! A tensor of a graph: who owns it, and what becomes of two that claim one name.

use std::sync::Arc;

use super::handles::Purpose;
use crate::error::{Error, ErrorKind};
use crate::tensor::TensorType;

/// Who owns a tensor and how long it lives.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Role {
    /// A weight of the model, shared by name between plans and sessions.
    Parameter,
    /// Lives in a session from call to call, shared by name between plans.
    State(Purpose),
    /// Written by the caller before a call.
    Input,
    /// The lane table of a submission's calls, which is written before the first of them.
    Lanes,
    /// Read by the caller after a call.
    Output,
    /// Lies in the caller's own memory, which is bound by name.
    External,
    /// Fixed numbers (f32 as bits) that come with the plan.
    Constant(Arc<Vec<u32>>),
    /// Exists between two operations; its memory is reused.
    Scratch,
}

/// A tensor: name, type, role.
#[derive(Clone, Debug, PartialEq)]
pub struct Tensor {
    /// For people and files: a memory keeps parameters, states and constants by it. In its graph it is one
    /// tensor's alone, but for values between two operations.
    pub name: String,
    /// Element type and shape.
    pub ty: TensorType,
    /// Role.
    pub role: Role,
}

impl Role {
    /// For people.
    pub(super) fn what(&self) -> &'static str {
        match self {
            Role::Parameter => "a parameter",
            Role::State(_) => "a state",
            Role::Input => "an input",
            Role::Lanes => "the lane table",
            Role::Output => "an output",
            Role::External => "the caller's own",
            Role::Constant(_) => "a constant",
            Role::Scratch => "a value between two operations",
        }
    }

    /// Whether an operation may write the tensor in place: not what the caller gives to be read, nor what the
    /// caller reads as it is.
    pub(super) fn may_be_updated(&self) -> bool {
        matches!(self, Role::State(_) | Role::External | Role::Scratch)
    }
}

/// What is wrong with a graph.
pub(super) fn fault(text: String) -> Error {
    Error::new(ErrorKind::Shape, text)
}

/// Two tensors of one name that are not one tensor.
pub(super) fn clash(old: &Tensor, new: &Tensor) -> Error {
    let of = |t: &Tensor| match t.role {
        Role::State(purpose) => format!("a {purpose:?} state {}", t.ty),
        ref role => format!("{} {}", role.what(), t.ty),
    };
    let (first, second) = (of(old), of(new));
    let other = if first == second { " of its own" } else { "" };
    fault(format!("two tensors are named {}: {first} and {second}{other}", new.name))
}

/// A tensor that is no value between two operations and shall become something else.
pub(super) fn taken(old: &Tensor, new: &Tensor) -> Error {
    fault(format!("{} is {} and cannot be {} {} too", old.name, old.role.what(), new.role.what(), new.name))
}
