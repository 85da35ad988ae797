//! Runs a plan by its shaders: one compute pass a submission, parameters of all its dispatches in one
//! uniform buffer with dynamic offsets.

use std::sync::Arc;

use super::{Compiled, Memory, Own, Place, Resolved, Run, Stored, place};
use crate::error::{Error, ErrorKind, Result};
use crate::gpu::{Buffer, GpuContext, Layout, Pipeline, Pipelines, Region, Shader, Timestamps};
use crate::graph::{Plan, Role};
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

/// What the device takes the time of.
pub(super) enum Stamps<'a> {
    Nothing,
    /// All dispatches together, in one pass.
    Whole(&'a mut Timestamps),
    /// Each dispatch, in a pass of its own.
    Each(&'a mut Timestamps),
}

impl Stamps<'_> {
    fn queries(&mut self) -> Option<&mut Timestamps> {
        match self {
            Stamps::Nothing => None,
            Stamps::Whole(stamps) | Stamps::Each(stamps) => Some(stamps),
        }
    }
}

/// A plan's pipelines and buffers.
#[derive(Debug)]
pub(super) struct Prepared {
    pipelines: Vec<Arc<Pipeline>>,
    /// By plan buffer; none for parameters, constants and state, which live in memories.
    buffers: Vec<Option<Buffer>>,
    /// Grows with the number of calls in a submission.
    uniforms: Buffer,
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

    pub(super) async fn copy(&self, name: &str, buffer: &Buffer) -> Result<Buffer> {
        let copy = self.context.create_storage(name, buffer.size()).await?;
        let mut encoder = self.context.encoder("copy");
        encoder.copy_buffer_to_buffer(buffer, 0, &copy, 0, buffer.size());
        self.context.submit(encoder);
        Ok(copy)
    }

    /// The pipelines of a plan, by step. `progress` is told how many are compiled.
    pub(super) async fn compile(
        &self,
        plan: &Plan,
        progress: &mut dyn FnMut(usize),
    ) -> Result<Vec<Arc<Pipeline>>> {
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
        Ok(pipelines)
    }

    pub(super) async fn prepare(&self, plan: &Plan) -> Result<Prepared> {
        let pipelines = self.compile(plan, &mut |_| ()).await?;
        let mut buffers = Vec::new();
        for buffer in &plan.buffers {
            buffers.push(match buffer.role {
                Role::Scratch | Role::Input | Role::Output => {
                    Some(self.context.create_storage(&buffer.name, buffer.bytes as u64).await?)
                }
                Role::Parameter | Role::Constant(_) | Role::State(_) | Role::External => None,
            });
        }
        let uniforms = self.uniforms(plan.steps.len()).await?;
        Ok(Prepared { pipelines, buffers, uniforms })
    }

    async fn uniforms(&self, dispatches: usize) -> Result<Buffer> {
        let usage = wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST;
        self.context.create_buffer("params", (dispatches * ALIGN) as u64, usage).await
    }

    /// Binds every step's arguments for these memories.
    async fn bind(&self, compiled: &mut Compiled, parameters: &Memory, state: &Memory) -> Result<()> {
        let Own::Gpu(own) = &compiled.own else { return Err(elsewhere()) };
        let mut groups = Vec::new();
        for (step, pipeline) in compiled.plan.steps.iter().zip(&own.pipelines) {
            let mut regions = Vec::new();
            for arg in &step.args {
                let buffer =
                    buffer_of(place(&compiled.plan, arg.tensor, parameters, state)?, own, parameters, state)?;
                // A caller's buffer may be larger than a binding.
                let planned = &compiled.plan.tensors[arg.tensor.0];
                let most =
                    if planned.tensor.role == Role::External { planned.bytes as u64 } else { u64::MAX };
                regions.push(Region { buffer, offset: 0, bytes: buffer.size().min(most) });
            }
            groups.push(pipeline.bind(&self.context, Some(&own.uniforms), &regions).await?);
        }
        compiled.resolved = Some(((parameters.id, state.id), Resolved::Gpu(groups)));
        Ok(())
    }

    pub(super) async fn run(
        &self,
        compiled: &mut Compiled,
        parameters: &Memory,
        state: &Memory,
        run: &Run<'_>,
    ) -> Result<Vec<Vec<u32>>> {
        Ok(self.timed_run(compiled, parameters, state, run, Stamps::Nothing).await?.0)
    }

