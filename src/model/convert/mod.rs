//! A model in other files: a folder of its family, or a GGUF file (SPEC §9). The weights go through tensor by
//! tensor, so that the memory never holds them. Nothing that is there is replaced, nothing is half written.
//!
//! | file | what |
//! |---|---|
//! | `conversion.rs` | what is asked for, and how it is written |
//! | `targets.rs` | the tensors of the new file, and what each is made of |
//! | `bake.rs` | an adapter that becomes a part of its model |
//! | `stream.rs` | their bytes, a piece at a time |
//! | `header.rs`, `vocabulary.rs`, `cuts.rs` | metadata of a GGUF file; its tokens; how it cuts texts |
//! | `texts.rs`, `folder.rs` | files of a folder; a folder that appears whole or not at all |

mod bake;
mod conversion;
mod cuts;
mod folder;
mod header;
mod stream;
mod targets;
mod texts;
mod vocabulary;

pub use conversion::{Conversion, Written};

#[cfg(test)]
mod tests;
