//! Where a report is written to.

use std::path::{Path, PathBuf};

use clap::Args;
use polysketch::files::{atomic_write, create_folders};
use polysketch::{Error, Result};
use serde::Serialize;

use crate::cli::failure::{Outcome, tell};
use crate::cli::options::Common;
use crate::cli::output::{self, check_place, print, print_json};

#[derive(Debug, Args)]
/// Where to, and how much of it.
pub struct Folder {
    /// Folder to write the report to, as JSON and as a plot (SVG)
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Smaller: in seconds
    #[arg(long)]
    pub quick: bool,
}

impl Folder {
    /// Makes the folder, before work is put into what goes there.
    pub fn prepare(&self, common: &Common, name: &str) -> Result<()> {
        let Some(dir) = &self.out else { return Ok(()) };
        create_folders(dir)?;
        ["json", "svg"].iter().try_for_each(|end| check_place(common, &dir.join(format!("{name}.{end}"))))
    }

    /// The file of its numbers, if there is one.
    pub fn numbers(&self, name: &str) -> Option<PathBuf> {
        self.out.as_ref().map(|dir| dir.join(format!("{name}.json")))
    }

    /// Writes the file of its numbers.
    pub fn keep(&self, name: &str, report: &impl Serialize) -> Result<()> {
        let Some(path) = self.numbers(name) else { return Ok(()) };
        let text = serde_json::to_string_pretty(report).map_err(|e| Error::io(path.display(), &e.into()))?;
        atomic_write(&path, |w| w.write_all((text + "\n").as_bytes()))
    }

    /// Writes the folder's files.
    pub fn write(
        &self,
        common: &Common,
        name: &str,
        report: &impl Serialize,
        draw: impl FnOnce(&Path) -> Result<()>,
    ) -> Result<()> {
        let Some(json) = self.numbers(name) else { return Ok(()) };
        let svg = json.with_extension("svg");
        self.keep(name, report)?;
        draw(&svg)?;
        if common.talks() {
            tell(format_args!("written: {}, {}", json.display(), svg.display()));
        }
        Ok(())
    }

    /// Writes the folder's files, then prints.
    pub fn finish(
        &self,
        common: &Common,
        name: &str,
        report: &impl Serialize,
        text: impl FnOnce(Option<usize>) -> Vec<String>,
        draw: impl FnOnce(&Path) -> Result<()>,
    ) -> Outcome {
        self.write(common, name, report, draw)?;
        if common.json {
            return print_json(report);
        }
        print(&(text(output::columns()).join("\n") + "\n"))
    }
}
