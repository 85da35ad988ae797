//! What a device does with all this: suites of measurements that run natively and in a browser, one
//! documented [`Row`] each.
//!
//! | file | what |
//! |---|---|
//! | `schema.rs` | a row, and what its fields mean |
//! | `timer.rs`, `clock.rs` | timestamps of the device or the clock on the wall, subjects in turns |
//! | `statistics.rs`, `fit.rs` | medians, intervals of ratios, cross-overs; exponents, spreads, errors |
//! | `peaks.rs` | multiply-adds, bandwidth, dispatches, transfers: the roofline |
//! | `kernels.rs` | each kernel of a model at its working shapes |
//! | `attention.rs` | every kind of attention against the length, beside flash softmax |
//! | `model.rs`, `train.rs` | a model's reading and writing at depths; its training steps |
//! | `pace.rs` | the time of the whole |
//! | `tune.rs` | which variants suit a device |
//! | `compare.rs` | rows of several files beside each other |
//!
//! A row whose result is wrong has no time; one that does not fit the device or the budget stays, with its
//! reason.

mod attention;
mod clock;
pub mod compare;
pub mod fit;
pub(crate) mod kernels;
mod model;
mod pace;
mod peaks;
pub mod schema;
#[cfg(test)]
mod schema_tests;
pub mod statistics;
pub(crate) mod timer;
mod train;
pub mod tune;

use std::ops::ControlFlow;

use serde::{Deserialize, Serialize};

pub use schema::{Row, SCHEMA, Suite};

use crate::error::{Error, ErrorKind, Result};
use crate::exec::KernelTime;
use crate::model::{Engine, ModelSource};
use pace::Pace;
use peaks::Peaks;
use schema::{Build, Derived, Device, Workload};
use timer::{Samples, Timer};

/// What is measured, and for how long.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct BenchOptions {
    /// Suites, in the order of [`Suite::ALL`] whatever the order here.
    pub suites: Vec<Suite>,
    /// Smaller sizes also where there is no option for them.
    pub quick: bool,
    /// Seconds of a row, warm-up included; a longer one has one sample, or none where its length is foreseen
    /// to take longer.
    pub budget: f64,
    /// Seconds of everything, about: what is foreseen to compile shaders beyond it is left out, with its
    /// reason.
    pub most: Option<f64>,
    /// Most samples of a row.
    pub samples: usize,
    /// n of the suite `attention`.
    pub lengths: Vec<usize>,
    /// H.
    pub heads: usize,
    /// h.
    pub head: usize,
    /// r.
    pub sketch: usize,
    /// b.
    pub block: usize,
    /// Tokens of one call of attention, forward: the state carries over.
    pub segment: usize,
    /// All kinds of attention, or the few that matter most.
    pub all_kinds: bool,
    /// Multiply-adds that the check of a row may take in f64: over as many of its first tokens as that
    /// allows.
    pub check_work: f64,
    /// Tokens that the model has seen before it reads and writes.
    pub depths: Vec<usize>,
    /// Tokens read and written there.
    pub read_write: [usize; 2],
    /// n of the suite `train`.
    pub train_lengths: Vec<usize>,
    /// Bytes that a plan may need; none: what the device says.
    pub memory: Option<u64>,
    /// Of all random numbers.
    pub seed: u64,
    /// The browser's user agent.
    pub browser: Option<String>,
}

impl Default for BenchOptions {
    fn default() -> Self {
        let doubling = |from: u32, to: u32| (from..=to).map(|power| 1 << power).collect();
        Self {
            suites: Suite::ALL.to_vec(),
            quick: false,
            budget: 5.0,
            most: None,
            samples: 9,
            lengths: doubling(9, 17),
            heads: 4,
            head: 64,
            sketch: 32,
            block: 256,
            segment: 4096,
            all_kinds: true,
            check_work: 5e9,
            depths: vec![0, 1 << 10, 16 << 10, 128 << 10, 1 << 20],
            read_write: [512, 64],
            train_lengths: doubling(10, 17),
            memory: None,
            seed: 1,
            browser: None,
        }
    }
}

