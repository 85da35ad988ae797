//! `bench`: what a device does, measured: a table on stdout, rows as JSONL (`polysketch::bench::schema`).

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, Subcommand};
use pollster::block_on;
use polysketch::bench::{self, BenchModel, BenchOptions, Event, Row, Suite};
use polysketch::exec::KernelTime;
use polysketch::gpu::{AdapterRequest, Backend, enumerate};
use polysketch::model::Engine;
use polysketch::model::files::atomic_write;
use polysketch::{Error, ErrorKind, Result};
use serde_json::json;

use super::failure::{Outcome, Stop, catch_interrupt, interrupted, tell, warn};
use super::options::{Common, count, natural};
use super::output::{self, Align, bytes, check_place, digits3, print, print_json, seconds, table, thousands};
use super::progress::{Progress, Unit};
use super::{bench_compare, bench_report, bench_tune, model};

/// What `bench` takes.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Options {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    run: Run,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Hold files of rows against each other: ratios, and how sure they are
    Compare(bench_compare::Options),
    /// Draw files of rows: one HTML page with plots
    Report(bench_report::Options),
    /// Find out which variants of the shaders suit an adapter, and keep it: from then on they are used there
    Tune(bench_tune::Options),
}

#[derive(Debug, Args)]
struct Run {
    /// What is measured [default: all suites]
    #[arg(value_name = "SUITE", value_parser = suite())]
    suites: Vec<Suite>,
    /// A look within a minute: few sizes and samples; what would take longer is left out, unless a budget or
    /// sizes are given
    #[arg(long)]
    quick: bool,
    /// File to write the rows to, one JSON object a line; what it held is replaced
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// On every usable adapter and on the CPU, one after the other
    #[arg(long, conflicts_with_all = ["backend", "adapter"])]
    all_devices: bool,
    /// Seconds of a row; a length that would take longer is skipped [default: 5; with --quick 0.25]
    #[arg(long, value_name = "SECONDS", value_parser = budget)]
    budget: Option<f64>,
    /// Most samples of a row [default: 9; with --quick 5]
    #[arg(long, value_name = "N", value_parser = count)]
    samples: Option<usize>,
    /// Seed of all random numbers
    #[arg(long, value_name = "N", default_value = "1")]
    seed: u64,
    /// Model folder of the suites kernels, model and train [default: the built-in model]
    #[arg(long, value_name = "DIR")]
    model: Option<PathBuf>,
    #[command(flatten)]
    sizes: Sizes,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Sizes")]
struct Sizes {
    /// Tokens of the suite attention [default: 512 to 128k; with --quick 256,512,1k]
    #[arg(long, value_name = "N,…", value_delimiter = ',', value_parser = count)]
    lengths: Option<Vec<usize>>,
    /// Heads of the suite attention [default: 4; with --quick 1]
    #[arg(long, value_name = "N", value_parser = count)]
    heads: Option<usize>,
    /// Size of a head [default: 64]
    #[arg(long, value_name = "N", value_parser = count)]
    head: Option<usize>,
    /// Size of the sketch [default: 32]
    #[arg(long, value_name = "N", value_parser = count)]
    sketch: Option<usize>,
    /// Tokens of a block of the sketched kinds [default: 256; with --quick 128]
    #[arg(long, value_name = "N", value_parser = count)]
    block: Option<usize>,
    /// Tokens read before the suite model reads and writes [default: 0,1k,16k,128k,1M; with --quick 0,1k]
    #[arg(long, value_name = "N,…", value_delimiter = ',', value_parser = natural)]
    depths: Option<Vec<usize>>,
    /// Tokens of a sequence of the suite train [default: 1k to 128k; with --quick 64,128]
    #[arg(long, value_name = "N,…", value_delimiter = ',', value_parser = count)]
    train_lengths: Option<Vec<usize>>,
}

impl Sizes {
    fn given(&self) -> bool {
        let Self { lengths, heads, head, sketch, block, depths, train_lengths } = self;
        let lists = [lengths, depths, train_lengths].iter().any(|list| list.is_some());
        lists || [heads, head, sketch, block].iter().any(|size| size.is_some())
    }
}

fn suite() -> impl TypedValueParser<Value = Suite> {
    let find =
        |word: String| Suite::ALL.into_iter().find(|suite| suite.as_str() == word).unwrap_or(Suite::Peaks);
    PossibleValuesParser::new(Suite::ALL.map(Suite::as_str)).map(find)
}

fn budget(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(seconds) if seconds > 0.0 && seconds <= 1e6 => Ok(seconds),
        _ => Err("must be a number of seconds above 0".into()),
    }
}

