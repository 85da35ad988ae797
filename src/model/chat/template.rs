//! Which template a model has, and what it is given.

use serde_json::Value;

use super::jinja::Jinja;
use super::message::Message;
use crate::error::{Error, ErrorKind, Result};

/// How a model writes a conversation down: a Jinja template, rendered as Hugging Face's `transformers` does.
/// Cheap to clone.
#[derive(Clone, Debug)]
pub struct ChatTemplate {
    jinja: Jinja,
    /// `bos_token`, `eos_token` and the like, with what they are.
    tokens: Vec<(String, String)>,
}

/// Special tokens that templates name.
const TOKENS: [&str; 7] =
    ["bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token"];

impl ChatTemplate {
    /// A template; `label` stands for its file in messages.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] for one that is no Jinja, with the line.
    pub fn new(source: &str, label: &str) -> Result<Self> {
        Ok(Self { jinja: Jinja::new(source, label)?, tokens: Vec::new() })
    }

    /// The same with special tokens by the names that templates have for them (`bos_token`).
    #[must_use]
    pub fn with_tokens(mut self, tokens: impl IntoIterator<Item = (String, String)>) -> Self {
        self.tokens.extend(tokens);
        self
    }

    /// The template that a model's files hold, if any: `chat_template.jinja`, else `chat_template` of
    /// `tokenizer_config.json`, a text or a list of named ones, of which `default` counts.
    ///
    /// # Errors
    /// As [`ChatTemplate::new`]; [`ErrorKind::Config`] where there are several templates and none is the
    /// default.
    pub fn from_files(jinja: Option<&str>, tokenizer_config: Option<&str>) -> Result<Option<Self>> {
        let Some((text, file)) = source(jinja, tokenizer_config)? else { return Ok(None) };
        Ok(Some(Self::new(&text, file)?.with_tokens(tokens(tokenizer_config))))
    }

    /// The conversation as the model reads it; `open`: with the beginning of an answer.
    ///
    /// # Errors
    /// [`ErrorKind::Input`] for messages that the template refuses, or cannot render, in one line.
    pub fn render(&self, messages: &[Message], open: bool) -> Result<String> {
        self.jinja.render(messages, &self.tokens, open)
    }
}

/// The text of the template that a model's files hold, and the file it is from: see
/// [`ChatTemplate::from_files`].
///
/// # Errors
/// [`ErrorKind::Config`] where there is no one template.
pub(in crate::model) fn source(
    jinja: Option<&str>,
    tokenizer_config: Option<&str>,
) -> Result<Option<(String, &'static str)>> {
    const FILE: &str = "tokenizer_config.json";
    if let Some(text) = jinja {
        // As of a file that cannot be read.
        if text.trim().is_empty() {
            let text = "chat_template.jinja: is empty, or not UTF-8";
            return Err(Error::new(ErrorKind::Config, text).help("give a template"));
        }
        return Ok(Some((text.into(), "chat_template.jinja")));
    }
    match &read(tokenizer_config)["chat_template"] {
        Value::Null => Ok(None),
        Value::String(text) => Ok(Some((text.clone(), FILE))),
        Value::Array(list) => {
            let named = |name| list.iter().find(|entry| entry["name"] == name);
            let only = list.first().filter(|_| list.len() == 1);
            let entry = named("default").or(only).and_then(|entry| entry["template"].as_str());
            let text = entry.ok_or_else(|| {
                let names: Vec<_> = list.iter().filter_map(|entry| entry["name"].as_str()).collect();
                let text = format!("{FILE}: no chat template is named default, only {}", names.join(", "));
                Error::new(ErrorKind::Config, text).help("give the template that you want")
            })?;
            Ok(Some((text.into(), FILE)))
        }
        _ => {
            let text = format!("{FILE}: chat_template is neither a text nor a list");
            Err(Error::new(ErrorKind::Config, text).help("give a template"))
        }
    }
}

/// A damaged file is told about where the ends of a text are read from it.
fn read(tokenizer_config: Option<&str>) -> Value {
    let text = tokenizer_config.map(|text| text.strip_prefix('\u{feff}').unwrap_or(text));
    text.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default()
}

/// The special tokens of a `tokenizer_config.json`.
pub(in crate::model) fn tokens(tokenizer_config: Option<&str>) -> Vec<(String, String)> {
    let config = read(tokenizer_config);
    let content = |token: &Value| token.as_str().or(token["content"].as_str()).map(String::from);
    TOKENS.iter().filter_map(|name| Some(((*name).to_string(), content(&config[*name])?))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(jinja: Option<&str>, config: &str) -> Result<Option<String>> {
        let template = ChatTemplate::from_files(jinja, Some(config))?;
        template.map(|t| t.render(&[Message::new("user", "hi")], true)).transpose()
    }

    #[test]
    fn the_template_that_counts() {
        let rendered = |jinja, config| files(jinja, config).expect("renders");
        assert_eq!(rendered(None, "{}"), None);
        assert_eq!(rendered(None, "damaged"), None);
        assert_eq!(
            rendered(None, r#"{"chat_template":"a {{ messages[0].content }}"}"#).as_deref(),
            Some("a hi")
        );
        assert_eq!(rendered(Some("b"), r#"{"chat_template":"a"}"#).as_deref(), Some("b"));
        let error = files(Some(" \n"), r#"{"chat_template":"a"}"#).expect_err("no template");
        assert!(error.message().contains("chat_template.jinja: is empty"), "{error}");
        let list = r#"{"bos_token":{"content":"<s>"},"chat_template":[{"name":"tool_use","template":"t"},
            {"name":"default","template":"{{ bos_token }}{{ eos_token }}d"}]}"#;
        assert_eq!(rendered(None, list).as_deref(), Some("<s>d"));
        let one = r#"{"chat_template":[{"name":"x","template":"x"}]}"#;
        assert_eq!(rendered(None, one).as_deref(), Some("x"));
    }

    #[test]
    fn what_is_no_template_is_refused_in_a_line() {
        for (config, words) in [
            (r#"{"chat_template":7}"#, "neither"),
            (r#"{"chat_template":[{"name":"a","template":"a"},{"name":"b","template":"b"}]}"#, "only a, b"),
            (r#"{"chat_template":"one\n{% if %}"}"#, "line 2"),
            (r#"{"chat_template":"{{ raise_exception('Only users speak.') }}"}"#, "Only users speak."),
            (r#"{"chat_template":"x\ny{{ messages[0].content.nothing() }}"}"#, "line 2"),
            (r#"{"chat_template":"{{ messages.a.b }}"}"#, "line 1"),
            (
                r#"{"chat_template":"{% for i in range(9999) %}{% for j in range(9999) %}x{% endfor %}{% endfor %}"}"#,
                "fuel",
            ),
        ] {
            let error = files(None, config).expect_err(config);
            assert!(error.message().contains(words) && error.advice().is_some(), "{config}: {error}");
            assert!(!error.message().contains('\n'), "{error}");
        }
    }
}
