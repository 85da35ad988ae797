//! Named tensors on an executor: a model's weights, a session's state.

use std::ops::Range;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use super::executor::Executor;
use super::location::Reach;
use super::stored::{Stored, Tensors};
use super::wgpu::shared;
use crate::error::{Error, ErrorKind, Result};
use crate::gpu::Buffer;
use crate::graph::{Plan, Role};
use crate::tensor::DType;

/// Named tensors on one executor. Cheap to clone: the clones are the same memory, which every
/// [`Program`](super::Program) made with one of them reads and writes.
#[derive(Clone, Debug)]
pub struct Memory(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    executor: Executor,
    /// What programs read here beside this memory, and never write.
    base: Option<Memory>,
    tensors: RwLock<Tensors>,
}

impl Memory {
    /// Nothing stored yet.
    pub fn new(executor: &Executor) -> Self {
        Self::with(executor.clone(), None, Tensors::default())
    }

    /// Nothing stored yet, on top of another memory: programs read its tensors too, and write none of them.
    /// So sessions share a model's weights.
    pub fn over(base: &Memory) -> Self {
        Self::with(base.0.executor.clone(), Some(base.clone()), Tensors::default())
    }

    fn with(executor: Executor, base: Option<Memory>, tensors: Tensors) -> Self {
        // Natively it is Send and Sync; in a browser there is one thread.
        #[allow(
            clippy::arc_with_non_send_sync,
            reason = "in a browser, what wgpu hands out stays on its thread"
        )]
        Self(Arc::new(Inner { executor, base, tensors: RwLock::new(tensors) }))
    }

    /// Where it lies.
    pub fn executor(&self) -> &Executor {
        &self.0.executor
    }

    /// The memory it stands on.
    pub(super) fn base(&self) -> Option<&Memory> {
        self.0.base.as_ref()
    }

    // A thread that panicked while it ran a kernel left numbers that are wrong, and no broken list.
    pub(super) fn tensors(&self) -> RwLockReadGuard<'_, Tensors> {
        self.0.tensors.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn tensors_mut(&self) -> RwLockWriteGuard<'_, Tensors> {
        self.0.tensors.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks at the tensors here and in the memory it stands on.
    pub(super) fn reach<T>(&self, look: impl FnOnce(Reach<'_>) -> T) -> T {
        let (memory, base) = (self.tensors(), self.base().map(Memory::tensors));
        look(Reach { memory: &memory, base: base.as_deref() })
    }

    /// Whether a tensor of that name is stored here or in the memory it stands on.
    pub fn contains(&self, name: &str) -> bool {
        self.tensors().index(name).is_some() || self.base().is_some_and(|base| base.contains(name))
    }

    /// Stores a tensor: `words` are its 32-bit words (f16 in packed pairs).
    ///
    /// # Errors
    /// [`ErrorKind::OutOfMemory`]; those of the device.
    pub async fn store(&self, name: &str, dtype: DType, words: &[u32]) -> Result<()> {
        let elements = match dtype {
            DType::F16 => 2 * words.len(),
            DType::Quant(quant) => words.len() / quant.row_words().max(1) * quant.columns(),
            _ => words.len(),
        };
        let mut filling = self.fill(name, dtype, elements).await?;
        filling.put(0, words).await?;
        filling.finish();
        Ok(())
    }

    /// Begins to store a tensor part by part.
    ///
    /// # Errors
    /// [`ErrorKind::OutOfMemory`]; those of the device.
    pub async fn fill(&self, name: &str, dtype: DType, elements: usize) -> Result<Filling<'_>> {
        let stored = match self.executor() {
            Executor::Cpu(_) => Stored::room::<f32>(name, dtype, elements)?,
            Executor::Oracle(_) => Stored::room::<f64>(name, dtype, elements)?,
            Executor::Gpu(gpu) => {
                Stored::Gpu(shared(gpu.context().create_storage(name, dtype.bytes(elements) as u64).await?))
            }
        };
        Ok(Filling { memory: self, name: name.into(), dtype, stored })
    }

    /// Stores a tensor of `elements` zeros.
    ///
    /// # Errors
    /// [`ErrorKind::OutOfMemory`]; those of the device.
    pub async fn reserve(&self, name: &str, dtype: DType, elements: usize) -> Result<()> {
        let stored = match self.executor() {
            Executor::Cpu(_) => Stored::zeros::<f32>(name, dtype, elements)?,
            Executor::Oracle(_) => Stored::zeros::<f64>(name, dtype, elements)?,
            Executor::Gpu(gpu) => {
                Stored::Gpu(shared(gpu.context().create_storage(name, dtype.bytes(elements) as u64).await?))
            }
        };
        self.tensors_mut().insert(name, dtype, stored);
        Ok(())
    }

    /// Stores the constants of a plan that are not here yet.
    ///
    /// # Errors
    /// Those of the device.
    pub async fn store_constants(&self, plan: &Plan) -> Result<()> {
        for t in plan.tensors.iter().filter(|t| t.bytes > 0 && !self.contains(&t.tensor.name)) {
            if let Role::Constant(words) = &t.tensor.role {
                self.store(&t.tensor.name, t.tensor.ty.dtype, words).await?;
            }
        }
        Ok(())
    }

    /// Reserves the states of a plan that are not here yet, as zeros.
    ///
    /// # Errors
    /// As [`Memory::reserve`].
    pub async fn reserve_states(&self, plan: &Plan) -> Result<()> {
        for t in plan.tensors.iter().filter(|t| t.bytes > 0 && !self.contains(&t.tensor.name)) {
            if let Role::State(_) = t.tensor.role {
                let elements = t.tensor.ty.shape.elements(&plan.capacity);
                self.reserve(&t.tensor.name, t.tensor.ty.dtype, elements).await?;
            }
        }
        Ok(())
    }

    /// Lets the tensor `name` lie in a buffer of the caller's, which stays the caller's: it is not counted,
    /// copied or cleared. The buffer must belong to this executor's device. Lending the same buffer again
    /// costs nothing.
    ///
    /// # Errors
    /// [`ErrorKind::Device`] on the CPU, and for a buffer without `BufferUsages::STORAGE`.
    pub fn lend(&self, name: &str, dtype: DType, buffer: &wgpu::Buffer) -> Result<()> {
        let Executor::Gpu(_) = self.executor() else {
            let text = format!("{name}: a device buffer was given to the CPU executor");
            return Err(Error::new(ErrorKind::Device, text).help("give slices instead"));
        };
        if !buffer.usage().contains(wgpu::BufferUsages::STORAGE) {
            let text = format!("{name}: the buffer has usage {:?}", buffer.usage());
            return Err(
                Error::new(ErrorKind::Device, text).help("create it with wgpu::BufferUsages::STORAGE")
            );
        }
        let mut tensors = self.tensors_mut();
        if tensors.index(name).is_none_or(|i| **tensors.at(i).buffer().as_ref() != *buffer) {
            tensors.insert(name, dtype, Stored::Gpu(shared(Buffer::lent(buffer.clone()))));
        }
        Ok(())
    }

    /// A tensor of the oracle's, in full precision.
    #[cfg(test)]
    pub(crate) fn doubles<T>(&self, name: &str, with: impl FnOnce(&mut Vec<f64>) -> T) -> T {
        let mut tensors = self.tensors_mut();
        let i = index(&tensors, name).expect("is stored");
        let Stored::F64(values) = tensors.at_mut(i) else { panic!("{name} is not f64") };
        with(values)
    }

    /// The device's buffer of a tensor.
    fn buffer(&self, name: &str) -> Result<Arc<Buffer>> {
        let tensors = self.tensors();
        Ok(tensors.at(index(&tensors, name)?).buffer().clone())
    }

    /// Writes words at an element offset of a stored tensor.
    ///
    /// # Errors
    /// [`ErrorKind::Shape`] for a name that is not stored, and for words that do not fit; those of the
    /// device.
    pub async fn write(&self, name: &str, offset: usize, words: &[u32]) -> Result<()> {
        if let Executor::Gpu(gpu) = self.executor() {
            let buffer = self.buffer(name)?;
            return gpu.context().upload(&buffer, offset as u64 * 4, bytemuck::cast_slice(words)).await;
        }
        let mut tensors = self.tensors_mut();
        let i = index(&tensors, name)?;
        tensors.at_mut(i).write(name, offset, words)
    }

    /// Elements `range` of a tensor stored here or in the memory it stands on, as words.
    ///
    /// # Errors
    /// [`ErrorKind::Shape`] for a name that is not stored, and for elements that are not there; those of the
    /// device.
    pub async fn read(&self, name: &str, range: Range<usize>) -> Result<Vec<u32>> {
        let beneath = || self.base().filter(|base| base.contains(name));
        let holder = if self.tensors().index(name).is_none() { beneath().unwrap_or(self) } else { self };
        if let Executor::Gpu(gpu) = holder.executor() {
            let buffer = holder.buffer(name)?;
            return gpu.context().read_pod(&buffer, range.start as u64 * 4..range.end as u64 * 4).await;
        }
        let tensors = holder.tensors();
        tensors.at(index(&tensors, name)?).words(name, range)
    }

    /// A copy of all its tensors, on top of the same memory.
    ///
    /// # Errors
    /// Those of the device.
    pub async fn duplicate(&self) -> Result<Self> {
        let mut copies = Tensors::default();
        if let Executor::Gpu(gpu) = self.executor() {
            let buffers: Vec<(String, DType, Arc<Buffer>)> = self
                .tensors()
                .iter()
                .map(|(n, d, stored)| (n.to_string(), d, stored.buffer().clone()))
                .collect();
            for (name, dtype, buffer) in buffers {
                copies.insert(&name, dtype, Stored::Gpu(shared(gpu.copy(&name, &buffer).await?)));
            }
        } else {
            for (name, dtype, stored) in self.tensors().iter() {
                copies.insert(name, dtype, stored.copy());
            }
        }
        Ok(Self::with(self.executor().clone(), self.base().cloned(), copies))
    }
}

