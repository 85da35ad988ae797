//! The backward pass: walks the operations from last to first and lets each kernel append the operations that
//! give its inputs' gradients. The result is more of the same graph: planned, aliased and run like the rest.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::{Graph, Node, Role, TensorId};
use crate::error::{Error, ErrorKind, Result};
use crate::kernels::rows::add::Add;
use crate::kernels::{Backward, Kernel};
use crate::tensor::{DType, TensorType};

/// What a backward pass computes again instead of keeping it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Recompute {
    /// Nothing: every value the gradients read is kept.
    #[default]
    Nothing,
    /// The values inside the graph's sections (layers): only what passes between sections is kept.
    Sections,
}

impl Graph {
    /// Appends the gradients of the parameters for which `trained` holds, given the gradients of some
    /// tensors, as (tensor, its gradient). Parameter gradients are added to states named `gradient.NAME`.
    ///
    /// # Errors
    /// [`ErrorKind::Shape`] if an operation on the way has no gradient.
    pub fn backward(
        &mut self,
        seeds: &[(TensorId, TensorId)],
        trained: &dyn Fn(&str) -> bool,
        recompute: Recompute,
    ) -> Result<()> {
        self.backward_keeping(seeds, trained, recompute, &[])
    }

    /// [`Graph::backward`] that also keeps the gradients of some tensors on the way, as outputs of the given
    /// names.
    ///
    /// # Errors
    /// As [`Graph::backward`].
    pub fn backward_keeping(
        &mut self,
        seeds: &[(TensorId, TensorId)],
        trained: &dyn Fn(&str) -> bool,
        recompute: Recompute,
        keep: &[(TensorId, &str)],
    ) -> Result<()> {
        let wanted = self.dependent(trained);
        let mut pass = Pass {
            graph: self,
            wanted,
            gradients: HashMap::new(),
            holders: HashMap::new(),
            again: HashMap::new(),
            node: None,
        };
        for (tensor, gradient) in seeds {
            pass.hold(*tensor, *gradient);
        }
        for at in (0..pass.graph.nodes.len()).rev() {
            if recompute == Recompute::Sections
                && let Some(section) = pass.graph.sections.iter().find(|s| s.end == at + 1).cloned()
            {
                pass.run_again(section)?;
            }
            let node = pass.graph.nodes[at].clone();
            if !node.outputs.iter().chain(&node.updates).any(|id| pass.gradients.contains_key(id)) {
                continue;
            }
            // All who read the tensor have given their part. As an output, nobody adds to it in place any
            // more.
            for (id, name) in keep.iter().filter(|(id, _)| node.outputs.contains(id)) {
                if let Some(gradient) = pass.gradients.get(id) {
                    pass.graph.output(*gradient, name);
                }
            }
            if node.inputs.iter().any(|id| pass.wanted.contains(id)) {
                let kernel = node.kernel.clone();
                pass.node = Some(node.clone());
                match kernel.gradient() {
                    Some(rule) => rule.backward(&mut pass)?,
                    None => {
                        let what = format!("{}: {} has no gradient", pass.label(), kernel.stem());
                        return Err(Error::new(ErrorKind::Shape, what));
                    }
                }
            }
            // An update's gradient goes on to the operation that made the tensor.
            for id in &node.outputs {
                pass.release(*id);
            }
        }
        Ok(())
    }

    /// Tensors that depend on a trained parameter.
    fn dependent(&self, trained: &dyn Fn(&str) -> bool) -> HashSet<TensorId> {
        let trained = |t: &super::Tensor| t.role == Role::Parameter && trained(&t.name);
        let mut wanted: HashSet<TensorId> =
            (0..self.tensors.len()).filter(|i| trained(&self.tensors[*i])).map(TensorId).collect();
        for node in &self.nodes {
            if node.inputs.iter().any(|id| wanted.contains(id)) {
                wanted.extend(node.outputs.iter().chain(&node.updates));
            }
        }
        wanted
    }
}

struct Pass<'g> {
    graph: &'g mut Graph,
    wanted: HashSet<TensorId>,
    /// Gradient of a tensor of the forward pass.
    gradients: HashMap<TensorId, TensorId>,
    /// How many tensors a gradient is the gradient of: only if it is one may it be written.
    holders: HashMap<TensorId, usize>,
    /// Tensors computed again.
    again: HashMap<TensorId, TensorId>,
    node: Option<Node>,
}

