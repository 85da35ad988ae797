//! Reads the keys of a JSON object one by one: one rule a key, one form of error.

use std::fmt;

use serde_json::{Map, Value};

use super::config::Word;
use crate::error::{Error, ErrorKind};

/// A key whose value is missing or impossible.
#[derive(Debug)]
pub(super) struct Fault {
    key: String,
    /// None: missing.
    value: Option<String>,
    allowed: String,
}

impl Fault {
    pub(super) fn new(key: impl Into<String>, value: impl fmt::Display, allowed: impl Into<String>) -> Self {
        Self { key: key.into(), value: Some(value.to_string()), allowed: allowed.into() }
    }

    /// The error of the file `name`.
    pub(super) fn error(self, name: &str) -> Error {
        match self.value {
            Some(value) => Error::new(
                ErrorKind::Config,
                format!("{name}: {} is {value}, must be {}", self.key, self.allowed),
            ),
            None => Error::new(
                ErrorKind::Config,
                format!("{name}: {} is missing, must be {}", self.key, self.allowed),
            )
            .help(format!("add {} to the configuration", self.key)),
        }
    }
}

pub(super) type Checked<T> = Result<T, Fault>;

/// What a size may be: `least..=most`, a multiple of `step`.
pub(super) struct Sizes {
    least: usize,
    most: usize,
    step: usize,
}

impl Sizes {
    pub(super) const fn new(least: usize, most: usize, step: usize) -> Self {
        Self { least, most, step }
    }

    pub(super) fn check(&self, key: &str, n: usize) -> Checked<()> {
        let fits = (self.least..=self.most).contains(&n) && n.is_multiple_of(self.step);
        if fits { Ok(()) } else { Err(Fault::new(key, n, self.to_string())) }
    }
}

impl fmt::Display for Sizes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.step {
            1 => write!(f, "a whole number from {} to {}", self.least, self.most),
            step => write!(f, "a multiple of {step} from {} to {}", self.least, self.most),
        }
    }
}

pub(super) const VOCAB: Sizes = Sizes::new(1, 1 << 24, 1);
pub(super) const HIDDEN: Sizes = Sizes::new(4, 1 << 16, 4);
pub(super) const LAYERS: Sizes = Sizes::new(1, 1024, 1);
pub(super) const HEADS: Sizes = Sizes::new(1, 4096, 1);
pub(super) const ANY_HEAD: Sizes = Sizes::new(1, 1024, 1);
pub(super) const HEAD: Sizes = Sizes::new(4, 1024, 4);
pub(super) const INTERMEDIATE: Sizes = Sizes::new(4, 1 << 18, 4);
pub(super) const BLOCK: Sizes = Sizes::new(1, 1 << 14, 1);
pub(super) const POSITIONS: Sizes = Sizes::new(1, 1 << 24, 1);
pub(super) const ROTARY: Sizes = Sizes::new(2, 1024, 2);
/// The width of a head: what the file says, else the heads share the width.
pub(super) fn head_dim(o: &mut Object<'_>, hidden_size: usize, heads: usize) -> Checked<usize> {
    match o.size("head_dim", &ANY_HEAD)?.value {
        Some(size) => Ok(size),
        None if heads > 0 && hidden_size.is_multiple_of(heads) => Ok(hidden_size / heads),
        None => {
            let allowed =
                format!("a divisor of hidden_size {hidden_size}, unless head_dim says how wide it is");
            Err(Fault::new("num_attention_heads", heads, allowed))
        }
    }
}

pub(super) fn between(key: &str, x: f64, least: f64, most: f64) -> Checked<()> {
    if (least..=most).contains(&x) {
        return Ok(());
    }
    let least = if least == f64::MIN_POSITIVE { "above 0".to_string() } else { format!("at least {least}") };
    Err(Fault::new(key, x, format!("a number {least} and at most {most:e}")))
}

pub(super) fn one_of<W: Word>() -> String {
    let words: Vec<String> = W::ALL.iter().map(|w| format!("\"{}\"", w.word())).collect();
    format!("one of {}", words.join(", "))
}

