//! The result of a training run, for people.

use std::collections::BTreeMap;
use std::path::Path;

use pollster::block_on;
use polysketch::Result;
use polysketch::model::{Engine, ModelSource};
use polysketch::train::Settings;
use polysketch::train::batches::Sequences as _;
use polysketch::train::evaluation::{Evaluation, accuracies};
use polysketch::train::run::Finished;
use serde_json::json;

use super::options::Options;
use crate::cli::eval::{Positions, Score};
use crate::cli::failure::{Outcome, tell};
use crate::cli::options::Common;
use crate::cli::output::{plural, print, print_json, rate, seconds, thousands};
use crate::cli::progress::Progress;

/// Tokens of a sequence and part of the answers that are right, at the trained length and beyond.
pub fn by_length(
    common: &Common,
    engine: &Engine,
    settings: &Settings,
    out: &Path,
) -> Result<Vec<(usize, f64)>> {
    let source = ModelSource::open(out)?;
    let Some([_, held_out]) = settings.tasks(source.config.vocab_size)? else { return Ok(Vec::new()) };
    let _spinner = Progress::spinner(common, "longer sequences");
    let lengths = [1, 2, 4].map(|times| times * settings.context);
    let tasks =
        lengths.into_iter().map(|context| held_out.with_context(context)).collect::<Result<Vec<_>>>()?;
    // As many answers at every length; the longest take the time.
    let count = (settings.eval_tokens / settings.context).clamp(1, 64);
    let parts = block_on(accuracies(engine, source, &tasks, count))?;
    Ok(tasks.iter().map(|task| task.context()).zip(parts).collect())
}

/// Tells it.
pub fn report(
    common: &Common,
    options: &Options,
    settings: &Settings,
    engine: &Engine,
    first: u64,
    finished: &Finished,
    lengths: &[(usize, f64)],
) -> Outcome {
    let step = finished.last.map_or(first, |last| last.step);
    let loss = finished.last.map(|last| last.loss);
    // Scores at the same positions are those of `eval`, where the first token of a window has none.
    let mut positions = Positions::default();
    let scores = finished.evaluation.iter().flat_map(|result| result.positions.iter().enumerate());
    scores
        .filter(|(_, (_, tokens))| *tokens > 0)
        .for_each(|(i, (nll, tokens))| positions.add(i + 1, Score { tokens: *tokens, nll: *nll }));
    if common.json {
        let evaluation = |e: &Evaluation| {
            json!({
                "nll_per_token": e.loss, "perplexity": e.loss.exp(), "scored_tokens": e.scored,
                "accuracy": e.accuracy, "nll_by_position": positions,
            })
        };
        let by_length: BTreeMap<String, f64> =
            lengths.iter().map(|(n, part)| (n.to_string(), *part)).collect();
        return print_json(&json!({
            "out": options.out.display().to_string(), "device": engine.name(), "step": step, "interrupted": finished.interrupted,
            "loss": loss,
            "evaluation": finished.evaluation.as_ref().map(evaluation),
            "accuracy_by_length": by_length,
            "tokens": settings.tokens(step), "seconds": finished.seconds,
            "checkpoint": finished.checkpoint.as_ref().map(|path| path.display().to_string()),
        }));
    }
    let mut text = String::new();
    if let Some(loss) = loss {
        text += &format!("loss        {loss:.4} at step {}\n", thousands(step));
    }
    if let Some(e) = &finished.evaluation {
        text += &format!(
            "evaluation  {:.4} nll/token, perplexity {:.2}, on {}\n",
            e.loss,
            e.loss.exp(),
            plural(e.scored, "token")
        );
        if settings.task.is_none() {
            text += &format!("\n{}", positions.as_text());
        }
    }
    for (n, part) in lengths {
        text += &format!("answers     {:.1}% right at {}\n", 100.0 * part, plural(*n, "token"));
    }
    print(&text)?;
    if common.talks() {
        let tokens = settings.tokens(step) as usize;
        tell(format_args!(
            "\n{} in {}, {} tokens/s",
            plural(tokens, "token"),
            seconds(finished.seconds),
            rate(tokens, finished.seconds)
        ));
        let out = options.out.display();
        if finished.interrupted {
            tell(format_args!(
                "interrupted, saved in {out}; continue with: polysketch train --resume --out {out}"
            ));
        } else {
            tell(format_args!("saved in {out}; try: polysketch generate --model {out}"));
        }
    }
    Ok(())
}
