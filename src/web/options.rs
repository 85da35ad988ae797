//! Options that a page gives, as plain data. The package declares the same names and kinds in
//! `web/src/types.ts`; `declared.rs` compares the two. So this file, unlike the rest of the folder, is built
//! for tests on any machine.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::bench::BenchOptions;
use crate::error::{Error, ErrorKind, Result};
use crate::gpu::Backend;
use crate::model;
use crate::train::Settings;
use crate::train::settings::TaskSettings;
use crate::train::tasks::TaskKind;

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

/// The package's `TrainOptions`.
#[derive(Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct TrainOptions {
    pub config: Option<Value>,
    task: TaskKind,
    items: Option<usize>,
    vocabulary: usize,
    context: usize,
    batch: usize,
    steps: u64,
    lr: f64,
    seed: u64,
    eval_every: u64,
}

impl Default for TrainOptions {
    fn default() -> Self {
        Self {
            config: None,
            task: TaskKind::Induction,
            items: None,
            vocabulary: 16,
            context: 32,
            batch: 32,
            steps: 1000,
            lr: 0.004,
            seed: 0,
            eval_every: 25,
        }
    }
}

impl TrainOptions {
    pub fn settings(&self) -> Settings {
        let items = self.items.unwrap_or(self.task.usual_items());
        Settings {
            steps: self.steps,
            batch: self.batch,
            context: self.context,
            lr: self.lr,
            min_lr: 0.0,
            warmup: (self.steps / 10).min(50),
            weight_decay: 0.01,
            seed: self.seed,
            task: Some(TaskSettings { kind: self.task, items, vocabulary: self.vocabulary }),
            eval_every: self.eval_every,
            ..Settings::default()
        }
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
            Some(if error.starts_with("unknown field") { error } else { format!("{name}: {error}") })
        });
        let message = fault.unwrap_or_else(|| error.to_string());
        Error::new(ErrorKind::Input, format!("{what}: {message}"))
            .help("see types.d.ts of the package for what there is")
    })
}

/// [`BenchOptions`]: what is missing is as usual, or as in a quick run where `quick` is given.
pub(super) fn bench(given: Value) -> Result<BenchOptions> {
    let what = "bench options";
    let asked: BenchOptions = read(what, given.clone())?;
    let usual = if asked.quick { BenchOptions::quick() } else { BenchOptions::default() };
    let mut all = json!(usual);
    if let (Value::Object(all), Value::Object(given)) = (&mut all, given) {
        all.extend(given);
    }
    read(what, all)
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
            said.starts_with("options: unknown field `max_tokens`, expected one of `maxTokens`"),
            "{said}"
        );
        let said = refused::<LoadOptions>(json!({ "maxcontext": 3 }));
        assert_eq!(said, "options: unknown field `maxcontext`, expected `maxContext`");
        // What only a native program may say.
        assert!(refused::<BenchOptions>(json!({ "browser": "x" })).contains("`browser`"));
    }

    #[test]
    fn a_value_that_cannot_be_is_refused_with_its_name() {
        let said = refused::<GenerateOptions>(json!({ "temperature": 0, "topK": "many", "seed": 3 }));
        assert!(said.starts_with("options: topK: invalid type: string \"many\""), "{said}");
        let said = refused::<EngineOptions>(json!({ "backend": "tpu" }));
        assert!(
            said.starts_with("options: backend: unknown variant `tpu`, expected one of `auto`"),
            "{said}"
        );
        assert!(refused::<TrainOptions>(json!({ "steps": -1 })).starts_with("options: steps: "));
        assert!(refused::<GenerateOptions>(json!("greedy")).starts_with("options: invalid type"));
    }

    #[test]
    fn defaults_are_settings_that_run() {
        assert_eq!(LoadOptions::default().options(), model::LoadOptions::default());
        let settings = TrainOptions::default().settings();
        settings.check().expect("a run");
        assert_eq!((settings.steps, settings.eval_every), (1000, 25));
    }

    #[test]
    fn a_benchmark_is_usual_where_nothing_is_said() {
        assert_eq!(bench(json!({})).expect("reads"), BenchOptions::default());
        assert_eq!(bench(json!({ "quick": true })).expect("reads"), BenchOptions::quick());
        let given = json!({ "quick": true, "most": null, "lengths": [64], "allKinds": true, "budget": 0.5 });
        let want = BenchOptions {
            most: None,
            lengths: vec![64],
            all_kinds: true,
            budget: 0.5,
            ..BenchOptions::quick()
        };
        assert_eq!(bench(given).expect("reads"), want);
    }
}
