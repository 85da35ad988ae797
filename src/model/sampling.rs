//! How the next token is chosen, and when generation ends.

use serde::{Deserialize, Serialize};

use super::text_stream::StopStrings;
use crate::error::{Error, ErrorKind, Result};
use crate::kernels::sample::sample::SETTINGS;

/// Options of [`Session::generate`](super::Session::generate), named as in Hugging Face and llama.cpp. As
/// JSON, with names as JavaScript writes them; what is missing has its default.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct GenerateOptions {
    /// Most tokens to generate.
    pub max_tokens: usize,
    /// 0: greedy.
    pub temperature: f32,
    /// Only the so many most likely tokens; 0: all.
    pub top_k: u32,
    /// Only the most likely tokens that together have this probability; 1: all.
    pub top_p: f32,
    /// Only tokens at least this share as likely as the likeliest; 0: all.
    pub min_p: f32,
    /// Logits of tokens that occurred are divided by this (multiplied where negative); 1: off. None: 1.1, and
    /// 1 at temperature 0, so that greedy is greedy.
    pub repetition_penalty: Option<f32>,
    /// Seed of the draws.
    pub seed: u64,
    /// Texts that end generation; they are not part of the result.
    pub stop: Vec<String>,
}

impl Default for GenerateOptions {
    fn default() -> Self {
        Self {
            max_tokens: 128,
            temperature: 0.8,
            top_k: 40,
            top_p: 0.95,
            min_p: 0.05,
            repetition_penalty: None,
            seed: 0,
            stop: Vec::new(),
        }
    }
}

impl GenerateOptions {
    /// Always the likeliest token.
    pub fn greedy(max_tokens: usize) -> Self {
        Self { max_tokens, temperature: 0.0, top_k: 0, top_p: 1.0, min_p: 0.0, ..Self::default() }
    }

    /// The repetition penalty in force.
    pub(super) fn penalty(&self) -> f32 {
        self.repetition_penalty.unwrap_or(if self.temperature == 0.0 { 1.0 } else { 1.1 })
    }

    /// Refuses options outside their range, naming the option, the value and the range.
    ///
    /// # Errors
    /// [`ErrorKind::Input`], naming the option.
    pub fn check(&self) -> Result<()> {
        let refuse = |name: &str, value: f32, range: &str| {
            Err(Error::new(ErrorKind::Input, format!("{name} is {value}")).help(format!("use {range}")))
        };
        if !(self.temperature >= 0.0 && self.temperature.is_finite()) {
            return refuse("temperature", self.temperature, "0 (greedy) or a positive number");
        }
        if !(self.top_p > 0.0 && self.top_p <= 1.0) {
            return refuse("top-p", self.top_p, "a number above 0, at most 1 (off)");
        }
        if !(0.0..=1.0).contains(&self.min_p) {
            return refuse("min-p", self.min_p, "a number from 0 (off) to 1");
        }
        if !(self.penalty() > 0.0 && self.penalty().is_finite()) {
            return refuse("repetition-penalty", self.penalty(), "a positive number, 1 for none");
        }
        StopStrings::new(&self.stop)?;
        Ok(())
    }

    /// The sampler's settings of one slot.
    pub(super) fn words(&self) -> [u32; SETTINGS] {
        let floats = [self.temperature, self.top_p, self.min_p, self.penalty()].map(f32::to_bits);
        [
            floats[0],
            self.top_k,
            floats[1],
            floats[2],
            floats[3],
            self.seed as u32,
            (self.seed >> 32) as u32,
            0,
        ]
    }
}

/// Why generation ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum StopReason {
    /// `max_tokens` were generated.
    MaxTokens,
    /// The model ended the text.
    EndOfText,
    /// A stop string appeared.
    StopString,
    /// The caller's callback stopped it.
    Cancelled,
}

/// What [`Session::generate`](super::Session::generate) did.
#[derive(Clone, Debug, PartialEq)]
pub struct Generated {
    /// The text, as it was streamed.
    pub text: String,
    /// All tokens generated, the one that ended the text included.
    pub ids: Vec<u32>,
    /// Why it ended.
    pub reason: StopReason,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_as_json() {
        let read = |json: &str| serde_json::from_str::<GenerateOptions>(json);
        assert_eq!(read("{}").expect("reads"), GenerateOptions::default());
        let greedy = read(r#"{"maxTokens":3,"temperature":0,"topK":0,"topP":1,"minP":0}"#).expect("reads");
        assert_eq!((&greedy, greedy.penalty()), (&GenerateOptions::greedy(3), 1.0));
        assert_eq!(read(r#"{"temperature":0,"repetitionPenalty":1.5}"#).expect("reads").penalty(), 1.5);
        assert_eq!(GenerateOptions::default().penalty(), 1.1);
        assert!(
            read(r#"{"temprature":0}"#).is_err()
                && read(r#"{"seed":-1}"#).is_err()
                && read(r#"{"topP":null}"#).is_err()
        );
        assert_eq!(serde_json::to_value(StopReason::EndOfText).expect("writes"), "end_of_text");
    }

    #[test]
    fn options_out_of_range_are_refused() {
        let usual = GenerateOptions::default;
        for options in [
            GenerateOptions { temperature: f32::NAN, ..usual() },
            GenerateOptions { top_p: f32::NAN, ..usual() },
            GenerateOptions { min_p: f32::NAN, ..usual() },
            GenerateOptions { repetition_penalty: Some(f32::NAN), ..usual() },
            GenerateOptions { repetition_penalty: Some(0.0), ..usual() },
        ] {
            assert_eq!(options.check().expect_err("refused").kind(), ErrorKind::Input);
        }
        usual().check().expect("fits");
    }
}
