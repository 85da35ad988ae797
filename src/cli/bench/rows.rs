//! Rows of measurements: from files, and for people.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::path::{Path, PathBuf};

use polysketch::bench::statistics::Statistics;
use polysketch::bench::submission::sound;
use polysketch::bench::{Row, Suite};
use polysketch::exec::KernelTime;
use polysketch::files::source_name;
use polysketch::{Error, ErrorKind, Result};

use crate::cli::failure::warn;
use crate::cli::input::read_text;
use crate::cli::options::Common;
use crate::cli::output::{Align, bytes, digits3, magnitude, percent, seconds, table, thousands};

/// Rows of files, one after the other; what cannot be believed is told with its line and field. Of rows of the same
/// work on the same device by the same build in one file, the last one counts, and a warning says so.
pub fn read(common: &Common, paths: &[PathBuf]) -> Result<Vec<Vec<Row>>> {
    paths
        .iter()
        .map(|path| {
            let name = source_name(path);
            let rows = Row::parse_lines(&read_text(common, path, "rows")?, &name)?;
            if let (Some(fault), true) = (sound(&rows).first(), common.talks()) {
                warn(&format!("{name}: {fault}"));
            }
            let (rows, repeated) = last_of_each(rows);
            if let (Some((first, again)), true) = (repeated.first(), common.talks()) {
                warn(&format!(
                    "{name}: line {again} measures what line {first} measured{}; the later row counts",
                    match repeated.len() - 1 {
                        0 => String::new(),
                        more => format!(", and so do {more} other lines"),
                    }
                ));
            }
            Ok(rows)
        })
        .collect()
}

/// Of rows with their lines: the last of each work, device and build, and the lines of those that came again.
fn last_of_each(rows: Vec<(usize, Row)>) -> (Vec<Row>, Vec<(usize, usize)>) {
    let mut places: HashMap<(String, String, String), usize> = HashMap::new();
    let (mut kept, mut repeated): (Vec<(usize, Row)>, _) = (Vec::new(), Vec::new());
    for (line, row) in rows {
        let build = format!("{}\n{}", row.build.label(), row.precision());
        match places.entry((row.device.identity(), build, row.key())) {
            Entry::Occupied(place) => {
                let old = &mut kept[*place.get()];
                repeated.push((old.0, line));
                *old = (line, row);
            }
            Entry::Vacant(place) => {
                place.insert(kept.len());
                kept.push((line, row));
            }
        }
    }
    (kept.into_iter().map(|(_, row)| row).collect(), repeated)
}

/// A table of the rows of a suite.
pub fn table_of(rows: &[Row], columns: Option<usize>) -> Vec<String> {
    let Some(first) = rows.first() else { return Vec::new() };
    let mut cells =
        vec![["", "", "median", "spread", "rate", "of peak", "error", ""].map(String::from).to_vec()];
    cells.extend(rows.iter().map(|row| {
        let statistics =
            |text: &dyn Fn(&Statistics) -> String| row.statistics.as_ref().map_or(String::new(), text);
        vec![
            row.name.clone(),
            row.label(),
            statistics(&|s| duration(s.median_ns)),
            statistics(&|s| percent(s.spread)),
            rate(row),
            row.derived.share_of_peak.map_or(String::new(), percent),
            row.check.as_ref().map_or(String::new(), |check| magnitude(check.error)),
            note(row),
        ]
    }));
    let align = [
        Align::Left,
        Align::Left,
        Align::Right,
        Align::Right,
        Align::Right,
        Align::Right,
        Align::Right,
        Align::Left,
    ];
    let head = format!("{}: {}, build {}", first.suite, first.device.label(), first.build.label());
    [vec![head, String::new()], table(&align, 7, &cells, columns), vec![String::new()]].concat()
}

/// Nanoseconds for people: from `1.2 µs`.
pub fn duration(ns: f64) -> String {
    if ns < 1e6 { format!("{} µs", digits3(ns * 1e-3)) } else { seconds(ns * 1e-9) }
}

/// The rate that matters most.
pub fn rate(row: &Row) -> String {
    let d = &row.derived;
    let number = |x: f64| if x.is_finite() && x >= 1000.0 { thousands(x as u64) } else { digits3(x) };
    match (d.tokens_per_second, d.gflops, d.gbps) {
        (Some(rate), _, _) => format!("{} tok/s", number(rate)),
        (_, Some(rate), _) if d.bound.as_deref() != Some("memory") => format!("{} GFLOP/s", number(rate)),
        (_, _, Some(rate)) => format!("{} GB/s", number(rate)),
        (_, Some(rate), _) => format!("{} GFLOP/s", number(rate)),
        _ => String::new(),
    }
}

/// What else a row says, or why it says nothing.
pub fn note(row: &Row) -> String {
    let d = &row.derived;
    let parts = [
        row.estimate.as_ref().map(|estimate| format!("estimate {}", duration(estimate.ns))),
        d.speedup.map(|ratio| format!("{}× softmax's speed", digits3(ratio))),
        d.exponent.map(|a| {
            format!("time ~ n^{a:.2}, n {} to {}", d.exponent_from.unwrap_or(0), d.exponent_to.unwrap_or(0))
        }),
        d.crossover_tokens.map(|n| {
            format!(
                "faster than {} from n = {}",
                row.workload.against.as_deref().unwrap_or_default(),
                thousands(n as u64)
            )
        }),
        d.shares.as_ref().map(|shares| {
            let all: f64 = shares.iter().map(|k| k.nanoseconds).sum();
            let rate = |k: &KernelTime| {
                if k.flops > 0 {
                    format!(" ({} GFLOP/s)", digits3(k.flops as f64 / k.nanoseconds.max(1.0)))
                } else {
                    String::new()
                }
            };
            let share =
                |k: &KernelTime| format!("{} {}{}", k.kernel, percent(k.nanoseconds / all.max(1.0)), rate(k));
            shares.iter().take(4).map(share).collect::<Vec<_>>().join(", ")
        }),
        d.memory_bytes
            .filter(|_| row.suite == Suite::Train && row.skipped.is_none())
            .map(|n| format!("{} of memory", bytes(n))),
        row.skipped.as_ref().map(|why| format!("skipped: {why}")),
    ];
    parts.into_iter().flatten().collect::<Vec<_>>().join("; ")
}

/// An error that names a file without rows.
pub fn no_rows(path: &Path) -> Error {
    Error::new(ErrorKind::Input, format!("{}: no rows", path.display()))
        .help("write some: polysketch bench --out FILE")
}
