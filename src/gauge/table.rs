//! Rows as a text with one line each, to be kept beside the tests; and what became worse against it.

use std::fmt::Write as _;

use super::row::{Report, Row};
use super::vendor::Machine;
use crate::bench::estimate::Codes;
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

/// What stands before the version of the compilers.
const COMPILERS: &str = "# compilers: ";

/// Rows as the text of a table.
pub fn text(report: &Report) -> String {
    let mut text = format!("{HEAD}{COMPILERS}{}\n", report.compilers);
    let names: Vec<String> = COLUMNS.iter().map(|(name, _)| name.replace(' ', "_")).collect();
    line(&mut text, &names);
    report.rows.iter().for_each(|row| line(&mut text, &cells(row)));
    text
}

/// What the compilers made of every variant, for estimates in a program without them.
pub fn codes(report: &Report) -> Codes {
    let mut codes = Codes::new(&report.compilers);
    for row in &report.rows {
        if let (Some(machine), Some((key, code))) = (Machine::named(row.vendor), row.code) {
            codes.insert(machine.chip.vendor, key, code);
        }
    }
    codes
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
            percent(row),
            format!("{:.2}", row.words),
            row.workgroup_memory.to_string(),
            row.workgroups.to_string(),
            microseconds(row.seconds),
        ],
    };
    first.into_iter().chain(rest).collect()
}

fn percent(row: &Row) -> String {
    format!("{:.0}", 100.0 * row.multiply_adds)
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

/// A kept table, as far as it is compared.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Kept {
    compilers: String,
    lines: Vec<Line>,
}

#[derive(Clone, Debug, PartialEq)]
struct Line {
    scene: String,
    step: String,
    vendor: String,
    /// None: it failed then.
    code: Option<Code>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct Code {
    registers: u64,
    occupancy: u64,
    spills: u64,
    instructions: u64,
    multiply_adds: u64,
    microseconds: f64,
}

impl Code {
    fn of(row: &Row) -> Option<Self> {
        row.failed.is_none().then(|| Self {
            registers: row.registers,
            occupancy: row.occupancy,
            spills: row.spills,
            instructions: row.instructions,
            multiply_adds: percent(row).parse().unwrap_or(0),
            microseconds: microseconds(row.seconds).parse().unwrap_or(0.0),
        })
    }
}

/// The lines of a table; `label` names it in errors.
///
/// # Errors
/// [`ErrorKind::Input`] for a line that is none.
pub fn parse(text: &str, label: &str) -> Result<Kept> {
    let compilers = text.lines().find_map(|line| line.strip_prefix(COMPILERS)).unwrap_or_default();
    let lines = text.lines().enumerate().filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
    let row = |(at, line): (usize, &str)| {
        let cells: Vec<&str> = line.split_whitespace().collect();
        parse_line(&cells).ok_or_else(|| {
            Error::new(ErrorKind::Input, format!("{label}: line {}: no row of the gauge", at + 1))
                .help("write it anew with polysketch gauge --update")
        })
    };
    // The first line names the columns.
    let lines = lines.skip(1).map(row).collect::<Result<Vec<Line>>>()?;
    Ok(Kept { compilers: compilers.to_string(), lines })
}

fn parse_line(cells: &[&str]) -> Option<Line> {
    let [scene, step, vendor, _, rest @ ..] = cells else { return None };
    let number = |at: usize| rest.get(at)?.parse::<u64>().ok();
    let code = if rest.first() == Some(&"failed:") {
        None
    } else {
        Some(Code {
            registers: number(0)?,
            occupancy: number(1)?,
            spills: number(2)?,
            instructions: number(3)?,
            multiply_adds: number(5)?,
            microseconds: rest.get(9)?.parse().ok()?,
        })
    };
    let [scene, step, vendor] = [scene, step, vendor].map(|word| (*word).to_string());
    Some(Line { scene, step, vendor, code })
}

/// What a comparison found.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Comparison {
    /// What is otherwise than in the table, a line each.
    pub changed: Vec<String>,
    /// What became worse, a line each, that names kernel, vendor, before and after.
    pub worse: Vec<String>,
    /// Rows that the table does not have, or that there are no more.
    pub strange: Vec<String>,
    /// Scene and vendor, with the estimates before and after of the rows in both, seconds.
    pub estimates: Vec<(String, &'static str, [f64; 2])>,
    /// The compilers of the table and those of the rows, where they differ: then nothing is held against it.
    pub compilers: Option<[String; 2]>,
}

impl Kept {
    /// Holds rows against the table. `all`: they are all rows of their vendors, so that a missing one is told.
    pub fn compare(&self, report: &Report, all: bool) -> Comparison {
        let mut found = Comparison::default();
        let rows = &report.rows;
        let same = |row: &Row, k: &Line| k.scene == row.scene && k.step == row.step && k.vendor == row.vendor;
        for row in rows {
            let name = format!("{} ({}, {}) on {}", row.kernel, row.scene, row.step, row.vendor);
            let Some(before) = self.lines.iter().find(|k| same(row, k)) else {
                found.strange.push(format!("{name} is not in the table"));
                continue;
            };
            match (before.code, Code::of(row)) {
                (before, Some(now)) => {
                    found.worse.extend(worse(&now, before, row.vendor, &name));
                    if let Some(before) = before {
                        found.estimate(row, before);
                        found.changed.extend(changed(&now, &before, &name));
                    }
                }
                (Some(_), None) => {
                    let why = row.failed.as_deref().unwrap_or_default();
                    found.worse.push(format!("{name} compiled before, now: {why}"));
                }
                (None, None) => {}
            }
        }
        let gauged = |k: &Line| rows.iter().any(|row| row.vendor == k.vendor);
        for k in self.lines.iter().filter(|k| all && gauged(k) && !rows.iter().any(|row| same(row, k))) {
            found.strange.push(format!("{} of {} on {} is there no more", k.step, k.scene, k.vendor));
        }
        if self.compilers != report.compilers {
            found.compilers = Some([self.compilers.clone(), report.compilers.clone()]);
        }
        found
    }
}

impl Comparison {
    fn estimate(&mut self, row: &Row, before: Code) {
        let known =
            self.estimates.iter().position(|(scene, vendor, _)| *scene == row.scene && *vendor == row.vendor);
        let at = known.unwrap_or_else(|| {
            self.estimates.push((row.scene.clone(), row.vendor, [0.0; 2]));
            self.estimates.len() - 1
        });
        self.estimates[at].2[0] += 1e-6 * before.microseconds;
        self.estimates[at].2[1] += row.seconds;
    }
}

fn changed(now: &Code, before: &Code, name: &str) -> Option<String> {
    let list = [
        ("registers", before.registers as f64, now.registers as f64),
        ("occupancy", before.occupancy as f64, now.occupancy as f64),
        ("spills", before.spills as f64, now.spills as f64),
        ("instructions", before.instructions as f64, now.instructions as f64),
        ("multiply-adds %", before.multiply_adds as f64, now.multiply_adds as f64),
        ("µs", before.microseconds, now.microseconds),
    ];
    let words: Vec<String> = list
        .iter()
        .filter(|(_, before, now)| before != now)
        .map(|(what, before, now)| format!("{what} {before} → {now}"))
        .collect();
    (!words.is_empty()).then(|| format!("{name}: {}", words.join(", ")))
}

fn worse(now: &Code, before: Option<Code>, vendor: &str, name: &str) -> Vec<String> {
    let mut worse = Vec::new();
    let spilled = before.map_or(0, |code| code.spills);
    if now.spills > spilled {
        worse.push(format!("{name} spills {} registers, {spilled} before", now.spills));
    }
    let Some(before) = before else { return worse };
    let machine = Machine::named(vendor);
    let (budget, what) = machine.map_or((0, ""), |machine| (machine.budget, machine.occupancy_of));
    if now.occupancy < budget.min(before.occupancy) {
        worse.push(format!(
            "{name} has an occupancy of {} {what}, {} before; {budget} is the budget",
            now.occupancy, before.occupancy
        ));
    }
    if now.instructions as f64 > GROWTH * before.instructions as f64 {
        worse.push(format!("{name} has {} instructions, {} before", now.instructions, before.instructions));
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
            code: None,
        }
    }

