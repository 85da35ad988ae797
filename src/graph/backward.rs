//! The backward pass: walks the operations from last to first and lets each kernel append the operations that
//! give its inputs' gradients. The result is more of the same graph: planned, aliased and run like the rest.

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::{Gradients, Graph, Node, Purpose, Role, TensorId, gradient_name};
use crate::error::{Error, ErrorKind, Result};
use crate::kernels::rows::add::Add;
use crate::kernels::{Asked, Backward, Kernel};
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
    /// tensors, as (tensor, its gradient).
    ///
    /// # Errors
    /// [`ErrorKind::Shape`] if an operation on the way has no gradient, or reads what a later one has
    /// overwritten.
    pub fn backward(
        &mut self,
        seeds: &[(TensorId, TensorId)],
        trained: &dyn Fn(&str) -> bool,
        recompute: Recompute,
    ) -> Result<Gradients> {
        self.backward_keeping(seeds, trained, recompute, &[])
    }

    /// [`Graph::backward`] that also keeps the gradients of some tensors on the way, as outputs of the given
    /// names ([`Gradients::kept`], in this order).
    ///
    /// # Errors
    /// As [`Graph::backward`].
    pub fn backward_keeping(
        &mut self,
        seeds: &[(TensorId, TensorId)],
        trained: &dyn Fn(&str) -> bool,
        recompute: Recompute,
        keep: &[(TensorId, &str)],
    ) -> Result<Gradients> {
        let wanted = self.dependent(trained);
        let mut pass = Pass {
            graph: self,
            wanted,
            gradients: HashMap::new(),
            holders: HashMap::new(),
            again: HashMap::new(),
            current: None,
            stale: RefCell::default(),
            found: Gradients { kept: vec![None; keep.len()], ..Gradients::default() },
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
            for (kept, (id, name)) in keep.iter().enumerate().filter(|(_, (id, _))| node.outputs.contains(id))
            {
                if let Some(gradient) = pass.gradients.get(id).copied() {
                    pass.graph.output(gradient, name);
                    pass.found.kept[kept] = Some(gradient);
                }
            }
            if node.inputs.iter().any(|id| pass.wanted.contains(id)) {
                pass.apply_rule(at, &node)?;
            }
            // An update's gradient goes on to the operation that made the tensor.
            for id in &node.outputs {
                pass.release(*id);
            }
        }
        Ok(pass.found)
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
    /// Tensors computed again, each with the number of the operation that does.
    again: HashMap<TensorId, (TensorId, usize)>,
    /// The operation whose rule runs, and its number.
    current: Option<(usize, Node)>,
    /// Tensors that the rule asked for and that hold something else by now, with the operation that wrote it.
    stale: RefCell<Vec<(TensorId, String)>>,
    found: Gradients,
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

    fn apply_rule(&mut self, at: usize, node: &Node) -> Result<()> {
        self.current = Some((at, node.clone()));
        self.stale.borrow_mut().clear();
        match node.kernel.gradient() {
            Some(rule) => rule.backward(self),
            None => {
                let what = format!("{}: {} has no gradient", node.label, node.kernel.stem());
                Err(Error::new(ErrorKind::Shape, what))
            }
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
            let label = format!("{}.again", node.label);
            let mut inputs = Vec::with_capacity(node.inputs.len());
            for id in &node.inputs {
                let (id, since) = self.latest(*id, at);
                if let Some(writer) = self.graph.overwritten(id, since) {
                    return Err(self.lost(&label, id, writer));
                }
                inputs.push(id);
            }
            let outputs = self.graph.append(&label, node.kernel.clone(), &inputs, &[])?;
            let by = self.graph.nodes.len();
            self.again.extend(node.outputs.iter().copied().zip(outputs.into_iter().map(|id| (id, by))));
        }
        Ok(())
    }

    fn lost(&self, label: &str, id: TensorId, writer: &str) -> Error {
        let name = &self.graph.tensors[id.0].name;
        Error::new(ErrorKind::Shape, format!("{label} reads {name}, which {writer} has overwritten"))
    }

    fn node(&self) -> &Node {
        &self.current.as_ref().expect("a gradient rule runs while its operation is set").1
    }

    /// Where the value of a tensor lies by now, and the operation after which nobody must have written it, if
    /// it is the value before operation `at`.
    fn latest(&self, id: TensorId, at: usize) -> (TensorId, usize) {
        self.again.get(&id).copied().unwrap_or((id, at))
    }

    /// A tensor of the forward pass, as a rule asks for it.
    fn asked_for(&self, id: TensorId, at: usize) -> TensorId {
        let (id, since) = self.latest(id, at);
        if let Some(writer) = self.graph.overwritten(id, since) {
            self.stale.borrow_mut().push((id, writer.to_string()));
        }
        id
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
        let (at, node) = self.current.as_ref().expect("a gradient rule runs while its operation is set");
        self.asked_for(node.inputs[i], *at)
    }

    fn output(&self, i: usize) -> TensorId {
        let (at, _) = self.current.as_ref().expect("a gradient rule runs while its operation is set");
        self.asked_for(self.output_id(i), at + 1)
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

    fn accumulate_into(&mut self, i: usize) -> Option<TensorId> {
        let id = self.node().inputs[i];
        let tensor = &self.graph.tensors[id.0];
        if tensor.role == Role::Parameter {
            let ty = TensorType { dtype: DType::F32, shape: tensor.ty.shape.clone() };
            let name = gradient_name(&tensor.name);
            let gradient = self.graph.state(&name, Purpose::Gradient, ty);
            remember(&mut self.found.parameters, (id, gradient));
            return Some(gradient);
        }
        let gradient = *self.gradients.get(&id)?;
        (self.holders[&gradient] == 1 && self.graph.tensors[gradient.0].role == Role::Scratch)
            .then_some(gradient)
    }

    fn give(&mut self, i: usize, gradient: TensorId) -> Result<()> {
        if !self.wants(i) {
            return Ok(());
        }
        let (ty, what) = (self.graph.tensors[gradient.0].ty.clone(), format!("add.{i}"));
        if let Some(sum) = self.accumulate_into(i) {
            return self.append(&what, Arc::new(Add { ty, in_place: true }), &[gradient], &[sum]).map(drop);
        }
        let id = self.node().inputs[i];
        let sum = match self.gradients.get(&id).copied() {
            Some(so_far) => {
                self.append(&what, Arc::new(Add { ty, in_place: false }), &[so_far, gradient], &[])?[0]
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
        let stale = self.stale.borrow();
        if let Some((id, writer)) = stale.iter().find(|(id, _)| inputs.contains(id) || updates.contains(id)) {
            return Err(self.lost(&label, *id, writer));
        }
        drop(stale);
        self.graph.append(&label, kernel, inputs, updates)
    }

    fn carry(&mut self, what: &str, ty: TensorType) -> TensorId {
        let carry = self.graph.state(&format!("{}.{what}", self.label()), Purpose::Carry, ty);
        remember(&mut self.found.carries, carry);
        carry
    }

    fn ask(&mut self, what: Asked) -> TensorId {
        let input = self.graph.input(what.name(), what.ty());
        remember(&mut self.found.asked, (what, input));
        input
    }
}

/// Puts down what is not there yet.
fn remember<T: PartialEq>(list: &mut Vec<T>, new: T) {
    if !list.contains(&new) {
        list.push(new);
    }
}
