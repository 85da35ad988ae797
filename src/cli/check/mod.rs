//! `check`: what a device computes, against what is known.
//!
//! | file | what |
//! |---|---|
//! | `kernels.rs` | kernels against their twins in f64, on any adapter |
//! | `golden.rs` | models whose logits and gradients are known |
//! | `lines.rs` | where a check runs, and the file it writes |

mod golden;
mod kernels;
mod lines;

use std::path::PathBuf;

use clap::Args;

use super::failure::Outcome;
use super::options::Common;
use super::output::check_place;

/// What `check` takes.
#[derive(Debug, Args)]
pub struct Options {
    #[command(flatten)]
    kernels: kernels::Options,
    /// Checks golden models instead: a folder of folders with config.json, model.safetensors,
    /// golden.safetensors
    #[arg(long, value_name = "DIR", conflicts_with = "precision")]
    golden: Option<PathBuf>,
    /// File to write the results to, one JSON object a line; what it held is replaced; -: stdout,
    /// in place of the table
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

/// Runs the command.
pub fn run(common: &Common, options: &Options) -> Outcome {
    let out = options.out.as_deref();
    out.map(|path| check_place(common, path)).transpose()?;
    match &options.golden {
        Some(folder) => golden::run(common, folder, out),
        None => kernels::run(common, &options.kernels, out),
    }
}
