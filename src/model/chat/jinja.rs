//! Templates as Hugging Face's `transformers` renders them: Jinja with `trim_blocks`, `lstrip_blocks` and
//! loop controls, Python's methods of strings and its way to write values, and a few functions.

use std::sync::Arc;

use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Kwargs, Rest};
use minijinja::{Environment, ErrorKind as Kind, Value, context};

use super::message::Message;
use super::python;
use crate::error::{Error, ErrorKind, Result};

/// The name of the template in its environment.
const NAME: &str = "chat";

/// Steps that a template may take: one that never ends is told about instead.
const MOST_STEPS: u64 = 5_000_000;

/// A template that is ready.
#[derive(Clone, Debug)]
pub(super) struct Jinja {
    environment: Arc<Environment<'static>>,
    label: String,
}

impl Jinja {
    pub fn new(source: &str, label: &str) -> Result<Self> {
        let mut environment = Environment::new();
        if let Ok(syntax) = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build() {
            environment.set_syntax(syntax);
        }
        environment.set_fuel(Some(MOST_STEPS));
        environment.set_auto_escape_callback(|_| minijinja::AutoEscape::None);
        environment.set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
        environment.set_formatter(|out, _, value| Ok(python::text(value, out)?));
        environment.add_filter("tojson", to_json);
        environment.add_function("raise_exception", raise);
        environment.add_function("strftime_now", now);
        let this = |environment| Self { environment: Arc::new(environment), label: label.into() };
        match environment.add_template_owned(NAME, without_marks(source)) {
            Ok(()) => Ok(this(environment)),
            Err(error) => {
                let text = this(environment).line("is no Jinja that is understood here", &error);
                Err(Error::new(ErrorKind::Config, text).help(OTHER))
            }
        }
    }

    pub fn render(&self, messages: &[Message], tokens: &[(String, String)], open: bool) -> Result<String> {
        let tokens = Value::from_pairs(tokens.iter().cloned());
        let said = |message: &Message| {
            Value::from_pairs([("role", message.role.as_str()), ("content", message.content.as_str())])
        };
        let given = context! {
            messages => messages.iter().map(said).collect::<Value>(),
            add_generation_prompt => open,
            tools => (),
            documents => (),
            ..tokens
        };
        let rendered = self.environment.get_template(NAME).and_then(|template| template.render(given));
        rendered.map_err(|error| {
            let raised = std::error::Error::source(&error).is_some_and(|source| source.is::<Raised>());
            if raised {
                let why = one_line(error.detail().unwrap_or_default());
                let text = format!("the chat template refuses the conversation: {why}");
                return Error::new(ErrorKind::Input, text)
                    .help("say it as the model's template wants it; /reset begins anew");
            }
            Error::new(ErrorKind::Input, self.line("failed", &error)).help(OTHER)
        })
    }

    fn line(&self, what: &str, error: &minijinja::Error) -> String {
        let at = error.line().map(|line| format!(", line {line}")).unwrap_or_default();
        let detail = error.detail().map(|detail| format!(": {}", one_line(detail))).unwrap_or_default();
        format!("{}: the chat template{at} {what}: {}{detail}", self.label, error.kind())
    }
}

const OTHER: &str = "write another template and give that one";

/// Marks the errors of `raise_exception`.
#[derive(Debug, thiserror::Error)]
#[error("raised by the template")]
struct Raised;

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The tags `{% generation %}` and `{% endgeneration %}` mark what a model said, for training. Here they mark
/// nothing, and Jinja itself has no such tags.
fn without_marks(source: &str) -> String {
    let mut text = String::with_capacity(source.len());
    let mut rest = source;
    while let Some(at) = rest.find("{%") {
        let (before, tag) = rest.split_at(at);
        text.push_str(before);
        let end = tag.find("%}").map_or(tag.len(), |end| end + 2);
        let (tag, after) = tag.split_at(end);
        let name = tag.trim_start_matches(['{', '%', '-', '+']).trim_end_matches(['}', '%', '-', '+']).trim();
        match name {
            "generation" => text.push_str(&tag.replace(name, "if true")),
            "endgeneration" => text.push_str(&tag.replace(name, "endif")),
            _ => text.push_str(tag),
        }
        rest = after;
    }
    text + rest
}

fn raise(text: String) -> Result<Value, minijinja::Error> {
    Err(minijinja::Error::new(Kind::InvalidOperation, text).with_source(Raised))
}

fn now(format: &str) -> Result<String, minijinja::Error> {
    jiff::fmt::strtime::format(format, &jiff::Zoned::now())
        .map_err(|e| minijinja::Error::new(Kind::InvalidOperation, format!("strftime_now: {e}")))
}

fn to_json(value: &Value, _: Rest<Value>, options: Kwargs) -> Result<Value, minijinja::Error> {
    let indent: Option<usize> = options.get("indent")?;
    let text = python::json(value, indent)
        .map_err(|e| minijinja::Error::new(Kind::BadSerialization, format!("tojson: {e}")))?;
    Ok(Value::from_safe_string(text))
}
