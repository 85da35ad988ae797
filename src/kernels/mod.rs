//! The kernels: one file a kernel, `kernels/<stem>.rs` beside `shaders/<stem>.wgsl`, holding its
//! parameters, dispatch geometry, choice of shader variant and CPU twin. Knows tensors, not models,
//! not wgpu.

pub mod adamw;
pub mod add;
pub mod attention_dense;
pub mod attention_dense_decode;
pub mod attention_dense_merge;
pub mod attention_grad_keys;
pub mod attention_grad_queries;
pub mod attention_grad_rows;
pub mod backward;
pub mod clear;
pub mod clip_factor;
pub mod column_sums;
pub mod embed;
pub mod embed_grad;
pub mod features;
pub mod gate_prefix;
pub mod gate_prefix_grad;
pub(crate) mod gate_sum;
pub mod glu;
pub mod glu_grad;
pub mod heads;
mod heads_backward;
pub mod join_columns;
pub mod layer_norm;
pub mod layer_norm_grad;
pub mod linear;
pub mod linear_grad_input;
pub mod linear_grad_weight;
pub mod local_weight;
pub mod multiply_add;
pub mod nll;
pub mod nll_grad;
pub mod pack_heads;
pub mod pack_heads_grad;
pub mod real;
pub mod ring_copy;
mod row_tile;
pub mod sample;
pub mod scan_decode;
pub mod scan_grad_keys;
pub mod scan_grad_queries;
pub mod scan_output;
pub mod scan_prefix;
pub mod scan_states;
pub mod scan_suffix;
pub mod scatter_rows;
pub mod shader;
pub mod sketch_learned;
pub mod sketch_learned_grad;
pub mod sketch_random;
pub mod sketch_random_grad;
pub mod square_sums;
pub(crate) mod subgroup;
pub mod sum_partials;
pub mod take_last;
pub mod tuning;
pub mod unpack_heads;

use std::fmt::Debug;
use std::sync::Arc;

use crate::error::{Error, ErrorKind, Result};
use crate::tensor::{Call, Capacity, TensorType};
pub use backward::{Backward, BackwardExt};
pub use real::Real;
pub use tuning::Tuning;

/// An operation of the graph that runs as one dispatch.
///
/// Arguments are ordered: inputs, then fresh outputs, then tensors updated in place. In the shader the
/// uniform `Params` is binding 0 and argument `i` is binding `i + 1`; the CPU twin gets the same
/// arguments in the same order. A kernel of the caller's own is as good as ours.
pub trait Kernel: Debug + Send + Sync + std::any::Any {
    /// Name of the shader file, the Rust file and the test.
    fn stem(&self) -> &'static str;

