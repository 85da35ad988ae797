//! How work is cut for a device: all geometry that is not a kernel's own.
//!
//! | file | what it cuts |
//! |---|---|
//! | `matrix_tile.rs` | products of matrices |
//! | `mixed.rs` | a tile in mixed precision: patches of cooperative matrices |
//! | `row_tile.rs` | attention, the scan and their gradients |

pub mod matrix_tile;
pub mod mixed;
pub mod row_tile;

use super::DeviceTraits;

/// The most rows of a workgroup whose memory stays within what leaves a processor several workgroups; the
/// fewest where none does. `bytes` is what a workgroup of so many rows takes.
pub(in crate::kernels) fn rows_that_fit(device: &DeviceTraits, bytes: impl Fn(usize) -> usize) -> usize {
    /// A guess, not measured on a real GPU yet.
    const MEMORY: usize = 14 << 10;
    let memory = device.workgroup_memory.min(MEMORY);
    [32, 16, 8].into_iter().find(|rows| bytes(*rows) <= memory).unwrap_or(4)
}
