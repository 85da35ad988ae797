//! Options that a page gives, as plain data: built for tests on any machine. The package declares the same
//! names and kinds in `web/src/types.ts`; `declared.rs` compares the two. `GenerateOptions` are the library's
//! own.

#[cfg(feature = "bench")]
pub(super) mod bench;
#[cfg(all(test, feature = "bench"))]
mod declared;
pub(super) mod generate;
#[cfg(feature = "train")]
pub(super) mod train;
pub(super) mod words;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::error::{Error, ErrorKind, Result};
use crate::gpu::Backend;
use crate::model;

/// The package's `EngineOptions`.
#[derive(Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct EngineOptions {
    pub backend: Backend,
}

/// The package's `LoadOptions`, less what its own end does: the cache.
#[derive(Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct LoadOptions {
    max_context: usize,
}

impl Default for LoadOptions {
    fn default() -> Self {
        Self { max_context: model::LoadOptions::default().max_context }
    }
}

impl LoadOptions {
    pub fn options(&self) -> model::LoadOptions {
        model::LoadOptions { max_context: self.max_context, ..model::LoadOptions::default() }
    }
}

/// Options of a call; what is missing has its default.
///
/// # Errors
/// [`ErrorKind::Input`] for a name that does not exist, with those that do, and for a value that cannot be,
/// with its name.
pub(super) fn read<T: DeserializeOwned>(what: &str, given: Value) -> Result<T> {
    serde_json::from_value(given.clone()).map_err(|error| {
        // An error does not say which value it is about. Every option may stand alone, so the first that
        // cannot is the one.
        let fault = given.as_object().into_iter().flatten().find_map(|(name, value)| {
            let error = serde_json::from_value::<T>(json!({ name: value })).err()?.to_string();
            Some(if error.starts_with("unknown field") {
                error.replacen("unknown field", "unknown option", 1)
            } else {
                match error.rsplit_once(", expected ") {
                    Some((_, expected)) => format!("{name} is {value}, {} is expected", in_words(expected)),
                    None => format!("{name} is {value}: {error}"),
                }
            })
        });
        let message = fault.unwrap_or_else(|| error.to_string());
        Error::new(ErrorKind::Input, format!("{what}: {message}"))
            .help("see types.d.ts of the package for what there is")
    })
}

/// What serde expects, in words.
fn in_words(expected: &str) -> String {
    match expected {
        "usize" | "u64" | "u32" | "u16" | "u8" => "a whole number, 0 or more,".to_string(),
        "isize" | "i64" | "i32" => "a whole number".to_string(),
        "f32" | "f64" => "a number".to_string(),
        "a boolean" => "true or false".to_string(),
        "a sequence" => "a list".to_string(),
        "a string" => "a text".to_string(),
        words => words.replace('`', "\""),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::GenerateOptions;

    fn refused<T: DeserializeOwned>(given: Value) -> String {
        let error = read::<T>("options", given).err().expect("refused");
        assert_eq!(error.kind(), ErrorKind::Input);
        error.message().to_string()
    }

    #[test]
    fn unknown_options_are_refused_with_those_there_are() {
        let said = refused::<GenerateOptions>(json!({ "seed": 3, "max_tokens": 3 }));
        assert!(
            said.starts_with("options: unknown option `max_tokens`, expected one of `maxTokens`"),
            "{said}"
        );
        let said = refused::<LoadOptions>(json!({ "maxcontext": 3 }));
        assert_eq!(said, "options: unknown option `maxcontext`, expected `maxContext`");
    }

    #[test]
    fn a_value_that_cannot_be_is_refused_with_its_name() {
        let said = refused::<GenerateOptions>(json!({ "temperature": 0, "topK": "many", "seed": 3 }));
        assert_eq!(said, "options: topK is \"many\", a whole number, 0 or more, is expected");
        let said = refused::<GenerateOptions>(json!({ "maxTokens": -3 }));
        assert_eq!(said, "options: maxTokens is -3, a whole number, 0 or more, is expected");
        let said = refused::<GenerateOptions>(json!({ "stop": "end" }));
        assert_eq!(said, "options: stop is \"end\", a list is expected");
        let said = refused::<EngineOptions>(json!({ "backend": "tpu" }));
        assert!(said.starts_with("options: backend is \"tpu\", one of \"auto\", "), "{said}");
        assert!(
            refused::<LoadOptions>(json!({ "maxContext": -1 })).starts_with("options: maxContext is -1, ")
        );
        assert!(refused::<GenerateOptions>(json!("greedy")).starts_with("options: invalid type"));
    }

    #[test]
    fn a_model_is_loaded_as_natively_where_nothing_is_said() {
        assert_eq!(LoadOptions::default().options(), model::LoadOptions::default());
    }
}
