//! How work is cut for a device: all geometry that is not a kernel's own.
//!
//! | file | what it cuts |
//! |---|---|
//! | `matrix_tile.rs` | products of matrices |
//! | `row_tile.rs` | attention, the scan and their gradients |

pub mod matrix_tile;
pub mod row_tile;
