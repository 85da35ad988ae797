//! GGUF files, as llama.cpp writes them: read and written here, and mapped onto our own models (SPEC §9).
//!
//! | file | |
//! |---|---|
//! | `metadata.rs` | the key-value list, with checked access |
//! | `reader.rs` | the file: its header, where each tensor lies |
//! | `writer.rs` | a header of one's own, with a place for each tensor |
//! | `blocks.rs` | the types of tensors, and their values |
//! | `encode.rs` | from values to those types that are written |

pub mod blocks;
mod encode;
pub mod metadata;
pub mod reader;
mod writer;

pub use blocks::BlockType;
pub use metadata::{Array, Metadata, NO_TOKENIZER, Value};
pub use reader::{Gguf, Header, is_gguf};

#[cfg(all(test, not(target_arch = "wasm32")))]
mod tests;
