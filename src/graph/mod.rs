//! The pipeline graph: typed tensors and operations, shape-checked when built, lowered to a [`Plan`]
//! for one device and capacity. Knows kernels by their contract (and `add`, the sum of two gradients), and no
//! wgpu.

mod backward;
mod check;
mod dot;
mod fuse;
mod handles;
mod plan;
mod split;
mod tensor;
#[cfg(test)]
mod tests;

use std::sync::Arc;

pub use backward::Recompute;
pub use handles::{Gradients, Purpose, gradient_name};
pub use plan::{Arg, BufferId, Plan, PlannedBuffer, PlannedTensor, Step};
pub(crate) use plan::{size, sum};
pub use tensor::{Role, Tensor};

use crate::error::{Error, ErrorKind, Result};
use crate::kernels::Kernel;
pub use crate::tensor::TensorId;
use crate::tensor::{DType, Extent, Shape, TensorType, Unit, shape};

/// An operation: a kernel and its arguments.
#[derive(Clone, Debug)]
pub struct Node {
    /// What it does in the model, for people ("layers.0.attention.sketch").
    pub label: String,
    /// The kernel.
    pub kernel: Arc<dyn Kernel>,
    /// Read.
    pub inputs: Vec<TensorId>,
    /// Created.
    pub outputs: Vec<TensorId>,
    /// Updated in place.
    pub updates: Vec<TensorId>,
}

/// A pipeline under construction. Nodes are in the order they run.
#[derive(Clone, Debug, Default)]
pub struct Graph {
    /// Tensors by id.
    pub tensors: Vec<Tensor>,
    /// Operations in order.
    pub nodes: Vec<Node>,
    /// Runs of operations that a backward pass may run again instead of keeping what they computed.
    pub sections: Vec<std::ops::Range<usize>>,
    /// The first thing that was wrong with a name, told by the next operation and by lowering.
    fault: Option<Error>,
}

impl Graph {
    /// An empty graph.
    pub fn new() -> Self {
        Self::default()
    }

    /// Declares the operations from `first` to the last one appended a section: a backward pass may run them
    /// again.
    pub fn section(&mut self, first: usize) {
        self.sections.push(first..self.nodes.len());
    }

    fn add(&mut self, name: &str, ty: TensorType, role: Role) -> TensorId {
        let new = Tensor { name: name.to_string(), ty, role };
        // Parameters, states and constants are one tensor however often they are asked for.
        if new.role != Role::Scratch
            && let Some(id) = self.named(name)
        {
            if self.tensors[id.0] != new {
                self.blame(tensor::clash(&self.tensors[id.0], &new));
            }
            return id;
        }
        self.tensors.push(new);
        TensorId(self.tensors.len() - 1)
    }

    fn blame(&mut self, fault: Error) {
        self.fault.get_or_insert(fault);
    }

    /// The tensor of that name which is not a value between two operations.
    fn named(&self, name: &str) -> Option<TensorId> {
        self.tensors.iter().position(|t| t.name == name && t.role != Role::Scratch).map(TensorId)
    }

    /// Gives a value between two operations another role, and a name.
    fn hand_out(&mut self, id: TensorId, name: &str, role: Role) {
        let old = &self.tensors[id.0];
        let new = Tensor { name: name.to_string(), ty: old.ty.clone(), role };
        if *old == new {
            return;
        }
        if old.role != Role::Scratch {
            self.blame(tensor::taken(old, &new));
        }
        if let Some(other) = self.named(name).filter(|other| *other != id) {
            self.blame(tensor::clash(&self.tensors[other.0], &new));
        }
        self.tensors[id.0] = new;
    }

    /// The first tensor of that name, for people who look for one; builders keep the handles they are given.
    pub fn find(&self, name: &str) -> Option<TensorId> {
        self.tensors.iter().position(|t| t.name == name).map(TensorId)
    }

