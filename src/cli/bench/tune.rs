//! `bench tune`: which variants suit an adapter, measured once and kept.

use std::ops::ControlFlow;

use clap::Args;
use pollster::block_on;
use polysketch::bench::BenchOptions;
use polysketch::bench::tune::{self, Choice};
use polysketch::files::{atomic_write, cache_dir, create_folders};
use polysketch::gpu::tuned;
use polysketch::{Error, ErrorKind};
use serde_json::json;

use crate::cli::failure::{Outcome, catch_interrupt, interrupted, warn};
use crate::cli::model;
use crate::cli::options::{Common, ModelName};
use crate::cli::output::{self, Align, digits3, print, print_json, table};
use crate::cli::progress::Progress;

/// What `bench tune` takes.
#[derive(Debug, Args)]
pub struct Options {
    /// Only the products of the model's layers, in few rows
    #[arg(long)]
    quick: bool,
    /// Forget what was found on this adapter: the defaults hold again
    #[arg(long, conflicts_with_all = ["quick", "model"])]
    forget: bool,
    /// Model whose layers are measured, as of `generate` [default: the built-in model]
    #[arg(long, value_name = "MODEL")]
    model: Option<ModelName>,
}

/// Runs the command.
pub fn run(common: &Common, options: &Options) -> Outcome {
    let engine = model::engine(common)?;
    let file = engine.adapter().and_then(|adapter| Some(tuned::path(&cache_dir()?, adapter)));
    if options.forget {
        if let Some(path) = file.filter(|path| path.exists()) {
            std::fs::remove_file(&path).map_err(|e| Error::io(path.display(), &e))?;
        }
        return Ok(());
    }
    // Less than five samples do not tell what is faster.
    let bench = BenchOptions {
        samples: if options.quick { 5 } else { 9 },
        budget: 5.0,
        quick: options.quick,
        ..BenchOptions::default()
    };
    let place = model::place(common, options.model.as_ref())?;
    let open = || model::open(&place);
    catch_interrupt();
    let spinner = Progress::spinner(common, &format!("measuring variants on {}", engine.name()));
    let mut choices: Vec<Choice> = Vec::new();
    let tuning = block_on(tune::tune(&engine, &open, &bench, &mut |choice| {
        choices.push(choice.clone());
        if interrupted() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }))?;
    drop(spinner);
    let text = serde_json::to_string_pretty(&tuning)
        .map_err(|e| Error::new(ErrorKind::Io, format!("the tuning: {e}")))?
        + "\n";
    match &file {
        Some(path) => {
            if let Some(folder) = path.parent() {
                create_folders(folder)?;
            }
            atomic_write(path, |w| w.write_all(text.as_bytes()))?;
        }
        None if common.talks() => warn("there is no cache folder: nothing is kept"),
        None => {}
    }
    if common.json {
        return print_json(&json!({ "adapter": engine.adapter(), "choices": choices, "tuning": tuning,
              "file": file.as_ref().map(|path| path.display().to_string()) }));
    }
    let mut rows = vec![["", "default", "best", "", "of"].map(String::from).to_vec()];
    rows.extend(choices.into_iter().map(|c| {
        let gain = if c.gain > 1.0 { format!("{}× as fast", digits3(c.gain)) } else { "stays".into() };
        vec![c.what, c.default, c.best, gain, c.candidates.to_string()]
    }));
    let align = [Align::Left, Align::Left, Align::Left, Align::Left, Align::Right];
    let kept = file.map_or(String::new(), |path| {
        format!(
            "kept in {}; forgotten by bench tune --forget, another driver, other shaders\n",
            path.display()
        )
    });
    print(&(table(&align, 1, &rows, output::columns()).join("\n") + "\n" + &kept))
}
