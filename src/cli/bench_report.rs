//! `bench report`: rows as plots.

use clap::Args;

use super::failure::Outcome;
use super::options::Common;

/// What it takes.
#[derive(Debug, Args)]
pub struct Options {}

/// Runs the command.
pub fn run(_: &Common, _: &Options) -> Outcome {
    Ok(())
}
