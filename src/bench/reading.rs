//! Rows from the lines of a file.

use super::schema::{Row, SCHEMA};
use crate::error::{Error, ErrorKind, Result};
use crate::text::{clip, json};

impl Row {
    /// The rows of a JSONL text; `label` names it in errors.
    ///
    /// # Errors
    /// [`ErrorKind::Input`] for a line that is no row of this schema.
    pub fn parse_all(text: &str, label: &str) -> Result<Vec<Self>> {
        Ok(Self::parse_lines(text, label)?.into_iter().map(|(_, row)| row).collect())
    }

    /// The same, each row with the number of its line, from 1.
    ///
    /// # Errors
    /// As [`Row::parse_all`].
    pub fn parse_lines(text: &str, label: &str) -> Result<Vec<(usize, Self)>> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
        let row = |(at, line): (usize, &str)| match Self::parse(line) {
            Ok(row) => Ok((at + 1, row)),
            Err(what) => Err(Error::new(ErrorKind::Input, format!("{label}: line {}: {what}", at + 1))
                .help("give a file that polysketch bench --out wrote, whole lines of it")),
        };
        lines.map(row).collect()
    }

    fn parse(line: &str) -> Result<Self, String> {
        let no_row = |what: String| format!("no row of {SCHEMA}: {what}");
        let value = json(line).map_err(no_row)?;
        match value.get("schema").map(|schema| schema.as_str()) {
            Some(Some(SCHEMA)) => {}
            Some(Some(other)) => return Err(format!("schema {}, this build reads {SCHEMA}", clip(other))),
            _ => return Err(no_row("it has no text \"schema\"".into())),
        }
        serde_json::from_value(value).map_err(|e| no_row(clip(&e.to_string())))
    }
}
