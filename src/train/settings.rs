//! What a run is asked to do. Saved with every checkpoint, so that it can be continued.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::optimizer::AdamW;
use super::plan::LearnerOptions;
use super::schedule::{Decay, Schedule};
use super::tasks::{Task, TaskKind};
use crate::error::{Error, ErrorKind, Result};
use crate::graph::Recompute;

/// Everything that decides what a run computes, and when it writes what.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Settings {
    /// Steps of the optimiser.
    pub steps: u64,
    /// Sequences computed at a time.
    pub batch: usize,
    /// Such batches in a step.
    pub accumulate: usize,
    /// Tokens of a sequence.
    pub context: usize,
    /// Largest learning rate.
    pub lr: f64,
    /// Learning rate of the last step.
    pub min_lr: f64,
    /// How the rate falls.
    pub schedule: Decay,
    /// Steps of the linear warm-up.
    pub warmup: u64,
    /// Decoupled weight decay of matrices.
    pub weight_decay: f64,
    /// Decay of the first moment.
    pub beta1: f64,
    /// Decay of the second moment.
    pub beta2: f64,
    /// Added to the root of the second moment.
    pub eps: f64,
    /// Largest norm of the gradient; 0: any.
    pub clip: f64,
    /// Seed of the initial weights and of the order of the data.
    pub seed: u64,
    /// Tokens of a sequence computed at a time.
    pub segment: Option<usize>,
    /// Whether the backward pass computes the layers again instead of keeping what they computed.
    pub recompute: bool,
    /// Texts to train on.
    #[serde(default, with = "crate::files::paths::list")]
    pub data: Vec<PathBuf>,
    /// Or a synthetic task.
    pub task: Option<TaskSettings>,
    /// Text to evaluate on.
    #[serde(default, with = "crate::files::paths::optional")]
    pub eval_data: Option<PathBuf>,
    /// Steps between evaluations; 0: only at the end.
    pub eval_every: u64,
    /// Tokens of an evaluation.
    pub eval_tokens: usize,
    /// Steps between checkpoints; 0: only at the end.
    pub save_every: u64,
    /// Checkpoints that are kept.
    pub keep: usize,
    /// Steps between lines of the log.
    pub log_every: u64,
}

/// A synthetic task; its length is the context.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskSettings {
    /// Which.
    pub kind: TaskKind,
    /// Things to remember.
    pub items: usize,
    /// Tokens it uses.
    pub vocabulary: usize,
}

/// Turns the seed of a run into that of sequences it is not trained on.
const HELD_OUT: u64 = 0x6865_6c64_206f_7574;

impl Default for Settings {
    /// A thousand steps; data or a task must still be given.
    fn default() -> Self {
        Self {
            steps: 1000,
            batch: 8,
            accumulate: 1,
            context: 256,
            lr: 1e-3,
            min_lr: 1e-4,
            schedule: Decay::default(),
            warmup: 100,
            weight_decay: 0.1,
            beta1: 0.9,
            beta2: 0.95,
            eps: 1e-8,
            clip: 1.0,
            seed: 0,
            segment: None,
            recompute: false,
            data: Vec::new(),
            task: None,
            eval_data: None,
            eval_every: 100,
            eval_tokens: 16 << 10,
            save_every: 100,
            keep: 3,
            log_every: 1,
        }
    }
}

impl Settings {
    /// The task to train on, and the same with other sequences to evaluate on; none for a run on texts.
    ///
    /// # Errors
    /// [`ErrorKind::Input`] for a task of more tokens than the model has; as [`Task::new`].
    pub fn tasks(&self, vocab_size: usize) -> Result<Option<[Task; 2]>> {
        let Some(task) = self.task else { return Ok(None) };
        if task.vocabulary > vocab_size {
            let what =
                format!("a task of {} tokens for a model with a vocab_size of {vocab_size}", task.vocabulary);
            return Err(Error::new(ErrorKind::Input, what)
                .help("use a smaller --task-vocab, or a model with a larger vocab_size"));
        }
        let training = Task::new(task.kind, task.vocabulary, task.items, self.context, self.seed)?;
        let held_out = training.with_seed(self.seed ^ HELD_OUT);
        Ok(Some([training, held_out]))
    }

    /// The learning rate of every step.
    pub fn rates(&self) -> Schedule {
        Schedule {
            peak: self.lr,
            last: self.min_lr,
            warmup: self.warmup,
            steps: self.steps,
            decay: self.schedule,
        }
    }

    /// The optimiser's settings at a learning rate.
    pub fn optimiser(&self, lr: f64) -> AdamW {
        AdamW {
            lr,
            beta1: self.beta1,
            beta2: self.beta2,
            eps: self.eps,
            weight_decay: self.weight_decay,
            clip: self.clip,
        }
    }

    /// How the learner computes.
    pub fn learner(&self) -> LearnerOptions {
        let recompute = if self.recompute { Recompute::Sections } else { Recompute::Nothing };
        LearnerOptions { lanes: self.batch, context: self.context, segment: self.segment, recompute }
    }

    /// Sequences of a step.
    pub fn sequences(&self) -> usize {
        self.batch.saturating_mul(self.accumulate)
    }

    /// Tokens that so many steps read.
    pub fn tokens(&self, steps: u64) -> u64 {
        steps.saturating_mul(self.sequences() as u64).saturating_mul(self.context as u64)
    }

    /// Refuses what cannot be meant.
    ///
    /// # Errors
    /// [`ErrorKind::Input`], naming the value and what is allowed.
    pub fn check(&self) -> Result<()> {
        self.rates().check()?;
        let within = |what: &str, x: f64, fits: bool, allowed: &str| {
            if fits {
                Ok(())
            } else {
                Err(Error::new(ErrorKind::Input, format!("{what} is {x}, must be {allowed}"))
                    .help("leave it out for the usual value"))
            }
        };
        within(
            "the weight decay",
            self.weight_decay,
            (0.0..=10.0).contains(&self.weight_decay),
            "from 0 to 10",
        )?;
        within("beta1", self.beta1, (0.0..1.0).contains(&self.beta1), "from 0 to below 1")?;
        within("beta2", self.beta2, (0.0..1.0).contains(&self.beta2), "from 0 to below 1")?;
        within("eps", self.eps, self.eps > 0.0 && self.eps <= 1.0, "above 0 and at most 1")?;
        within(
            "the gradient norm to clip at",
            self.clip,
            self.clip >= 0.0 && self.clip.is_finite(),
            "0 (none) or above",
        )?;
        for (what, n) in [
            ("batch", self.batch),
            ("accumulate", self.accumulate),
            ("context", self.context),
            ("keep", self.keep),
        ] {
            within(what, n as f64, n > 0, "at least 1")?;
        }
        within("steps", self.steps as f64, self.steps > 0, "at least 1")
    }
}
