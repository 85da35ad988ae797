//! `bench`: what a device does, measured.
//!
//! | file | what |
//! |---|---|
//! | `measure.rs` | the measuring itself: rows as JSONL, a table on stdout |
//! | `check.rs` | whether files may stand among the results |
//! | `compare.rs` | files of rows against each other |
//! | `page/` | files of rows as one page with plots |
//! | `tune.rs` | which variants suit an adapter |
//! | `rows.rs` | rows from files; a row's numbers for people |

mod check;
mod compare;
mod measure;
mod page;
pub mod rows;
mod tune;

use clap::{Args, Subcommand};

use crate::cli::failure::Outcome;
use crate::cli::options::Common;

/// What `bench` takes.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Options {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    run: measure::Options,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Hold files of rows against each other: ratios, and how sure they are
    Compare(compare::Options),
    /// Draw files of rows: one HTML page with plots
    Report(page::Options),
    /// Check files of rows: whether they can be believed, and may stand among the results of the page
    Check(check::Options),
    /// Find out which variants of the shaders suit an adapter, and keep it: from then on they are used there
    Tune(tune::Options),
}

/// Runs the command.
pub fn run(common: &Common, options: &Options) -> Outcome {
    match &options.command {
        None => measure::run(common, &options.run),
        Some(Command::Compare(options)) => compare::run(common, options),
        Some(Command::Check(options)) => check::run(common, options),
        Some(Command::Report(options)) => page::run(common, options),
        Some(Command::Tune(options)) => tune::run(common, options),
    }
}
