//! Splitting: an operation with too few workgroups for a large device becomes two, partial results and their sum.

use super::{Graph, Node, Role, Tensor, TensorId};
use crate::tensor::Capacity;

/// Splits what would leave a large device idle at this capacity.
pub(super) fn split(graph: &mut Graph, capacity: &Capacity) {
    let mut nodes = Vec::with_capacity(graph.nodes.len());
    for node in std::mem::take(&mut graph.nodes) {
        let Some(split) = node.kernel.split(capacity) else {
            nodes.push(node);
            continue;
        };
        let partial = TensorId(graph.tensors.len());
        let name = format!("{}.partial", node.label);
        graph.tensors.push(Tensor { name, ty: split.ty, role: Role::Scratch });
        let sum = Node {
            label: format!("{}.sum", node.label),
            kernel: split.sum,
            inputs: vec![partial],
            outputs: vec![],
            updates: node.updates,
        };
        let Node { label, inputs, .. } = node;
        nodes.push(Node { label, kernel: split.parts, inputs, outputs: vec![partial], updates: vec![] });
        nodes.push(sum);
    }
    graph.nodes = nodes;
}
