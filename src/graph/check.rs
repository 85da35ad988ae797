//! What a graph refuses: names that clash, operations that would write what is not theirs to write, values
//! that are read before they are there.

use super::{Graph, Role, Tensor, TensorId};
use crate::error::{Error, ErrorKind, Result};

impl Role {
    /// For people.
    fn what(&self) -> &'static str {
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
    fn may_be_updated(&self) -> bool {
        matches!(self, Role::State(_) | Role::External | Role::Scratch)
    }
}

fn fault(text: String) -> Error {
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

impl Graph {
    /// Refuses arguments that the operation `label` cannot have.
    pub(super) fn check_arguments(
        &self,
        label: &str,
        inputs: &[TensorId],
        updates: &[TensorId],
    ) -> Result<()> {
        if let Some(fault) = &self.fault {
            return Err(fault.clone());
        }
        if let Some(id) = inputs.iter().chain(updates).find(|id| id.0 >= self.tensors.len()) {
            return Err(fault(format!("{label}: tensor {} is of another graph", id.0)));
        }
        for (at, id) in updates.iter().enumerate() {
            let Tensor { name, role, .. } = &self.tensors[id.0];
            if !role.may_be_updated() {
                return Err(fault(format!("{label} writes {name}, which is {}", role.what())));
            }
            if inputs.contains(id) {
                return Err(fault(format!("{label} reads and writes {name}")));
            }
            if updates[..at].contains(id) {
                return Err(fault(format!("{label} writes {name} twice")));
            }
        }
        Ok(())
    }

    /// Refuses operations that read what no operation before them has written.
    pub(super) fn check_order(&self) -> Result<()> {
        if let Some(fault) = &self.fault {
            return Err(fault.clone());
        }
        let mut written = vec![false; self.tensors.len()];
        for node in &self.nodes {
            for id in node.inputs.iter().chain(&node.updates) {
                let Tensor { name, role, .. } = &self.tensors[id.0];
                if matches!(role, Role::Scratch | Role::Output) && !written[id.0] {
                    return Err(fault(format!("{} reads {name}, which nothing writes before", node.label)));
                }
            }
            node.outputs.iter().for_each(|id| written[id.0] = true);
        }
        Ok(())
    }

    /// The first operation from `after` on that writes a tensor in place.
    pub(super) fn overwritten(&self, id: TensorId, after: usize) -> Option<&str> {
        let nodes = self.nodes.get(after..).unwrap_or_default();
        nodes.iter().find(|node| node.updates.contains(&id)).map(|node| node.label.as_str())
    }
}
