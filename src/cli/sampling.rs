//! How the next token is chosen: what the user says, else what the model's files say, else what is usual.

use clap::Args;
use polysketch::Result;
use polysketch::model::{GenerateOptions, SamplingDefaults};

/// Options of the sampler.
#[derive(Debug, Args)]
#[command(next_help_heading = "Sampling")]
pub struct Sampling {
    /// Randomness: 0 is always the likeliest token, 1 the model's own distribution [default: the model's, or
    /// 0.8]
    #[arg(long, value_name = "T", allow_negative_numbers = true)]
    temperature: Option<f32>,
    /// Only the K likeliest tokens; 0: all [default: the model's, or 40]
    #[arg(long, value_name = "K")]
    top_k: Option<u32>,
    /// Only the likeliest tokens that together have this probability; 1: all [default: the model's, or 0.95]
    #[arg(long, value_name = "P", allow_negative_numbers = true)]
    top_p: Option<f32>,
    /// Only tokens at least this share as likely as the likeliest; 0: all [default: the model's, or 0.05]
    #[arg(long, value_name = "P", allow_negative_numbers = true)]
    min_p: Option<f32>,
    /// Makes tokens that occurred less likely; 1: off [default: the model's, or 1.1 for a text, 1 in a chat
    /// and at temperature 0]
    #[arg(long, value_name = "R", allow_negative_numbers = true)]
    repetition_penalty: Option<f32>,
    /// Seed of the draws: the same seed gives the same text [default: another one each time]
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// Text that ends generation and is not part of it; may be given several times
    #[arg(long, value_name = "TEXT")]
    stop: Vec<String>,
}

impl Sampling {
    /// Refuses what no model can take.
    ///
    /// # Errors
    /// As [`GenerateOptions::check`].
    pub fn check(&self) -> Result<()> {
        self.options(&SamplingDefaults::default(), GenerateOptions::default()).map(drop)
    }

    /// What the user says, else what the model's files say, else what is usual.
    ///
    /// # Errors
    /// As [`GenerateOptions::check`].
    pub fn options(&self, model: &SamplingDefaults, usual: GenerateOptions) -> Result<GenerateOptions> {
        let given = SamplingDefaults {
            temperature: self.temperature,
            top_k: self.top_k,
            top_p: self.top_p,
            min_p: self.min_p,
            // Who asks for the likeliest token asks for nothing else.
            repetition_penalty: self.repetition_penalty.or((self.temperature == Some(0.0)).then_some(1.0)),
        };
        let options = GenerateOptions {
            seed: self.seed.unwrap_or_else(fresh_seed),
            stop: self.stop.clone(),
            ..given.over(model.over(usual))
        };
        options.check()?;
        Ok(options)
    }
}

/// A seed short enough to be typed again.
fn fresh_seed() -> u64 {
    use std::hash::{BuildHasher as _, RandomState};
    RandomState::new().hash_one(0) % 1_000_000
}
