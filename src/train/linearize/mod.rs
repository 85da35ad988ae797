//! Making a softmax model linear (SPEC §10): its attention is learned from itself.
//!
//! Stage 1, *attention transfer*: the teacher stays as it is, and each layer's student learns to give its teacher's
//! outputs from its teacher's inputs. Only the far part of the students has weights; layers are independent, so that
//! the gradients of one are done before the next begins, and memory is that of one layer.
//!
//! Stage 2, *logits*: the student as a whole learns its teacher's predictions (KL), with updates of low rank that are added
//! to the projections q, k, v, gate and o beside the sketches. Stage 3 is the same with longer texts.
//!
//! | file | what |
//! |---|---|
//! | `settings.rs` | what a run is asked to do |
//! | `student.rs` | the weights of teacher and student on an executor: adapters, states |
//! | `calibrate.rs` | the weights before the first step, computed from one text |
//! | `transfer.rs` | stage 1: steps, errors |
//! | `distill.rs` | stages 2 and 3: steps, KL |
//! | `learning.rs` | a stage, whichever it is |
//! | `texts.rs` | what teacher and student read |
//! | `samples.rs` | texts that the teacher writes itself |
//! | `run.rs` | the loop, and what it leaves in its folder |

mod calibrate;
pub mod distill;
pub mod learning;
#[cfg(not(target_arch = "wasm32"))]
pub mod run;
#[cfg(not(target_arch = "wasm32"))]
pub mod samples;
pub mod settings;
pub mod student;
#[cfg(not(target_arch = "wasm32"))]
pub mod texts;
pub mod transfer;

pub use distill::Distill;
pub use learning::{Distance, Learning};
pub use settings::{Beginning, LinearizeSettings, Stage};
pub use student::Student;
pub use transfer::{Transfer, layer_errors};
