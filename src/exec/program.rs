//! [`Program`]: a plan with its memory, compiled when it first runs.

use std::ops::Range;
use std::sync::Arc;

use super::executor::Executor;
use super::location::is_own;
use super::memory::Memory;
use super::submission::Submission;
use super::wgpu::Clock;
use super::{cpu, wgpu};
use crate::error::{Error, ErrorKind, Result};
use crate::graph::{Plan, Role, Tensor, TensorId};
use crate::kernels::Dispatch;
use crate::tensor::{Call, lane_table};

/// A plan with its memory, on the executor of that memory. Programs may share a memory: what one of them
/// leaves there, the next one finds.
#[derive(Debug)]
pub struct Program {
    plan: Arc<Plan>,
    memory: Memory,
    /// Where the lane table of the calls goes.
    lanes: Option<TensorId>,
    /// Compiled shaders, from a program of the same plan.
    shaders: Option<wgpu::Compiled>,
    /// What the executor made of the plan when it first ran.
    prepared: Option<Prepared>,
}

#[derive(Debug)]
enum Prepared {
    Cpu(cpu::Prepared<f32>),
    Oracle(cpu::Prepared<f64>),
    Gpu(wgpu::Prepared),
}

/// What a submission read, and the nanoseconds that were asked for.
type Timed<T> = (Vec<Vec<u32>>, T);

/// Why nothing unprepared is met.
const COMPILED: &str = "a program is compiled before it runs";

impl Program {
    /// Puts into the memory what the plan needs there beside the weights and the tensors that a caller lends:
    /// its constants, and its states as zeros, where they are not there yet.
    ///
    /// # Errors
    /// [`ErrorKind::OutOfMemory`]; those of the device.
    pub async fn new(plan: impl Into<Arc<Plan>>, memory: &Memory) -> Result<Self> {
        let plan: Arc<Plan> = plan.into();
        memory.store_constants(&plan).await?;
        memory.reserve_states(&plan).await?;
        let lanes = plan.tensors.iter().position(|t| t.bytes > 0 && t.tensor.role == Role::Lanes);
        let lanes = lanes.map(TensorId);
        Ok(Self { plan, memory: memory.clone(), lanes, shaders: None, prepared: None })
    }

    /// A program of the same plan on another memory that holds all that this one's does (a
    /// [duplicate](Memory::duplicate)). What was compiled is not compiled again.
    pub fn over(&self, memory: &Memory) -> Self {
        let shaders = match &self.prepared {
            Some(Prepared::Gpu(prepared)) => Some(prepared.compiled().clone()),
            _ => self.shaders.clone(),
        };
        let (plan, memory) = (self.plan.clone(), memory.clone());
        Self { plan, memory, lanes: self.lanes, shaders, prepared: None }
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
        if self.prepared.is_some() {
            return Ok(());
        }
        self.prepared = Some(match self.memory.executor() {
            Executor::Cpu(_) => Prepared::Cpu(cpu::Prepared::new(&self.plan)?),
            Executor::Oracle(_) => Prepared::Oracle(cpu::Prepared::new(&self.plan)?),
            Executor::Gpu(gpu) => {
                let shaders = match self.shaders.take() {
                    Some(shaders) => shaders,
                    None => gpu.compile(&self.plan, &mut |_| ()).await?,
                };
                Prepared::Gpu(gpu.prepare(&self.plan, shaders).await?)
            }
        });
        Ok(())
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
        self.give(submission.calls, submission.inputs).await?;
        if let Some(Prepared::Gpu(_)) = &self.prepared {
            let dispatches = self.plan.dispatches(submission.calls);
            return self.dispatch(&dispatches, submission.reads, clock).await;
        }
        let mut times = Vec::new();
        for call in submission.calls {
            self.run_twins(call, (clock == Clock::Each).then_some(&mut times))?;
        }
        let mut read = Vec::new();
        for (id, elements) in submission.reads {
            read.push(self.read(*id, 0..*elements).await?);
        }
        Ok((read, times))
    }

    /// Refuses what the plan was not made for.
    fn check(&self, submission: &Submission<'_>) -> Result<()> {
        let refuse =
            |what: String| Err(Error::new(ErrorKind::Shape, format!("plan {}: {what}", self.plan.name)));
        submission.calls.iter().try_for_each(|call| call.check(&self.plan.capacity))?;
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
    async fn give(&mut self, calls: &[Call], inputs: &[(TensorId, &[u32])]) -> Result<()> {
        self.compile().await?;
        if let Some(id) = self.lanes {
            self.write(id, 0, &lane_table(calls)).await?;
        }
        for (id, words) in inputs {
            // No step may need an input of the graph.
            if self.plan.tensors[id.0].bytes > 0 {
                self.write(*id, 0, words).await?;
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
        self.compile().await?;
        match self.prepared.as_mut().expect(COMPILED) {
            Prepared::Cpu(cpu) => cpu.write(&self.plan, id, offset, words),
            Prepared::Oracle(cpu) => cpu.write(&self.plan, id, offset, words),
            Prepared::Gpu(gpu) => {
                let buffer = gpu.own(&self.plan, id);
                gpu.context().upload(buffer, 4 * offset as u64, bytemuck::cast_slice(words)).await
            }
        }
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
        self.compile().await?;
        match self.prepared.as_ref().expect(COMPILED) {
            Prepared::Cpu(cpu) => cpu.read(&self.plan, id, range),
            Prepared::Oracle(cpu) => cpu.read(&self.plan, id, range),
            Prepared::Gpu(gpu) => {
                let bytes = 4 * range.start as u64..4 * range.end as u64;
                gpu.context().read_pod(gpu.own(&self.plan, id), bytes).await
            }
        }
    }

    /// Runs the plan for one call on the CPU; `times` collects (step, nanoseconds).
    fn run_twins(&mut self, call: &Call, times: Option<&mut Vec<(usize, f64)>>) -> Result<()> {
        let base = self.memory.base().map(Memory::tensors);
        let (memory, base) = (&mut *self.memory.tensors_mut(), base.as_deref());
        match self.prepared.as_mut().expect(COMPILED) {
            Prepared::Cpu(cpu) => cpu.run(&self.plan, memory, base, call, times),
            Prepared::Oracle(cpu) => cpu.run(&self.plan, memory, base, call, times),
            Prepared::Gpu(_) => unreachable!("twins run on the CPU"),
        }
    }

    /// Runs dispatches on the device, and reads.
    async fn dispatch(
        &mut self,
        dispatches: &[(usize, Dispatch)],
        reads: &[(TensorId, usize)],
        clock: Clock,
    ) -> Result<Timed<Vec<(usize, f64)>>> {
        let Self { plan, memory, prepared: Some(Prepared::Gpu(gpu)), .. } = self else {
            unreachable!("dispatches run on a GPU")
        };
        gpu.context().check()?;
        gpu.upload_parameters(dispatches).await?;
        let resolved = memory.reach(|reach| gpu.resolve(plan, reach, reads))?;
        let (read, nanoseconds) = gpu.run(plan, resolved, dispatches, clock).await?;
        Ok((read, dispatches.iter().map(|(step, _)| *step).zip(nanoseconds).collect()))
    }
}