    /// Types of the fresh outputs; an error that names the operation and the sizes if the inputs do not fit.
    fn infer(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>>;

    /// The shader variant for a device: which permutation, which `override` values. All policy is here, none
    /// in WGSL.
    fn variant(&self, device: &DeviceTraits, capacity: &Capacity) -> Variant;

    /// Refuses what `device` would compute wrongly.
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

    /// Parameters and workgroup counts for one call that [runs](Kernel::runs).
    fn dispatch(&self, variant: &Variant, call: &Call) -> Dispatch;

    /// The same as dispatches one after the other, where a device does not take all in one
    /// ([`DeviceTraits::loop_iterations`]).
    fn dispatches(&self, variant: &Variant, call: &Call) -> Vec<Dispatch> {
        vec![self.dispatch(variant, call)]
    }

    /// The CPU twin in f32.
    fn twin_f32(&self, args: &mut Args<'_, f32>, call: &Call);

    /// The CPU twin in f64: the oracle.
    fn twin_f64(&self, args: &mut Args<'_, f64>, call: &Call);

    /// `f32` operations of one call (multiply and add count as two), for rooflines and memory plans.
    fn flops(&self, _call: &Call) -> u64 {
        0
    }

    /// Appends the operations that give the gradients of this one's inputs from the gradients of its outputs.
    ///
    /// # Errors
    /// [`ErrorKind::Shape`] where an operation has no gradient.
    fn backward(&self, pass: &mut dyn Backward) -> Result<()> {
        Err(Error::new(ErrorKind::Shape, format!("{}: {} has no gradient", pass.label(), self.stem())))
    }

    /// For lowering passes that look for a certain kernel.
    fn as_any(&self) -> &dyn std::any::Any;
}

/// Implements the two monomorphic twins and `as_any` by a generic `fn twin<R: Real>`.
#[macro_export]
macro_rules! twins {
    () => {
        fn twin_f32(&self, args: &mut $crate::kernels::Args<'_, f32>, call: &$crate::tensor::Call) {
            self.twin(args, call)
        }
        fn twin_f64(&self, args: &mut $crate::kernels::Args<'_, f64>, call: &$crate::tensor::Call) {
            self.twin(args, call)
        }
        fn as_any(&self) -> &dyn std::any::Any {
            self
        }
    };
}

/// What a kernel may know of a device when it chooses its variant. Plain data: no wgpu here.
#[derive(Clone, Debug, PartialEq)]
pub struct DeviceTraits {
    /// Steps are dispatches of shaders; false on the CPU executor, which runs the twins and needs no shader
    /// to exist.
    pub shaders: bool,
    /// A CPU that pretends to be a GPU: workgroup memory is plain memory there.
    pub software: bool,
    /// Invocations of every subgroup, where those are the vectors of a software adapter and the `*_subgroup`
    /// shaders know the number (4 or 8).
    pub subgroup: Option<usize>,
    /// Largest storage binding, bytes.
    pub max_binding: usize,
    /// Largest buffer, bytes.
    pub max_buffer: usize,
    /// Iterations of all its loops together after which an invocation is let out of every loop, silently
    /// (llvmpipe: 65 535).
    pub loop_iterations: Option<usize>,
    /// Workgroup memory, bytes.
    pub workgroup_memory: usize,
    /// Invocations in a workgroup.
    pub max_invocations: usize,
    /// What was measured on it.
    pub tuning: Arc<Tuning>,
}

impl DeviceTraits {
    /// Rounds of a loop that one dispatch may take, where an invocation's loops take so many iterations
    /// before the first and in each. Count them generously: a driver's loops take one more than the shader's,
    /// and one too many leaves results unwritten.
    fn rounds(&self, before: usize, each: usize) -> usize {
        /// Where nothing bounds them: all.
        const ALL: usize = 1 << 20;
        self.loop_iterations.map_or(ALL, |most| (most.saturating_sub(before) / each.max(1)).clamp(1, ALL))
    }

    /// The floor of SPEC §6: WebGPU's default limits.
    pub fn floor() -> Self {
        Self {
            shaders: true,
            software: false,
            subgroup: None,
            loop_iterations: None,
            max_binding: 128 << 20,
            max_buffer: 256 << 20,
            workgroup_memory: 16 << 10,
            max_invocations: 256,
            tuning: Arc::default(),
        }
    }

    /// The CPU executor: bounded by memory only.
    pub fn cpu() -> Self {
        Self {
            shaders: false,
            software: false,
            subgroup: None,
            loop_iterations: None,
            max_binding: usize::MAX,
            max_buffer: usize::MAX,
            workgroup_memory: usize::MAX,
            max_invocations: usize::MAX,
            tuning: Arc::default(),
        }
    }
}

/// A shader permutation with its `override` constants.
#[derive(Clone, Debug, PartialEq)]
pub struct Variant {
    /// Key of the permutation table: `stem` or `stem+FLAG+FLAG`.
    pub shader: String,
    /// `override` values by name.
    pub constants: Vec<(&'static str, f64)>,
}

impl Variant {
    /// `stem` with the flags whose condition holds.
    pub fn new(stem: &str, flags: &[(&str, bool)]) -> Self {
        let mut shader = stem.to_string();
        for (flag, on) in flags {
            if *on {
                shader.push('+');
                shader.push_str(flag);
            }
        }
        Self { shader, constants: Vec::new() }
    }

    /// Adds an `override` value.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl Into<f64>) -> Self {
        self.constants.push((name, value.into()));
        self
    }

    /// Adds an `override` value that counts something.
    #[must_use]
    pub fn size(self, name: &'static str, value: usize) -> Self {
        self.with(name, value as f64)
    }

    /// An `override` value that [`Variant::with`] or [`Variant::size`] set.
    pub fn get(&self, name: &str) -> usize {
        self.constants
            .iter()
            .find(|(n, _)| *n == name)
            .map(|(_, v)| *v as usize)
            .unwrap_or_else(|| panic!("no override {name} in {}", self.shader))
    }
}

/// One dispatch: the bytes of the uniform `Params` and the workgroup counts.
#[derive(Clone, Debug, PartialEq)]
pub struct Dispatch {
    /// `Params`, as the shader lays it out.
    pub params: Vec<u8>,
    /// Workgroups in x, y, z.
    pub workgroups: [usize; 3],
}

impl Dispatch {
    /// A dispatch from a parameter struct.
    pub fn new<P: bytemuck::Pod>(params: &P, workgroups: [usize; 3]) -> Self {
        Self { params: bytemuck::bytes_of(params).to_vec(), workgroups }
    }

    /// At least `n` workgroups, folded into two dimensions of at most 65 535 each (SPEC §6); the
    /// shader finds its number as `id.y * num_workgroups.x + id.x` and must check it.
    pub fn linear(n: usize) -> [usize; 3] {
        const MOST: usize = 65_535;
        if n <= MOST { [n, 1, 1] } else { [MOST, n.div_ceil(MOST), 1] }
    }
}

/// A tensor as a CPU twin sees it.
#[derive(Debug)]
pub enum View<'a, R> {
    /// Floats, read.
    Real(&'a [R]),
    /// Integers, read.
    Ids(&'a [u32]),
    /// Half floats, read (the CPU executor in f32 keeps large matrices so: decoding reads all of them for
    /// each token).
    Half(&'a [u16]),
    /// Floats, written.
    RealMut(&'a mut [R]),
    /// Integers, written.
    IdsMut(&'a mut [u32]),
    /// Taken out by the twin.
    Taken,
}

/// A large matrix as a CPU twin sees it.
#[derive(Clone, Copy, Debug)]
pub enum Weights<'a, R> {
    /// Floats.
    Real(&'a [R]),
    /// Half floats.
    Half(&'a [u16]),
}

impl<R: Real> Weights<'_, R> {
    /// Elements `range` as floats, in `out`.
    pub fn widen(&self, range: std::ops::Range<usize>, out: &mut [R]) {
        match self {
            Weights::Real(v) => out.copy_from_slice(&v[range]),
            Weights::Half(v) => real::widen(&v[range], out),
        }
    }
}

/// The arguments of a CPU twin, in binding order.
#[derive(Debug)]
pub struct Args<'a, R> {
    /// The tensors.
    pub views: Vec<View<'a, R>>,
}

impl<'a, R> Args<'a, R> {
    /// Float argument `i`, for reading.
    pub fn real(&mut self, i: usize) -> &'a [R] {
        match self.views[i] {
            View::Real(v) => v,
            ref other => panic!("argument {i} is not a float input but {}", other.what()),
        }
    }

    /// Weight argument `i`, for reading: floats, or halves that the twin widens.
    pub fn weights(&mut self, i: usize) -> Weights<'a, R> {
        match self.views[i] {
            View::Half(v) => Weights::Half(v),
            View::Real(v) => Weights::Real(v),
            ref other => panic!("argument {i} is not a weight but {}", other.what()),
        }
    }

    /// Integer argument `i`, for reading.
    pub fn ids(&mut self, i: usize) -> &'a [u32] {
        match self.views[i] {
            View::Ids(v) => v,
            ref other => panic!("argument {i} is not an integer input but {}", other.what()),
        }
    }

    /// Float argument `i`, for writing; can be taken once.
    pub fn real_mut(&mut self, i: usize) -> &'a mut [R] {
        match std::mem::replace(&mut self.views[i], View::Taken) {
            View::RealMut(v) => v,
            other => panic!("argument {i} is not a float output but {}", other.what()),
        }
    }

    /// Integer argument `i`, for writing; can be taken once.
    pub fn ids_mut(&mut self, i: usize) -> &'a mut [u32] {
        match std::mem::replace(&mut self.views[i], View::Taken) {
            View::IdsMut(v) => v,
            other => panic!("argument {i} is not an integer output but {}", other.what()),
        }
    }
}

impl<R> View<'_, R> {
    fn what(&self) -> &'static str {
        match self {
            View::Real(_) => "a float input",
            View::Ids(_) => "an integer input",
            View::Half(_) => "a half float input",
            View::RealMut(_) => "a float output",
            View::IdsMut(_) => "an integer output",
            View::Taken => "already taken",
        }
    }
}

/// An error that names the operation and the sizes.
pub(crate) fn shape_error(stem: &str, inputs: &[&TensorType], want: impl std::fmt::Display) -> Error {
    let got: Vec<String> = inputs.iter().map(|t| t.to_string()).collect();
    Error::new(ErrorKind::Shape, format!("{stem}({}): {want}", got.join(", ")))
}
