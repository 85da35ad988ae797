//! Lowering: a graph for one device and capacity becomes a flat list of steps over planned buffers.
//! Plain data, decided once: both executors only follow it.

use std::fmt::Write as _;
use std::sync::Arc;

use super::{Graph, Role, Tensor, TensorId, fuse, split};
use crate::error::{Error, ErrorKind, Result};
use crate::kernels::{DeviceTraits, Dispatch, Kernel, Variant};
use crate::tensor::{Call, Capacity};

/// A buffer of a plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct BufferId(pub usize);

/// A tensor with the place it got.
#[derive(Clone, Debug, PartialEq)]
pub struct PlannedTensor {
    /// Name, type, role.
    pub tensor: Tensor,
    /// Bytes at capacity.
    pub bytes: usize,
    /// Where it lies.
    pub buffer: BufferId,
}

/// A buffer: one tensor's own, or one that scratch tensors of disjoint lifetimes share. Tensors never share
/// part of a buffer: WebGPU tracks usage by whole buffers, so one cannot be read and written in the same
/// dispatch.
#[derive(Clone, Debug, PartialEq)]
pub struct PlannedBuffer {
    /// Name of its first tensor.
    pub name: String,
    /// Size.
    pub bytes: usize,
    /// Role of its tensors.
    pub role: Role,
}

/// One argument of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arg {
    /// The tensor.
    pub tensor: TensorId,
    /// The shader writes it.
    pub written: bool,
}

/// One dispatch.
#[derive(Clone, Debug)]
pub struct Step {
    /// What it does in the model.
    pub label: String,
    /// The kernel.
    pub kernel: Arc<dyn Kernel>,
    /// Shader permutation and constants for the device.
    pub variant: Variant,
    /// Arguments in binding order: inputs, outputs, updates.
    pub args: Vec<Arg>,
}

/// What an executor runs.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Name, for people.
    pub name: String,
    /// Upper bounds of any call.
    pub capacity: Capacity,
    /// Tensors by [`TensorId`]; those that fusion removed have no bytes.
    pub tensors: Vec<PlannedTensor>,
    /// Buffers by [`BufferId`].
    pub buffers: Vec<PlannedBuffer>,
    /// Dispatches in order.
    pub steps: Vec<Step>,
}

impl Graph {
    /// Lowers the graph: fuses, splits, chooses variants, plans memory.
    ///
    /// # Errors
    /// [`ErrorKind::Limit`] if a tensor is larger than a binding or buffer of the device, naming it;
    /// [`ErrorKind::Shape`] for a graph whose names clash, or that reads what nothing writes.
    pub fn lower(&self, name: &str, device: &DeviceTraits, capacity: Capacity) -> Result<Plan> {
        let mut graph = fuse::fuse(self, &capacity);
        if device.shaders {
            split::split(&mut graph, &capacity);
        }
        graph.check_order()?;
        let steps = graph
            .nodes
            .iter()
            .map(|node| {
                let variant = node.kernel.variant(device, &capacity);
                let ids: Vec<TensorId> = [&node.inputs[..], &node.outputs, &node.updates].concat();
                let writes: Vec<bool> = (0..ids.len()).map(|i| i >= node.inputs.len()).collect();
                if device.shaders {
                    check_shader(&node.label, &variant, &writes, device)?;
                }
                node.kernel.check(&variant, device, &capacity)?;
                let args =
                    ids.into_iter().zip(writes).map(|(tensor, written)| Arg { tensor, written }).collect();
                Ok(Step { label: node.label.clone(), kernel: node.kernel.clone(), variant, args })
            })
            .collect::<Result<Vec<Step>>>()?;
        let (tensors, buffers) = place(&graph, &steps, device, &capacity)?;
        Ok(Plan { name: name.to_string(), capacity, tensors, buffers, steps })
    }
}

/// Compares what a shader writes with what its operation says, and what it takes with what a device has.
fn check_shader(label: &str, variant: &Variant, writes: &[bool], device: &DeviceTraits) -> Result<()> {
    let name = variant.name();
    let Some(written) = variant.written() else {
        let text = format!("{label}: {name} has no shader, it runs on the CPU only");
        return Err(
            Error::new(ErrorKind::Device, text).help("use --backend cpu, or give the kernel a shader")
        );
    };
    if writes != written {
        let text = format!("{label}: the shader {name} writes {written:?}, the operation {writes:?}");
        return Err(Error::new(ErrorKind::Shape, text));
    }
    let (bytes, invocations) = (variant.workgroup_bytes(), variant.invocations());
    for (takes, has, what) in [
        (bytes, device.workgroup_memory, "bytes of workgroup memory"),
        (invocations, device.max_invocations, "invocations of a workgroup"),
    ] {
        if takes > has {
            let text = format!("{label}: the shader {name} takes {takes} {what}, this device has {has}");
            return Err(Error::new(ErrorKind::Limit, text)
                .help("this is a bug of the program: it chose a variant too large for this device"));
        }
    }
    Ok(())
}

