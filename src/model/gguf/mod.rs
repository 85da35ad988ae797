//! GGUF files, as llama.cpp writes them: read here, and mapped onto our own models (SPEC §9).
//!
//! | file | |
//! |---|---|
//! | `metadata.rs` | the key-value list, with checked access |
//! | `reader.rs` | the file: its header, where each tensor lies |
//! | `blocks.rs` | the types of tensors, and their values |

pub mod blocks;
pub mod metadata;
pub mod reader;

pub use blocks::BlockType;
pub use metadata::{Array, Metadata, Value};
pub use reader::{Gguf, Header, is_gguf};

#[cfg(all(test, not(target_arch = "wasm32")))]
mod tests;
