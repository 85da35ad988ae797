//! Waiting for the device. A browser drives its device by itself and wakes the future; natively
//! nobody does, so the future polls the device, which blocks the thread for as long as it works.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use super::GpuContext;
use crate::error::Result;

/// A value that a callback will deliver, once.
#[derive(Debug)]
pub(super) struct Promise<T>(Arc<Mutex<Slot<T>>>);

#[derive(Debug)]
struct Slot<T> {
    value: Option<T>,
    waker: Option<Waker>,
}

impl<T> Promise<T> {
    /// The promise and the callback that keeps it.
    pub fn new() -> (Self, impl FnOnce(T)) {
        let slot = Arc::new(Mutex::new(Slot { value: None, waker: None }));
        let promise = Self(slot.clone());
        let keep = move |value| {
            let mut slot = slot.lock().unwrap_or_else(PoisonError::into_inner);
            slot.value = Some(value);
            if let Some(waker) = slot.waker.take() {
                waker.wake();
            }
        };
        (promise, keep)
    }

    fn lock(&self) -> MutexGuard<'_, Slot<T>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[cfg(not(target_arch = "wasm32"))]
    fn take(&self) -> Option<T> {
        self.lock().value.take()
    }

    /// What another thread, which polls the same device, took from it and is about to deliver.
    #[cfg(not(target_arch = "wasm32"))]
    fn take_soon(&self) -> Option<T> {
        /// Milliseconds: a thread may be kept from running.
        const PATIENCE: usize = 1000;
        (0..PATIENCE).find_map(|_| {
            std::thread::sleep(std::time::Duration::from_millis(1));
            self.take()
        })
    }
}

impl<T> Future for Promise<T> {
    type Output = T;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        let mut slot = self.lock();
        match slot.value.take() {
            Some(value) => Poll::Ready(value),
            None => {
                slot.waker = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }
}

impl GpuContext {
    /// Waits until `promise` is kept; `after` is the submission that will make it so (by default the
    /// latest one).
    #[cfg(target_arch = "wasm32")]
    pub(super) async fn wait_for<T>(
        &self,
        promise: Promise<T>,
        _after: Option<&wgpu::SubmissionIndex>,
    ) -> Result<T> {
        Ok(promise.await)
    }

    /// Waits until `promise` is kept; `after` is the submission that will make it so (by default the
    /// latest one).
    #[cfg(not(target_arch = "wasm32"))]
    pub(super) async fn wait_for<T>(
        &self,
        promise: Promise<T>,
        after: Option<&wgpu::SubmissionIndex>,
    ) -> Result<T> {
        use crate::error::{Error, ErrorKind};
        let mut idle = 0;
        loop {
            if let Some(value) = promise.take() {
                return Ok(value);
            }
            self.check_lost()?;
            // A submission that was rejected has no index to wait for, and nothing may be left to
            // wait for at all.
            if idle == 2 {
                self.check()?;
                if let Some(value) = promise.take_soon() {
                    return Ok(value);
                }
                return Err(Error::new(ErrorKind::Device, "the device went idle without an answer")
                    .help("update the driver, or use --backend cpu"));
            }
            let finished = self.poll_device(if idle == 0 { after } else { None })?;
            idle += usize::from(finished);
        }
    }

    /// Polls the device for at most a second; true when what was waited for is done.
    #[cfg(not(target_arch = "wasm32"))]
    fn poll_device(&self, after: Option<&wgpu::SubmissionIndex>) -> Result<bool> {
        let wait = wgpu::PollType::Wait {
            submission_index: after.cloned(),
            timeout: Some(std::time::Duration::from_secs(1)),
        };
        match super::fault::guarded(|| self.device().poll(wait)) {
            Ok(Ok(status)) => Ok(status.wait_finished()),
            Ok(Err(wgpu::PollError::Timeout)) => Ok(false),
            Ok(Err(wgpu::PollError::WrongSubmissionIndex(..))) => Ok(true),
            Err(message) => {
                let error = super::fault::lost_in_wait(&message);
                self.faults().record_lost(error.clone());
                Err(self.faults().lost().unwrap_or(error))
            }
        }
    }

    /// Lets callbacks run that are due.
    #[cfg(not(target_arch = "wasm32"))]
    pub(super) fn poll_once(&self) {
        if let Err(message) = super::fault::guarded(|| self.device().poll(wgpu::PollType::Poll)) {
            self.faults().record_lost(super::fault::lost_in_wait(&message));
        }
    }

    /// Resolves when everything submitted so far is done.
    ///
    /// # Errors
    /// Those of the device: lost, or out of memory.
    pub async fn submitted_work_done(&self) -> Result<()> {
        let (promise, keep) = Promise::new();
        self.queue().on_submitted_work_done(move || keep(()));
        self.wait_for(promise, None).await?;
        self.check()
    }
}
