//! Buffers that are counted for as long as they live.

use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Bytes in use, the most there were, and buffers in use.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    now: AtomicU64,
    peak: AtomicU64,
    buffers: AtomicU64,
}

impl Ledger {
    pub fn now(&self) -> u64 {
        self.now.load(Ordering::Relaxed)
    }

    pub fn peak(&self) -> u64 {
        self.peak.load(Ordering::Relaxed)
    }

    pub fn buffers(&self) -> u64 {
        self.buffers.load(Ordering::Relaxed)
    }

    fn add(&self, bytes: u64) {
        let now = self.now.fetch_add(bytes, Ordering::Relaxed) + bytes;
        self.peak.fetch_max(now, Ordering::Relaxed);
        self.buffers.fetch_add(1, Ordering::Relaxed);
    }

    fn sub(&self, bytes: u64) {
        self.now.fetch_sub(bytes, Ordering::Relaxed);
        self.buffers.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A buffer that is counted for as long as it lives and then destroyed, or one that the caller lent. Derefs
/// to wgpu's.
#[derive(Debug)]
pub struct Buffer {
    raw: wgpu::Buffer,
    /// None: the caller's.
    ledger: Option<Arc<Ledger>>,
}

impl Buffer {
    /// A new one, counted from here on. Nothing may be recorded with it and submitted after it is dropped.
    pub(super) fn counted(raw: wgpu::Buffer, ledger: &Arc<Ledger>) -> Self {
        ledger.add(raw.size());
        Self { raw, ledger: Some(ledger.clone()) }
    }

    /// A buffer of the caller's, which is not counted.
    pub fn lent(raw: wgpu::Buffer) -> Self {
        Self { raw, ledger: None }
    }
}

impl Deref for Buffer {
    type Target = wgpu::Buffer;

    fn deref(&self) -> &wgpu::Buffer {
        &self.raw
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        if let Some(ledger) = &self.ledger {
            ledger.sub(self.raw.size());
            // A browser frees what nobody destroys when it collects garbage, and for a page's few small
            // objects it rarely thinks that worth while. Submissions in flight keep what they use.
            self.raw.destroy();
        }
    }
}
