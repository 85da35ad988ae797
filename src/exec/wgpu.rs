//! Runs a plan by its shaders: one compute pass a submission, parameters of all its dispatches in one
//! uniform buffer with dynamic offsets.

use std::sync::Arc;

use super::location::{Location, Reach, Versions, is_own};
use crate::error::Result;
use crate::gpu::{Buffer, GpuContext, Layout, Pipeline, Pipelines, Region, Shader, Timestamps};
use crate::graph::{Arg, Plan, Role, TensorId};
use crate::kernels::{Dispatch, Variant};
use crate::tensor::Call;

/// Alignment of a dynamic uniform offset that every device accepts.
const ALIGN: usize = 256;

/// The GPU executor: a device and its compiled pipelines. Cheap to clone.
#[derive(Clone, Debug)]
pub struct GpuExecutor {
    context: GpuContext,
    pipelines: Arc<Pipelines>,
}

/// What the device takes the time of, where it has timestamps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Clock {
    Off,
    /// All dispatches together, in one pass.
    Whole,
    /// Each dispatch, in a pass of its own.
    Each,
}

/// The compiled shaders of a plan, by step.
pub(super) type Compiled = Arc<[Arc<Pipeline>]>;

/// A plan's pipelines and buffers on a device.
#[derive(Debug)]
pub(super) struct Prepared {
    context: GpuContext,
    pipelines: Compiled,
    /// By plan buffer; none for what lies in a memory.
    buffers: Vec<Option<Arc<Buffer>>>,
    /// Parameters of dispatches; grows with the number of calls in a submission.
    uniforms: Buffer,
    /// The arguments of each step.
    bound: Option<(Versions, Vec<wgpu::BindGroup>)>,
}

/// Buffers of one submission, as they lie now.
pub(super) struct Resolved {
    versions: Versions,
    /// The arguments of each step, where others are bound.
    arguments: Option<Vec<Vec<Arc<Buffer>>>>,
    /// What is read, with the number of elements.
    reads: Vec<(Arc<Buffer>, usize)>,
}

impl GpuExecutor {
    /// An executor on a device.
    pub async fn new(context: GpuContext) -> Self {
        // Natively these are Send and Sync; in a browser there is one thread.
        #[allow(
            clippy::arc_with_non_send_sync,
            reason = "in a browser, what wgpu hands out stays on its thread"
        )]
        let pipelines = Arc::new(Pipelines::new(&context).await);
        Self { context, pipelines }
    }

    /// The device.
    pub fn context(&self) -> &GpuContext {
        &self.context
    }

    /// A copy of a buffer.
    pub(super) async fn copy(&self, name: &str, buffer: &Buffer) -> Result<Buffer> {
        let copy = self.context.create_storage(name, buffer.size()).await?;
        let mut encoder = self.context.encoder("copy");
        encoder.copy_buffer_to_buffer(buffer, 0, &copy, 0, buffer.size());
        self.context.submit(encoder);
        Ok(copy)
    }

    /// The pipelines of a plan, by step. `progress` is told how many are compiled.
    pub(super) async fn compile(&self, plan: &Plan, progress: &mut dyn FnMut(usize)) -> Result<Compiled> {
        // All compilations are started before the first is awaited, because a browser runs them in parallel;
        // and each once, though layers have the same.
        let mut variants: Vec<&Variant> = Vec::new();
        let mut compiling = Vec::new();
        let mut of_step = Vec::new();
        for step in &plan.steps {
            if let Some(known) = variants.iter().position(|variant| **variant == step.variant) {
                of_step.push(known);
                continue;
            }
            let source = step.variant.source()?.expect("lowering for a GPU refuses kernels without a shader");
            let trusted = !matches!(step.variant.shader(), crate::kernels::Shader::Own(_));
            let shader = Shader { name: step.variant.name(), source: &source, entry: "main", trusted };
            // The size of Params does not depend on the call.
            let dispatches = step.kernel.dispatches(&step.variant, &Call::start(1));
            let params = dispatches.first().expect("a kernel with a shader dispatches it").params.len();
            let layout = Layout {
                uniform_bytes: params.next_multiple_of(16) as u64,
                read_only: step.variant.written().unwrap_or_default().iter().map(|w| !w).collect(),
            };
            let constants: Vec<(&str, f64)> = step.variant.constants().collect();
            compiling.push(self.pipelines.start(shader, &constants, &layout));
            of_step.push(variants.len());
            variants.push(&step.variant);
        }
        let mut compiling = compiling.into_iter();
        let mut compiled = Vec::new();
        let mut pipelines: Vec<Arc<Pipeline>> = Vec::new();
        for at in of_step {
            // Variants are numbered as they first occur.
            if at == compiled.len() {
                let pipeline = compiling.next().expect("one for each variant");
                compiled.push(pipeline.await?);
            }
            pipelines.push(compiled[at].clone());
            progress(pipelines.len());
        }
        Ok(pipelines.into())
    }

    /// Allocates what a plan needs beside its pipelines.
    pub(super) async fn prepare(&self, plan: &Plan, pipelines: Compiled) -> Result<Prepared> {
        let context = self.context.clone();
        let mut buffers = Vec::new();
        for buffer in &plan.buffers {
            buffers.push(if is_own(&buffer.role) {
                Some(shared(context.create_storage(&buffer.name, buffer.bytes as u64).await?))
            } else {
                None
            });
        }
        let uniforms = uniforms(&context, plan.steps.len()).await?;
        Ok(Prepared { context, pipelines, buffers, uniforms, bound: None })
    }
}

