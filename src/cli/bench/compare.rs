//! `bench compare`: rows of files against each other.

use std::path::PathBuf;

use clap::Args;
use polysketch::Error;
use polysketch::ErrorKind;
use polysketch::bench::compare::{self, Comparison, Pair};
use serde_json::json;

use super::rows::{duration, read};
use crate::cli::failure::Outcome;
use crate::cli::options::Common;
use crate::cli::output::{self, Align, digits3, plural, print, print_json, table};

/// What `bench compare` takes.
#[derive(Debug, Args)]
pub struct Options {
    /// Files of rows (bench --out); -: stdin. The runs of the others are held against the first one's on the same
    /// device, or else its first; one file alone: its other devices against its first
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
}

/// Runs the command.
pub fn run(common: &Common, options: &Options) -> Outcome {
    let found = compare::matches(read(common, &options.files)?);
    if found.is_empty() {
        return Err(Error::new(ErrorKind::Input, "only one run is given")
            .help("give files of at least two runs: polysketch bench --out FILE")
            .into());
    }
    let comparisons: Vec<Comparison> =
        found.iter().map(|(first, second)| compare::compare(first, second)).collect();
    if common.json {
        return print_json(&json!({ "comparisons": comparisons }));
    }
    let columns = output::columns();
    let text: Vec<String> = comparisons.iter().flat_map(|comparison| lines(comparison, columns)).collect();
    print(&(text.join("\n") + "\n"))
}

fn lines(c: &Comparison, columns: Option<usize>) -> Vec<String> {
    let mut rows = vec![["suite", "", "", "A", "B", "A / B", "95 %", "B is"].map(String::from).to_vec()];
    rows.extend(c.pairs.iter().map(|pair| {
        let time = |ns: Option<f64>| ns.map_or("–".into(), duration);
        let interval = pair.ratio.and_then(|ratio| ratio.interval);
        vec![
            pair.suite.to_string(),
            pair.name.clone(),
            pair.workload.clone(),
            time(pair.first_ns),
            time(pair.second_ns),
            pair.ratio.map_or("–".into(), |ratio| format!("{}×", digits3(ratio.value))),
            interval.map_or(String::new(), |[low, high]| format!("{} to {}", digits3(low), digits3(high))),
            verdict(pair).into(),
        ]
    }));
    let align = [
        Align::Left,
        Align::Left,
        Align::Left,
        Align::Right,
        Align::Right,
        Align::Right,
        Align::Left,
        Align::Left,
    ];
    let means =
        c.means.iter().map(|(suite, mean)| format!("{suite} {}×", digits3(*mean))).collect::<Vec<_>>();
    let alone = if c.alone == 0 {
        String::new()
    } else {
        format!("; {} without a counterpart", plural(c.alone, "row"))
    };
    let end = format!(
        "geometric means of A / B: {}{alone}",
        if means.is_empty() { "none".into() } else { means.join(", ") }
    );
    let head = [format!("A: {}", c.first), format!("B: {}", c.second), String::new()];
    [head.to_vec(), table(&align, 2, &rows, columns), vec![String::new(), end, String::new()]].concat()
}

fn verdict(pair: &Pair) -> &'static str {
    match (pair.significant, pair.ratio) {
        (Some(true), Some(ratio)) if ratio.value > 1.0 => "faster",
        (Some(true), Some(_)) => "slower",
        (Some(false), _) => "as fast, within the noise",
        (None, Some(_)) => "not sure: too few samples",
        (_, None) => "without a time on both sides",
    }
}
