//! Fusion for plans of few rows, where a dispatch costs more than its arithmetic: LayerNorm goes into
//! the linear layers that read it, and the gated GELU into the linear layer before it.

use std::sync::Arc;

use super::{Graph, Node, Role, TensorId};
use crate::kernels::linear::linear::{Addend, FEW_ROWS, Linear};
use crate::kernels::rows::glu::Glu;
use crate::kernels::rows::layer_norm::LayerNorm;
use crate::tensor::Capacity;

/// The graph with what can be fused at this capacity fused.
pub(super) fn fuse(graph: &Graph, capacity: &Capacity) -> Graph {
    let mut graph = graph.clone();
    let few = |unit| capacity.unit(unit) <= FEW_ROWS;
    for at in 0..graph.nodes.len() {
        let Some(linear) = graph.nodes[at].kernel.as_any().downcast_ref::<Linear>() else { continue };
        if !few(linear.rows) {
            continue;
        }
        let mut linear = linear.clone();
        let x = graph.nodes[at].inputs[0];
        // The row kernel has no permutation with a norm and a residual: no model asks for it.
        if let Some(norm) = producer::<LayerNorm>(&graph, x)
            && linear.addend != Addend::Residual
        {
            linear.norm = true;
            let from = graph.nodes[norm].inputs.clone();
            let inputs = &mut graph.nodes[at].inputs;
            inputs[0] = from[0];
            inputs.insert(2, from[1]);
            graph.nodes[at].kernel = Arc::new(linear.clone());
        }
        let y = graph.nodes[at].outputs.first().copied();
        if let Some(y) = y
            && linear.addend == Addend::None
            && linear.shard == linear.outputs
            && let Some(glu) = only_reader::<Glu>(&graph, y)
        {
            linear.glu = true;
            linear.outputs /= 2;
            linear.shard /= 2;
            graph.nodes[at].outputs = std::mem::take(&mut graph.nodes[glu].outputs);
            graph.nodes[at].kernel = Arc::new(linear);
        }
    }
    remove_unread(&mut graph);
    graph
}

/// The node of kernel `K` that creates a tensor.
fn producer<K: 'static>(graph: &Graph, id: TensorId) -> Option<usize> {
    graph.nodes.iter().position(|n| n.outputs.contains(&id) && n.kernel.as_any().is::<K>())
}

/// The one node that reads a scratch tensor, if it is of kernel `K`.
fn only_reader<K: 'static>(graph: &Graph, id: TensorId) -> Option<usize> {
    let touches = |n: &&Node| n.inputs.contains(&id) || n.updates.contains(&id);
    let mut readers = graph.nodes.iter().filter(touches);
    let reader = readers.next()?;
    (readers.next().is_none()
        && reader.kernel.as_any().is::<K>()
        && graph.tensors[id.0].role == Role::Scratch)
        .then(|| graph.nodes.iter().position(|n| std::ptr::eq(n, reader)))
        .flatten()
}

/// Drops nodes nobody reads.
pub(super) fn remove_unread(graph: &mut Graph) {
    for at in (0..graph.nodes.len()).rev() {
        let node = &graph.nodes[at];
        let kept = |id: &TensorId| {
            graph.tensors[id.0].role != Role::Scratch
                || graph.nodes[at + 1..].iter().any(|n| n.inputs.contains(id) || n.updates.contains(id))
        };
        if !node.outputs.iter().chain(&node.updates).any(kept) {
            graph.nodes.remove(at);
        }
    }
}