impl Run {
    fn options(&self) -> BenchOptions {
        let base = if self.quick { BenchOptions::quick() } else { BenchOptions::default() };
        let sizes = &self.sizes;
        BenchOptions {
            suites: if self.suites.is_empty() { Suite::ALL.to_vec() } else { self.suites.clone() },
            budget: self.budget.unwrap_or(base.budget),
            // Who says what is to be measured waits for it.
            most: base.most.filter(|_| self.budget.is_none() && !sizes.given()),
            samples: self.samples.unwrap_or(base.samples),
            lengths: sizes.lengths.clone().unwrap_or(base.lengths),
            heads: sizes.heads.unwrap_or(base.heads),
            head: sizes.head.unwrap_or(base.head),
            sketch: sizes.sketch.unwrap_or(base.sketch),
            block: sizes.block.unwrap_or(base.block),
            depths: sizes.depths.clone().unwrap_or(base.depths),
            train_lengths: sizes.train_lengths.clone().unwrap_or(base.train_lengths),
            seed: self.seed,
            ..base
        }
    }
}

/// Runs the command.
pub fn run(common: &Common, options: &Options) -> Outcome {
    match &options.command {
        None => measure(common, &options.run),
        Some(Command::Compare(options)) => bench_compare::run(common, options),
        Some(Command::Report(options)) => bench_report::run(common, options),
        Some(Command::Tune(options)) => bench_tune::run(common, options),
    }
}

/// Rows of files, one after the other.
pub fn read(paths: &[PathBuf]) -> Result<Vec<Vec<Row>>> {
    let rows = |path: &PathBuf| {
        Row::parse_all(&polysketch::model::files::read_text(path)?, &path.display().to_string())
    };
    paths.iter().map(rows).collect()
}

fn measure(common: &Common, run: &Run) -> Outcome {
    if let Some(path) = &run.out {
        check_place(path)?;
    }
    let name = run.model.as_ref().map_or("novels-2m".into(), |dir| {
        dir.file_name().unwrap_or(dir.as_os_str()).to_string_lossy().into_owned()
    });
    let open = || model::source(run.model.as_deref());
    // A folder without a model is told of before anything is measured.
    open()?;
    catch_interrupt();
    let mut rows = Vec::new();
    let engines = if run.all_devices { every_engine(common)? } else { vec![model::engine(common)?] };
    for engine in engines {
        match on_one(common, run, &engine, &BenchModel { name: name.clone(), open: &open }, &mut rows) {
            // One device that breaks is no reason to leave out the others.
            Err(Stop::Failed(error)) if run.all_devices && error.kind() != ErrorKind::Cancelled => {
                warn(&format!("{}: {error}", engine.name()))
            }
            done => done?,
        }
    }
    if let (Some(path), true) = (&run.out, common.talks()) {
        tell(format_args!("written: {}, {}", path.display(), output::plural(rows.len(), "row")));
    }
    if common.json { print_json(&json!({ "rows": rows })) } else { Ok(()) }
}

fn every_engine(common: &Common) -> Result<Vec<Engine>> {
    let _spinner = Progress::spinner(common, "looking for adapters");
    let adapters = block_on(enumerate()).into_iter().map(|a| a.report).filter(|r| r.usable().is_ok());
    let requests =
        adapters.map(|r| AdapterRequest { backend: Backend::Gpu, adapter: Some(r.index.to_string()) });
    let cpu = AdapterRequest { backend: Backend::Cpu, adapter: None };
    requests.chain([cpu]).map(|request| block_on(Engine::create(&request))).collect()
}

