//! [`Program`]: a plan with its memory, compiled when it first runs.

use std::ops::Range;
use std::sync::Arc;

use super::executor::Executor;
use super::location::is_own;
use super::memory::Memory;
use super::submission::Submission;
use super::wgpu::Clock;
use super::workspace::{Scratch, Taken, Workspace};
use super::{cpu, wgpu};
use crate::error::{Error, ErrorKind, Result};
use crate::graph::{Plan, Role, Tensor, TensorId};
use crate::kernels::Dispatch;
use crate::tensor::{Call, Unit, lane_table};

/// A plan with its memory, on the executor of that memory. Programs may share a memory: what one of them
/// leaves there, the next one finds.
#[derive(Debug)]
pub struct Program {
    plan: Arc<Plan>,
    memory: Memory,
    /// Where the lane table of the calls goes.
    lanes: Option<TensorId>,
    /// What of the plan's tensors grows with the rings of a call.
    rings: Vec<Unit>,
    workspace: Workspace,
    /// Where the arguments of the steps lay when twins last ran.
    located: Option<cpu::Located>,
    /// What was bound when shaders last ran.
    bound: Option<wgpu::Bound>,
}

/// What a submission read, and the nanoseconds that were asked for.
type Timed<T> = (Vec<Vec<u32>>, T);

impl Program {
    /// Puts into the memory what the plan needs there beside the weights and the tensors that a caller lends:
    /// its constants, and its states as zeros, where they are not there yet.
    ///
    /// # Errors
    /// [`ErrorKind::OutOfMemory`]; those of the device.
    pub async fn new(plan: impl Into<Arc<Plan>>, memory: &Memory) -> Result<Self> {
        Self::sharing(plan, memory, &Workspace::default()).await
    }

    /// [`Program::new`] with a workspace that other programs of the same plan on the same executor use too.
    /// Whatever one of them left in the plan's inputs and outputs, another may have written over.
    ///
    /// # Errors
    /// As [`Program::new`].
    pub async fn sharing(plan: impl Into<Arc<Plan>>, memory: &Memory, workspace: &Workspace) -> Result<Self> {
        let plan: Arc<Plan> = plan.into();
        memory.store_constants(&plan).await?;
        memory.reserve_states(&plan).await?;
        let lanes = plan.tensors.iter().position(|t| t.bytes > 0 && t.tensor.role == Role::Lanes);
        let lanes = lanes.map(TensorId);
        let extents = plan.tensors.iter().filter(|t| t.bytes > 0).flat_map(|t| &t.tensor.ty.shape.0);
        let mut rings: Vec<Unit> = Vec::new();
        for extent in extents {
            if matches!(extent.unit, Unit::Window(_) | Unit::Blocks(_)) && !rings.contains(&extent.unit) {
                rings.push(extent.unit);
            }
        }
        let (memory, workspace) = (memory.clone(), workspace.clone());
        Ok(Self { plan, memory, lanes, rings, workspace, located: None, bound: None })
    }

    /// A program of the same plan on another memory that holds all that this one's does (a
    /// [duplicate](Memory::duplicate)), in the same workspace.
    pub fn over(&self, memory: &Memory) -> Self {
        let (plan, memory, workspace) = (self.plan.clone(), memory.clone(), self.workspace.clone());
        let (lanes, rings) = (self.lanes, self.rings.clone());
        Self { plan, memory, lanes, rings, workspace, located: None, bound: None }
    }

    /// The plan.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// The memory.
    pub fn memory(&self) -> &Memory {
        &self.memory
    }

    /// The tensor of that name, to be given to or read by a [`Submission`].
    ///
    /// # Errors
    /// [`ErrorKind::Shape`] for a name that the plan does not have.
    pub fn tensor(&self, name: &str) -> Result<TensorId> {
        let missing =
            || Error::new(ErrorKind::Shape, format!("plan {} has no tensor {name}", self.plan.name));
        self.plan.find(name).ok_or_else(missing)
    }

    /// Compiles the plan's shaders and allocates its scratch memory, unless that is done: what the first run
    /// does otherwise.
    ///
    /// # Errors
    /// [`ErrorKind::OutOfMemory`]; those of the device.
    pub async fn compile(&mut self) -> Result<()> {
        if let Executor::Gpu(gpu) = self.memory.executor() {
            self.shaders(gpu).await?;
        }
        self.take().await.map(drop)
    }

    /// The compiled shaders.
    async fn shaders(&self, gpu: &wgpu::GpuExecutor) -> Result<wgpu::Compiled> {
        if let Some(shaders) = self.workspace.shaders() {
            return Ok(shaders);
        }
        let shaders = gpu.compile(&self.plan, &mut |_| ()).await?;
        self.workspace.keep_shaders(&shaders);
        Ok(shaders)
    }

