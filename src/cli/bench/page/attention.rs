//! Attention alone: time against length.

use polysketch::Result;
use polysketch::bench::compare::Set;
use polysketch::bench::{Row, Suite};

use super::devices::{device, short};
use super::html::{Cell, Html, curve, heading, panel, paragraph, plots, table};
use super::markdown;
use crate::cli::output::{digits3, plural, thousands};
use crate::cli::panels::{Panel, Stroke, power_of_two};

/// The two that are drawn for every device.
const BASELINE: &str = "softmax";
const OURS: &str = "polysketch, learned sketch";

/// Times of one kind against the length, in seconds.
fn times(set: &Set, pass: &str, kind: &str) -> Vec<(f64, f64)> {
    let rows = set.rows.iter().filter(|row| {
        row.suite == Suite::Attention && row.name == pass && row.workload.kind.as_deref() == Some(kind)
    });
    rows.filter_map(|row| Some(((row.workload.tokens? as f64).log2(), row.median_ns()? * 1e-9))).collect()
}

/// Passes of attention, by name and in words.
pub const PASSES: [(&str, &str); 2] = [("forward", "forward"), ("forward_backward", "forward and backward")];

/// Plots of a pass: all devices where there are several, then each device with all its kinds.
pub fn panels(sets: &[Set], (pass, name): (&str, &str)) -> Vec<Panel> {
    let mut kinds: Vec<&str> = Vec::new();
    for row in sets.iter().flat_map(|set| &set.rows).filter(|row| row.suite == Suite::Attention) {
        if let Some(kind) = row.workload.kind.as_deref().filter(|kind| !kinds.contains(kind)) {
            kinds.push(kind);
        }
    }
    let mut all = Vec::new();
    if sets.len() > 1 {
        let curves = sets.iter().enumerate().flat_map(|(i, set)| {
            let name = short(set, sets);
            [
                curve(format!("{OURS}: {name}"), i + 1, Stroke::Solid, times(set, pass, OURS)),
                curve(format!("{BASELINE}: {name}"), i + 1, Stroke::Dashed, times(set, pass, BASELINE)),
            ]
        });
        all.push(panel(
            format!("{name}: all devices"),
            "tokens n",
            "seconds",
            power_of_two,
            curves.collect(),
        ));
    }
    all.extend(sets.iter().map(|set| {
        let curves = kinds
            .iter()
            .enumerate()
            .map(|(i, kind)| curve(kind.to_string(), i, Stroke::Solid, times(set, pass, kind)));
        panel(format!("{name}: {}", short(set, sets)), "tokens n", "seconds", power_of_two, curves.collect())
    }));
    all
}

/// What was fitted of attention, after the device of each line.
const FITTED: [&str; 6] = ["kind", "pass", "time grows as", "n", "faster than softmax", "of softmax's speed"];

fn fitted(sets: &[Set]) -> Vec<(&Set, [String; 6])> {
    let mut lines = Vec::new();
    for set in sets {
        for row in set.rows.iter().filter(|row| row.suite == Suite::Attention && row.name == "exponent") {
            let (kind, pass) = (
                row.workload.kind.clone().unwrap_or_default(),
                row.workload.operation.clone().unwrap_or_default(),
            );
            let same = |other: &&Row| other.workload.kind == row.workload.kind;
            let crossing = set.rows.iter().filter(same).find(|other| {
                other.name == "crossover" && other.workload.operation == row.workload.operation
            });
            let longest = set
                .rows
                .iter()
                .filter(same)
                .filter(|other| other.name == pass && other.derived.speedup.is_some());
            let longest = longest.max_by_key(|other| other.workload.tokens);
            let crossing =
                crossing.map_or(String::new(), |row| match (row.derived.crossover_tokens, &row.skipped) {
                    (Some(n), _) => format!("from n = {}", thousands(n as u64)),
                    (None, Some(why)) => why.clone(),
                    _ => String::new(),
                });
            let d = &row.derived;
            let range = d.exponent_from.zip(d.exponent_to).map_or(String::new(), |(a, b)| {
                format!("{} to {}", thousands(a as u64), thousands(b as u64))
            });
            let speedup = longest.map_or(String::new(), |row| {
                let ratio = digits3(row.derived.speedup.unwrap_or(1.0));
                format!("{ratio}× at {}", thousands(row.workload.tokens.unwrap_or(0) as u64))
            });
            let grows = d.exponent.map_or("–".into(), |a| format!("n^{a:.2}"));
            lines.push((set, [kind, pass.replace('_', " and "), grows, range, crossing, speedup]));
        }
    }
    lines
}

/// The section.
pub fn section(page: &mut Html, sets: &[Set]) -> Result<()> {
    let Some(first) = sets.iter().flat_map(|set| &set.rows).find(|row| row.suite == Suite::Attention) else {
        return Ok(());
    };
    heading(page, "Attention: time against length");
    let w = &first.workload;
    paragraph(
        page,
        &format!(
            "{} of {}, one text. Softmax is this engine's own flash attention, in turns with the others. \
             Lengths that take longer than the budget \
             of a row are left out.",
            plural(w.heads.unwrap_or(1), "head"),
            w.head.unwrap_or(0)
        ),
    );
    for pass in PASSES {
        plots(page, &panels(sets, pass))?;
    }
    let cells = fitted(sets).into_iter().map(|(set, [kind, pass, grows, range, crossing, speedup])| {
        let words = [kind, pass].map(Cell::Words).into_iter();
        let rest = [Cell::Number(grows), Cell::Words(range), Cell::Words(crossing), Cell::Number(speedup)];
        std::iter::once(Cell::Html(device(set, sets))).chain(words).chain(rest).collect()
    });
    table(page, &[&["device"][..], &FITTED].concat(), &cells.collect::<Vec<Vec<Cell>>>());
    Ok(())
}

/// What was fitted of attention, Markdown.
pub fn scaling_table(sets: &[Set]) -> String {
    let rows: Vec<Vec<String>> = fitted(sets)
        .into_iter()
        .map(|(set, cells)| [vec![short(set, sets)], cells.to_vec()].concat())
        .collect();
    markdown::table(&[&["device"][..], &FITTED].concat(), &rows)
}
