//! Buffers that are counted for as long as they live.

use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Bytes in use, and the most there were.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    now: AtomicU64,
    peak: AtomicU64,
}

impl Ledger {
    pub fn now(&self) -> u64 {
        self.now.load(Ordering::Relaxed)
    }

    pub fn peak(&self) -> u64 {
        self.peak.load(Ordering::Relaxed)
    }

    fn add(&self, bytes: u64) {
        let now = self.now.fetch_add(bytes, Ordering::Relaxed) + bytes;
        self.peak.fetch_max(now, Ordering::Relaxed);
    }

    fn sub(&self, bytes: u64) {
        self.now.fetch_sub(bytes, Ordering::Relaxed);
    }
}

/// A buffer that is counted for as long as it lives, or one that the caller lent. Derefs to wgpu's.
#[derive(Debug)]
pub struct Buffer {
    raw: wgpu::Buffer,
    /// None: the caller's.
    ledger: Option<Arc<Ledger>>,
}

impl Buffer {
    /// A new one, counted from here on.
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
        }
    }
}
