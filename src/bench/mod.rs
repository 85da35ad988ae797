//! Measures a device: suites of measurements that run natively and in a browser; each result is one
//! documented [`Row`].
//!
//! | file | what |
//! |---|---|
//! | `options.rs` | what is asked for, and what is told |
//! | `schema.rs`, `reading.rs` | a row, and what its fields mean; rows from the lines of a file |
//! | `runner.rs` | a benchmark under way: its rows, and why one has no time |
//! | `timer.rs`, `clock.rs` | times by the device's timestamps or the wall clock, subjects in turns |
//! | `statistics.rs`, `fit.rs` | medians, intervals of ratios, cross-overs; exponents, spreads, errors |
//! | `peaks.rs`, `roofline.rs` | multiply-adds, bandwidth, dispatches, transfers; shares of the peaks |
//! | `kernels.rs`, `steps.rs` | each kernel of a model at its working shapes; what it moves |
//! | `attention.rs`, `layer.rs` | attention against its length, beside flash softmax; one kind of it |
//! | `model.rs`, `train.rs` | a model's reading and writing at depths; its training steps |
//! | `pace.rs` | how long a whole benchmark may take |
//! | `tune.rs` | which variants suit a device |
//! | `estimate/` | what compilers and a cost model say of the same work |
//! | `compare.rs` | rows of several files beside each other |
//! | `board.rs` | shares of the peak by kernel, devices by vendor |
//! | `results.rs` | files of many owners as one board |
//! | `submission.rs` | whether a file of rows can be believed, and may stand among the results |
//!
//! A row whose result is wrong has no time; one that does not fit the device or the budget stays, with its
//! reason.

mod attention;
pub mod board;
mod clock;
pub mod compare;
pub mod estimate;
pub mod fit;
#[cfg(test)]
mod grouped_tests;
mod kernels;
pub(crate) mod layer;
mod model;
mod options;
mod pace;
mod peaks;
mod reading;
pub mod results;
mod roofline;
#[cfg(test)]
mod run_tests;
mod runner;
pub mod schema;
#[cfg(test)]
mod schema_tests;
pub mod statistics;
pub(crate) mod steps;
pub mod submission;
#[cfg(test)]
mod submission_tests;
pub(crate) mod timer;
mod train;
pub mod tune;

use std::ops::ControlFlow;

pub use options::{BenchModel, BenchOptions, Event};
pub use schema::{Row, SCHEMA, Suite};

use crate::error::{Error, ErrorKind, Result};
use crate::model::Engine;
use estimate::Estimator;
use pace::Pace;
use roofline::Peaks;
use runner::Bench;
use schema::{Build, Device};

/// Runs suites on an engine. `on_event` may stop it.
///
/// # Errors
/// [`ErrorKind::Input`] for options without meaning, or without a model where a suite needs one;
/// [`ErrorKind::Cancelled`]; [`ErrorKind::DeviceLost`]. What fails in a row is the row's `skipped`.
pub async fn run(
    engine: &Engine,
    model: Option<BenchModel<'_>>,
    options: &BenchOptions,
    on_event: &mut dyn FnMut(Event) -> ControlFlow<()>,
) -> Result<()> {
    options.check()?;
    let mut suites = options.suites.clone();
    suites.sort_unstable();
    suites.dedup();
    let needs_model = |suite: &Suite| matches!(suite, Suite::Kernels | Suite::Model | Suite::Train);
    if model.is_none()
        && let Some(suite) = suites.iter().find(|suite| needs_model(suite))
    {
        return Err(Error::new(ErrorKind::Input, format!("suite {suite} needs a model"))
            .help("give one, or leave the suite out"));
    }
    let mut bench = Bench {
        engine,
        model,
        options,
        device: Device {
            note: options.note.clone(),
            ..Device::new(engine.adapter(), options.browser.clone())
        },
        build: Build::this(),
        peaks: Peaks::default(),
        estimator: Estimator::default(),
        pace: Pace::new(options.most, engine.traits().shaders),
        on_event,
        index: 0,
        of: 0,
    };
    for suite in &suites {
        bench.of += match suite {
            Suite::Peaks => peaks::ROWS,
            Suite::Kernels => kernels::rows(&bench)?,
            Suite::Attention => attention::rows(options),
            Suite::Model => model::rows(options),
            Suite::Train => train::rows(options),
        };
    }
    // The others are held against the peaks.
    peaks::run(&mut bench, suites.contains(&Suite::Peaks)).await?;
    bench.estimator = Estimator::new(engine.adapter(), &bench.peaks);
    for &suite in &suites {
        bench.pace.begin_suite(suite, &suites);
        match suite {
            Suite::Peaks => {}
            Suite::Kernels => kernels::run(&mut bench).await?,
            Suite::Attention => attention::run(&mut bench).await?,
            Suite::Model => model::run(&mut bench).await?,
            Suite::Train => train::run(&mut bench).await?,
        }
    }
    Ok(())
}
