//! Rows as a text with one line each, to be kept beside the tests; and what became worse against it.

use std::fmt::Write as _;

use super::row::Row;
use super::vendor::Machine;
use crate::error::{Error, ErrorKind, Result};

/// Most that instructions may grow before it is called worse.
const GROWTH: f64 = 1.03;

/// The head of the file.
const HEAD: &str = "\
# What the compilers of four vendors make of the kernels: polysketch gauge --update writes this, tests/run holds
# the kernels against it (docs/GAUGE.md). regs, occ: as the driver counts them; spill: stores and loads; cycles: the
# compiler's own count; fma: multiply-adds an instruction of the inner loop, %; w/fma: words read there for each;
# wg B: workgroup memory; wgs: workgroups; us: estimate of all these steps.
";

/// The columns, with their widths; the last has none.
const COLUMNS: [(&str, usize); 14] = [
    ("scene", 28),
    ("step", 34),
    ("vendor", 7),
    ("kernel", 34),
    ("regs", 5),
    ("occ", 5),
    ("spill", 6),
    ("instr", 6),
    ("cycles", 8),
    ("fma", 4),
    ("w/fma", 6),
    ("wg B", 6),
    ("wgs", 7),
    ("us", 0),
];

/// Rows as the text of a table.
pub fn text(rows: &[Row]) -> String {
    let mut text = HEAD.to_string();
    let names: Vec<String> = COLUMNS.iter().map(|(name, _)| name.replace(' ', "_")).collect();
    line(&mut text, &names);
    rows.iter().for_each(|row| line(&mut text, &cells(row)));
    text
}

fn cells(row: &Row) -> Vec<String> {
    let first = [row.scene.clone(), row.step.clone(), row.vendor.to_string(), row.kernel.clone()];
    let rest = match &row.failed {
        Some(why) => vec![format!("failed: {why}")],
        None => vec![
            row.registers.to_string(),
            row.occupancy.to_string(),
            row.spills.to_string(),
            row.instructions.to_string(),
            row.cycles.map_or("-".into(), |cycles| cycles.to_string()),
            format!("{:.0}", 100.0 * row.multiply_adds),
            format!("{:.2}", row.words),
            row.workgroup_memory.to_string(),
            row.workgroups.to_string(),
            microseconds(row.seconds),
        ],
    };
    first.into_iter().chain(rest).collect()
}

/// Three digits that count.
pub fn microseconds(seconds: f64) -> String {
    let us = 1e6 * seconds;
    let digits = if us < 10.0 { 2 } else { usize::from(us < 100.0) };
    format!("{us:.digits$}")
}

fn line(text: &mut String, cells: &[String]) {
    let mut line = String::new();
    for (at, (cell, (_, width))) in cells.iter().zip(COLUMNS).enumerate() {
        // Names lean left, numbers right.
        let failed = cell.starts_with("failed: ");
        let _ = match (at < 4, failed) {
            (true, _) => write!(line, "{cell:<width$} "),
            (false, true) => write!(line, "{cell}"),
            (false, false) => write!(line, "{cell:>width$} "),
        };
    }
    text.push_str(line.trim_end());
    text.push('\n');
}

/// A line of a kept table, as far as it is compared.
#[derive(Clone, Debug, PartialEq)]
pub struct Kept {
    scene: String,
    step: String,
    vendor: String,
    /// None: it failed then.
    built: Option<KeptCode>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct KeptCode {
    occupancy: u64,
    spills: u64,
    instructions: u64,
    microseconds: f64,
}

/// The lines of a table; `label` names it in errors.
///
/// # Errors
/// [`ErrorKind::Input`] for a line that is none.
pub fn parse(text: &str, label: &str) -> Result<Vec<Kept>> {
    let lines = text.lines().enumerate().filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
    let mut kept = Vec::new();
    for (at, line) in lines.skip(1) {
        let cells: Vec<&str> = line.split_whitespace().collect();
        let row = parse_line(&cells).ok_or_else(|| {
            Error::new(ErrorKind::Input, format!("{label}: line {}: no row of the gauge", at + 1))
                .help("write it anew with polysketch gauge --update")
        })?;
        kept.push(row);
    }
    Ok(kept)
}

fn parse_line(cells: &[&str]) -> Option<Kept> {
    let [scene, step, vendor, _, rest @ ..] = cells else { return None };
    let number = |at: usize| rest.get(at)?.parse::<u64>().ok();
    let built = if rest.first() == Some(&"failed:") {
        None
    } else {
        Some(KeptCode {
            occupancy: number(1)?,
            spills: number(2)?,
            instructions: number(3)?,
            microseconds: rest.get(9)?.parse().ok()?,
        })
    };
    Some(Kept {
        scene: (*scene).to_string(),
        step: (*step).to_string(),
        vendor: (*vendor).to_string(),
        built,
    })
}

/// What a comparison found.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Comparison {
    /// What became worse, a line each, that names kernel, vendor, before and after.
    pub worse: Vec<String>,
    /// Rows that the table does not have, or that there are no more.
    pub strange: Vec<String>,
    /// Estimates before and after, seconds, of the rows in both.
    pub estimates: [f64; 2],
}

