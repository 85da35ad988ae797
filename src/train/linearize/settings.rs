//! What linearising is asked to do.

use serde::{Deserialize, Serialize};

use crate::error::{Error, ErrorKind, Result};
use crate::model::ModelConfig;
use crate::model::config::Linearized;
use crate::model::transformer;
use crate::train::schedule::{Decay, Schedule};

/// What a student learns from (SPEC §10).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stage {
    /// Its teacher's attention, layer by layer: only the sketches learn.
    #[default]
    Attention,
    /// Its teacher's logits: the sketches learn, and what is added to the projections of attention.
    Logits,
}

/// The students that a run begins from.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Beginning {
    /// Tells their adapter's file from others: its hash.
    pub adapter: u64,
    /// The logit of every gate instead of its own.
    pub gate: Option<f32>,
}

/// Everything that decides what linearising computes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LinearizeSettings {
    /// What the student learns from.
    #[serde(default)]
    pub stage: Stage,
    /// The student.
    pub linearized: Linearized,
    /// Tokens of a text.
    pub context: usize,
    /// Texts of a step.
    pub batch: usize,
    /// Steps in all.
    pub steps: u64,
    /// Largest learning rate.
    pub lr: f64,
    /// Steps of the warm-up.
    pub warmup: u64,
    /// Decides all that is random.
    pub seed: u64,
    /// Tells what is learned from from other texts ([`Texts::hash`](super::texts::Texts::hash)).
    #[serde(default)]
    pub data: u64,
    /// What it begins from; none: what one text gives.
    #[serde(default)]
    pub begin: Option<Beginning>,
}

impl LinearizeSettings {
    /// The learning rate of each step.
    pub fn schedule(&self) -> Schedule {
        let (last, warmup) = (0.05 * self.lr, self.warmup.min(self.steps));
        Schedule { peak: self.lr, last, warmup, steps: self.steps, decay: Decay::Cosine }
    }

    /// Tokens of so many steps.
    pub fn tokens(&self, steps: u64) -> u64 {
        steps.saturating_mul((self.batch as u64).saturating_mul(self.context as u64))
    }

    /// Refuses a student that a model cannot have.
    ///
    /// # Errors
    /// [`ErrorKind::Input`].
    pub fn check_student(&self, teacher: &ModelConfig) -> Result<()> {
        let layers = teacher.num_hidden_layers;
        if self.linearized.near.len() != layers {
            let text =
                format!("near blocks of {} layers, the model has {layers}", self.linearized.near.len());
            return Err(Error::new(ErrorKind::Input, text).help("give one number a layer"));
        }
        let config = ModelConfig { linearized: Some(self.linearized.clone()), ..teacher.clone() };
        transformer::check_layers(&config).map_err(|e| {
            Error::new(ErrorKind::Input, e.message()).help("choose another student: linearize --help")
        })
    }

    /// Refuses what cannot be run.
    ///
    /// # Errors
    /// [`ErrorKind::Input`].
    pub fn check(&self) -> Result<()> {
        let linear = self.linearized.near.iter().filter(|near| **near > 0);
        let exact = linear.map(|near| near.saturating_mul(self.linearized.block_size));
        // What is exact over the whole context has nothing to learn, and would count as perfect.
        let all_learn = self.steps > 0 && self.stage == Stage::Attention;
        let exact = if all_learn { exact.max() } else { exact.min() };
        let least = exact.unwrap_or(0).saturating_add(self.linearized.block_size);
        if self.batch == 0 || self.context < least {
            let text = format!(
                "{} steps of {} texts of {} tokens; all is exact up to {} tokens",
                self.steps,
                self.batch,
                self.context,
                exact.unwrap_or(0)
            );
            return Err(Error::new(ErrorKind::Input, text)
                .help(format!("use at least 1 text, and a --context of {least} tokens")));
        }
        self.schedule().check()
    }
}
