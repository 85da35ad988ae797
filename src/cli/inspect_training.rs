//! The training part of `inspect`: what a batch of a given context needs, before anything is allocated.

use clap::Args;
use polysketch::graph::Recompute;
use polysketch::model::{Engine, ModelConfig};
use polysketch::train::{LearnerMemory, LearnerOptions, LearnerPlan};
use polysketch::{Error, Result};
use serde_json::{Value, json};

use super::options::{Again, count};
use super::output::{bytes, plural, thousands};

/// What is asked about training.
#[derive(Debug, Args)]
#[command(next_help_heading = "Training")]
pub struct Options {
    /// Plan the training with so many tokens a sequence, of which --segment are computed at a time
    #[arg(long, value_name = "N", value_parser = count)]
    context: Option<usize>,
    /// Sequences computed at a time
    #[arg(long, value_name = "N", default_value = "1", value_parser = count, requires = "context")]
    batch: usize,
    #[command(flatten)]
    again: Again,
}

/// The plan of a batch.
pub struct Training {
    options: LearnerOptions,
    memory: LearnerMemory,
    /// Activations with the other choice of what is computed again.
    other: Option<LearnerMemory>,
}

impl Options {
    /// The plan, if one is asked for.
    ///
    /// # Errors
    /// As [`LearnerPlan::new`].
    pub fn plan(
        &self,
        engine: &Engine,
        config: &ModelConfig,
        segment: Option<usize>,
    ) -> Result<Option<Training>> {
        let Some(context) = self.context else { return Ok(None) };
        let recompute = self.again.recompute.unwrap_or_default();
        let options = LearnerOptions { lanes: self.batch, context, segment, recompute };
        let memory = |options: &LearnerOptions| {
            Ok::<_, Error>(LearnerPlan::new(config, &engine.traits(), options)?.memory())
        };
        let other = if recompute == Recompute::Nothing { Recompute::Sections } else { Recompute::Nothing };
        Ok(Some(Training {
            options,
            memory: memory(&options)?,
            other: memory(&LearnerOptions { recompute: other, ..options }).ok(),
        }))
    }
}

/// What `inspect --json` says, with the training beside it.
pub fn joined(mut value: Value, training: Option<&Training>) -> Value {
    value["training"] = json!(training.map(Training::json));
    value
}

impl Training {
    fn json(&self) -> Value {
        let mut value = json!(self.memory);
        value["batch"] = json!(self.options.lanes);
        value["context"] = json!(self.options.context);
        value["recompute"] = json!(name(self.options.recompute));
        value["total"] = json!(self.memory.total());
        value
    }

    /// Title and rows of a table: name, size, note.
    pub fn rows(&self, device: &str) -> (String, Vec<[String; 3]>) {
        let (o, m) = (&self.options, &self.memory);
        let row = |name: &str, size: u64, note: String| [name.to_string(), bytes(size), note];
        let segments = o.context.div_ceil(m.segment);
        let cut = if segments > 1 {
            format!("states between {} segments of {} tokens", segments, thousands(m.segment as u64))
        } else {
            String::new()
        };
        let other = self.other.map(|other| {
            format!("{} if {} is computed again", bytes(other.activations), name_of_other(o.recompute))
        });
        let of_call =
            if m.lanes < o.lanes { format!(" of {}", plural(m.lanes, "sequence")) } else { String::new() };
        let rows = vec![
            row("weights", m.weights, String::new()),
            row("gradients and moments", m.optimizer, String::new()),
            row("state", m.state, cut),
            row("activations", m.activations, other.unwrap_or_default()),
            row(
                "in all",
                m.total(),
                format!(
                    "largest buffer {}, {} dispatches a call{}",
                    bytes(m.largest_buffer),
                    thousands(m.dispatches as u64),
                    of_call
                ),
            ),
        ];
        let batch = thousands(o.lanes as u64);
        (format!("training on {device}: batch {batch}, context {}", thousands(o.context as u64)), rows)
    }
}

fn name(recompute: Recompute) -> &'static str {
    match recompute {
        Recompute::Nothing => "nothing",
        Recompute::Sections => "layers",
    }
}

fn name_of_other(recompute: Recompute) -> &'static str {
    if recompute == Recompute::Nothing { "every layer" } else { "nothing" }
}