/// A value as a message shows it: one line, and not a whole page.
pub(super) fn shown(value: &Value) -> String {
    match value {
        Value::Object(_) => "an object".into(),
        Value::Array(_) => "a list".into(),
        _ => {
            let text = value.to_string();
            if text.chars().count() <= 60 {
                text
            } else {
                text.chars().take(60).chain("…".chars()).collect()
            }
        }
    }
}

/// A JSON object being read, and the keys that were asked for.
pub(super) struct Object<'a> {
    prefix: &'static str,
    map: &'a Map<String, Value>,
    asked: Vec<&'static str>,
}

/// A key's value, absent or null counting as none.
pub(super) struct Found<T> {
    key: String,
    pub value: Option<T>,
}

impl<T> Found<T> {
    pub(super) fn unwrap_or(self, default: T) -> T {
        self.value.unwrap_or(default)
    }

    pub(super) fn required(self, allowed: &dyn fmt::Display) -> Checked<T> {
        self.value.ok_or(Fault { key: self.key, value: None, allowed: allowed.to_string() })
    }
}

impl<'a> Object<'a> {
    pub(super) fn new(prefix: &'static str, map: &'a Map<String, Value>) -> Self {
        Self { prefix, map, asked: Vec::new() }
    }

    pub(super) fn read<T>(
        &mut self,
        key: &'static str,
        allowed: &dyn fmt::Display,
        parse: impl FnOnce(&'a Value) -> Option<T>,
    ) -> Checked<Found<T>> {
        self.asked.push(key);
        let dotted = format!("{}{key}", self.prefix);
        let value = match self.map.get(key) {
            None | Some(Value::Null) => None,
            Some(value) => Some(
                parse(value).ok_or_else(|| Fault::new(dotted.clone(), shown(value), allowed.to_string()))?,
            ),
        };
        Ok(Found { key: dotted, value })
    }

    /// A whole number; whether it suits its neighbours is decided by `ModelConfig::check`.
    pub(super) fn size(&mut self, key: &'static str, allowed: &Sizes) -> Checked<Found<usize>> {
        self.read(key, allowed, |v| {
            v.as_u64().and_then(|n| u32::try_from(n).ok()).and_then(|n| usize::try_from(n).ok())
        })
    }

    pub(super) fn number(&mut self, key: &'static str) -> Checked<Found<f64>> {
        self.read(key, &"a number", Value::as_f64)
    }

    pub(super) fn flag(&mut self, key: &'static str) -> Checked<Found<bool>> {
        self.read(key, &"true or false", Value::as_bool)
    }

    pub(super) fn word<W: Word>(&mut self, key: &'static str) -> Checked<Found<W>> {
        self.read(key, &one_of::<W>(), |v| {
            v.as_str().and_then(|s| W::ALL.iter().copied().find(|w| w.word() == s))
        })
    }

    pub(super) fn object(&mut self, key: &'static str) -> Checked<Found<&'a Map<String, Value>>> {
        self.read(key, &"an object", Value::as_object)
    }

    /// A key with one possible value.
    pub(super) fn fixed(&mut self, key: &'static str, only: &Value) -> Checked<()> {
        self.read(key, only, |v| (v == only).then_some(())).map(|_| ())
    }

    /// The keys that nobody asked for.
    pub(super) fn rest(&self) -> impl Iterator<Item = (&'a String, &'a Value)> {
        self.map.iter().filter(|(key, _)| !self.asked.contains(&key.as_str()))
    }

    /// Notes the keys that nobody asked for: `idle` ones are known but have no effect with `because`.
    pub(super) fn finish(self, idle: &[&str], because: &str, notes: &mut Vec<String>) {
        for (key, value) in self.map.iter().filter(|(key, _)| !self.asked.contains(&key.as_str())) {
            let shown_key: String = key.chars().take(80).flat_map(char::escape_default).collect();
            if !idle.contains(&key.as_str()) {
                notes.push(format!("unknown key {}{shown_key} is ignored", self.prefix));
            } else if !matches!(value, Value::Null | Value::Bool(false)) {
                notes.push(format!("{}{key} has no effect with {because}", self.prefix));
            }
        }
    }
}
