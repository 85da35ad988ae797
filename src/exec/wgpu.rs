//! Runs a plan by its shaders: one compute pass a submission, parameters of all its dispatches in one
//! uniform buffer with dynamic offsets.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::location::{Location, Reach, Versions, is_own};
use crate::error::{Error, ErrorKind, Result};
use crate::gpu::{Buffer, GpuContext, Layout, Pipeline, Pipelines, Readback, Region, Shader, Timestamps};
use crate::graph::{Arg, Plan, Role, TensorId};
use crate::kernels::{Dispatch, Variant};
use crate::tensor::{Call, Capacity};

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

/// A plan's own memory on a device.
#[derive(Debug)]
pub(super) struct Scratch {
    /// Of these buffers, as no others have it: what was bound holds as long as it stays.
    version: u64,
    /// By plan buffer; none for what lies in a memory.
    buffers: Vec<Option<Arc<Buffer>>>,
    /// Parameters of dispatches; grows with the number of calls in a submission.
    uniforms: Buffer,
}

/// The arguments of each step, as long as the memories and the scratch memory have these versions.
#[derive(Debug)]
pub(super) struct Bound {
    versions: (Versions, u64),
    groups: Vec<wgpu::BindGroup>,
    /// Callers' own tensors, with the bytes of their buffers, which may be as short as a call.
    lent: Vec<(TensorId, u64)>,
}

/// Buffers of one submission, as they lie now.
pub(super) struct Resolved {
    versions: (Versions, u64),
    /// The arguments of each step, where others are bound.
    arguments: Option<Vec<Vec<Arc<Buffer>>>>,
    /// What is read, with the number of elements.
    reads: Vec<(Arc<Buffer>, usize)>,
}

/// What one submission records: dispatches (step, dispatch), in the order of their parameters.
pub(super) struct Recording<'a> {
    pub plan: &'a Plan,
    pub shaders: &'a Compiled,
    pub bound: &'a Bound,
    pub dispatches: &'a [(usize, Dispatch)],
    pub clock: Clock,
}

/// What is on its way back from a submission.
pub(super) struct Submitted {
    submission: wgpu::SubmissionIndex,
    staged: Vec<Readback>,
    times: Option<(Timestamps, Readback)>,
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

    /// Allocates a plan's own memory.
    pub(super) async fn scratch(&self, plan: &Plan) -> Result<Scratch> {
        let mut buffers = Vec::new();
        for buffer in &plan.buffers {
            buffers.push(if is_own(&buffer.role) {
                Some(shared(self.context.create_storage(&buffer.name, buffer.bytes as u64).await?))
            } else {
                None
            });
        }
        let uniforms = uniforms(&self.context, plan.steps.len()).await?;
        Ok(Scratch { version: next_version(), buffers, uniforms })
    }

    /// Writes the parameters of dispatches. What was bound no longer holds where those need a larger buffer.
    pub(super) async fn upload_parameters(
        &self,
        scratch: &mut Scratch,
        dispatches: &[(usize, Dispatch)],
    ) -> Result<()> {
        let mut bytes = vec![0; dispatches.len() * ALIGN];
        for ((_, dispatch), chunk) in dispatches.iter().zip(bytes.chunks_exact_mut(ALIGN)) {
            chunk[..dispatch.params.len()].copy_from_slice(&dispatch.params);
        }
        if bytes.len() as u64 > scratch.uniforms.size() {
            scratch.uniforms = uniforms(&self.context, bytes.len() / ALIGN).await?;
            scratch.version = next_version();
        }
        self.context.upload(&scratch.uniforms, 0, &bytes).await
    }

    /// Binds every step's arguments, where others are bound.
    ///
    /// # Errors
    /// [`ErrorKind::Shape`] for a stored tensor that is shorter than the plan takes it to be: shaders may not
    /// notice. Those of the device.
    pub(super) async fn bind(
        &self,
        plan: &Plan,
        shaders: &Compiled,
        scratch: &Scratch,
        resolved: &Resolved,
    ) -> Result<Option<Bound>> {
        let Some(arguments) = &resolved.arguments else { return Ok(None) };
        let (mut groups, mut lent) = (Vec::new(), Vec::new());
        for ((step, pipeline), buffers) in plan.steps.iter().zip(&**shaders).zip(arguments) {
            for (arg, buffer) in step.args.iter().zip(buffers) {
                let tensor = &plan.tensors[arg.tensor.0].tensor;
                if tensor.role == Role::External {
                    lent.push((arg.tensor, buffer.size()));
                } else {
                    covers(plan, arg.tensor, &plan.capacity, buffer.size())?;
                }
            }
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
            groups.push(pipeline.bind(&self.context, Some(&scratch.uniforms), &regions).await?);
        }
        Ok(Some(Bound { versions: resolved.versions, groups, lent }))
    }

