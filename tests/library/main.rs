//! The library where no adapter is needed.
//!
//! | file | what |
//! |---|---|
//! | `shader_translation.rs`, `lowered.rs` | what every shader becomes on each backend |
//! | `texts.rs` | texts that are cut and continued |
//! | `conversations.rs` | vocabularies and chat templates of public models |
//! | `memory.rs` | what power retention keeps of a text, however long |
//! | `linearize.rs` | softmax models made linear: learning, states, adapters |
//! | `adapted.rs` | what a linearised model is worth, and adapters that become a part of their model |
//! | `linear_kind.rs` | models with linearised attention of their own: gradients |
//! | `mutations.rs` | files with changed bytes: read or refused, never a panic |
//! | `bad_model_files/` | damaged and impossible models give clean errors |

mod adapted;
mod bad_model_files;
mod conversations;
mod linear_kind;
mod linearize;
mod lowered;
mod memory;
mod mutations;
mod shader_translation;
mod texts;

use std::path::PathBuf;

/// The folder of golden models.
fn golden_folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}
