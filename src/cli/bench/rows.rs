//! Rows of measurements: from files, and for people.

use std::path::{Path, PathBuf};

use polysketch::bench::statistics::Statistics;
use polysketch::bench::{Row, Suite};
use polysketch::exec::KernelTime;
use polysketch::{Error, ErrorKind, Result};

use crate::cli::output::{Align, bytes, digits3, seconds, table, thousands};

/// Rows of files, one after the other.
pub fn read(paths: &[PathBuf]) -> Result<Vec<Vec<Row>>> {
    let rows =
        |path: &PathBuf| Row::parse_all(&polysketch::files::read_text(path)?, &path.display().to_string());
    paths.iter().map(rows).collect()
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
            statistics(&|s| format!("{:.0} %", 100.0 * s.spread)),
            rate(row),
            row.derived.share_of_peak.map_or(String::new(), |share| format!("{:.0} %", 100.0 * share)),
            row.check.as_ref().map_or(String::new(), |check| format!("{:.0e}", check.error)),
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
    let number = |x: f64| if x < 1000.0 { digits3(x) } else { thousands(x as u64) };
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
            let share = |k: &KernelTime| {
                format!("{} {:.0} %{}", k.kernel, 100.0 * k.nanoseconds / all.max(1.0), rate(k))
            };
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
