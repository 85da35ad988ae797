//! Staging buffers that wait for their next use.

use std::sync::{Mutex, PoisonError};

use super::counted::Buffer;

/// Bytes of idle staging buffers that are kept.
const KEPT: u64 = 64 << 20;

/// Idle staging buffers.
#[derive(Debug, Default)]
pub(super) struct StagingPool {
    idle: Mutex<Vec<Buffer>>,
}

impl StagingPool {
    pub fn take(&self, size: u64) -> Option<Buffer> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let at = idle.iter().position(|b| b.size() == size)?;
        Some(idle.swap_remove(at))
    }

    pub fn give(&self, buffer: Buffer) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.iter().map(|b| b.size()).sum::<u64>() + buffer.size() <= KEPT {
            idle.push(buffer);
        }
    }
}