impl Pass<'_> {
    fn hold(&mut self, tensor: TensorId, gradient: TensorId) {
        self.release(tensor);
        self.gradients.insert(tensor, gradient);
        *self.holders.entry(gradient).or_default() += 1;
    }

    fn release(&mut self, tensor: TensorId) {
        if let Some(gradient) = self.gradients.remove(&tensor)
            && let Some(n) = self.holders.get_mut(&gradient)
        {
            *n -= 1;
        }
    }

    /// Appends the operations of a section once more, on fresh tensors.
    fn run_again(&mut self, section: std::ops::Range<usize>) -> Result<()> {
        for at in section {
            let node = self.graph.nodes[at].clone();
            if !node.updates.is_empty() {
                return Err(Error::new(
                    ErrorKind::Shape,
                    format!("{} updates a tensor in place and cannot be recomputed", node.label),
                ));
            }
            let inputs: Vec<TensorId> = node.inputs.iter().map(|id| self.latest(*id)).collect();
            let outputs =
                self.graph.append(&format!("{}.again", node.label), node.kernel.clone(), &inputs, &[])?;
            self.again.extend(node.outputs.iter().copied().zip(outputs));
        }
        Ok(())
    }

    fn node(&self) -> &Node {
        self.node.as_ref().expect("a gradient rule runs while its node is set")
    }

    fn latest(&self, id: TensorId) -> TensorId {
        self.again.get(&id).copied().unwrap_or(id)
    }

    fn output_id(&self, i: usize) -> TensorId {
        let node = self.node();
        node.outputs.get(i).copied().unwrap_or_else(|| node.updates[i - node.outputs.len()])
    }
}

impl Backward for Pass<'_> {
    fn label(&self) -> &str {
        &self.node().label
    }

    fn input(&self, i: usize) -> TensorId {
        self.latest(self.node().inputs[i])
    }

    fn output(&self, i: usize) -> TensorId {
        self.latest(self.output_id(i))
    }

    fn wants(&self, i: usize) -> bool {
        self.wanted.contains(&self.node().inputs[i])
    }

    fn gradient(&self, i: usize) -> Result<TensorId> {
        let missing = || {
            Error::new(ErrorKind::Shape, format!("{}: nobody gives the gradient of output {i}", self.label()))
        };
        self.gradients.get(&self.output_id(i)).copied().ok_or_else(missing)
    }

    fn place(&mut self, i: usize) -> Option<TensorId> {
        let id = self.node().inputs[i];
        let tensor = &self.graph.tensors[id.0];
        if tensor.role == Role::Parameter {
            let (name, ty) = (
                format!("gradient.{}", tensor.name),
                TensorType { dtype: DType::F32, shape: tensor.ty.shape.clone() },
            );
            return Some(self.graph.state(&name, ty));
        }
        let gradient = *self.gradients.get(&id)?;
        (self.holders[&gradient] == 1 && self.graph.tensors[gradient.0].role == Role::Scratch)
            .then_some(gradient)
    }

    fn give(&mut self, i: usize, gradient: TensorId) -> Result<()> {
        if !self.wants(i) {
            return Ok(());
        }
        let ty = self.graph.tensors[gradient.0].ty.clone();
        if let Some(place) = self.place(i) {
            return self.append("add", Arc::new(Add { ty, in_place: true }), &[gradient], &[place]).map(drop);
        }
        let id = self.node().inputs[i];
        let sum = match self.gradients.get(&id).copied() {
            Some(so_far) => {
                self.append("add", Arc::new(Add { ty, in_place: false }), &[so_far, gradient], &[])?[0]
            }
            None => gradient,
        };
        self.hold(id, sum);
        Ok(())
    }

    fn append(
        &mut self,
        what: &str,
        kernel: Arc<dyn Kernel>,
        inputs: &[TensorId],
        updates: &[TensorId],
    ) -> Result<Vec<TensorId>> {
        let label = format!("{}.{what}", self.label());
        self.graph.append(&label, kernel, inputs, updates)
    }

    fn carry(&mut self, what: &str, ty: TensorType) -> TensorId {
        let name = format!("{}.{what}", self.label());
        self.graph.state(&name, ty)
    }

    fn ask(&mut self, name: &str, ty: TensorType) -> TensorId {
        self.graph.input(name, ty)
    }
}
