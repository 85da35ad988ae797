//! Which tokens end a text and which begin it, and how a model is talked to: what its files say.

use serde_json::Value;

use super::chat::{ChatTemplate, tokens};
use super::conventions::{Conventions, SamplingDefaults};
use super::tokenizer::Tokenizer;

/// Files beside `config.json` that say how texts of a model begin and end, and how it is talked to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EndFiles {
    /// The text of `generation_config.json`: `eos_token_id`, a number or a list; how tokens are sampled.
    pub generation_config: Option<String>,
    /// The text of `tokenizer_config.json`: `eos_token`, a token or an object with its `content`;
    /// `add_bos_token`; `chat_template`.
    pub tokenizer_config: Option<String>,
    /// The text of `chat_template.jinja`.
    pub chat_template: Option<String>,
}

impl EndFiles {
    /// Those of a folder. One that cannot be read is told about by [`EndFiles::resolve`], as a damaged one is.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn open(dir: &std::path::Path) -> Self {
        use crate::files::{Whole, read_text};
        let read = |name: &str| {
            let path = dir.join(name);
            path.exists().then(|| read_text(&path, Whole::Settings).unwrap_or_default())
        };
        Self {
            generation_config: read("generation_config.json"),
            tokenizer_config: read("tokenizer_config.json"),
            chat_template: read("chat_template.jinja"),
        }
    }

    /// How the model is talked to.
    pub fn conventions(&self) -> Conventions {
        Conventions {
            template: ChatTemplate::from_files(
                self.chat_template.as_deref(),
                self.tokenizer_config.as_deref(),
            )
            .transpose(),
            tokens: tokens(self.tokenizer_config.as_deref()),
            sampling: self.generation_config.as_deref().map(SamplingDefaults::from_json).unwrap_or_default(),
        }
    }

    /// The tokenizer with every end that the files name, `config` (the ids of `config.json`) first; with those
    /// of the known names if they name none. Also tells what is odd about them.
    pub fn resolve(
        &self,
        config: &[u32],
        tokenizer: &Tokenizer,
        vocab_size: usize,
    ) -> (Tokenizer, Vec<String>) {
        let (mut ends, mut warnings) = (Vec::new(), Vec::new());
        let mut add = |file: &str, found: Result<Vec<u32>, String>| match found {
            Err(what) => warnings.push(format!("{file}: {what}; its end of a text is not known")),
            Ok(ids) => {
                for id in ids {
                    if id as usize >= vocab_size {
                        warnings.push(format!(
                            "{file}: the end of a text is token {id}, the model's vocab_size is {vocab_size}; it is ignored"
                        ));
                    } else if !ends.contains(&id) {
                        ends.push(id);
                    }
                }
            }
        };
        add("config.json", Ok(config.to_vec()));
        if let Some(text) = &self.generation_config {
            add("generation_config.json", object(text).and_then(|object| ids(&object["eos_token_id"])));
        }
        if let Some(text) = &self.tokenizer_config {
            let id = object(text).and_then(|object| named("eos_token", &object, tokenizer));
            add("tokenizer_config.json", id);
        }
        if ends.is_empty() {
            // A model that is too small for its tokenizer is refused when a text is asked for.
            ends.extend(tokenizer.ends().iter().filter(|id| (**id as usize) < vocab_size));
            if ends.is_empty() && tokenizer.vocab_size() <= vocab_size {
                warnings.push(
                    "no token is known to end a text: eos_token_id in config.json would name it".to_string(),
                );
            }
        }
        let tokenizer = tokenizer.with_ends(&ends);
        let config = self.tokenizer_config.as_deref().and_then(|text| object(text).ok()).unwrap_or_default();
        let begun = match config["add_bos_token"].as_bool() {
            Some(true) => match named("bos_token", &config, &tokenizer) {
                Ok(ids) => ids.first().copied(),
                Err(what) => {
                    warnings.push(format!("tokenizer_config.json: {what}; texts begin without it"));
                    None
                }
            },
            Some(false) => None,
            None => return (tokenizer, warnings),
        };
        (tokenizer.with_begin(begun.filter(|id| (*id as usize) < vocab_size)), warnings)
    }
}

