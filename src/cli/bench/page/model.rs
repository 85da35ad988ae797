//! A model: reading, writing, training.

use polysketch::Result;
use polysketch::bench::compare::Set;
use polysketch::bench::{Row, Suite};

use super::super::rows::{duration, rate};
use super::devices::{device, short};
use super::html::{Cell, Html, curve, heading, panel, paragraph, plots, table};
use crate::cli::output::{bytes, thousands};
use crate::cli::panels::{Curve, Panel, Stroke, plain_power, power_of_two};

/// Time of a token and memory of a text against what was read of it; none where fewer than two depths were
/// measured.
pub fn panels(sets: &[Set]) -> Option<[Panel; 2]> {
    let points = |set: &Set, name: &str, value: &dyn Fn(&Row) -> Option<f64>| -> Vec<(f64, f64)> {
        let rows = set
            .rows
            .iter()
            .filter(|row| row.suite == Suite::Model && row.name == name && row.statistics.is_some());
        rows.filter_map(|row| {
            Some(((row.workload.depth.filter(|depth| *depth > 0)? as f64).log2(), value(row)?))
        })
        .collect()
    };
    let each = |row: &Row| Some(row.median_ns()? * 1e-6 / row.workload.tokens? as f64);
    let mib = |bytes: Option<u64>| Some(bytes? as f64 / f64::from(1 << 20));
    // Of one shape, whichever device says it.
    let cache = sets
        .iter()
        .map(|set| points(set, "decode", &|row| mib(row.derived.softmax_cache_bytes)))
        .find(|points| points.len() > 1)?;
    let mut times = Vec::new();
    let mut memory = vec![curve("key-value cache of softmax, same shape".into(), 0, Stroke::Dashed, cache)];
    for (i, set) in sets.iter().enumerate() {
        let of = |what: &str| {
            if sets.len() > 1 { format!("{what}: {}", short(set, sets)) } else { what.to_string() }
        };
        times.push(curve(of("writing"), 2 * i + 1, Stroke::Solid, points(set, "decode", &each)));
        times.push(curve(of("reading"), 2 * i + 2, Stroke::Solid, points(set, "prefill", &each)));
        memory.push(curve(
            of("state"),
            2 * i + 1,
            Stroke::Solid,
            points(set, "decode", &|row| mib(row.derived.state_bytes)),
        ));
    }
    let time = Panel {
        y_name: plain_power,
        ..panel("time of a token".into(), "tokens before it", "ms", power_of_two, times)
    };
    let memory = Panel {
        y_name: plain_power,
        ..panel("memory of a text".into(), "tokens before it", "MiB", power_of_two, memory)
    };
    Some([time, memory])
}

/// The section of reading and writing.
pub fn section(page: &mut Html, sets: &[Set]) -> Result<()> {
    let mut cells = Vec::new();
    for set in sets {
        for row in set.rows.iter().filter(|row| row.suite == Suite::Model && row.name != "shares") {
            let Some(ns) = row.median_ns() else { continue };
            let each = row
                .workload
                .tokens
                .filter(|n| *n > 0 && row.name != "first_token")
                .map_or(String::new(), |n| duration(ns / n as f64));
            cells.push(vec![
                Cell::Html(device(set, sets)),
                Cell::Words(row.name.replace('_', " ")),
                Cell::Number(row.workload.tokens.map_or(String::new(), |n| thousands(n as u64))),
                Cell::Number(row.workload.depth.map_or(String::new(), |n| thousands(n as u64))),
                Cell::Number(duration(ns)),
                Cell::Number(each),
                Cell::Number(rate(row)),
                Cell::Number(row.derived.state_bytes.map_or(String::new(), bytes)),
            ]);
        }
    }
    if !cells.is_empty() {
        heading(page, "A model, reading and writing");
        paragraph(page, "Wall-clock times after texts of different lengths: what a user waits for.");
        if let Some(both) = panels(sets) {
            plots(page, &both)?;
        }
        table(page, &["device", "what", "tokens", "after", "median", "a token", "rate", "state"], &cells);
    }
    Ok(())
}

/// The section of training.
pub fn training(page: &mut Html, sets: &[Set]) -> Result<()> {
    let points = |set: &Set, value: &dyn Fn(&Row) -> Option<f64>| -> Vec<(f64, f64)> {
        let rows = set
            .rows
            .iter()
            .filter(|row| row.suite == Suite::Train && row.name == "step" && row.statistics.is_some());
        rows.filter_map(|row| Some(((row.workload.tokens? as f64).log2(), value(row)?))).collect()
    };
    let curves = |value: &dyn Fn(&Row) -> Option<f64>| -> Vec<Curve> {
        sets.iter()
            .enumerate()
            .map(|(i, set)| curve(short(set, sets), i + 1, Stroke::Solid, points(set, value)))
            .collect()
    };
    let time = panel(
        "a step of one sequence".into(),
        "tokens n",
        "seconds",
        power_of_two,
        curves(&|row| Some(row.median_ns()? * 1e-9)),
    );
    if time.curves.is_empty() {
        return Ok(());
    }
    let memory = curves(&|row| Some(row.derived.memory_bytes? as f64 / f64::from(1 << 20)));
    let memory = Panel {
        y_name: plain_power,
        ..panel("memory, planned".into(), "tokens n", "MiB", power_of_two, memory)
    };
    heading(page, "Training a model");
    plots(page, &[time, memory])
}