    /// Runs a submission, and the nanoseconds of what `stamps` asks for.
    pub(super) async fn timed_run(
        &self,
        compiled: &mut Compiled,
        parameters: &Memory,
        state: &Memory,
        run: &Run<'_>,
        mut stamps: Stamps<'_>,
    ) -> Result<(Vec<Vec<u32>>, Vec<f64>)> {
        self.context.check()?;
        let dispatches = compiled.plan.dispatches(run.calls);
        self.upload(compiled, run.inputs, &dispatches).await?;
        if compiled.resolved.as_ref().is_none_or(|(key, _)| *key != (parameters.id, state.id)) {
            self.bind(compiled, parameters, state).await?;
        }
        let mut encoder = self.context.encoder(&compiled.plan.name);
        record(compiled, &dispatches, 0..compiled.plan.steps.len(), &mut encoder, &mut stamps)?;
        let Own::Gpu(own) = &compiled.own else { return Err(elsewhere()) };
        let mut staged = Vec::new();
        for (name, elements) in run.reads {
            let id = compiled.plan.find(name).ok_or_else(|| {
                Error::new(ErrorKind::Shape, format!("plan {} has no tensor {name}", compiled.plan.name))
            })?;
            let buffer = buffer_of(place(&compiled.plan, id, parameters, state)?, own, parameters, state)?;
            staged.push(self.context.stage_read(&mut encoder, buffer, 0..*elements as u64 * 4).await?);
        }
        let copied = match stamps.queries() {
            Some(timestamps) => Some(timestamps.stage(&self.context, &mut encoder).await?),
            None => None,
        };
        let submission = self.context.submit(encoder);
        let mut read = Vec::new();
        for readback in staged {
            read.push(bytemuck::pod_collect_to_vec(&self.context.finish_read(readback, &submission).await?));
        }
        let times = match (stamps.queries(), copied) {
            (Some(timestamps), Some(copied)) => timestamps.finish(&self.context, copied, &submission).await?,
            _ => Vec::new(),
        };
        self.context.check()?;
        Ok((read, times))
    }

    /// Writes the inputs and the parameters of every dispatch.
    async fn upload(
        &self,
        compiled: &mut Compiled,
        inputs: &[(&str, &[u32])],
        dispatches: &[(usize, Dispatch)],
    ) -> Result<()> {
        let plan = compiled.plan.clone();
        let Own::Gpu(own) = &mut compiled.own else { return Err(elsewhere()) };
        for (name, words) in inputs {
            let Some(id) = plan.find(name) else { continue };
            if let Some(buffer) = &own.buffers[plan.tensors[id.0].buffer.0] {
                self.context.upload(buffer, 0, bytemuck::cast_slice(words)).await?;
            }
        }
        let mut bytes = vec![0; dispatches.len() * ALIGN];
        for ((_, dispatch), chunk) in dispatches.iter().zip(bytes.chunks_exact_mut(ALIGN)) {
            chunk[..dispatch.params.len()].copy_from_slice(&dispatch.params);
        }
        if bytes.len() as u64 > own.uniforms.size() {
            own.uniforms = self.uniforms(bytes.len() / ALIGN).await?;
            compiled.resolved = None;
        }
        self.context.upload(&own.uniforms, 0, &bytes).await
    }
}

fn elsewhere() -> Error {
    Error::new(ErrorKind::Device, "the plan was compiled on another executor")
}

fn buffer_of<'a>(
    place: Place,
    own: &'a Prepared,
    parameters: &'a Memory,
    state: &'a Memory,
) -> Result<&'a Buffer> {
    let stored = match place {
        Place::Own(i) => return own.buffers[i].as_ref().ok_or_else(elsewhere),
        Place::Parameter(i) => &parameters.tensors[i],
        Place::State(i) => &state.tensors[i],
    };
    if let Stored::Gpu(buffer) = stored { Ok(buffer) } else { Err(elsewhere()) }
}

/// Records the dispatches of steps `range`.
fn record(
    compiled: &Compiled,
    dispatches: &[(usize, Dispatch)],
    range: std::ops::Range<usize>,
    encoder: &mut wgpu::CommandEncoder,
    stamps: &mut Stamps<'_>,
) -> Result<()> {
    let (Own::Gpu(own), Some((_, Resolved::Gpu(groups)))) = (&compiled.own, &compiled.resolved) else {
        return Err(elsewhere());
    };
    let plan = &compiled.plan;
    let mut begin = |label: Option<&str>, stamps: Option<&mut Timestamps>| {
        let timestamp_writes = stamps.and_then(Timestamps::next_pass);
        encoder.begin_compute_pass(&wgpu::ComputePassDescriptor { label, timestamp_writes }).forget_lifetime()
    };
    let mut shared = match stamps {
        Stamps::Each(_) => None,
        Stamps::Whole(stamps) => Some(begin(None, Some(stamps))),
        Stamps::Nothing => Some(begin(None, None)),
    };
    for (number, &(at, ref dispatch)) in
        dispatches.iter().enumerate().filter(|(_, (at, _))| range.contains(at))
    {
        let mut single = match stamps {
            Stamps::Each(stamps) => Some(begin(Some(&plan.steps[at].label), Some(stamps))),
            _ => None,
        };
        if let Some(pass) = single.as_mut().or(shared.as_mut()) {
            pass.set_pipeline(&own.pipelines[at].raw);
            pass.set_bind_group(0, &groups[at], &[(number * ALIGN) as u32]);
            let [x, y, z] = dispatch.workgroups.map(|n| n as u32);
            pass.dispatch_workgroups(x, y, z);
        }
    }
    Ok(())
}