/// All suites on one device: rows are written as they come, tables as suites end.
fn on_one(
    common: &Common,
    run: &Run,
    engine: &Engine,
    model: &BenchModel<'_>,
    rows: &mut Vec<Row>,
) -> Outcome {
    // A part is left to what else runs here.
    let options =
        BenchOptions { memory: engine.available_memory().map(|bytes| bytes / 4 * 3), ..run.options() };
    let bar = Progress::bar(common, &engine.name(), 0, Unit::Rows);
    let mut shown = rows.len();
    let mut failed: Outcome = Ok(());
    let mut on_event = |event: Event| {
        let handled = match event {
            Event::Started { name, index, of } => {
                bar.total(of as u64);
                bar.set(index);
                bar.say(name);
                Ok(())
            }
            Event::Row(row) => {
                let suite = row.suite;
                let ended = rows.get(shown).is_some_and(|first| first.suite != suite);
                let printed = if ended { show(common, &bar, &rows[shown..]) } else { Ok(()) };
                if ended {
                    shown = rows.len();
                }
                rows.push(*row);
                printed.and_then(|()| write(run.out.as_deref(), rows).map_err(Into::into))
            }
        };
        if let Err(stop) = handled {
            failed = Err(stop);
            return ControlFlow::Break(());
        }
        if interrupted() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    let model = BenchModel { name: model.name.clone(), open: model.open };
    let done = block_on(bench::run(engine, Some(model), &options, &mut on_event));
    failed?;
    show(common, &bar, &rows[shown..])?;
    drop(bar);
    done.map_err(|e| match e.kind() {
        ErrorKind::Cancelled if run.out.is_some() => e.help("the rows so far are in the file").into(),
        _ => e.into(),
    })
}

fn write(path: Option<&Path>, rows: &[Row]) -> Result<()> {
    let Some(path) = path else { return Ok(()) };
    let lines = rows.iter().map(Row::to_json).collect::<Result<Vec<String>>>()?;
    atomic_write(path, |w| lines.iter().try_for_each(|line| writeln!(w, "{line}")))
}

fn show(common: &Common, bar: &Progress, rows: &[Row]) -> Outcome {
    if common.json {
        return Ok(());
    }
    let mut printed = Ok(());
    bar.suspend(|| printed = print(&(lines(rows, output::columns()).join("\n") + "\n")));
    printed
}

/// A table of the rows of a suite.
fn lines(rows: &[Row], columns: Option<usize>) -> Vec<String> {
    let Some(first) = rows.first() else { return Vec::new() };
    let mut cells =
        vec![["", "", "median", "spread", "rate", "of peak", "error", ""].map(String::from).to_vec()];
    cells.extend(rows.iter().map(|row| {
        let statistics = |text: &dyn Fn(&polysketch::bench::statistics::Statistics) -> String| {
            row.statistics.as_ref().map_or(String::new(), text)
        };
        vec![
            row.name.clone(),
            row.label(),
            statistics(&|s| duration(s.median_ns)),
            statistics(&|s| format!("{:.0} %", 100.0 * s.spread)),
            rate(row),
            row.derived.share_of_peak.map_or(String::new(), |share| format!("{:.0} %", 100.0 * share)),
            row.check.as_ref().map_or(String::new(), |check| format!("{:.0e}", check.error)),
            note(row),
        ]
    }));
    let align = [
        Align::Left,
        Align::Left,
        Align::Right,
        Align::Right,
        Align::Right,
        Align::Right,
        Align::Right,
        Align::Left,
    ];
    let head = format!("{}: {}, build {}", first.suite, first.device.label(), first.build.label());
    [vec![head, String::new()], table(&align, 7, &cells, columns), vec![String::new()]].concat()
}

/// Nanoseconds for people: from `1.2 µs`.
pub fn duration(ns: f64) -> String {
    if ns < 1e6 { format!("{} µs", digits3(ns * 1e-3)) } else { seconds(ns * 1e-9) }
}

/// The rate that matters most.
pub fn rate(row: &Row) -> String {
    let d = &row.derived;
    let number = |x: f64| if x < 1000.0 { digits3(x) } else { thousands(x as u64) };
    match (d.tokens_per_second, d.gflops, d.gbps) {
        (Some(rate), _, _) => format!("{} tok/s", number(rate)),
        (_, Some(rate), _) if d.bound.as_deref() != Some("memory") => format!("{} GFLOP/s", number(rate)),
        (_, _, Some(rate)) => format!("{} GB/s", number(rate)),
        (_, Some(rate), _) => format!("{} GFLOP/s", number(rate)),
        _ => String::new(),
    }
}

/// What else a row says, or why it says nothing.
pub fn note(row: &Row) -> String {
    let d = &row.derived;
    let parts = [
        d.speedup.map(|ratio| format!("{}× softmax's speed", digits3(ratio))),
        d.exponent.map(|a| {
            format!("time ~ n^{a:.2}, n {} to {}", d.exponent_from.unwrap_or(0), d.exponent_to.unwrap_or(0))
        }),
        d.crossover_tokens.map(|n| {
            format!(
                "faster than {} from n = {}",
                row.workload.against.as_deref().unwrap_or_default(),
                thousands(n as u64)
            )
        }),
        d.shares.as_ref().map(|shares| {
            let all: f64 = shares.iter().map(|k| k.nanoseconds).sum();
            let rate = |k: &KernelTime| {
                if k.flops > 0 {
                    format!(" ({} GFLOP/s)", digits3(k.flops as f64 / k.nanoseconds.max(1.0)))
                } else {
                    String::new()
                }
            };
            let share = |k: &KernelTime| {
                format!("{} {:.0} %{}", k.kernel, 100.0 * k.nanoseconds / all.max(1.0), rate(k))
            };
            shares.iter().take(4).map(share).collect::<Vec<_>>().join(", ")
        }),
        d.memory_bytes
            .filter(|_| row.suite == Suite::Train && row.skipped.is_none())
            .map(|n| format!("{} of memory", bytes(n))),
        row.skipped.as_ref().map(|why| format!("skipped: {why}")),
    ];
    parts.into_iter().flatten().collect::<Vec<_>>().join("; ")
}

/// An error that names a file without rows.
pub fn no_rows(path: &Path) -> Error {
    Error::new(ErrorKind::Input, format!("{}: no rows", path.display()))
        .help("write some: polysketch bench --out FILE")
}
