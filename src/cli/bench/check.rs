//! `bench check`: whether files of rows can be believed, and may stand among the results of the page.

use std::path::PathBuf;

use clap::Args;
use polysketch::bench::submission::Submission;
use polysketch::files::source_name;
use polysketch::{Error, ErrorKind};
use serde_json::json;

use crate::cli::failure::Outcome;
use crate::cli::input::read_text;
use crate::cli::options::Common;
use crate::cli::output::{plural, print, print_json};

/// What `bench check` takes.
#[derive(Debug, Args)]
pub struct Options {
    /// Files of rows (bench --out), each of one device; -: stdin
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
}

/// Runs the command.
pub fn run(common: &Common, options: &Options) -> Outcome {
    let mut told = Vec::new();
    for path in &options.files {
        let name = source_name(path);
        let read = read_text(common, path, "rows");
        told.push(match read.and_then(|text| Submission::accept(&text, &name)) {
            Ok(read) => {
                let first = read.rows.first().map(|(_, row)| row);
                let about = first.map_or(String::new(), |row| {
                    format!(": {}, build {}", row.device.label(), row.build.label())
                });
                Ok(format!("{name}{about}, {}", plural(read.rows.len(), "row")))
            }
            Err(error) => Err(error.message().to_string()),
        });
    }
    let refused: Vec<&String> = told.iter().filter_map(|file| file.as_ref().err()).collect();
    if common.json {
        let taken: Vec<&String> = told.iter().filter_map(|file| file.as_ref().ok()).collect();
        print_json(&json!({ "taken": taken, "refused": refused }))?;
    } else {
        let line = |file: &Result<String, String>| match file {
            Ok(about) => format!("taken    {about}\n"),
            Err(why) => format!("refused  {why}\n"),
        };
        print(&told.iter().map(line).collect::<String>())?;
    }
    match refused.first() {
        None => Ok(()),
        Some(why) => {
            let of = if told.len() > 1 {
                format!("{} of {} files, ", refused.len(), told.len())
            } else {
                String::new()
            };
            Err(Error::new(ErrorKind::Input, format!("refused: {of}{why}"))
                .help("web/page/results/README.md has what a submission needs")
                .into())
        }
    }
}
