//! Stdout: text, tables, numbers for people, JSON.

use std::fmt::Write as _;
use std::io::{self, IsTerminal as _, Write as _, stdout};
use std::path::Path;

use console::{Term, measure_text_width, truncate_str};
use polysketch::files::is_standard;
use polysketch::text::{printable, printable_lines};
use polysketch::{Error, ErrorKind, Result};

use super::failure::{Outcome, Stop};
use super::options::Common;

/// Writes what a command tells to stdout, its control characters spelled out: names in it are of others.
///
/// # Errors
/// As [`print_as_is`].
pub fn print(text: &str) -> Outcome {
    print_as_is(&printable_lines(text))
}

/// Writes text that a model wrote, or that it continues. A program gets it as it is, a terminal does not obey
/// it.
///
/// # Errors
/// As [`print_as_is`].
pub fn print_text(text: &str) -> Outcome {
    if stdout().is_terminal() { print(text) } else { print_as_is(text) }
}

/// Writes text to stdout at once.
///
/// # Errors
/// [`Stop::Closed`] if nobody reads any more; an I/O error, for instance if a file that stdout goes to has no
/// space left.
pub fn print_as_is(text: &str) -> Outcome {
    let mut out = stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(|e| match e.kind() {
        io::ErrorKind::BrokenPipe => Stop::Closed,
        _ => Stop::Failed(Error::io("stdout", &e)),
    })
}

/// Writes one JSON object to stdout.
pub fn print_json(value: &impl serde::Serialize) -> Outcome {
    let text = serde_json::to_string_pretty(value).map_err(|e| Error::io("stdout", &e.into()))?;
    print_as_is(&(text + "\n"))
}

/// Refuses a path that cannot be written to, before work is put into the file. `-` is stdout.
///
/// # Errors
/// `ErrorKind::Io`, naming the path.
pub fn check_place(common: &Common, path: &Path) -> Result<()> {
    if is_standard(path) {
        // One reader cannot tell the two apart.
        return if common.json {
            Err(Error::new(ErrorKind::Input, "--json and a file named - both want stdout")
                .help("leave out --json, or give the name of a file"))
        } else {
            Ok(())
        };
    }
    polysketch::files::check_place(path)
}

/// Columns of the terminal on stdout; none if it is no terminal, and lines may be as long as they like.
pub fn columns() -> Option<usize> {
    stdout()
        .is_terminal()
        .then(|| Term::stdout().size_checked().map_or(80, |(_, columns)| usize::from(columns).max(20)))
}

/// Which way a column leans.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Align {
    /// Words.
    Left,
    /// Numbers.
    Right,
}

/// A table as lines of text. Where the terminal is too narrow, the column `elastic` gives way first.
pub fn table(align: &[Align], elastic: usize, rows: &[Vec<String>], columns: Option<usize>) -> Vec<String> {
    const LEAST: usize = 8;
    let rows: Vec<Vec<String>> =
        rows.iter().map(|row| row.iter().map(|cell| printable(cell)).collect()).collect();
    let mut widths: Vec<usize> = (0..align.len())
        .map(|c| {
            rows.iter().filter_map(|row| row.get(c)).map(|cell| measure_text_width(cell)).max().unwrap_or(0)
        })
        .collect();
    let whole = widths.iter().sum::<usize>() + 2 * widths.len().saturating_sub(1);
    if let Some(over) = columns.and_then(|columns| whole.checked_sub(columns))
        && let Some(width) = widths.get_mut(elastic)
    {
        *width = width.saturating_sub(over).max(LEAST.min(*width));
    }
    let line = |row: &Vec<String>| {
        let mut line = String::new();
        for (c, cell) in row.iter().enumerate().take(widths.len()) {
            let cell = truncate_str(cell, widths[c], "…");
            let pad = " ".repeat(widths[c].saturating_sub(measure_text_width(&cell)));
            let gap = if c == 0 { "" } else { "  " };
            let _ = match align[c] {
                Align::Left => write!(line, "{gap}{cell}{pad}"),
                Align::Right => write!(line, "{gap}{pad}{cell}"),
            };
        }
        let line = line.trim_end();
        columns.map_or(line.into(), |columns| truncate_str(line, columns, "…").into_owned())
    };
    rows.iter().map(line).collect()
}

/// Text broken at spaces so that it fits beside an indent.
pub fn wrap(text: &str, indent: usize, columns: Option<usize>) -> Vec<String> {
    let text = printable(text);
    let room = columns.map_or(usize::MAX, |c| c.saturating_sub(indent).max(16));
    let mut lines: Vec<String> = vec![" ".repeat(indent)];
    let mut used = 0;
    for word in text.split(' ') {
        let width = measure_text_width(word);
        if used > 0 && used + 1 + width > room {
            lines.push(" ".repeat(indent));
            used = 0;
        }
        if let Some(line) = lines.last_mut() {
            if used > 0 {
                line.push(' ');
                used += 1;
            }
            line.push_str(word);
            used += width;
        }
    }
    lines
}

