//! Making a softmax model linear (SPEC §10): its attention is learned from itself.
//!
//! Stage 1, *attention transfer*: the teacher stays as it is, and each layer's student learns to give its teacher's
//! outputs from its teacher's inputs. Only the far part of the students has weights; layers are independent, so that
//! the gradients of one are done before the next begins, and memory is that of one layer.
//!
//! | file | what |
//! |---|---|
//! | `settings.rs` | what a run is asked to do |
//! | `calibrate.rs` | the weights before the first step, computed from one text |
//! | `transfer.rs` | teacher and students on an executor: steps, errors, weights |
//! | `texts.rs` | what they read |
//! | `run.rs` | the loop, and what it leaves in its folder |

mod calibrate;
#[cfg(not(target_arch = "wasm32"))]
pub mod run;
pub mod settings;
#[cfg(not(target_arch = "wasm32"))]
pub mod texts;
pub mod transfer;

pub use settings::TransferSettings;
pub use transfer::Transfer;
