//! Training: gradients of whole models, the optimiser, data and the loop around them.

mod learner;
mod optimizer;

pub use learner::{AdamW, Batch, Learner, LearnerMemory, LearnerOptions, LearnerPlan, NamedTensor};
