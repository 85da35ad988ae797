//! The package's `TrainOptions`.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::train::Settings;
use crate::train::settings::TaskSettings;
use crate::train::tasks::TaskKind;

/// A small model and the synthetic task that it learns.
#[derive(Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub(in crate::web) struct TrainOptions {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_usual_can_be_run() {
        let settings = TrainOptions::default().settings();
        settings.check().expect("a run");
        assert_eq!((settings.steps, settings.eval_every), (1000, 25));
    }
}
