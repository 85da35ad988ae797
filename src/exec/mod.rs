//! Executors: run a [`Plan`] on the CPU or on a GPU, with the same results. Small, because the plan has
//! decided everything.

mod available;
mod cpu;
mod profile;
mod wgpu;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

pub use self::wgpu::GpuExecutor;
pub(crate) use available::{available, check_memory, zeros};
pub use cpu::CpuExecutor;
#[cfg(feature = "bench")]
pub(crate) use profile::add_by_kernel;
pub use profile::{KernelTime, by_kernel};

use crate::error::{Error, ErrorKind, Result};
use crate::graph::{Plan, Role};
use crate::kernels::DeviceTraits;
use crate::tensor::{Call, DType};

/// Where plans run.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Executor {
    /// The CPU twins in f32.
    Cpu(CpuExecutor<f32>),
    /// The CPU twins in f64: the oracle of the tests.
    Oracle(CpuExecutor<f64>),
    /// The shaders.
    Gpu(GpuExecutor),
}

/// One tensor's memory on an executor.
#[derive(Debug)]
pub enum Stored {
    /// Floats of the CPU executor.
    F32(Vec<f32>),
    /// Half floats of the CPU executor, as they are.
    F16(Vec<u16>),
    /// Floats of the oracle.
    F64(Vec<f64>),
    /// Integers on either.
    U32(Vec<u32>),
    /// A buffer of the device.
    Gpu(crate::gpu::Buffer),
}

/// Named tensors on one executor: a model's parameters, or a session's state.
#[derive(Debug)]
pub struct Memory {
    /// Changes whenever a tensor is added, so that prepared bindings are found again or made anew.
    id: u64,
    names: HashMap<String, usize>,
    pub(crate) tensors: Vec<Stored>,
    dtypes: Vec<DType>,
}

fn fresh_id() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

impl Default for Memory {
    fn default() -> Self {
        Self { id: fresh_id(), names: HashMap::new(), tensors: Vec::new(), dtypes: Vec::new() }
    }
}

impl Memory {
    /// Nothing stored yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether a tensor of that name is stored.
    pub fn contains(&self, name: &str) -> bool {
        self.names.contains_key(name)
    }

    /// Names of all tensors, sorted.
    pub fn names(&self) -> Vec<&str> {
        let mut names: Vec<&str> = self.names.keys().map(String::as_str).collect();
        names.sort_unstable();
        names
    }

    fn insert(&mut self, name: &str, dtype: DType, stored: Stored) {
        self.id = fresh_id();
        match self.names.get(name) {
            Some(&i) => (self.tensors[i], self.dtypes[i]) = (stored, dtype),
            None => {
                self.names.insert(name.to_string(), self.tensors.len());
                self.tensors.push(stored);
                self.dtypes.push(dtype);
            }
        }
    }

    pub(crate) fn index(&self, name: &str) -> Result<usize> {
        self.names
            .get(name)
            .copied()
            .ok_or_else(|| Error::new(ErrorKind::Shape, format!("no tensor named {name} in memory")))
    }
}

/// A plan made ready on one executor, with its scratch memory.
#[derive(Debug)]
pub struct Compiled {
    plan: Arc<Plan>,
    own: Own,
    /// Where each argument of each step lies, for the memories it was last run with.
    resolved: Option<((u64, u64), Resolved)>,
}

/// Memory of the plan itself, by buffer: scratch, inputs, outputs.
#[derive(Debug)]
enum Own {
    Cpu(cpu::Scratch),
    Gpu(wgpu::Prepared),
}

#[derive(Debug)]
enum Resolved {
    Cpu(Vec<Vec<Place>>),
    Gpu(Vec<::wgpu::BindGroup>),
}

/// Where a tensor of a plan lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    Parameter(usize),
    State(usize),
    Own(usize),
}

impl Compiled {
    /// The plan.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }
}