impl BenchOptions {
    /// All suites within a minute on a software adapter.
    pub fn quick() -> Self {
        Self {
            quick: true,
            budget: 0.25,
            most: Some(55.0),
            samples: 5,
            lengths: vec![256, 512, 1024],
            heads: 1,
            block: 128,
            all_kinds: false,
            check_work: 2e8,
            depths: vec![0, 1 << 10],
            read_write: [128, 8],
            train_lengths: vec![64, 128],
            ..Self::default()
        }
    }

    /// Refuses what has no meaning.
    fn check(&self) -> Result<()> {
        let lists = [("suite", self.suites.is_empty()), ("sample", self.samples == 0)];
        if let Some((what, _)) = lists.iter().find(|(_, empty)| *empty) {
            return Err(Error::new(ErrorKind::Input, format!("a benchmark without a {what}"))
                .help("give at least one"));
        }
        if !(self.budget > 0.0 && self.budget.is_finite()) {
            return Err(Error::new(ErrorKind::Input, format!("a budget of {} seconds", self.budget))
                .help("give more than 0"));
        }
        let sizes = [
            &self.lengths[..],
            &self.train_lengths,
            &self.read_write,
            &[self.heads, self.head, self.sketch, self.block, self.segment],
        ];
        if sizes.concat().contains(&0) {
            return Err(
                Error::new(ErrorKind::Input, "a benchmark of a size of 0").help("give sizes of at least 1")
            );
        }
        Ok(())
    }
}

/// What a benchmark tells while it runs.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Event {
    /// Work on a row, or on several that take turns, has begun.
    Started {
        /// Suite, name, workload.
        name: String,
        /// Rows before it.
        index: usize,
        /// Rows in all, about.
        of: usize,
    },
    /// A row is finished.
    Row(Box<Row>),
}

/// Where the model of the suites `kernels`, `model` and `train` comes from, and its name. It is opened more
/// than once.
pub struct BenchModel<'a> {
    /// Name in the rows.
    pub name: String,
    /// Opens it.
    pub open: &'a dyn Fn() -> Result<ModelSource>,
}

impl std::fmt::Debug for BenchModel<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BenchModel").field("name", &self.name).finish_non_exhaustive()
    }
}

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
        device: Device::new(engine.adapter(), options.browser.clone()),
        build: Build::this(),
        peaks: Peaks::default(),
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

/// A benchmark under way.
struct Bench<'a> {
    engine: &'a Engine,
    model: Option<BenchModel<'a>>,
    options: &'a BenchOptions,
    device: Device,
    build: Build,
    peaks: Peaks,
    pace: Pace,
    on_event: &'a mut dyn FnMut(Event) -> ControlFlow<()>,
    index: usize,
    of: usize,
}

