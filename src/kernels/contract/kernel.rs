//! What an operation of the graph must know to run anywhere, the trait [`Kernel`], and to be trained through:
//! [`Gradient`], with what a rule may do ([`Backward`]).

use std::fmt::Debug;
use std::sync::Arc;

use super::args::{View, Views};
use super::device::DeviceTraits;
use super::variant::{Dispatch, Variant};
use crate::error::{Error, ErrorKind, Result};
use crate::shape;
use crate::tensor::{Call, Capacity, TensorId, TensorType, Unit};

/// An operation of the graph that runs as one dispatch.
///
/// Arguments are ordered: inputs, then fresh outputs, then tensors updated in place. In the shader the
/// uniform `Params` is binding 0 and argument `i` is binding `i + 1`; the CPU twin gets the same
/// arguments in the same order. A kernel of the caller's own is as good as ours.
pub trait Kernel: Debug + Send + Sync + std::any::Any {
    /// Name of the shader file, the Rust file and the test.
    fn stem(&self) -> &'static str;

    /// Types of the fresh outputs; an error that names the operation and the sizes if the inputs do not fit.
    ///
    /// # Errors
    /// [`ErrorKind::Shape`](crate::ErrorKind::Shape) for inputs that do not go together.
    fn infer(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>>;

    /// The shader variant for a device: which permutation, which `override` values. All policy is here, none
    /// in WGSL.
    fn variant(&self, device: &DeviceTraits, capacity: &Capacity) -> Variant;

    /// Refuses what would be computed wrongly, there or anywhere.
    ///
    /// # Errors
    /// [`ErrorKind::Limit`].
    fn check(&self, _variant: &Variant, _device: &DeviceTraits, _capacity: &Capacity) -> Result<()> {
        Ok(())
    }

    /// Whether there is anything to do in a call. Where there is not, neither the twin runs nor a dispatch.
    fn runs(&self, _call: &Call) -> bool {
        true
    }

    /// Parameters and workgroup counts for one call that [runs](Kernel::runs): one dispatch
    /// ([`Dispatch::once`]), or several one after the other, where a device does not take all in one
    /// ([`DeviceTraits::loop_iterations`]); none from a kernel without a shader. Whoever lends a shader of ours
    /// must give it what our kernel would: on real GPUs it does not check its indices.
    fn dispatches(&self, variant: &Variant, call: &Call) -> Vec<Dispatch>;

    /// The CPU twin in f32.
    fn twin_f32(&self, args: &mut Views<'_, f32>, call: &Call);

    /// The CPU twin in f64: the oracle.
    fn twin_f64(&self, args: &mut Views<'_, f64>, call: &Call);

    /// Of a variant in mixed precision: for each number that it writes, the sum of the magnitudes of the products
    /// whose operands it rounds to halves, in place of the number. Nothing is rounded otherwise.
    fn magnitudes(&self, args: &mut Views<'_, f64>, _call: &Call) {
        for view in &mut args.views {
            if let View::RealMut(written) = view {
                written.fill(0.0);
            }
        }
    }

    /// `f32` operations of one call (multiply and add count as two), for rooflines and memory plans.
    fn flops(&self, _call: &Call) -> u64 {
        0
    }

    /// The rule for its gradients, in the family's `gradient.rs`; an operation without one cannot be trained
    /// through.
    fn gradient(&self) -> Option<&dyn Gradient> {
        None
    }

    /// The operation that does this one's work and that of `before`, which made its input `i`, in one
    /// dispatch; none where there is no such kernel, or no gain at this capacity.
    fn fuse_after(&self, _i: usize, _before: &dyn Kernel, _capacity: &Capacity) -> Option<Fused> {
        None
    }

    /// The operation that does this one's work and that of `after`, which alone reads its output and nothing
    /// else, in one dispatch: with the inputs of this one, and the outputs of `after`.
    fn fuse_before(&self, _after: &dyn Kernel, _capacity: &Capacity) -> Option<Arc<dyn Kernel>> {
        None
    }

    /// The two operations that do this one's work with more workgroups, where its own would leave a large device
    /// idle at this capacity. The twins run it whole.
    fn split(&self, _capacity: &Capacity) -> Option<Split> {
        None
    }
}

/// An operation without fresh outputs as two: partial results, and what adds them up.
#[derive(Clone, Debug)]
pub struct Split {
    /// Reads what the whole reads; makes the partial results.
    pub parts: Arc<dyn Kernel>,
    /// What they are.
    pub ty: TensorType,
    /// Reads the partial results; updates what the whole updates.
    pub sum: Arc<dyn Kernel>,
}

/// Two operations as one.
#[derive(Clone, Debug)]
pub struct Fused {
    /// What does the work of both, with the outputs of the later one.
    pub kernel: Arc<dyn Kernel>,
    /// What it reads.
    pub inputs: Vec<Operand>,
    /// Whether it is a gain even where others read what the earlier one makes, whose work is then done twice.
    pub repeats: bool,
}

/// An input of one of two operations that become one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operand {
    /// Of the operation that was asked.
    Own(usize),
    /// Of the one before it.
    Before(usize),
}

/// The rule that gives the gradients of a kernel's inputs.
pub trait Gradient {
    /// Appends the operations that give the gradients of this one's inputs from the gradients of its outputs.
    ///
    /// # Errors
    /// [`ErrorKind::Shape`] where there is no gradient.
    fn backward(&self, pass: &mut dyn Backward) -> Result<()>;
}

/// One operation in the backward pass.
///
/// "Outputs" are the operation's fresh outputs, then the tensors it updated. All gradients have the type of
/// their tensor, in f32.
pub trait Backward {
    /// What the operation does in the model.
    fn label(&self) -> &str;

    /// Input `i` of the operation (computed again where the pass recomputes).
    fn input(&self, i: usize) -> TensorId;

    /// Output `i` of the operation (computed again where the pass recomputes).
    fn output(&self, i: usize) -> TensorId;

    /// Whether anyone wants the gradient of input `i`: it depends on a trained parameter.
    fn wants(&self, i: usize) -> bool;

    /// The gradient of output `i`; an error if no later operation gave one.
    ///
    /// # Errors
    /// [`ErrorKind::Shape`](crate::ErrorKind::Shape) for an output that nothing gave a gradient.
    fn gradient(&self, i: usize) -> Result<TensorId>;

    /// The tensor that a gradient of input `i` is to be added to in place, if there is one: the accumulator
    /// of a trained parameter (a state, which the caller of the plan clears), or what later operations gave
    /// so far.
    fn accumulate_into(&mut self, i: usize) -> Option<TensorId>;

    /// Hands on a fresh gradient of input `i`, to be added to what there is. The tensor may be one that is
    /// also the gradient of something else (a residual's), but nobody may write it afterwards other than
    /// through [`Backward::accumulate_into`].
    ///
    /// # Errors
    /// [`ErrorKind::Shape`](crate::ErrorKind::Shape) for a gradient of another type than its tensor.
    fn give(&mut self, i: usize, gradient: TensorId) -> Result<()>;

    /// Appends an operation labelled `LABEL.what`; returns its fresh outputs.
    ///
    /// # Errors
    /// [`ErrorKind::Shape`](crate::ErrorKind::Shape), as [`Graph::apply`](crate::graph::Graph::apply).
    fn append(
        &mut self,
        what: &str,
        kernel: Arc<dyn Kernel>,
        inputs: &[TensorId],
        updates: &[TensorId],
    ) -> Result<Vec<TensorId>>;

    /// A state tensor `LABEL.what` that lives from call to call: what later segments of a text hand to
    /// earlier ones. The caller of the plan clears it before a text's last segment.
    fn carry(&mut self, what: &str, ty: TensorType) -> TensorId;

    /// An input that the caller of the plan writes before a call.
    fn ask(&mut self, what: Asked) -> TensorId;
}

/// An input that a gradient rule may need of the caller, beside what its operation reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Asked {
    /// `u32 [rows]`: the rows of a call in the order of their tokens, so that those of one token stand side
    /// by side.
    Order,
}

impl Asked {
    /// Its name, for people.
    pub fn name(self) -> &'static str {
        match self {
            Asked::Order => "order",
        }
    }