fn object(text: &str) -> Result<Value, String> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    match serde_json::from_str(text) {
        Ok(value @ Value::Object(_)) => Ok(value),
        Ok(_) => Err("not a JSON object".into()),
        Err(error) => Err(format!("not valid JSON: {error}")),
    }
}

/// Token ids: a number, a list, or nothing.
pub(super) fn ids(value: &Value) -> Result<Vec<u32>, String> {
    let one = |value: &Value| value.as_u64().and_then(|id| u32::try_from(id).ok());
    let found = match value {
        Value::Null => Some(Vec::new()),
        Value::Array(list) => list.iter().map(one).collect(),
        value => one(value).map(|id| vec![id]),
    };
    found.ok_or_else(|| "eos_token_id is no token id, nor a list of them".into())
}

/// The token under a key of `tokenizer_config.json`, if there is one.
fn named(key: &str, config: &Value, tokenizer: &Tokenizer) -> Result<Vec<u32>, String> {
    let token = match &config[key] {
        Value::Null => return Ok(Vec::new()),
        Value::Object(object) => object.get("content").and_then(Value::as_str),
        value => value.as_str(),
    };
    let token = token.ok_or_else(|| format!("{key} is no token"))?;
    let id = tokenizer.token_to_id(token);
    id.map(|id| vec![id]).ok_or_else(|| format!("{key} is {token:?}, the tokenizer has no such token"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokenizer(words: &[&str]) -> Tokenizer {
        let vocab: serde_json::Map<String, Value> =
            words.iter().enumerate().map(|(id, word)| ((*word).to_string(), id.into())).collect();
        let json = serde_json::json!({ "version": "1.0", "added_tokens": [],
            "model": { "type": "WordLevel", "vocab": vocab, "unk_token": words[0] } });
        Tokenizer::from_json_bytes(json.to_string().as_bytes(), "t").expect("loads")
    }

    #[test]
    fn every_end_that_the_files_name() {
        let t = tokenizer(&["<unk>", "a", "</s>", "<stop>", "<turn>", "b"]);
        let files = |generation: &str, tokenizer: &str| EndFiles {
            generation_config: (!generation.is_empty()).then(|| generation.to_string()),
            tokenizer_config: (!tokenizer.is_empty()).then(|| tokenizer.to_string()),
            chat_template: None,
        };
        let ends = |config: &[u32], generation: &str, tokenizer: &str| {
            let (t, warnings) = files(generation, tokenizer).resolve(config, &t, 8);
            (t.ends().to_vec(), warnings.len())
        };
        // As a last resort the names that are known.
        assert_eq!(ends(&[], "", ""), (vec![2], 0));
        assert_eq!(ends(&[], "{}", r#"{"eos_token":null}"#), (vec![2], 0));
        assert_eq!(ends(&[3], "", ""), (vec![3], 0));
        assert_eq!(
            ends(&[3], r#"{"eos_token_id":[4,3]}"#, r#"{"eos_token":{"content":"</s>"}}"#),
            (vec![3, 4, 2], 0)
        );
        assert_eq!(ends(&[], "\u{feff}{\"eos_token_id\":5}", r#"{"eos_token":"<stop>"}"#), (vec![5, 3], 0));
        // What cannot be is told, and the rest holds.
        assert_eq!(ends(&[], r#"{"eos_token_id":8}"#, ""), (vec![2], 1));
        assert_eq!(ends(&[1], r#"{"eos_token_id":-1}"#, r#"{"eos_token":"<no>"}"#), (vec![1], 2));
        assert_eq!(ends(&[], "{", "[]"), (vec![2], 2));
        let (none, warnings) = EndFiles::default().resolve(&[], &tokenizer(&["x", "y"]), 2);
        assert!(none.ends().is_empty() && warnings[0].contains("eos_token_id"), "{warnings:?}");
    }
}