impl Bench<'_> {
    /// A row without a time.
    fn row(&self, suite: Suite, name: &str, workload: Workload) -> Row {
        Row::new(
            suite,
            name,
            Workload { seed: Some(self.options.seed), ..workload },
            &self.device,
            &self.build,
        )
    }

    fn tell(&mut self, event: Event) -> Result<()> {
        match (self.on_event)(event) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(()) => Err(Error::new(
                ErrorKind::Cancelled,
                format!("stopped after {} of {} rows", self.index, self.of),
            )),
        }
    }

    async fn started(&mut self, suite: Suite, what: &str) -> Result<()> {
        clock::breathe().await;
        self.tell(Event::Started {
            name: format!("{suite} {what}"),
            index: self.index,
            of: self.of.max(self.index + 1),
        })
    }

    fn finished(&mut self, row: Row) -> Result<()> {
        self.index += 1;
        self.tell(Event::Row(Box::new(row)))
    }

    /// A row with its samples, or with why there are none.
    fn complete(&self, mut row: Row, samples: Result<Samples>, timer: &Timer) -> Result<Row> {
        match samples {
            Ok(samples) => samples.fill(&mut row, timer),
            Err(error) => self.skip(&mut row, error)?,
        }
        row.derive(&self.peaks);
        Ok(row)
    }

    /// [`Bench::complete`], told.
    fn conclude(&mut self, row: Row, samples: Result<Samples>, timer: &Timer) -> Result<()> {
        let row = self.complete(row, samples, timer)?;
        self.finished(row)
    }

    /// Writes times by kernel into a row, or that this device takes none, and tells it.
    fn conclude_shares(&mut self, mut row: Row, shares: Result<Vec<KernelTime>>) -> Result<()> {
        match shares {
            Ok(shares) if shares.is_empty() => row.skipped = Some("this device has no timestamps".into()),
            Ok(shares) => row.derived.shares = Some(shares),
            Err(error) => self.skip(&mut row, error)?,
        }
        self.finished(row)
    }

    /// Writes into a row why it has no time; a lost device ends everything.
    fn skip(&self, row: &mut Row, error: Error) -> Result<()> {
        if matches!(error.kind(), ErrorKind::DeviceLost | ErrorKind::Cancelled) {
            return Err(error);
        }
        row.skipped = Some(error.message().to_string());
        Ok(())
    }

    /// An error if a row is foreseen to take longer than its budget.
    fn foresee(&self, seconds: f64) -> Result<()> {
        let budget = self.options.budget;
        if seconds <= budget {
            return Ok(());
        }
        Err(Error::new(
            ErrorKind::Limit,
            format!("would take {seconds:.1} s, the budget of a row is {budget} s"),
        ))
    }

    /// The model's source.
    fn source(&self) -> Result<ModelSource> {
        let model = self
            .model
            .as_ref()
            .ok_or_else(|| Error::new(ErrorKind::Input, "a suite needs a model").help("give one"))?;
        (model.open)()
    }

    /// A workload of the model.
    fn model_workload(&self) -> Workload {
        Workload { model: self.model.as_ref().map(|m| m.name.clone()), ..Workload::default() }
    }

    /// An error if a plan needs more memory than there is.
    fn fits(&self, bytes: u64) -> Result<()> {
        match self.options.memory.filter(|most| bytes > *most) {
            None => Ok(()),
            Some(most) => Err(Error::new(
                ErrorKind::Limit,
                format!("needs {} MiB, {} MiB are free", bytes >> 20, most >> 20),
            )),
        }
    }
}

impl Row {
    /// What follows from the median.
    fn derive(&mut self, peaks: &Peaks) {
        let Some(seconds) = self.median_ns().map(|ns| ns * 1e-9).filter(|s| *s > 0.0) else { return };
        let batch = self.workload.batch.unwrap_or(1);
        let d = &mut self.derived;
        if matches!(self.suite, Suite::Attention | Suite::Model | Suite::Train) {
            d.tokens_per_second = self.workload.tokens.map(|n| (n * batch) as f64 / seconds);
        }
        d.gflops = d.flops.filter(|flops| *flops > 0).map(|flops| flops as f64 / seconds * 1e-9);
        d.gbps = d.bytes.map(|bytes| bytes as f64 / seconds * 1e-9);
        peaks.share(d);
    }
}