async fn uniforms(context: &GpuContext, dispatches: usize) -> Result<Buffer> {
    let usage = wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST;
    context.create_buffer("params", (dispatches * ALIGN) as u64, usage).await
}

impl Prepared {
    /// The device.
    pub fn context(&self) -> &GpuContext {
        &self.context
    }

    /// The compiled shaders.
    pub fn compiled(&self) -> &Compiled {
        &self.pipelines
    }

    /// The plan's own buffer of a tensor that lies in no memory.
    pub fn own(&self, plan: &Plan, id: TensorId) -> &Arc<Buffer> {
        self.at(plan.tensors[id.0].buffer.0)
    }

    fn at(&self, i: usize) -> &Arc<Buffer> {
        self.buffers[i].as_ref().expect("a plan has buffers for what lies in no memory")
    }

    /// Writes the parameters of dispatches. Unbinds where those need a larger buffer.
    pub async fn upload_parameters(&mut self, dispatches: &[(usize, Dispatch)]) -> Result<()> {
        let mut bytes = vec![0; dispatches.len() * ALIGN];
        for ((_, dispatch), chunk) in dispatches.iter().zip(bytes.chunks_exact_mut(ALIGN)) {
            chunk[..dispatch.params.len()].copy_from_slice(&dispatch.params);
        }
        if bytes.len() as u64 > self.uniforms.size() {
            self.uniforms = uniforms(&self.context, bytes.len() / ALIGN).await?;
            self.bound = None;
        }
        self.context.upload(&self.uniforms, 0, &bytes).await
    }

    /// The buffers that a submission needs, as they lie now.
    pub fn resolve(&self, plan: &Plan, reach: Reach<'_>, reads: &[(TensorId, usize)]) -> Result<Resolved> {
        let versions = reach.versions();
        let bound = self.bound.as_ref().is_some_and(|(known, _)| *known == versions);
        let buffer = |location| match location {
            Location::Base(i) => reach.base.expect("what was located in it").at(i).buffer().clone(),
            Location::Memory(i) => reach.memory.at(i).buffer().clone(),
            Location::Plan(i) => self.at(i).clone(),
        };
        let arguments = if bound {
            None
        } else {
            let steps = reach.arguments(plan)?.into_iter();
            Some(steps.map(|step| step.into_iter().map(buffer).collect()).collect())
        };
        let reads = reads.iter().map(|(id, elements)| Ok((buffer(reach.locate(plan, *id)?), *elements)));
        Ok(Resolved { versions, arguments, reads: reads.collect::<Result<_>>()? })
    }

