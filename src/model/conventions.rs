//! How a model is talked to: what it has been made for, as its files say.

use serde_json::Value;

use super::chat::ChatTemplate;
use super::sampling::GenerateOptions;
use crate::error::{Error, ErrorKind, Result};

/// How a model is talked to.
#[derive(Clone, Debug, Default)]
pub struct Conventions {
    /// How it writes down a conversation; an error where its template is damaged; none where it has none.
    pub template: Option<Result<ChatTemplate>>,
    /// Special tokens by the names that templates have for them (`bos_token`).
    pub tokens: Vec<(String, String)>,
    /// How its makers sample from it.
    pub sampling: SamplingDefaults,
}

/// How a model's makers sample from it (`generation_config.json`), as far as they say.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct SamplingDefaults {
    /// As in [`GenerateOptions`].
    pub temperature: Option<f32>,
    /// As in [`GenerateOptions`].
    pub top_k: Option<u32>,
    /// As in [`GenerateOptions`].
    pub top_p: Option<f32>,
    /// As in [`GenerateOptions`].
    pub min_p: Option<f32>,
    /// As in [`GenerateOptions`].
    pub repetition_penalty: Option<f32>,
}

impl SamplingDefaults {
    /// What a `generation_config.json` says. One that says how to sample (`do_sample`) leaves what it does
    /// not name as Hugging Face's library does; values out of range are passed over.
    pub fn from_json(text: &str) -> Self {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        // A damaged file is told about where the ends of a text are read from it.
        let config: Value = serde_json::from_str(text).unwrap_or_default();
        let number =
            |name: &str| config[name].as_f64().map(|value| value as f32).filter(|value| value.is_finite());
        let usual = match config["do_sample"].as_bool() {
            Some(true) => Self {
                temperature: Some(1.0),
                top_k: Some(50),
                top_p: Some(1.0),
                min_p: Some(0.0),
                repetition_penalty: Some(1.0),
            },
            Some(false) => {
                let penalty = number("repetition_penalty").filter(|p| *p > 0.0);
                return Self { temperature: Some(0.0), repetition_penalty: penalty, ..Self::default() };
            }
            None => Self::default(),
        };
        Self {
            temperature: number("temperature").filter(|t| *t >= 0.0).or(usual.temperature),
            top_k: config["top_k"].as_u64().and_then(|k| u32::try_from(k).ok()).or(usual.top_k),
            top_p: number("top_p").filter(|p| *p > 0.0 && *p <= 1.0).or(usual.top_p),
            min_p: number("min_p").filter(|p| (0.0..=1.0).contains(p)).or(usual.min_p),
            repetition_penalty: number("repetition_penalty")
                .filter(|p| *p > 0.0)
                .or(usual.repetition_penalty),
        }
    }

    /// These where they say something, else `usual`.
    pub fn over(&self, usual: GenerateOptions) -> GenerateOptions {
        GenerateOptions {
            temperature: self.temperature.unwrap_or(usual.temperature),
            top_k: self.top_k.unwrap_or(usual.top_k),
            top_p: self.top_p.unwrap_or(usual.top_p),
            min_p: self.min_p.unwrap_or(usual.min_p),
            repetition_penalty: self.repetition_penalty.or(usual.repetition_penalty),
            ..usual
        }
    }
}

impl Conventions {
    /// Another template, with the model's tokens; `label` stands for its file in messages.
    ///
    /// # Errors
    /// As [`ChatTemplate::new`].
    pub fn other_template(&self, source: &str, label: &str) -> Result<ChatTemplate> {
        Ok(ChatTemplate::new(source, label)?.with_tokens(self.tokens.iter().cloned()))
    }

    /// The template.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] where it is damaged, or there is none.
    pub fn template(&self) -> Result<&ChatTemplate> {
        match &self.template {
            Some(template) => template.as_ref().map_err(Clone::clone),
            None => Err(Error::new(ErrorKind::Config, "the model has no chat template: it continues texts")
                .help("continue it as a text, or give a template")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_generation_config_says() {
        let read = SamplingDefaults::from_json;
        assert_eq!(read("{}"), SamplingDefaults::default());
        assert_eq!(read("damaged"), SamplingDefaults::default());
        let some = read(r#"{"temperature":0.6,"top_p":7,"eos_token_id":2}"#);
        assert_eq!(some, SamplingDefaults { temperature: Some(0.6), ..SamplingDefaults::default() });
        assert_eq!(read(r#"{"temperature":1e300,"repetition_penalty":1e300}"#), SamplingDefaults::default());
        let all = read("\u{feff}{\"do_sample\":true,\"temperature\":0.7,\"top_k\":20}");
        let options = all.over(GenerateOptions::default());
        assert_eq!((options.temperature, options.top_k, options.top_p, options.min_p), (0.7, 20, 1.0, 0.0));
        assert_eq!(options.repetition_penalty, Some(1.0));
        let greedy = read(r#"{"do_sample":false,"temperature":0.7,"repetition_penalty":1.3}"#);
        assert_eq!((greedy.temperature, greedy.repetition_penalty), (Some(0.0), Some(1.3)));
    }
}