impl Peaks {
    /// Share of what the roofline allows.
    fn share(&self, d: &mut Derived) {
        let of_compute = d.gflops.zip(self.gflops).map(|(rate, peak)| rate / peak);
        let of_memory = d.gbps.zip(self.gbps).map(|(rate, peak)| rate / peak);
        (d.peak_gflops, d.peak_gbps) = (d.gflops.and(self.gflops), d.gbps.and(self.gbps));
        let bound = |name: &str| Some(name.to_string());
        (d.share_of_peak, d.bound) = match (of_compute, of_memory) {
            (Some(c), Some(m)) if c >= m => (Some(c), bound("compute")),
            (Some(c), None) => (Some(c), bound("compute")),
            (c, Some(m)) if m > 1.0 => (c, bound("cache")),
            (_, Some(m)) => (Some(m), bound("memory")),
            (None, None) => (None, None),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exec::{CpuExecutor, Executor};

    fn tiny(suites: &[Suite]) -> BenchOptions {
        BenchOptions {
            suites: suites.to_vec(),
            budget: 0.01,
            samples: 1,
            lengths: vec![70, 40],
            head: 8,
            sketch: 4,
            block: 16,
            ..BenchOptions::quick()
        }
    }

    fn collect(options: &BenchOptions, most: usize) -> (Vec<Row>, Result<()>) {
        let engine = Engine::on(Executor::Cpu(CpuExecutor::default()));
        let mut rows = Vec::new();
        let done = pollster::block_on(run(&engine, None, options, &mut |event| {
            if let Event::Row(row) = event {
                rows.push(*row);
            }
            if rows.len() < most { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        }));
        (rows, done)
    }

    #[test]
    fn attention_is_checked_before_it_is_timed() {
        let options = tiny(&[Suite::Attention]);
        let (rows, done) = collect(&options, usize::MAX);
        done.expect("runs");
        assert_eq!(rows.len(), attention::rows(&options));
        for row in rows.iter().filter(|row| row.name.starts_with("forward")) {
            let check = row.check.as_ref().expect("checked");
            assert!(check.verdict().is_ok() && row.samples_ns.len() == 1 && row.skipped.is_none(), "{row:?}");
            assert!(
                row.derived.gflops.is_some()
                    && row.derived.share_of_peak.is_some()
                    && row.derived.memory_bytes.is_some()
            );
        }
        assert!(rows.iter().filter(|row| row.name == "exponent").all(|row| row.derived.exponent.is_some()));
    }

    #[test]
    fn time_of_attention_is_told_by_kernel() {
        let options = BenchOptions { quick: false, lengths: vec![64], ..tiny(&[Suite::Attention]) };
        let (rows, done) = collect(&options, usize::MAX);
        done.expect("runs");
        assert_eq!(rows.len(), attention::rows(&options));
        let kernels = |operation: &str| -> Vec<String> {
            let rows = rows
                .iter()
                .filter(|row| row.name == "shares" && row.workload.operation.as_deref() == Some(operation));
            rows.flat_map(|row| row.derived.shares.iter().flatten().map(|k| k.kernel.clone())).collect()
        };
        assert!(kernels("forward").iter().any(|k| k == "scan_output"), "{:?}", kernels("forward"));
        assert!(
            kernels("forward_backward").iter().any(|k| k == "scan_grad_keys"),
            "{:?}",
            kernels("forward_backward")
        );
    }

    #[test]
    fn a_benchmark_can_be_stopped_and_refuses_nonsense() {
        let (rows, stopped) = collect(&tiny(&[Suite::Attention]), 2);
        assert_eq!((rows.len(), stopped.expect_err("stopped").kind()), (2, ErrorKind::Cancelled));
        let nonsense = [
            tiny(&[]),
            tiny(&[Suite::Model]),
            BenchOptions { budget: f64::NAN, ..tiny(&[Suite::Peaks]) },
            BenchOptions { lengths: vec![0], ..tiny(&[Suite::Attention]) },
        ];
        for options in nonsense {
            let (rows, refused) = collect(&options, 1);
            assert_eq!((rows.len(), refused.expect_err("refused").kind()), (0, ErrorKind::Input));
        }
        let long = BenchOptions { memory: Some(1000), ..tiny(&[Suite::Attention]) };
        let (rows, done) = collect(&long, usize::MAX);
        done.expect("runs");
        let reasons: Vec<&str> = rows.iter().filter_map(|row| row.skipped.as_deref()).collect();
        assert!(reasons.len() == rows.len() && reasons[0].contains("free"), "{reasons:?}");
    }

    #[test]
    fn wrong_results_have_no_time() {
        for error in [f64::NAN, f64::INFINITY, 2e-3] {
            let check = schema::Check::against_f64(error, 1e-3, "", None);
            assert_eq!(check.verdict().expect_err("wrong").kind(), ErrorKind::Numeric);
        }
    }

    #[test]
    fn the_lower_roof_is_the_bound() {
        let peaks = Peaks { gflops: Some(100.0), gbps: Some(10.0) };
        let mut d = Derived { gflops: Some(50.0), gbps: Some(1.0), ..Derived::default() };
        peaks.share(&mut d);
        assert_eq!((d.share_of_peak, d.bound.as_deref()), (Some(0.5), Some("compute")));
        let mut d = Derived { gflops: Some(1.0), gbps: Some(9.0), ..Derived::default() };
        peaks.share(&mut d);
        assert_eq!((d.share_of_peak, d.bound.as_deref()), (Some(0.9), Some("memory")));
        // Faster than memory: only the arithmetic says something.
        let mut d = Derived { gflops: Some(1.0), gbps: Some(50.0), ..Derived::default() };
        peaks.share(&mut d);
        assert_eq!((d.share_of_peak, d.bound.as_deref()), (Some(0.01), Some("cache")));
    }
}
