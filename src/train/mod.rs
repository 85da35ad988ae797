//! Training: from texts or synthetic tasks to a model folder.
//!
//! | file | what |
//! |---|---|
//! | `corpus.rs`, `batches.rs`, `tasks.rs` | texts to tokens; tokens to windows in random order; synthetic tasks |
//! | `initial.rs` | weights of a new model |
//! | `plan.rs`, `learner.rs`, `optimizer.rs` | the numeric core: plans and memory; losses and gradients; the optimiser's plans |
//! | `settings.rs`, `schedule.rs` | what a run is asked to do; the learning rate of a step |
//! | `trainer.rs`, `evaluation.rs` | one step after the other; how good the model is by now |
//! | `linearize/` | softmax models made linear |
//! | `checkpoints.rs`, `log.rs`, `run.rs` | what a run leaves in its folder, and the loop around it all |
//!
//! A step is a function of the weights, the settings and its own number, so a run that goes on from a
//! checkpoint does what it would have done.

pub mod batches;
#[cfg(not(target_arch = "wasm32"))]
pub mod checkpoints;
#[cfg(not(target_arch = "wasm32"))]
pub mod corpus;
pub mod evaluation;
pub mod initial;
pub(crate) mod learner;
pub mod linearize;
#[cfg(not(target_arch = "wasm32"))]
pub mod log;
mod optimizer;
mod plan;
pub(crate) mod random;
#[cfg(not(target_arch = "wasm32"))]
pub mod run;
pub mod schedule;
pub mod settings;
pub mod tasks;
pub(crate) mod trainer;

pub use learner::{Batch, Learner, NamedTensors};
pub use optimizer::AdamW;
pub use plan::{LearnerMemory, LearnerOptions, LearnerPlan, TrainHandles};
pub use settings::Settings;
pub use trainer::Trainer;