/// Where the tensor of argument `id` lies.
fn place(plan: &Plan, id: crate::graph::TensorId, parameters: &Memory, state: &Memory) -> Result<Place> {
    let t = &plan.tensors[id.0];
    Ok(match t.tensor.role {
        // A trainer keeps its weights with the state, where its optimiser can write them.
        Role::Parameter if !parameters.contains(&t.tensor.name) => Place::State(state.index(&t.tensor.name)?),
        Role::Parameter | Role::Constant(_) => Place::Parameter(parameters.index(&t.tensor.name)?),
        Role::State(_) | Role::External => Place::State(state.index(&t.tensor.name)?),
        _ => Place::Own(t.buffer.0),
    })
}

/// One submission: what to run, what to write before it, what to read after it.
#[derive(Clone, Debug, Default)]
pub struct Run<'a> {
    /// Calls of the plan, in order.
    pub calls: &'a [Call],
    /// Input tensors by name, as 32-bit words.
    pub inputs: &'a [(&'a str, &'a [u32])],
    /// Tensors to read by name, each with the number of elements from its start.
    pub reads: &'a [(&'a str, usize)],
}

/// Refuses calls that the plan was not compiled for.
fn check_calls(compiled: &Compiled, run: &Run<'_>) -> Result<()> {
    run.calls.iter().try_for_each(|call| call.check(&compiled.plan.capacity))
}

impl Executor {
    /// What kernels may know of the device.
    pub fn traits(&self) -> DeviceTraits {
        match self {
            Executor::Cpu(_) | Executor::Oracle(_) => DeviceTraits::cpu(),
            Executor::Gpu(gpu) => gpu.context().traits(),
        }
    }

    /// Name for people: the adapter, or the CPU.
    pub fn name(&self) -> String {
        match self {
            Executor::Cpu(_) => match crate::kernels::cpu::threads() {
                1 => "CPU (1 thread)".to_string(),
                threads => format!("CPU ({threads} threads)"),
            },
            Executor::Oracle(_) => "CPU in f64".to_string(),
            Executor::Gpu(gpu) => gpu.context().report().label(),
        }
    }

    /// Stores a tensor: `words` are its 32-bit words (f16 in packed pairs).
    pub async fn store(&self, memory: &mut Memory, name: &str, dtype: DType, words: &[u32]) -> Result<()> {
        let stored = match self {
            Executor::Cpu(_) => cpu::from_words::<f32>(dtype, words),
            Executor::Oracle(_) => cpu::from_words::<f64>(dtype, words),
            Executor::Gpu(gpu) => {
                Stored::Gpu(gpu.context().storage_from(name, bytemuck::cast_slice(words)).await?)
            }
        };
        memory.insert(name, dtype, stored);
        Ok(())
    }

    /// Stores a tensor of `elements` zeros.
    pub async fn reserve(
        &self,
        memory: &mut Memory,
        name: &str,
        dtype: DType,
        elements: usize,
    ) -> Result<()> {
        let stored = match self {
            Executor::Cpu(_) => cpu::zeros::<f32>(name, dtype, elements)?,
            Executor::Oracle(_) => cpu::zeros::<f64>(name, dtype, elements)?,
            Executor::Gpu(gpu) => {
                Stored::Gpu(gpu.context().create_storage(name, dtype.bytes(elements) as u64).await?)
            }
        };
        memory.insert(name, dtype, stored);
        Ok(())
    }

    /// Lets the tensor `name` lie in a buffer of the caller's, which stays the caller's: it is not counted,
    /// copied or cleared. The buffer must belong to this executor's device. Lending the same buffer again
    /// costs nothing.
    ///
    /// # Errors
    /// [`ErrorKind::Device`] on the CPU, and for a buffer without `BufferUsages::STORAGE`.
    pub fn lend(&self, memory: &mut Memory, name: &str, dtype: DType, buffer: &::wgpu::Buffer) -> Result<()> {
        if !matches!(self, Executor::Gpu(_)) {
            return Err(Error::new(
                ErrorKind::Device,
                format!("{name}: a device buffer was given to the CPU executor"),
            )
            .help("give slices instead"));
        }
        if !buffer.usage().contains(::wgpu::BufferUsages::STORAGE) {
            return Err(Error::new(
                ErrorKind::Device,
                format!("{name}: the buffer has usage {:?}", buffer.usage()),
            )
            .help("create it with wgpu::BufferUsages::STORAGE"));
        }
        let same = |stored: &Stored| matches!(stored, Stored::Gpu(known) if **known == *buffer);
        if !memory.names.get(name).is_some_and(|i| same(&memory.tensors[*i])) {
            memory.insert(name, dtype, Stored::Gpu(crate::gpu::Buffer::lent(buffer.clone())));
        }
        Ok(())
    }

