//! `check --golden`: models whose logits and gradients are known.

use std::path::Path;

use polysketch::check::golden::{self, Deviation, Golden};
use polysketch::files::is_standard;
use polysketch::model::Engine;
use polysketch::{Error, ErrorKind, Result};
use serde_json::json;

use super::lines::{Lines, engine};
use crate::cli::failure::{Outcome, catch_interrupt, interrupted, warn};
use crate::cli::options::Common;
use crate::cli::output::{self, Align, plural, print, print_json, table};
use crate::cli::progress::{Progress, Unit};

/// One model of golden models.
struct Checked {
    name: String,
    logits: Vec<Deviation>,
    gradients: Vec<Deviation>,
}

/// Runs the command.
pub fn run(common: &Common, folder: &Path, out: Option<&Path>) -> Outcome {
    let models = golden::open_all(folder)?;
    let engine = engine(common)?;
    catch_interrupt();
    let mut file = Lines::create(out)?;
    let bar = Progress::bar(common, &engine.name(), models.len() as u64, Unit::Cases);
    let mut list = Vec::new();
    for (at, model) in models.iter().enumerate() {
        bar.set(at);
        bar.say(&model.name);
        let checked = one_model(&engine, model)?;
        file.add(&row(&engine, &checked))?;
        list.push(checked);
        if interrupted() {
            warn(&format!("interrupted after {} of {} models", at + 1, models.len()));
            break;
        }
    }
    drop(bar);
    let wrong = |c: &Checked| c.logits.iter().chain(&c.gradients).any(Deviation::wrong);
    if common.json {
        let rows: Vec<_> = list.iter().map(|checked| row(&engine, checked)).collect();
        print_json(&json!({ "device": engine.name(), "models": rows }))?;
    } else if !out.is_some_and(is_standard) {
        print(&(lines(&engine, &list).join("\n") + "\n"))?;
    }
    let names: Vec<&str> = list.iter().filter(|c| wrong(c)).map(|c| c.name.as_str()).collect();
    if names.is_empty() {
        return Ok(());
    }
    let text =
        format!("{} of {} golden models are off too far: {}", names.len(), list.len(), names.join(", "));
    Err(Error::new(ErrorKind::Numeric, text).into())
}

fn one_model(engine: &Engine, model: &Golden) -> Result<Checked> {
    let (logits, gradients) = (model.logits(engine)?, model.gradients(engine)?);
    Ok(Checked { name: model.name.clone(), logits, gradients })
}

fn worst(list: &[Deviation]) -> Option<&Deviation> {
    let key = |d: &Deviation| if d.error.is_nan() { f64::INFINITY } else { d.error };
    list.iter().max_by(|a, b| key(a).total_cmp(&key(b)))
}

fn row(engine: &Engine, checked: &Checked) -> serde_json::Value {
    let (logits, gradients) = (worst(&checked.logits), worst(&checked.gradients));
    let wrong = checked.logits.iter().chain(&checked.gradients).any(Deviation::wrong);
    json!({
        "device": engine.name(), "model": checked.name, "logits": logits, "gradients": gradients,
        "wrong": wrong,
    })
}

fn lines(engine: &Engine, list: &[Checked]) -> Vec<String> {
    let cells = |d: Option<&Deviation>| {
        d.map_or([String::new(), String::new()], |d| [format!("{:.1e}", d.error), d.tensor.clone()])
    };
    let line = |c: &Checked| {
        [vec![c.name.clone()], cells(worst(&c.logits)).to_vec(), cells(worst(&c.gradients)).to_vec()].concat()
    };
    let head = ["model", "logits", "worst", "gradients", "worst"].map(String::from).to_vec();
    let rows: Vec<Vec<String>> = [head].into_iter().chain(list.iter().map(line)).collect();
    let align = [Align::Left, Align::Right, Align::Left, Align::Right, Align::Left];
    let tolerances = format!("at most {:.0e} and {:.0e}", golden::LOGITS, golden::GRADIENTS);
    let head = format!("{}: {}, {tolerances}", engine.name(), plural(list.len(), "model"));
    [vec![head, String::new()], table(&align, 4, &rows, output::columns())].concat()
}