/// Gives every used tensor a buffer; scratch tensors share by first fit over their lifetimes.
fn place(
    graph: &Graph,
    steps: &[Step],
    device: &DeviceTraits,
    capacity: &Capacity,
) -> Result<(Vec<PlannedTensor>, Vec<PlannedBuffer>)> {
    let mut first = vec![usize::MAX; graph.tensors.len()];
    let mut last = vec![0; graph.tensors.len()];
    for (at, step) in steps.iter().enumerate() {
        for arg in &step.args {
            first[arg.tensor.0] = first[arg.tensor.0].min(at);
            last[arg.tensor.0] = at;
        }
    }
    let mut tensors: Vec<PlannedTensor> = graph
        .tensors
        .iter()
        .map(|t| PlannedTensor { tensor: t.clone(), bytes: 0, buffer: BufferId(usize::MAX) })
        .collect();
    let mut buffers: Vec<PlannedBuffer> = Vec::new();
    let mut shared: Vec<(BufferId, usize)> = Vec::new(); // scratch buffers and the step after which they are free
    // Large tensors choose first among those born at the same step, so that small ones do not take their
    // place.
    let mut order: Vec<usize> = (0..graph.tensors.len()).filter(|&i| first[i] != usize::MAX).collect();
    order.sort_by_key(|&i| (first[i], std::cmp::Reverse(graph.tensors[i].ty.bytes(capacity))));
    for i in order {
        let tensor = &graph.tensors[i];
        let bytes = tensor.ty.bytes(capacity).max(16);
        let most = device.max_binding.min(device.max_buffer);
        if bytes > most {
            return Err(Error::new(
                ErrorKind::Limit,
                format!(
                    "{} {} needs {} in one binding, this device allows {}",
                    tensor.name,
                    tensor.ty,
                    size(bytes as u64),
                    size(most as u64)
                ),
            )
            .help("use a smaller batch, context or segment, or another adapter (polysketch devices)"));
        }
        let own = |buffers: &mut Vec<PlannedBuffer>| {
            buffers.push(PlannedBuffer { name: tensor.name.clone(), bytes, role: tensor.role.clone() });
            BufferId(buffers.len() - 1)
        };
        let buffer = if tensor.role == Role::Scratch {
            // The free buffer that wastes least, growing one if none is large enough.
            let free = shared.iter_mut().filter(|(_, until)| *until < first[i]);
            match free.min_by_key(|(b, _)| buffers[b.0].bytes.abs_diff(bytes)) {
                Some((b, until)) => {
                    *until = last[i];
                    buffers[b.0].bytes = buffers[b.0].bytes.max(bytes);
                    *b
                }
                None => {
                    let b = own(&mut buffers);
                    shared.push((b, last[i]));
                    b
                }
            }
        } else {
            own(&mut buffers)
        };
        tensors[i].bytes = bytes;
        tensors[i].buffer = buffer;
    }
    Ok((tensors, buffers))
}

/// Bytes in all. What does not fit a number is too large, not small.
pub(crate) fn sum(bytes: impl IntoIterator<Item = u64>) -> u64 {
    bytes.into_iter().fold(0, u64::saturating_add)
}

/// Bytes for people.
pub(crate) fn size(bytes: u64) -> String {
    let unit = (bytes.max(1).ilog2() / 10).max(1);
    format!(
        "{:.1} {}iB",
        bytes as f64 / 1024f64.powi(unit as i32),
        ["", "K", "M", "G", "T", "P", "E"][unit as usize]
    )
}

impl Plan {
    /// The tensor of that name, if the plan uses it.
    pub fn find(&self, name: &str) -> Option<TensorId> {
        self.tensors.iter().position(|t| t.tensor.name == name && t.bytes > 0).map(TensorId)
    }

    /// The input of that handle; no bytes, if no step reads it.
    ///
    /// # Errors
    /// [`ErrorKind::Shape`] if the plan has no such input.
    pub fn input(&self, id: TensorId) -> Result<&PlannedTensor> {
        let tensor = self.tensors.get(id.0);
        tensor.filter(|t| t.tensor.role == Role::Input).ok_or_else(|| {
            let name = tensor.map_or_else(|| format!("tensor {}", id.0), |t| t.tensor.name.clone());
            Error::new(ErrorKind::Shape, format!("plan {} has no input {name}", self.name))
        })
    }

    /// Bytes of all buffers of a kind: parameters, state, or what the plan itself needs (everything else).
    pub fn bytes(&self, which: impl Fn(&Role) -> bool) -> usize {
        self.buffers.iter().filter(|b| which(&b.role)).fold(0, |sum, b| sum.saturating_add(b.bytes))
    }

    /// The largest single buffer.
    pub fn largest_buffer(&self) -> usize {
        self.buffers.iter().map(|b| b.bytes).max().unwrap_or(0)
    }

    /// f32 operations of one call.
    pub fn flops(&self, call: &Call) -> u64 {
        self.steps.iter().map(|s| s.kernel.flops(call)).sum()
    }

    /// What calls dispatch on a device, in order: numbers of steps with their dispatches.
    pub fn dispatches(&self, calls: &[Call]) -> Vec<(usize, Dispatch)> {
        let of_step = |call: &Call, at: usize| {
            let Step { kernel, variant, .. } = &self.steps[at];
            let list = if kernel.runs(call) { kernel.dispatches(variant, call) } else { Vec::new() };
            assert!(list.iter().all(|d| !d.workgroups.contains(&0)), "{kernel:?} runs without a workgroup");
            list.into_iter().map(move |dispatch| (at, dispatch))
        };
        calls.iter().flat_map(|call| (0..self.steps.len()).flat_map(move |at| of_step(call, at))).collect()
    }

    /// One line a step: label, shader, arguments with their buffers. The same plan prints the same text.
    pub fn listing(&self) -> String {
        let mut text = format!("plan {}: {} steps, {:?}\n", self.name, self.steps.len(), self.capacity);
        for (i, step) in self.steps.iter().enumerate() {
            let _ = write!(text, "{i:4} {:40} {:34}", step.label, step.variant.name());
            for arg in &step.args {
                let t = &self.tensors[arg.tensor.0];
                let _ =
                    write!(text, " {}{}@{}", if arg.written { ">" } else { "" }, t.tensor.name, t.buffer.0);
            }
            text.push('\n');
        }
        text
    }
}
