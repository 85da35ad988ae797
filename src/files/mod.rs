//! Files: read, and written whole or not at all. Everything of this crate that saves something goes through
//! here.
//!
//! | file | what |
//! |---|---|
//! | `read.rs`, `write.rs` | reading a file, replacing one; `-` is stdin and stdout |
//! | `room.rs` | whether a file can be written, before work is put into it |
//! | `lock.rs` | a folder that one process alone writes |
//! | `disk.rs`, `faults.rs` | the operations on the file system; letting one fail, for tests |
//! | `cache.rs` | the folder of what can be computed again |
//! | `paths.rs` | paths in JSON |

#[cfg(not(target_arch = "wasm32"))]
mod cache;
#[cfg(not(target_arch = "wasm32"))]
#[cfg_attr(not(feature = "train"), allow(dead_code, reason = "training alone removes and links"))]
pub(crate) mod disk;
#[cfg(test)]
pub(crate) mod faults;
#[cfg(not(target_arch = "wasm32"))]
mod lock;
pub mod paths;
#[cfg(not(target_arch = "wasm32"))]
mod read;
#[cfg(not(target_arch = "wasm32"))]
mod room;
#[cfg(not(target_arch = "wasm32"))]
mod write;

#[cfg(not(target_arch = "wasm32"))]
pub use cache::cache_dir;
#[cfg(not(target_arch = "wasm32"))]
pub use lock::FolderLock;
#[cfg(not(target_arch = "wasm32"))]
pub use read::{Whole, is_standard, read_begun, read_bytes, read_text, source_name};
#[cfg(not(target_arch = "wasm32"))]
pub use room::{check_place, check_room};
#[cfg(not(target_arch = "wasm32"))]
pub use write::{atomic_write, check_file, create_folders, until_idle};