    /// Takes scratch memory: what is idle, or else fresh.
    async fn take(&self) -> Result<Taken> {
        if let Some(taken) = self.workspace.idle() {
            return Ok(taken);
        }
        Ok(self.workspace.lend(match self.memory.executor() {
            Executor::Cpu(_) => Scratch::Host(cpu::buffers::<f32>(&self.plan)?),
            Executor::Oracle(_) => Scratch::Host(cpu::buffers::<f64>(&self.plan)?),
            Executor::Gpu(gpu) => Scratch::Gpu(gpu.scratch(&self.plan).await?),
        }))
    }

    /// Runs a submission and returns what was to be read, as words.
    ///
    /// # Errors
    /// [`ErrorKind::Shape`] for calls above the plan's capacity, and for inputs and reads that it does not
    /// have; those of [`Program::compile`] and of the device.
    pub async fn run(&mut self, submission: Submission<'_>) -> Result<Vec<Vec<u32>>> {
        Ok(self.submit(&submission, Clock::Off).await?.0)
    }

    /// [`Program::run`] with the time of every dispatch, as (step, nanoseconds), in the order they ran: from
    /// timestamp queries on a GPU (none where it has none), from the clock on the CPU. A timed run is slower
    /// as a whole.
    ///
    /// # Errors
    /// As [`Program::run`].
    pub async fn run_timed(&mut self, submission: Submission<'_>) -> Result<Timed<Vec<(usize, f64)>>> {
        self.submit(&submission, Clock::Each).await
    }

    /// [`Program::run`] with the nanoseconds that the device took from the first dispatch to the last; none
    /// where it has no timestamps.
    ///
    /// # Errors
    /// As [`Program::run`].
    pub async fn run_clocked(&mut self, submission: Submission<'_>) -> Result<Timed<Option<f64>>> {
        let (read, times) = self.submit(&submission, Clock::Whole).await?;
        Ok((read, times.first().map(|(_, nanoseconds)| *nanoseconds)))
    }

    async fn submit(
        &mut self,
        submission: &Submission<'_>,
        clock: Clock,
    ) -> Result<Timed<Vec<(usize, f64)>>> {
        self.check(submission)?;
        let mut scratch = self.take().await?;
        self.give(&mut scratch, submission.calls, submission.inputs).await?;
        if let Executor::Gpu(gpu) = self.memory.executor().clone() {
            let dispatches = self.plan.dispatches(submission.calls);
            return self.dispatch(&gpu, scratch, &dispatches, submission, clock).await;
        }
        let mut times = Vec::new();
        for call in submission.calls {
            self.run_twins(&mut scratch, call, (clock == Clock::Each).then_some(&mut times))?;
        }
        let mut read = Vec::new();
        for (id, elements) in submission.reads {
            read.push(self.read_from(&scratch, *id, 0..*elements).await?);
        }
        Ok((read, times))
    }

    /// Refuses what the plan was not made for.
    fn check(&self, submission: &Submission<'_>) -> Result<()> {
        let refuse =
            |what: String| Err(Error::new(ErrorKind::Shape, format!("plan {}: {what}", self.plan.name)));
        submission.calls.iter().try_for_each(|call| call.check(&self.plan.capacity))?;
        // Shaders place rows behind those of the ring.
        for (call, unit) in submission.calls.iter().flat_map(|call| self.rings.iter().map(move |u| (call, u)))
        {
            let ring = call.lanes.iter().map(|lane| lane.ring).max().unwrap_or(0);
            let fits = match *unit {
                Unit::Window(rows) => ring <= rows,
                // A window may hold more than the ring's block.
                Unit::Blocks(block) if ring > block => false,
                unit => call.unit(unit) <= self.plan.capacity.unit(unit),
            };
            if !fits {
                return refuse(format!("a ring of {ring} rows is more than a block"));
            }
        }
        let table = lane_table(submission.calls);
        for call in submission.calls {
            let own = lane_table(&[Call { lane_base: 0, ..call.clone() }]);
            if table[4 * call.lane_base..][..own.len()] != own {
                return refuse(format!("two calls have other lanes in row {} of the table", call.lane_base));
            }
        }
        for (id, words) in submission.inputs {
            let t = self.plan.input(*id)?;
            let (name, ty) = (&t.tensor.name, &t.tensor.ty);
            if t.bytes > 0 && 4 * words.len() > t.bytes {
                return refuse(format!("{} words do not fit the input {name} {ty}", words.len()));
            }
        }
        submission.reads.iter().try_for_each(|(id, _)| self.planned(*id).map(drop))
    }

    /// A tensor that the plan uses.
    fn planned(&self, id: TensorId) -> Result<&Tensor> {
        let name = &self.plan.name;
        match self.plan.tensors.get(id.0) {
            Some(t) if t.bytes > 0 => Ok(&t.tensor),
            Some(t) => {
                let text = format!("plan {name} does not compute {}", t.tensor.name);
                Err(Error::new(ErrorKind::Shape, text))
            }
            None => Err(Error::new(ErrorKind::Shape, format!("plan {name} has no tensor {}", id.0))),
        }
    }