    /// A weight.
    pub fn parameter(&mut self, name: &str, dtype: DType, shape: Shape) -> TensorId {
        self.add(name, TensorType { dtype, shape }, Role::Parameter)
    }

    /// A tensor that lives from call to call.
    pub fn state(&mut self, name: &str, purpose: Purpose, ty: TensorType) -> TensorId {
        self.add(name, ty, Role::State(purpose))
    }

    /// A tensor the caller writes.
    pub fn input(&mut self, name: &str, ty: TensorType) -> TensorId {
        self.add(name, ty, Role::Input)
    }

    /// The lane table `u32 [calls * lanes, 4]` ([`lane_table`](crate::tensor::lane_table)), for submissions
    /// of up to so many calls whose lanes stand one after the other.
    pub fn lanes(&mut self, calls: usize) -> TensorId {
        let rows = Extent { unit: Unit::Lanes, factor: calls };
        self.add("lanes", TensorType::u32(shape![rows, 4]), Role::Lanes)
    }

    /// A tensor in the caller's own memory, read by the graph.
    pub fn external(&mut self, name: &str, ty: TensorType) -> TensorId {
        self.add(name, ty, Role::External)
    }

    /// Places a result in the caller's own memory, and names it.
    pub fn export(&mut self, id: TensorId, name: &str) {
        self.hand_out(id, name, Role::External);
    }

    /// Fixed floats.
    pub fn constant_f32(&mut self, name: &str, shape: Shape, data: &[f32]) -> TensorId {
        self.add(
            name,
            TensorType::f32(shape),
            Role::Constant(Arc::new(data.iter().map(|x| x.to_bits()).collect())),
        )
    }

    /// Fixed integers.
    pub fn constant_u32(&mut self, name: &str, shape: Shape, data: Arc<Vec<u32>>) -> TensorId {
        self.add(name, TensorType::u32(shape), Role::Constant(data))
    }

    /// Marks a tensor as an output the caller reads, and names it.
    pub fn output(&mut self, id: TensorId, name: &str) {
        self.hand_out(id, name, Role::Output);
    }

    /// Appends an operation; returns its fresh outputs, named `label.0`, `label.1`, ….
    ///
    /// # Errors
    /// [`ErrorKind::Shape`], naming the operation and the sizes, the tensor that it must not write, or the
    /// name that two tensors were given before.
    pub fn apply(
        &mut self,
        label: &str,
        kernel: impl Kernel,
        inputs: &[TensorId],
        updates: &[TensorId],
    ) -> Result<Vec<TensorId>> {
        self.append(label, Arc::new(kernel), inputs, updates)
    }

    fn append(
        &mut self,
        label: &str,
        kernel: Arc<dyn Kernel>,
        inputs: &[TensorId],
        updates: &[TensorId],
    ) -> Result<Vec<TensorId>> {
        self.check_arguments(label, inputs, updates)?;
        let types: Vec<&TensorType> = inputs.iter().map(|id| &self.tensors[id.0].ty).collect();
        let outputs: Vec<TensorId> = kernel
            .infer(&types)
            .map_err(|e| Error::new(e.kind(), format!("{label}: {e}")))?
            .into_iter()
            .enumerate()
            .map(|(i, ty)| self.add(&format!("{label}.{i}"), ty, Role::Scratch))
            .collect();
        self.nodes.push(Node {
            label: label.to_string(),
            kernel,
            inputs: inputs.to_vec(),
            outputs: outputs.clone(),
            updates: updates.to_vec(),
        });
        Ok(outputs)
    }

    /// [`Graph::apply`] for an operation with one output.
    ///
    /// # Errors
    /// As [`Graph::apply`], and for an operation without outputs.
    pub fn apply1(&mut self, label: &str, kernel: impl Kernel, inputs: &[TensorId]) -> Result<TensorId> {
        let outputs = self.apply(label, kernel, inputs, &[])?;
        outputs
            .first()
            .copied()
            .ok_or_else(|| Error::new(ErrorKind::Shape, format!("{label}: the operation has no output")))
    }
}
