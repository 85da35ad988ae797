//! The library where no adapter is needed.
//!
//! | file | what |
//! |---|---|
//! | `shader_translation.rs`, `lowered.rs` | what every shader becomes on each backend |
//! | `texts.rs` | texts that are cut and continued |
//! | `bad_model_files/` | damaged and impossible models give clean errors |

mod bad_model_files;
mod lowered;
mod shader_translation;
mod texts;

use std::path::PathBuf;

/// The folder of golden models.
fn golden_folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}