    fn report(rows: &[Row]) -> Report {
        Report { compilers: "Mesa 26".into(), rows: rows.to_vec() }
    }

    fn kept(rows: &[Row]) -> Kept {
        parse(&text(&report(rows)), "table").expect("our own text")
    }

    fn found(before: &Row, after: &Row) -> Comparison {
        kept(std::slice::from_ref(before)).compare(&report(std::slice::from_ref(after)), true)
    }

    #[test]
    fn a_table_is_read_as_it_was_written() {
        let mut failed = row("apple", 0, 0, 0);
        failed.failed = Some("it died (signal: 11)".into());
        let rows = [row("amd", 8, 0, 1000), failed];
        let table = kept(&rows);
        let codes: Vec<Option<Code>> = table.lines.iter().map(|k| k.code).collect();
        assert_eq!(codes, [Code::of(&rows[0]), None]);
        let text = text(&report(&rows));
        assert!(text.lines().all(|line| line.len() <= 200), "{text}");
        assert_eq!(
            table.compare(&report(&rows), true),
            Comparison {
                estimates: vec![("decode".into(), "amd", [12.3e-6, 12.345e-6])],
                ..Comparison::default()
            }
        );
        let cut = text.replace("1000", "");
        assert!(parse(&cut, "table").is_err_and(|e| e.message().starts_with("table: line 7")), "{cut}");
    }

    #[test]
    fn what_became_worse_is_told_with_both_numbers() {
        let before = row("amd", 8, 2, 1000);
        let fine = found(&before, &row("amd", 4, 2, 1030));
        assert!(fine.worse.is_empty() && fine.changed.len() == 1, "{fine:?}");
        assert!(fine.changed[0].ends_with("occupancy 8 → 4, instructions 1000 → 1030"), "{fine:?}");
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
    fn rows_that_come_or_go_and_other_compilers_are_told() {
        let (amd, apple) = (row("amd", 8, 0, 1000), row("apple", 8, 0, 1000));
        let kept = kept(&[amd.clone(), apple.clone()]);
        let compare = |row: &Row, all| kept.compare(&report(std::slice::from_ref(row)), all);
        // A vendor that was not gauged is not missed.
        assert_eq!(compare(&amd, true).strange, [""; 0]);
        let other = Row { step: "layers.0.mlp".into(), ..amd.clone() };
        let strange = |all| compare(&other, all).strange.len();
        assert_eq!([strange(true), strange(false)], [2, 1]);
        let failed = Row { failed: Some("refused".into()), ..apple };
        assert_eq!(compare(&failed, true).worse.len(), 1);
        let newer = Report { compilers: "Mesa 27".into(), rows: vec![amd] };
        let versions = kept.compare(&newer, true).compilers;
        assert_eq!(versions, Some(["Mesa 26".to_string(), "Mesa 27".to_string()]));
    }
}
