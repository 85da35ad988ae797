//! Options of sampling, and what holds where nobody gives them.

use clap::Args;
use polysketch::Result;
use polysketch::model::{GenerateOptions, SamplingDefaults};

/// How the next token is chosen. What is not given is as the model's makers sample (`generation_config.json`),
/// else the program's default.
#[derive(Debug, Args)]
#[command(next_help_heading = "Sampling")]
pub struct Sampling {
    /// Randomness: 0 is always the likeliest token, 1 the model's own distribution [default: the model's, else 0.8]
    #[arg(long, value_name = "T", allow_negative_numbers = true)]
    temperature: Option<f32>,
    /// Only the K likeliest tokens; 0: all [default: the model's, else 40]
    #[arg(long, value_name = "K")]
    top_k: Option<u32>,
    /// Only the likeliest tokens that together have this probability; 1: all [default: the model's, else 0.95]
    #[arg(long, value_name = "P", allow_negative_numbers = true)]
    top_p: Option<f32>,
    /// Only tokens at least this share as likely as the likeliest; 0: all [default: the model's, else 0.05]
    #[arg(long, value_name = "P", allow_negative_numbers = true)]
    min_p: Option<f32>,
    /// Makes tokens that occurred less likely; 1: off [default: the model's, else 1.1, and 1 in a chat or at
    /// temperature 0]
    #[arg(long, value_name = "R", allow_negative_numbers = true)]
    repetition_penalty: Option<f32>,
    /// Seed of the draws: the same seed gives the same text [default: another one each time]
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
}

impl Sampling {
    /// What was given.
    fn given(&self) -> SamplingDefaults {
        SamplingDefaults {
            temperature: self.temperature,
            top_k: self.top_k,
            top_p: self.top_p,
            min_p: self.min_p,
            repetition_penalty: self.repetition_penalty,
        }
    }

    /// Refuses what is out of range, before a model is loaded.
    ///
    /// # Errors
    /// As [`GenerateOptions::check`].
    pub fn check(&self) -> Result<()> {
        self.given().over(GenerateOptions::default()).check()
    }

    /// What was given, over what the model's makers say, over `usual`.
    pub fn over(&self, model: &SamplingDefaults, usual: GenerateOptions) -> GenerateOptions {
        // A greedy text has no penalty but one that was asked for: who asks for the likeliest token gets it.
        let model = match self.temperature {
            Some(0.0) => SamplingDefaults { repetition_penalty: None, ..*model },
            _ => *model,
        };
        let seed = self.seed.unwrap_or_else(fresh_seed);
        GenerateOptions { seed, ..self.given().over(model.over(usual)) }
    }
}

/// A seed short enough to be typed again.
fn fresh_seed() -> u64 {
    use std::hash::{BuildHasher as _, RandomState};
    RandomState::new().hash_one(0) % 1_000_000
}
