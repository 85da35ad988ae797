//! Weights, gradients and moments of a model on an executor, and the plans that train it. (A stub: the numeric core replaces it.)

use crate::error::{Error, ErrorKind, Result};
use crate::graph::Recompute;
use crate::model::{Engine, ModelSource};

/// Tensors of a checkpoint: name, shape, values.
pub type NamedTensors = Vec<(String, Vec<usize>, Vec<f32>)>;

/// Weights, gradients and moments of a model on an executor, and the plans that train it.
#[derive(Debug)]
pub struct Learner(());

/// How a learner computes.
#[derive(Clone, Copy, Debug)]
pub struct LearnerOptions {
    /// Sequences of a call.
    pub lanes: usize,
    /// Tokens of a sequence.
    pub context: usize,
    /// Tokens computed at a time.
    pub segment: Option<usize>,
    /// What the backward pass computes again.
    pub recompute: Recompute,
}

/// Sequences and what is scored of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// Tokens of a sequence.
    pub context: usize,
    /// [B, context].
    pub tokens: Vec<u32>,
    /// [B, context], `kernels::nll::UNSCORED` where nothing is scored.
    pub targets: Vec<u32>,
}

/// Settings of the optimiser for one step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdamW {
    /// Learning rate.
    pub lr: f64,
    /// Decay of the first moment.
    pub beta1: f64,
    /// Decay of the second moment.
    pub beta2: f64,
    /// Added to the root of the second moment.
    pub eps: f64,
    /// Decoupled weight decay.
    pub weight_decay: f64,
    /// Largest gradient norm; 0: any.
    pub clip: f64,
}

/// Bytes by purpose.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct LearnerMemory {
    /// Parameters and constants.
    pub weights: u64,
    /// Gradients and moments.
    pub optimiser: u64,
    /// State between segments.
    pub state: u64,
    /// Everything else.
    pub scratch: u64,
}

fn absent<T>() -> Result<T> {
    Err(Error::new(ErrorKind::Device, "this build has no learner"))
}

#[allow(missing_docs, clippy::unused_async)]
impl Learner {
    pub async fn new(_: &Engine, _: &ModelSource, _: &LearnerOptions) -> Result<Self> {
        absent()
    }
    pub async fn accumulate(&mut self, _: &Batch, _: f32) -> Result<Vec<f32>> {
        absent()
    }
    pub async fn score(&mut self, _: &Batch) -> Result<Vec<f32>> {
        absent()
    }
    pub async fn predict(&mut self, _: &Batch) -> Result<Vec<u32>> {
        absent()
    }
    pub async fn gradient_norm(&mut self) -> Result<f64> {
        absent()
    }
    pub async fn update(&mut self, _: &AdamW, _: u64) -> Result<()> {
        absent()
    }
    pub async fn weights(&self) -> Result<NamedTensors> {
        absent()
    }
    pub async fn gradients(&self) -> Result<NamedTensors> {
        absent()
    }
    pub async fn moments(&self) -> Result<NamedTensors> {
        absent()
    }
    pub async fn restore_moments(&mut self, _: NamedTensors) -> Result<()> {
        absent()
    }
    pub fn memory(&self) -> LearnerMemory {
        LearnerMemory::default()
    }
}
