//! Fusion: neighbours that a kernel knows how to do in one dispatch become one operation.

use std::collections::HashMap;

use super::{Graph, Node, Role, TensorId};
use crate::kernels::Operand;
use crate::tensor::Capacity;

/// The graph with what can be fused at this capacity fused.
pub(super) fn fuse(graph: &Graph, capacity: &Capacity) -> Graph {
    let mut graph = graph.clone();
    let mut producers: HashMap<TensorId, usize> = HashMap::new();
    for at in 0..graph.nodes.len() {
        take_in_producers(&mut graph, &producers, at, capacity);
        take_in_reader(&mut graph, at, capacity);
        producers.extend(graph.nodes[at].outputs.iter().map(|id| (*id, at)));
    }
    remove_unread(&mut graph);
    graph
}

/// Lets an operation do the work of those that made its inputs. They stay, for others who read their outputs.
fn take_in_producers(
    graph: &mut Graph,
    producers: &HashMap<TensorId, usize>,
    at: usize,
    capacity: &Capacity,
) {
    let mut i = 0;
    while i < graph.nodes[at].inputs.len() {
        let node = &graph.nodes[at];
        let before = producers.get(&node.inputs[i]).map(|before| (*before, &graph.nodes[*before]));
        let fused = before
            .filter(|(_, before)| before.outputs.len() == 1 && before.updates.is_empty())
            // What it read must still be there.
            .filter(|(number, before)| !written_between(graph, &before.inputs, *number, at))
            .and_then(|(_, before)| Some((before, node.kernel.fuse_after(i, &*before.kernel, capacity)?)))
            .filter(|(_, fused)| fused.repeats || is_read_once(graph, node.inputs[i]));
        let Some((before, fused)) = fused else {
            i += 1;
            continue;
        };
        let operand = |operand: &Operand| match *operand {
            Operand::Own(i) => node.inputs[i],
            Operand::Before(i) => before.inputs[i],
        };
        let inputs = fused.inputs.iter().map(operand).collect();
        (graph.nodes[at].inputs, graph.nodes[at].kernel) = (inputs, fused.kernel);
        i = 0;
    }
}

/// Lets an operation do the work of the only one that reads its output.
fn take_in_reader(graph: &mut Graph, at: usize, capacity: &Capacity) {
    while let [output] = graph.nodes[at].outputs[..]
        && let Some(reader) = only_reader(graph, output)
        && let Some(kernel) = graph.nodes[at].kernel.fuse_before(&*graph.nodes[reader].kernel, capacity)
    {
        graph.nodes[at].outputs = std::mem::take(&mut graph.nodes[reader].outputs);
        graph.nodes[at].kernel = kernel;
    }
}

/// Whether an operation between two others writes one of the tensors.
fn written_between(graph: &Graph, tensors: &[TensorId], first: usize, last: usize) -> bool {
    let writes = |node: &Node| node.updates.iter().any(|id| tensors.contains(id));
    graph.nodes[first + 1..last].iter().any(writes)
}

/// Whether a tensor is there for one operation alone.
fn is_read_once(graph: &Graph, id: TensorId) -> bool {
    graph.tensors[id.0].role == Role::Scratch && readers(graph, id).count() == 1
}

/// The operations that read a tensor or write it in place.
fn readers(graph: &Graph, id: TensorId) -> impl Iterator<Item = usize> {
    let touches = move |node: &Node| node.inputs.contains(&id) || node.updates.contains(&id);
    (0..graph.nodes.len()).filter(move |at| touches(&graph.nodes[*at]))
}

/// The one operation that touches a scratch tensor, if it reads nothing else and writes nothing else in
/// place.
fn only_reader(graph: &Graph, id: TensorId) -> Option<usize> {
    let mut readers = readers(graph, id);
    let reader = readers.next()?;
    let node = &graph.nodes[reader];
    let alone = readers.next().is_none() && node.inputs == [id] && node.updates.is_empty();
    (alone && graph.tensors[id.0].role == Role::Scratch).then_some(reader)
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