/// Holds rows against a table. `all`: they are all rows of their vendors, so that a missing one is told.
pub fn compare(rows: &[Row], kept: &[Kept], all: bool) -> Comparison {
    let mut found = Comparison::default();
    let same = |row: &Row, k: &Kept| k.scene == row.scene && k.step == row.step && k.vendor == row.vendor;
    for row in rows {
        let name = format!("{} ({}, {}) on {}", row.kernel, row.scene, row.step, row.vendor);
        let Some(before) = kept.iter().find(|k| same(row, k)) else {
            found.strange.push(format!("{name} is not in the table"));
            continue;
        };
        match (&before.built, &row.failed) {
            (_, None) => found.worse.extend(worse(row, before.built, &name)),
            (Some(_), Some(why)) => found.worse.push(format!("{name} compiled before, now: {why}")),
            (None, Some(_)) => {}
        }
        if let (Some(before), None) = (&before.built, &row.failed) {
            found.estimates[0] += 1e-6 * before.microseconds;
            found.estimates[1] += row.seconds;
        }
    }
    let gauged = |k: &Kept| rows.iter().any(|row| row.vendor == k.vendor);
    for k in kept.iter().filter(|k| all && gauged(k) && !rows.iter().any(|row| same(row, k))) {
        found.strange.push(format!("{} of {} on {} is there no more", k.step, k.scene, k.vendor));
    }
    found
}

fn worse(row: &Row, before: Option<KeptCode>, name: &str) -> Vec<String> {
    let mut worse = Vec::new();
    let spilled = before.map_or(0, |code| code.spills);
    if row.spills > spilled {
        worse.push(format!("{name} spills {} registers, {spilled} before", row.spills));
    }
    let Some(before) = before else { return worse };
    let budget = Machine::named(row.vendor).map_or(0, |machine| machine.budget);
    if row.occupancy < budget.min(before.occupancy) {
        let what = Machine::named(row.vendor).map_or("", |machine| machine.occupancy_of);
        worse.push(format!(
            "{name} has an occupancy of {} {what}, {} before; {budget} is the budget",
            row.occupancy, before.occupancy
        ));
    }
    if row.instructions as f64 > GROWTH * before.instructions as f64 {
        worse.push(format!("{name} has {} instructions, {} before", row.instructions, before.instructions));
    }
    worse
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(vendor: &'static str, occupancy: u64, spills: u64, instructions: u64) -> Row {
        Row {
            vendor,
            scene: "decode".into(),
            about: String::new(),
            step: "layers.0.qkv".into(),
            times: 4,
            kernel: "linear+SHARED".into(),
            variant: "linear+SHARED (K = 192)".into(),
            failed: None,
            registers: 64,
            occupancy,
            spills,
            instructions,
            cycles: None,
            multiply_adds: 0.756,
            words: 0.25,
            invocations: 256,
            workgroup_memory: 1024,
            workgroups: 12,
            workgroups_a_processor: 0.1,
            dispatches: 4.0,
            bytes: 1e6,
            flops: 1e6,
            seconds: 12.345e-6,
        }
    }

    fn found(before: &Row, after: &Row) -> Comparison {
        let kept = parse(&text(std::slice::from_ref(before)), "table").expect("our own text");
        compare(std::slice::from_ref(after), &kept, true)
    }

    #[test]
    fn a_table_is_read_as_it_was_written() {
        let mut failed = row("apple", 0, 0, 0);
        failed.failed = Some("it died (signal: 11)".into());
        let text = text(&[row("amd", 8, 0, 1000), failed]);
        let kept = parse(&text, "table").expect("our own text");
        let code = KeptCode { occupancy: 8, spills: 0, instructions: 1000, microseconds: 12.3 };
        assert_eq!(kept.iter().map(|k| k.built).collect::<Vec<_>>(), [Some(code), None]);
        assert!(text.lines().all(|line| line.len() <= 200), "{text}");
        let cut = text.replace("1000", "");
        assert!(parse(&cut, "table").is_err_and(|e| e.message().starts_with("table: line 6")), "{cut}");
    }

    #[test]
    fn what_became_worse_is_told_with_both_numbers() {
        let before = row("amd", 8, 2, 1000);
        assert_eq!(found(&before, &row("amd", 4, 2, 1030)).worse, [""; 0]);
        assert_eq!(found(&before, &row("amd", 16, 0, 500)).worse, [""; 0]);
        for (after, words) in [
            (row("amd", 8, 3, 1000), ["spills 3", "2 before"]),
            (row("amd", 3, 2, 1000), ["occupancy of 3", "8 before"]),
            (row("amd", 8, 2, 1031), ["1031 instructions", "1000 before"]),
        ] {
            let worse = found(&before, &after).worse;
            assert_eq!(worse.len(), 1, "{worse:?}");
            assert!(words.iter().all(|word| worse[0].contains(word)), "{worse:?}");
            assert!(worse[0].contains("linear+SHARED") && worse[0].contains("amd"), "{worse:?}");
        }
        // What was below the budget before may stay there, no more.
        assert_eq!(found(&row("amd", 2, 0, 1000), &row("amd", 2, 0, 1000)).worse, [""; 0]);
        assert_eq!(found(&row("amd", 2, 0, 1000), &row("amd", 1, 0, 1000)).worse.len(), 1);
    }

    #[test]
    fn rows_that_come_or_go_are_told() {
        let (amd, apple) = (row("amd", 8, 0, 1000), row("apple", 8, 0, 1000));
        let kept = parse(&text(&[amd.clone(), apple.clone()]), "table").expect("our own text");
        // A vendor that was not gauged is not missed.
        assert_eq!(compare(std::slice::from_ref(&amd), &kept, true).strange, [""; 0]);
        let other = Row { step: "layers.0.mlp".into(), ..amd };
        let strange = |all| compare(std::slice::from_ref(&other), &kept, all).strange.len();
        assert_eq!([strange(true), strange(false)], [2, 1]);
        let failed = Row { failed: Some("refused".into()), ..apple };
        assert_eq!(compare(std::slice::from_ref(&failed), &kept, true).worse.len(), 1);
    }
}