    /// Its type.
    pub fn ty(self) -> TensorType {
        match self {
            Asked::Order => TensorType::u32(shape![Unit::Rows]),
        }
    }
}

/// Implements the two monomorphic twins by a generic `fn twin<R: Real>`, which takes [`Views`], or
/// the tensors by name where their type is given.
#[doc(hidden)]
#[macro_export]
macro_rules! __twins {
    () => {
        fn twin_f32(&self, args: &mut $crate::kernels::Views<'_, f32>, call: &$crate::tensor::Call) {
            self.twin(args, call)
        }
        fn twin_f64(&self, args: &mut $crate::kernels::Views<'_, f64>, call: &$crate::tensor::Call) {
            self.twin(args, call)
        }
    };
    ($shader:ident) => {
        fn twin_f32(&self, views: &mut $crate::kernels::Views<'_, f32>, call: &$crate::tensor::Call) {
            self.twin($shader::Args::bind(views), call)
        }
        fn twin_f64(&self, views: &mut $crate::kernels::Views<'_, f64>, call: &$crate::tensor::Call) {
            self.twin($shader::Args::bind(views), call)
        }
    };
}

#[doc(inline)]
pub use crate::__twins as twins;

/// An error that names the operation and the sizes.
pub(crate) fn shape_error(stem: &str, inputs: &[&TensorType], want: impl std::fmt::Display) -> Error {
    let got: Vec<String> = inputs.iter().map(|t| t.to_string()).collect();
    Error::new(ErrorKind::Shape, format!("{stem}({}): {want}", got.join(", ")))
}