/// A tensor that is stored part by part; nothing before it is [finished](Filling::finish).
#[derive(Debug)]
pub struct Filling<'a> {
    memory: &'a Memory,
    name: String,
    dtype: DType,
    stored: Stored,
}

impl Filling<'_> {
    /// Puts words of the tensor, as [`Memory::store`] takes them, from word `first` of it on: whole rows, where
    /// they are of few bits.
    ///
    /// # Errors
    /// Those of the device.
    pub async fn put(&mut self, first: usize, words: &[u32]) -> Result<()> {
        match self.memory.executor() {
            Executor::Cpu(_) => self.stored.put::<f32>(self.dtype, first, words),
            Executor::Oracle(_) => self.stored.put::<f64>(self.dtype, first, words),
            Executor::Gpu(gpu) => {
                let bytes = bytemuck::cast_slice(words);
                gpu.context().upload(self.stored.buffer(), 4 * first as u64, bytes).await?;
            }
        }
        Ok(())
    }

    /// Stores the tensor.
    pub fn finish(self) {
        self.memory.tensors_mut().insert(&self.name, self.dtype, self.stored);
    }
}

fn index(tensors: &Tensors, name: &str) -> Result<usize> {
    tensors
        .index(name)
        .ok_or_else(|| Error::new(ErrorKind::Shape, format!("no tensor named {name} in memory")))
}