    /// Writes inputs and the lane table of some calls.
    async fn give(&self, scratch: &mut Taken, calls: &[Call], inputs: &[(TensorId, &[u32])]) -> Result<()> {
        if let Some(id) = self.lanes {
            self.write_to(scratch, id, 0, &lane_table(calls)).await?;
        }
        for (id, words) in inputs {
            // No step may need an input of the graph.
            if self.plan.tensors[id.0].bytes > 0 {
                self.write_to(scratch, *id, 0, words).await?;
            }
        }
        Ok(())
    }

    /// Writes words at an element offset of a tensor, wherever it lies.
    ///
    /// # Errors
    /// [`ErrorKind::Shape`] for words that do not fit; those of [`Program::compile`] and of the device.
    pub async fn write(&mut self, id: TensorId, offset: usize, words: &[u32]) -> Result<()> {
        let t = self.planned(id)?;
        if !is_own(&t.role) {
            return self.memory.write(&t.name, offset, words).await;
        }
        let mut scratch = self.take().await?;
        self.write_to(&mut scratch, id, offset, words).await
    }

    /// Writes words into a tensor of the plan's own.
    async fn write_to(&self, scratch: &mut Taken, id: TensorId, offset: usize, words: &[u32]) -> Result<()> {
        if let Executor::Gpu(gpu) = self.memory.executor() {
            let buffer = scratch.gpu().own(&self.plan, id);
            return gpu.context().upload(buffer, 4 * offset as u64, bytemuck::cast_slice(words)).await;
        }
        let t = &self.plan.tensors[id.0];
        scratch.host_mut()[t.buffer.0].write(&t.tensor.name, offset, words)
    }

    /// Elements `range` of a tensor as words, wherever it lies; scratch tensors hold anything after a run.
    ///
    /// # Errors
    /// [`ErrorKind::Shape`] for elements that are not there; those of [`Program::compile`] and of the device.
    pub async fn read(&mut self, id: TensorId, range: Range<usize>) -> Result<Vec<u32>> {
        let t = self.planned(id)?;
        if !is_own(&t.role) {
            return self.memory.read(&t.name, range).await;
        }
        let scratch = self.take().await?;
        self.read_from(&scratch, id, range).await
    }

    async fn read_from(&self, scratch: &Taken, id: TensorId, range: Range<usize>) -> Result<Vec<u32>> {
        let t = self.planned(id)?;
        if !is_own(&t.role) {
            return self.memory.read(&t.name, range).await;
        }
        if let Executor::Gpu(gpu) = self.memory.executor() {
            let bytes = 4 * range.start as u64..4 * range.end as u64;
            return gpu.context().read_pod(scratch.gpu().own(&self.plan, id), bytes).await;
        }
        scratch.host()[self.plan.tensors[id.0].buffer.0].words(&t.name, range)
    }

    /// Runs the plan for one call on the CPU; `times` collects (step, nanoseconds).
    fn run_twins(
        &mut self,
        scratch: &mut Taken,
        call: &Call,
        times: Option<&mut Vec<(usize, f64)>>,
    ) -> Result<()> {
        let Self { plan, memory, located, .. } = self;
        let base = memory.base().map(Memory::tensors);
        let places =
            cpu::Places { memory: &mut memory.tensors_mut(), base: base.as_deref(), own: scratch.host_mut() };
        match memory.executor() {
            Executor::Cpu(_) => cpu::run::<f32>(plan, places, located, call, times),
            Executor::Oracle(_) => cpu::run::<f64>(plan, places, located, call, times),
            Executor::Gpu(_) => unreachable!("twins run on the CPU"),
        }
    }

    /// Runs dispatches on the device, and reads.
    async fn dispatch(
        &mut self,
        gpu: &wgpu::GpuExecutor,
        mut scratch: Taken,
        dispatches: &[(usize, Dispatch)],
        submission: &Submission<'_>,
        clock: Clock,
    ) -> Result<Timed<Vec<(usize, f64)>>> {
        gpu.context().check()?;
        let shaders = self.shaders(gpu).await?;
        gpu.upload_parameters(scratch.gpu_mut(), dispatches).await?;
        let (plan, bound) = (&self.plan, &self.bound);
        let resolved = self
            .memory
            .reach(|reach| scratch.gpu().resolve(plan, reach, bound.as_ref(), submission.reads))?;
        if let Some(fresh) = gpu.bind(plan, &shaders, scratch.gpu(), &resolved).await? {
            self.bound = Some(fresh);
        }
        let bound = self.bound.as_ref().expect("what was not bound is bound now");
        bound.check(plan, submission.calls)?;
        let recording = wgpu::Recording { plan, shaders: &shaders, bound, dispatches, clock };
        let submitted = gpu.submit(&recording, &resolved).await?;
        // Whoever takes it now is behind what was submitted.
        drop(scratch);
        let (read, nanoseconds) = gpu.finish(submitted).await?;
        Ok((read, dispatches.iter().map(|(step, _)| *step).zip(nanoseconds).collect()))
    }
}
