//! [`Workspace`]: the scratch memory of a plan, and its compiled shaders, for all programs that run it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::stored::Stored;
use super::wgpu;

/// What programs of one plan on one executor share, because none of it outlives a run: the memory of what
/// lies in no [`Memory`](super::Memory) (scratch, inputs, outputs), and compiled shaders. Cheap to clone: the
/// clones are the same.
///
/// A run takes the memory and gives it back when its work is submitted; the next one's is ordered behind it.
/// Runs that overlap each have their own, and what is left over when they end is freed.
#[derive(Clone, Debug, Default)]
pub struct Workspace(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    shaders: Mutex<Option<wgpu::Compiled>>,
    idle: Mutex<Option<Scratch>>,
}

/// The memory of a plan's own tensors.
#[derive(Debug)]
pub(super) enum Scratch {
    /// By plan buffer; empty for what lies in a memory.
    Host(Vec<Stored>),
    Gpu(wgpu::Scratch),
}

/// Scratch memory for one run; given back when it is dropped.
#[derive(Debug)]
pub(super) struct Taken {
    scratch: Option<Scratch>,
    home: Workspace,
}

impl Workspace {
    /// The shaders, once they are compiled.
    pub(super) fn shaders(&self) -> Option<wgpu::Compiled> {
        lock(&self.0.shaders).clone()
    }

    /// Keeps compiled shaders.
    pub(super) fn keep_shaders(&self, shaders: &wgpu::Compiled) {
        *lock(&self.0.shaders) = Some(shaders.clone());
    }

    /// Memory that nobody uses now.
    pub(super) fn idle(&self) -> Option<Taken> {
        let scratch = lock(&self.0.idle).take()?;
        Some(self.lend(scratch))
    }

    /// Fresh memory, which comes here when it is given back.
    pub(super) fn lend(&self, scratch: Scratch) -> Taken {
        Taken { scratch: Some(scratch), home: self.clone() }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Why nothing is met where memory should be.
const UNTIL_DROPPED: &str = "what was taken is there until it is given back";

impl Taken {
    pub fn host(&self) -> &[Stored] {
        match self.scratch.as_ref().expect(UNTIL_DROPPED) {
            Scratch::Host(buffers) => buffers,
            Scratch::Gpu(_) => unreachable!("twins run on the CPU"),
        }
    }

    pub fn host_mut(&mut self) -> &mut Vec<Stored> {
        match self.scratch.as_mut().expect(UNTIL_DROPPED) {
            Scratch::Host(buffers) => buffers,
            Scratch::Gpu(_) => unreachable!("twins run on the CPU"),
        }
    }

    pub fn gpu(&self) -> &wgpu::Scratch {
        match self.scratch.as_ref().expect(UNTIL_DROPPED) {
            Scratch::Gpu(scratch) => scratch,
            Scratch::Host(_) => unreachable!("dispatches run on a GPU"),
        }
    }

    pub fn gpu_mut(&mut self) -> &mut wgpu::Scratch {
        match self.scratch.as_mut().expect(UNTIL_DROPPED) {
            Scratch::Gpu(scratch) => scratch,
            Scratch::Host(_) => unreachable!("dispatches run on a GPU"),
        }
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        // A kernel that panicked took tensors out of their places.
        if std::thread::panicking() {
            return;
        }
        let mut idle = lock(&self.home.0.idle);
        if idle.is_none() {
            *idle = self.scratch.take();
        }
    }
}