/// `1 234 567` as `1,234,567`.
pub fn thousands(n: impl TryInto<u64>) -> String {
    let digits = n.try_into().unwrap_or(u64::MAX).to_string();
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Bytes as `12 B`, `1.5 KiB`, `128 MiB`, `3.25 TiB`: three digits.
pub fn bytes(n: impl TryInto<u64>) -> String {
    let n = n.try_into().unwrap_or(u64::MAX);
    let unit = (n.max(1).ilog2() / 10) as usize;
    let value = n as f64 / (1u64 << (10 * unit)) as f64;
    format!("{} {}", digits3(value), ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"][unit.min(6)])
}

/// A count as `950`, `2.29 M`, `1.1 T`: three digits.
pub fn amount(n: impl TryInto<u64>) -> String {
    let n = n.try_into().unwrap_or(u64::MAX);
    let unit = (n.max(1).ilog10() / 3) as usize;
    let value = n as f64 / 1000f64.powi(unit as i32);
    let name = ["", " k", " M", " G", " T", " P", " E"][unit.min(6)];
    format!("{}{name}", digits3(value))
}

/// What a table shows for what is no number.
pub const NO_NUMBER: &str = "–";

/// A share as `35 %`.
#[cfg(any(test, feature = "bench"))]
pub fn percent(share: f64) -> String {
    if share.is_finite() { format!("{:.0} %", 100.0 * share) } else { NO_NUMBER.into() }
}

/// An error as `3e-7`.
#[cfg(any(test, feature = "bench"))]
pub fn magnitude(error: f64) -> String {
    if error.is_finite() { format!("{error:.0e}") } else { NO_NUMBER.into() }
}

/// Three digits: `5`, `5.25`, `52.5`, `525`; no zeros behind the point.
pub fn digits3(value: f64) -> String {
    if !value.is_finite() {
        return NO_NUMBER.into();
    }
    let decimals = if value >= 99.95 { 0 } else { usize::from(value < 9.995) + 1 };
    let text = format!("{value:.decimals$}");
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').into() } else { text }
}

/// Seconds as `35 ms`, `1.52 s`, `3 min 20 s`.
pub fn seconds(s: f64) -> String {
    match s {
        s if !s.is_finite() => NO_NUMBER.into(),
        s if s < 1.0 => format!("{} ms", digits3(s * 1e3)),
        s if s < 120.0 => format!("{} s", digits3(s)),
        s => format!("{} min {} s", s as u64 / 60, s as u64 % 60),
    }
}

/// Things a second as `82.6` or `7,512`.
pub fn rate(things: usize, s: f64) -> String {
    let rate = things as f64 / s.max(1e-9);
    if rate < 1000.0 { digits3(rate) } else { thousands(rate as u64) }
}

/// `1 token`, `2,000 tokens`.
pub fn plural(n: usize, thing: &str) -> String {
    format!("{} {thing}{}", thousands(n as u64), if n == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers() {
        assert_eq!([0u64, 999, 1000, 1234567].map(thousands), ["0", "999", "1,000", "1,234,567"]);
        assert_eq!(
            [0u64, 1023, 1536, 128 << 20, u64::MAX].map(bytes),
            ["0 B", "1023 B", "1.5 KiB", "128 MiB", "16 EiB"]
        );
        assert_eq!([0u64, 950, 2_286_336, 1 << 40].map(amount), ["0", "950", "2.29 M", "1.1 T"]);
        assert_eq!([0.0, 9.999, 52.49, 99.96, 525.4].map(digits3), ["0", "10", "52.5", "100", "525"]);
        for none in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            assert_eq!([digits3, seconds, percent, magnitude].map(|text| text(none)), [NO_NUMBER; 4]);
        }
        assert_eq!([0.0352, 1.519, 119.0, 200.0].map(seconds), ["35.2 ms", "1.52 s", "119 s", "3 min 20 s"]);
        assert_eq!((plural(1, "token"), plural(2000, "token")), ("1 token".into(), "2,000 tokens".into()));
    }

    #[test]
    fn tables_fit_the_terminal() {
        let rows = [["name", "n"], ["a long name of something", "12"], ["ü", "3"]]
            .map(|row| row.map(String::from).to_vec());
        let align = [Align::Left, Align::Right];
        assert_eq!(
            table(&align, 0, &rows, None)[1..],
            ["a long name of something  12", "ü                          3"]
        );
        let narrow = table(&align, 0, &rows, Some(20));
        assert_eq!(narrow, ["name               n", "a long name of …  12", "ü                  3"]);
        assert!(table(&align, 0, &rows, Some(5)).iter().all(|line| measure_text_width(line) <= 5));
    }

    #[test]
    fn text_wraps_at_spaces() {
        assert_eq!(wrap("one two three four five", 2, Some(18)), ["  one two three", "  four five"]);
        assert_eq!(wrap("one two", 2, None), ["  one two"]);
    }
}
