//! What a graph refuses: operations that would write what is not theirs to write, values
//! that are read before they are there.

use super::tensor::{Role, Tensor, fault};
use super::{Graph, TensorId};
use crate::error::Result;

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