    /// Submits dispatches whose parameters were uploaded.
    pub(super) async fn submit(&self, recording: &Recording<'_>, resolved: &Resolved) -> Result<Submitted> {
        let (context, dispatches) = (&self.context, recording.dispatches.len() as u32);
        let mut timestamps = match recording.clock {
            Clock::Off => None,
            Clock::Whole => Timestamps::new(context, 1).await?,
            Clock::Each => Timestamps::new(context, dispatches).await?,
        };
        let mut encoder = context.encoder(&recording.plan.name);
        recording.record(&mut encoder, timestamps.as_mut());
        let mut staged = Vec::new();
        for (buffer, elements) in &resolved.reads {
            staged.push(context.stage_read(&mut encoder, buffer, 0..*elements as u64 * 4).await?);
        }
        let times = match timestamps {
            Some(timestamps) => {
                let copied = timestamps.stage(context, &mut encoder).await?;
                Some((timestamps, copied))
            }
            None => None,
        };
        Ok(Submitted { submission: context.submit(encoder), staged, times })
    }

    /// What was to be read of a submission, and the nanoseconds that the clock took.
    pub(super) async fn finish(&self, submitted: Submitted) -> Result<(Vec<Vec<u32>>, Vec<f64>)> {
        let (context, Submitted { submission, staged, times }) = (&self.context, submitted);
        let mut read = Vec::new();
        for readback in staged {
            read.push(bytemuck::pod_collect_to_vec(&context.finish_read(readback, &submission).await?));
        }
        let times = match times {
            Some((timestamps, copied)) => timestamps.finish(context, copied, &submission).await?,
            None => Vec::new(),
        };
        context.check()?;
        Ok((read, times))
    }
}

impl Bound {
    /// Refuses calls that callers' own buffers are too short for.
    ///
    /// # Errors
    /// [`ErrorKind::Shape`].
    pub fn check(&self, plan: &Plan, calls: &[Call]) -> Result<()> {
        calls.iter().try_for_each(|call| {
            let taken = Capacity { lanes: call.lanes.len(), tokens: call.tokens, ..plan.capacity };
            self.lent.iter().try_for_each(|(id, bytes)| covers(plan, *id, &taken, *bytes))
        })
    }
}

/// Whether a buffer of `bytes` holds a tensor at that capacity.
fn covers(plan: &Plan, id: TensorId, capacity: &Capacity, bytes: u64) -> Result<()> {
    let t = &plan.tensors[id.0].tensor;
    let needs = t.ty.bytes(capacity) as u64;
    if bytes < needs {
        let text = format!("plan {}: {} has {bytes} bytes, it needs {needs}", plan.name, t.name);
        return Err(Error::new(ErrorKind::Shape, text));
    }
    Ok(())
}

fn next_version() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

async fn uniforms(context: &GpuContext, dispatches: usize) -> Result<Buffer> {
    let usage = wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST;
    context.create_buffer("params", (dispatches * ALIGN) as u64, usage).await
}

impl Scratch {
    /// The buffer of a tensor that lies in no memory.
    pub fn own(&self, plan: &Plan, id: TensorId) -> &Arc<Buffer> {
        self.at(plan.tensors[id.0].buffer.0)
    }

    fn at(&self, i: usize) -> &Arc<Buffer> {
        self.buffers[i].as_ref().expect("a plan has buffers for what lies in no memory")
    }

    /// The buffers that a submission needs, as they lie now.
    pub fn resolve(
        &self,
        plan: &Plan,
        reach: Reach<'_>,
        bound: Option<&Bound>,
        reads: &[(TensorId, usize)],
    ) -> Result<Resolved> {
        let versions = (reach.versions(), self.version);
        let buffer = |location| match location {
            Location::Base(i) => reach.base.expect("what was located in it").at(i).buffer().clone(),
            Location::Memory(i) => reach.memory.at(i).buffer().clone(),
            Location::Plan(i) => self.at(i).clone(),
        };
        let arguments = if bound.is_some_and(|bound| bound.versions == versions) {
            None
        } else {
            let steps = reach.arguments(plan)?.into_iter();
            Some(steps.map(|step| step.into_iter().map(buffer).collect()).collect())
        };
        let reads = reads.iter().map(|(id, elements)| Ok((buffer(reach.locate(plan, *id)?), *elements)));
        Ok(Resolved { versions, arguments, reads: reads.collect::<Result<_>>()? })
    }
}

impl Recording<'_> {
    fn record(&self, encoder: &mut wgpu::CommandEncoder, mut timestamps: Option<&mut Timestamps>) {
        let Self { plan, shaders, bound, dispatches, clock } = *self;
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
            pass.set_pipeline(&shaders[*at].raw);
            pass.set_bind_group(0, &bound.groups[*at], &[(number * ALIGN) as u32]);
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