    /// Writes words at an element offset of a stored tensor.
    pub async fn write(&self, memory: &mut Memory, name: &str, offset: usize, words: &[u32]) -> Result<()> {
        let i = memory.index(name)?;
        match (self, &mut memory.tensors[i]) {
            (Executor::Gpu(gpu), Stored::Gpu(buffer)) => {
                gpu.context().upload(buffer, offset as u64 * 4, bytemuck::cast_slice(words)).await
            }
            (_, stored) => cpu::write_words(stored, offset, words),
        }
    }

    /// Elements `range` of a stored tensor, as words.
    pub async fn read(&self, memory: &Memory, name: &str, range: std::ops::Range<usize>) -> Result<Vec<u32>> {
        let i = memory.index(name)?;
        match (self, &memory.tensors[i]) {
            (Executor::Gpu(gpu), Stored::Gpu(buffer)) => {
                gpu.context().read_pod(buffer, range.start as u64 * 4..range.end as u64 * 4).await
            }
            (_, stored) => cpu::to_words(name, stored, range),
        }
    }

    /// A copy of all tensors.
    pub async fn duplicate(&self, memory: &Memory) -> Result<Memory> {
        let mut copy = Memory::new();
        for (name, &i) in &memory.names {
            let stored = match (self, &memory.tensors[i]) {
                (Executor::Gpu(gpu), Stored::Gpu(buffer)) => Stored::Gpu(gpu.copy(name, buffer).await?),
                (_, Stored::F32(v)) => Stored::F32(v.clone()),
                (_, Stored::F64(v)) => Stored::F64(v.clone()),
                (_, Stored::U32(v)) => Stored::U32(v.clone()),
                (_, Stored::F16(v)) => Stored::F16(v.clone()),
                (_, Stored::Gpu(_)) => {
                    return Err(Error::new(ErrorKind::Device, format!("{name} lies on another executor")));
                }
            };
            copy.insert(name, memory.dtypes[i], stored);
        }
        Ok(copy)
    }

    /// Stores the constants of a plan beside the parameters.
    pub async fn store_constants(&self, plan: &Plan, parameters: &mut Memory) -> Result<()> {
        for t in plan.tensors.iter().filter(|t| t.bytes > 0) {
            if let Role::Constant(data) = &t.tensor.role
                && !parameters.contains(&t.tensor.name)
            {
                self.store(parameters, &t.tensor.name, t.tensor.ty.dtype, data).await?;
            }
        }
        Ok(())
    }

    /// Compiles the shaders of plans ahead of their first run. `progress` is told the dispatches that can
    /// run, and how many there are.
    pub async fn warm_up(&self, plans: &[&Plan], progress: &mut dyn FnMut(usize, usize)) -> Result<()> {
        let Executor::Gpu(gpu) = self else { return Ok(()) };
        let total = plans.iter().map(|plan| plan.steps.len()).sum();
        let mut done = 0;
        for plan in plans {
            gpu.compile(plan, &mut |compiled| progress(done + compiled, total)).await?;
            done += plan.steps.len();
        }
        Ok(())
    }

    /// Makes a plan ready: compiles its shaders and allocates its scratch memory.
    pub async fn compile(&self, plan: &Plan) -> Result<Compiled> {
        let own = match self {
            Executor::Cpu(_) => Own::Cpu(cpu::Scratch::new::<f32>(plan)?),
            Executor::Oracle(_) => Own::Cpu(cpu::Scratch::new::<f64>(plan)?),
            Executor::Gpu(gpu) => Own::Gpu(gpu.prepare(plan).await?),
        };
        Ok(Compiled { plan: Arc::new(plan.clone()), own, resolved: None })
    }

