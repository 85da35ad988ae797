//! The key-value list of a GGUF file.

use std::collections::BTreeMap;

use crate::error::{Error, ErrorKind, Result};
use crate::model::tensor_file::clip;

/// The `tokenizer.ggml.model` of a file without a tokenizer.
pub const NO_TOKENIZER: &str = "none";

/// A value of the key-value list. Integers of every width are one kind, and so are floats.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// An integer.
    Int(i128),
    /// A float.
    Float(f64),
    /// A flag.
    Bool(bool),
    /// A text.
    Text(String),
    /// A list of one kind.
    Array(Array),
}

/// A list of the key-value list.
#[derive(Clone, Debug, PartialEq)]
pub enum Array {
    /// Integers.
    Ints(Vec<i64>),
    /// Floats.
    Floats(Vec<f64>),
    /// Flags.
    Bools(Vec<bool>),
    /// Texts.
    Texts(Vec<String>),
}

impl Array {
    /// How many there are.
    pub fn len(&self) -> usize {
        match self {
            Array::Ints(v) => v.len(),
            Array::Floats(v) => v.len(),
            Array::Bools(v) => v.len(),
            Array::Texts(v) => v.len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Value {
    /// As a message shows it: one short piece of a line.
    pub fn shown(&self) -> String {
        match self {
            Value::Int(n) => n.to_string(),
            Value::Float(x) => x.to_string(),
            Value::Bool(b) => b.to_string(),
            Value::Text(text) => format!("\"{}\"", clip(text)),
            Value::Array(array) => format!("a list of {}", array.len()),
        }
    }
}

/// The key-value list of a file: what its model is, its tokenizer, its chat template.
#[derive(Clone, Debug, PartialEq)]
pub struct Metadata {
    label: String,
    values: BTreeMap<String, Value>,
}

impl Metadata {
    /// Of the file that `label` names in messages.
    pub fn new(label: impl Into<String>, values: BTreeMap<String, Value>) -> Self {
        Self { label: label.into(), values }
    }

    /// The file, in messages.
    pub fn label(&self) -> &str {
        &self.label
    }

    /// A value.
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.values.get(key)
    }

    /// All keys with their values, sorted.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.values.iter().map(|(key, value)| (key.as_str(), value))
    }

    /// An error about a key.
    pub fn fault(&self, key: &str, is: impl std::fmt::Display, must: impl std::fmt::Display) -> Error {
        let message = format!("{}: {} is {is}, must be {must}", self.label, clip(key));
        Error::new(ErrorKind::ModelFormat, message)
    }

    /// The error of a key that is not there.
    pub fn missing(&self, key: &str) -> Error {
        let message = format!("{}: key {} is missing", self.label, clip(key));
        Error::new(ErrorKind::ModelFormat, message).help("the file is not complete; download it again")
    }

    fn read<'a, T>(
        &'a self,
        key: &str,
        must: &str,
        take: impl FnOnce(&'a Value) -> Option<T>,
    ) -> Result<Option<T>> {
        let Some(value) = self.get(key) else { return Ok(None) };
        take(value).map(Some).ok_or_else(|| self.fault(key, value.shown(), must))
    }

    /// A text, if it is there.
    ///
    /// # Errors
    /// [`ErrorKind::ModelFormat`] for a value of another kind; so all that follow.
    pub fn text(&self, key: &str) -> Result<Option<&str>> {
        self.read(key, "a text", |v| if let Value::Text(text) = v { Some(text.as_str()) } else { None })
    }

    /// Whether the file says that it has no tokenizer.
    ///
    /// # Errors
    /// As [`Metadata::text`].
    pub fn has_no_tokenizer(&self) -> Result<bool> {
        Ok(matches!(self.text("tokenizer.ggml.model")?, Some(NO_TOKENIZER | "no_vocab")))
    }

    /// A flag, if it is there.
    ///
    /// # Errors
    /// As [`Metadata::text`].
    pub fn flag(&self, key: &str) -> Result<Option<bool>> {
        self.read(key, "true or false", |v| if let Value::Bool(b) = v { Some(*b) } else { None })
    }

    /// A count from 0 to 2^31, if it is there.
    ///
    /// # Errors
    /// As [`Metadata::text`].
    pub fn count(&self, key: &str) -> Result<Option<usize>> {
        self.read(key, "a number from 0 to 2147483648", |v| match v {
            Value::Int(n) => usize::try_from(*n).ok().filter(|n| *n <= 1 << 31),
            _ => None,
        })
    }

    /// A finite number, if it is there.
    ///
    /// # Errors
    /// As [`Metadata::text`].
    pub fn number(&self, key: &str) -> Result<Option<f64>> {
        self.read(key, "a finite number", |v| match v {
            Value::Int(n) => Some(*n as f64),
            Value::Float(x) => Some(*x).filter(|x| x.is_finite()),
            _ => None,
        })
    }

    /// A list of texts, if it is there.
    ///
    /// # Errors
    /// As [`Metadata::text`].
    pub fn texts(&self, key: &str) -> Result<Option<&[String]>> {
        self.read(key, "a list of texts", |v| match v {
            Value::Array(Array::Texts(list)) => Some(list.as_slice()),
            _ => None,
        })
    }

    /// A list of integers, if it is there.
    ///
    /// # Errors
    /// As [`Metadata::text`].
    pub fn ints(&self, key: &str) -> Result<Option<&[i64]>> {
        self.read(key, "a list of integers", |v| match v {
            Value::Array(Array::Ints(list)) => Some(list.as_slice()),
            _ => None,
        })
    }

    /// A list of floats, if it is there.
    ///
    /// # Errors
    /// As [`Metadata::text`].
    pub fn floats(&self, key: &str) -> Result<Option<&[f64]>> {
        self.read(key, "a list of floats", |v| match v {
            Value::Array(Array::Floats(list)) => Some(list.as_slice()),
            _ => None,
        })
    }
}