    /// Binds every step's arguments.
    async fn bind(&mut self, plan: &Plan, versions: Versions, arguments: &[Vec<Arc<Buffer>>]) -> Result<()> {
        let mut groups = Vec::new();
        for ((step, pipeline), buffers) in plan.steps.iter().zip(&*self.pipelines).zip(arguments) {
            let bytes = |arg: &Arg, buffer: &Buffer| {
                // A caller's buffer may be larger than a binding.
                let planned = &plan.tensors[arg.tensor.0];
                let external = planned.tensor.role == Role::External;
                if external { buffer.size().min(planned.bytes as u64) } else { buffer.size() }
            };
            let regions = step.args.iter().zip(buffers);
            let regions: Vec<Region<'_>> = regions
                .map(|(arg, buffer)| Region { buffer, offset: 0, bytes: bytes(arg, buffer) })
                .collect();
            groups.push(pipeline.bind(&self.context, Some(&self.uniforms), &regions).await?);
        }
        self.bound = Some((versions, groups));
        Ok(())
    }

    /// Runs dispatches whose parameters were uploaded; returns what is to be read, and the nanoseconds that
    /// the clock took.
    pub async fn run(
        &mut self,
        plan: &Plan,
        resolved: Resolved,
        dispatches: &[(usize, Dispatch)],
        clock: Clock,
    ) -> Result<(Vec<Vec<u32>>, Vec<f64>)> {
        if let Some(arguments) = &resolved.arguments {
            self.bind(plan, resolved.versions, arguments).await?;
        }
        let mut timestamps = match clock {
            Clock::Off => None,
            Clock::Whole => Timestamps::new(&self.context, 1).await?,
            Clock::Each => Timestamps::new(&self.context, dispatches.len() as u32).await?,
        };
        let mut encoder = self.context.encoder(&plan.name);
        self.record(plan, dispatches, &mut encoder, clock, timestamps.as_mut());
        let mut staged = Vec::new();
        for (buffer, elements) in &resolved.reads {
            staged.push(self.context.stage_read(&mut encoder, buffer, 0..*elements as u64 * 4).await?);
        }
        let copied = match &mut timestamps {
            Some(timestamps) => Some(timestamps.stage(&self.context, &mut encoder).await?),
            None => None,
        };
        let submission = self.context.submit(encoder);
        let mut read = Vec::new();
        for readback in staged {
            read.push(bytemuck::pod_collect_to_vec(&self.context.finish_read(readback, &submission).await?));
        }
        let times = match (&timestamps, copied) {
            (Some(timestamps), Some(copied)) => timestamps.finish(&self.context, copied, &submission).await?,
            _ => Vec::new(),
        };
        self.context.check()?;
        Ok((read, times))
    }

    /// Records dispatches: (step, dispatch), in the order of their parameters.
    fn record(
        &self,
        plan: &Plan,
        dispatches: &[(usize, Dispatch)],
        encoder: &mut wgpu::CommandEncoder,
        clock: Clock,
        mut timestamps: Option<&mut Timestamps>,
    ) {
        let (_, groups) = self.bound.as_ref().expect("arguments are bound before they are recorded");
        let mut begin = |label: Option<&str>, stamps: Option<&mut Timestamps>| {
            let timestamp_writes = stamps.and_then(Timestamps::next_pass);
            let descriptor = wgpu::ComputePassDescriptor { label, timestamp_writes };
            encoder.begin_compute_pass(&descriptor).forget_lifetime()
        };
        let each = clock == Clock::Each && timestamps.is_some();
        let mut shared = (!each).then(|| begin(None, timestamps.as_deref_mut()));
        for (number, (at, dispatch)) in dispatches.iter().enumerate() {
            let label = Some(&*plan.steps[*at].label);
            let mut single = each.then(|| begin(label, timestamps.as_deref_mut()));
            let pass = single.as_mut().or(shared.as_mut()).expect("each has a pass, or all share one");
            pass.set_pipeline(&self.pipelines[*at].raw);
            pass.set_bind_group(0, &groups[*at], &[(number * ALIGN) as u32]);
            let [x, y, z] = dispatch.workgroups.map(|n| n as u32);
            pass.dispatch_workgroups(x, y, z);
        }
    }
}

/// A buffer that memories and programs hold together.
pub(super) fn shared(buffer: Buffer) -> Arc<Buffer> {
    // Natively it is Send and Sync; in a browser there is one thread.
    #[allow(clippy::arc_with_non_send_sync, reason = "in a browser, what wgpu hands out stays on its thread")]
    Arc::new(buffer)
}