    /// Allocates, zeroed, every state tensor of a plan that the memory does not hold yet.
    pub async fn reserve_state(&self, plan: &Plan, state: &mut Memory) -> Result<()> {
        for t in plan.tensors.iter().filter(|t| t.bytes > 0 && matches!(t.tensor.role, Role::State(_))) {
            if !state.contains(&t.tensor.name) {
                self.reserve(
                    state,
                    &t.tensor.name,
                    t.tensor.ty.dtype,
                    t.tensor.ty.shape.elements(&plan.capacity),
                )
                .await?;
            }
        }
        Ok(())
    }

    /// [`Executor::run`] with the time of every dispatch, as (step, nanoseconds), in the order they ran: from
    /// timestamp queries on a GPU (none where it has none), from the clock on the CPU. A timed run is slower
    /// as a whole.
    pub async fn run_timed(
        &self,
        compiled: &mut Compiled,
        parameters: &Memory,
        state: &mut Memory,
        run: Run<'_>,
    ) -> Result<(Vec<Vec<u32>>, Vec<(usize, f64)>)> {
        check_calls(compiled, &run)?;
        let mut times = Vec::new();
        let read = match self {
            Executor::Cpu(cpu) => cpu.run(compiled, parameters, state, &run, Some(&mut times))?,
            Executor::Oracle(cpu) => cpu.run(compiled, parameters, state, &run, Some(&mut times))?,
            Executor::Gpu(gpu) => {
                let dispatched = compiled.plan.dispatches(run.calls);
                let timestamps = crate::gpu::Timestamps::new(gpu.context(), dispatched.len() as u32).await?;
                let Some(mut timestamps) = timestamps else {
                    return Ok((gpu.run(compiled, parameters, state, &run).await?, times));
                };
                let (read, nanoseconds) = gpu
                    .timed_run(compiled, parameters, state, &run, wgpu::Stamps::Each(&mut timestamps))
                    .await?;
                times = dispatched.into_iter().map(|(at, _)| at).zip(nanoseconds).collect();
                read
            }
        };
        Ok((read, times))
    }

    /// [`Executor::run`] with the nanoseconds that the device took from the first dispatch to the last; none
    /// where it has no timestamps.
    pub async fn run_clocked(
        &self,
        compiled: &mut Compiled,
        parameters: &Memory,
        state: &mut Memory,
        run: Run<'_>,
    ) -> Result<(Vec<Vec<u32>>, Option<f64>)> {
        check_calls(compiled, &run)?;
        if let Executor::Gpu(gpu) = self
            && let Some(mut timestamps) = crate::gpu::Timestamps::new(gpu.context(), 1).await?
        {
            let (read, times) = gpu
                .timed_run(compiled, parameters, state, &run, wgpu::Stamps::Whole(&mut timestamps))
                .await?;
            return Ok((read, times.first().copied()));
        }
        Ok((self.run(compiled, parameters, state, run).await?, None))
    }

    /// Waits until everything submitted so far is done.
    pub async fn finish(&self) -> Result<()> {
        match self {
            Executor::Gpu(gpu) => gpu.context().submitted_work_done().await,
            Executor::Cpu(_) | Executor::Oracle(_) => Ok(()),
        }
    }

    /// Runs a submission and returns what was to be read, as words.
    pub async fn run(
        &self,
        compiled: &mut Compiled,
        parameters: &Memory,
        state: &mut Memory,
        run: Run<'_>,
    ) -> Result<Vec<Vec<u32>>> {
        check_calls(compiled, &run)?;
        match self {
            Executor::Cpu(cpu) => cpu.run(compiled, parameters, state, &run, None),
            Executor::Oracle(cpu) => cpu.run(compiled, parameters, state, &run, None),
            Executor::Gpu(gpu) => gpu.run(compiled, parameters, state, &run).await,
        }
    }
}
