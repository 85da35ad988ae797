//! `polysketch`: one file a command. Results go to stdout; progress, statistics and errors to stderr.
//!
//! | file | what |
//! |---|---|
//! | `devices.rs`, `inspect.rs`, `generate.rs`, `eval.rs`, `logits.rs`, `grad.rs` | a command each |
//! | `convert.rs` | a command, too: models as other files |
//! | `gauge.rs` | a command for work on kernels, with a feature of its own |
//! | `linearize.rs` | a softmax model's attention made linear |
//! | `tokenizer.rs` | the command of this name |
//! | `bench/`, `chat/`, `check/`, `report/`, `train/` | a command each, of several files |
//! | `inspect_training.rs` | what `inspect` says of training |
//! | `options.rs` | options that several commands share, and how their values are read |
//! | `model.rs` | from those options to a loaded model |
//! | `sampling.rs` | options of sampling |
//! | `prompt.rs`, `escapes.rs` | where a prompt comes from; backslash escapes in options |
//! | `input.rs` | files that are read, or stdin |
//! | `output.rs` | stdout: text, tables, numbers for people, JSON |
//! | `progress.rs`, `terminal.rs` | progress on stderr; what the terminal there can |
//! | `plot.rs`, `panels.rs` | what drawings share; grids of plots |
//! | `failure.rs` | errors and panics: what is printed, which exit code |
//! | `signals.rs` | Ctrl-C and the other ways to be stopped |

#[cfg(feature = "bench")]
mod bench;
mod chat;
#[cfg(feature = "bench")]
mod check;
mod convert;
mod devices;
mod escapes;
mod eval;
pub mod failure;
#[cfg(all(feature = "gauge", target_os = "linux"))]
mod gauge;
mod generate;
#[cfg(feature = "train")]
mod grad;
mod input;
mod inspect;
#[cfg(feature = "train")]
mod inspect_training;
#[cfg(feature = "train")]
mod linearize;
mod logits;
mod model;
mod options;
mod output;
#[cfg(feature = "bench")]
mod panels;
#[cfg(feature = "train")]
mod plot;
mod progress;
mod prompt;
#[cfg(feature = "bench")]
mod report;
mod sampling;
mod signals;
pub mod terminal;
mod tokenizer;
#[cfg(feature = "train")]
mod train;

use clap::{Parser, Subcommand};

use failure::Outcome;
use options::Common;

/// A portable engine for linear-time transformers: long texts in constant memory, on any GPU and without one.
#[derive(Debug, Parser)]
#[command(name = "polysketch", version, max_term_width = 110)]
pub struct Cli {
    #[command(flatten)]
    common: Common,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List the adapters of this machine, and which one is taken
    Devices,
    /// Show a model's configuration, parameters and memory plan; nothing is allocated
    Inspect(inspect::Options),
    /// Continue a text
    Generate(generate::Options),
    /// Talk with a model, in the terminal
    Chat(chat::Options),
    /// Measure how well a model predicts a text
    Eval(eval::Options),
    /// Write a model as other files: a folder, or a GGUF file with weights of few bits
    Convert(convert::Options),
    /// Write the logits of given tokens to a file
    Logits(logits::Options),
    /// Write the loss of given tokens, and its gradients, to a file
    #[cfg(feature = "train")]
    Grad(grad::Options),
    /// Train a model, from new weights, from a model, or from where a run stopped
    #[cfg(feature = "train")]
    Train(Box<train::Options>),
    /// Make a softmax model linear: constant memory at any length, as an adapter beside its file
    #[cfg(feature = "train")]
    Linearize(Box<linearize::Options>),
    #[cfg(feature = "bench")]
    /// Check kernels against their twins on the CPU, on any adapter; or whole models whose results are known
    Check(Box<check::Options>),
    /// Measure what this machine does: peaks, kernels, attention against its length, a model, its training
    #[cfg(feature = "bench")]
    Bench(Box<bench::Options>),
    /// What the compilers of four vendors make of the kernels, and an estimate of their times; no GPU needed
    #[cfg(all(feature = "gauge", target_os = "linux"))]
    Gauge(Box<gauge::Options>),
    /// What the theory of gradients and sketches promises, measured on this machine's CPU
    #[command(subcommand)]
    #[cfg(feature = "bench")]
    Report(report::Command),
    /// Tokenizers
    #[command(subcommand)]
    Tokenizer(tokenizer::Command),
}

/// Runs the command.
pub fn run(cli: Cli) -> Outcome {
    let common = &cli.common;
    match &cli.command {
        Command::Devices => devices::run(common),
        Command::Inspect(options) => inspect::run(common, options),
        Command::Generate(options) => generate::run(common, options),
        Command::Chat(options) => chat::run(common, options),
        Command::Eval(options) => eval::run(common, options),
        Command::Convert(options) => convert::run(common, options),
        Command::Logits(options) => logits::run(common, options),
        #[cfg(feature = "train")]
        Command::Grad(options) => grad::run(common, options),
        #[cfg(feature = "train")]
        Command::Train(options) => train::run(common, options),
        #[cfg(feature = "train")]
        Command::Linearize(options) => linearize::run(common, options),
        #[cfg(feature = "bench")]
        Command::Check(options) => check::run(common, options),
        #[cfg(feature = "bench")]
        Command::Bench(options) => bench::run(common, options),
        #[cfg(all(feature = "gauge", target_os = "linux"))]
        Command::Gauge(options) => gauge::run(common, options),
        #[cfg(feature = "bench")]
        Command::Report(command) => report::run(common, command),
        Command::Tokenizer(command) => tokenizer::run(common, command),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    #[test]
    fn the_options_are_consistent() {
        let command = super::Cli::command();
        // Of an option that is there twice, one is never heard. Clap itself looks only in builds without
        // optimisation.
        check(&command);
        command.debug_assert();
    }

    fn check(command: &clap::Command) {
        let mut ids: Vec<&clap::Id> = command.get_arguments().map(|argument| argument.get_id()).collect();
        ids.sort_unstable();
        assert!(ids.is_sorted_by(|a, b| a < b), "{}: {ids:?}", command.get_name());
        command.get_subcommands().for_each(check);
    }
}
