//! `report`: what the theory promises, measured: tables, JSON, plots.
//!
//! | file | what |
//! |---|---|
//! | `gradient.rs`, `sketch.rs`, `linearize.rs`, `past.rs` | a report each |
//! | `folder.rs` | where a report is written to |
//! | `cells.rs` | numbers and rows of their tables |

mod cells;
mod folder;
mod gradient;
mod linearize;
mod past;
mod sketch;

use clap::Subcommand;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use pollster::block_on;
use polysketch::report::cost::{self, Timed};

use super::failure::Outcome;
use super::options::{Common, count};
use super::output::print_json;

#[derive(Debug, Subcommand)]
pub enum Command {
    /// The almost-linear-time gradient of softmax attention: error by degree and layer against exact softmax
    /// in f64; time and memory against the length of the text
    Gradient(gradient::Options),
    /// Random and learned sketches against their kernels, beside the theorem's bound
    Sketch(sketch::Options),
    /// A linearised model beside its teacher: perplexity and KL by position, recall, state and speed, answers
    Linearize(Box<linearize::Options>),
    /// What a longer past is worth to a model: names that occurred 1k, 4k, 16k tokens earlier against names that
    /// did not; loss by position
    Past(past::Options),
    /// One cost of `report gradient`, which measures each in a process of its own
    #[command(hide = true)]
    Cost {
        #[arg(value_parser = timed())]
        kind: Timed,
        #[arg(value_parser = count)]
        tokens: usize,
    },
}

fn timed() -> impl TypedValueParser<Value = Timed> {
    PossibleValuesParser::new(gradient::KINDS.map(Timed::as_str))
        .map(|word| if word == Timed::Softmax.as_str() { Timed::Softmax } else { Timed::Taylor })
}

/// Runs the command.
pub fn run(common: &Common, command: &Command) -> Outcome {
    match command {
        Command::Gradient(options) => gradient::run(common, options),
        Command::Sketch(options) => sketch::run(common, options),
        Command::Linearize(options) => linearize::run(common, options),
        Command::Past(options) => past::run(common, options),
        Command::Cost { kind, tokens } => print_json(&block_on(cost::cost(*kind, *tokens))?),
    }
}
