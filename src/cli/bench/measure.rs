//! `bench` itself: a table on stdout, rows as JSONL (`polysketch::bench::schema`).

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use pollster::block_on;
use polysketch::bench::{self, BenchModel, BenchOptions, Event, Row, Suite};
use polysketch::files::{atomic_write, is_standard};
use polysketch::gpu::{AdapterRequest, Backend, enumerate};
use polysketch::model::Engine;
use polysketch::{Error, ErrorKind, Result};
use serde_json::json;

use super::rows;
use crate::cli::failure::{Outcome, Stop, catch_interrupt, interrupted, tell, warn};
use crate::cli::model;
use crate::cli::options::{BUILT_IN, Common, ModelName, Precise, count, natural};
use crate::cli::output::{self, check_place, print, print_as_is, print_json};
use crate::cli::progress::{Progress, Unit};

/// What is measured, and how.
#[derive(Debug, Args)]
pub struct Options {
    /// What is measured [default: all suites]
    #[arg(value_name = "SUITE", value_parser = suite())]
    suites: Vec<Suite>,
    /// A look within a minute: few sizes and samples; what would take longer is left out, unless a budget or
    /// sizes are given
    #[arg(long)]
    quick: bool,
    /// File to write the rows to, one JSON object a line; what it held is replaced; -: stdout, in
    /// place of the tables
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// On every usable adapter and on the CPU, one after the other
    #[arg(long, conflicts_with_all = ["backend", "adapter", "precision"])]
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
    /// Model of the suites kernels, model and train, as of `generate` [default: the built-in model]
    #[arg(long, value_name = "MODEL")]
    model: Option<ModelName>,
    /// What rows cannot know of the device: power, cooling, what else ran
    #[arg(long, value_name = "TEXT")]
    note: Option<String>,
    #[command(flatten)]
    precise: Precise,
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

impl Options {
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
            note: self.note.clone().unwrap_or_default(),
            seed: self.seed,
            ..base
        }
    }
}

/// What may help where nothing was measured.
const LESS: &str = "give smaller sizes, a larger --budget, or another model";

/// Measures.
pub fn run(common: &Common, run: &Options) -> Outcome {
    if let Some(path) = &run.out {
        check_place(common, path)?;
    }
    let name = run.model.as_ref().map_or(BUILT_IN.into(), ModelName::name);
    let place = model::place(common, run.model.as_ref())?;
    let open = || model::open(&place);
    // A folder without a model is told of before anything is measured.
    open()?;
    catch_interrupt();
    let mut rows: Vec<Row> = Vec::new();
    let mut nothing: Option<Error> = None;
    let engines = if run.all_devices {
        every_engine(common)?
    } else {
        vec![model::precise_engine(common, run.precise)?]
    };
    for engine in engines {
        let before = rows.len();
        match on_one(common, run, &engine, &BenchModel { name: name.clone(), open: &open }, &mut rows) {
            // One device that breaks is no reason to leave out the others.
            Err(Stop::Failed(error)) if run.all_devices && error.kind() != ErrorKind::Cancelled => {
                warn(&format!("{}: {error}", engine.name()));
            }
            done => done?,
        }
        nothing = nothing.or_else(|| unmeasured(&engine, &run.suites, &rows[before..]));
    }
    if let (Some(path), true) = (run.out.as_deref().filter(|path| !is_standard(path)), common.talks()) {
        tell(format_args!("written: {}, {}", path.display(), output::plural(rows.len(), "row")));
    }
    if common.json {
        print_json(&json!({ "rows": rows }))?;
    }
    nothing.map_or(Ok(()), |error| Err(error.into()))
}

/// Where a suite that was asked for, or all of them, measured nothing on a device: an error that says why.
fn unmeasured(engine: &Engine, asked: &[Suite], rows: &[Row]) -> Option<Error> {
    let why_not = |name: &str, rows: &[&Row]| {
        let measured = |row: &&Row| !row.samples_ns.is_empty();
        let why = rows.iter().find_map(|row| row.skipped.as_deref()).unwrap_or("there is nothing to measure");
        let text = format!("bench{name}: nothing was measured on {}: {why}", engine.name());
        (!rows.iter().any(measured)).then(|| Error::new(ErrorKind::Input, text).help(LESS))
    };
    let of = |suite: Option<&Suite>| -> Vec<&Row> {
        rows.iter().filter(|row| suite.is_none_or(|suite| row.suite == *suite)).collect()
    };
    match asked {
        [] => why_not("", &of(None)),
        asked => asked.iter().find_map(|suite| why_not(&format!(" {suite}"), &of(Some(suite)))),
    }
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
    run: &Options,
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
                bar.say(&name);
                Ok(())
            }
            Event::Row(row) => {
                let suite = row.suite;
                let ended = rows.get(shown).is_some_and(|first| first.suite != suite);
                let printed = if ended { show(common, run, &bar, &rows[shown..]) } else { Ok(()) };
                if ended {
                    shown = rows.len();
                }
                rows.push(*row);
                printed.and_then(|()| write(run.out.as_deref(), rows))
            }
            _ => Ok(()),
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
    show(common, run, &bar, &rows[shown..])?;
    drop(bar);
    done.map_err(|e| match e.kind() {
        ErrorKind::Cancelled if run.out.is_some() => e.help("the rows so far are in the file").into(),
        _ => e.into(),
    })
}

/// Writes the rows, of which the last is new.
fn write(path: Option<&Path>, rows: &[Row]) -> Outcome {
    let Some(path) = path else { return Ok(()) };
    let last = &rows[rows.len().saturating_sub(1)..];
    if is_standard(path) {
        return last.iter().try_for_each(|row| print_as_is(&(row.to_json()? + "\n")));
    }
    // What went into a pipe cannot be replaced.
    let rows = if path.metadata().is_ok_and(|meta| !meta.is_file()) { last } else { rows };
    let lines = rows.iter().map(Row::to_json).collect::<Result<Vec<String>>>()?;
    Ok(atomic_write(path, |w| lines.iter().try_for_each(|line| writeln!(w, "{line}")))?)
}

fn show(common: &Common, run: &Options, bar: &Progress, rows: &[Row]) -> Outcome {
    if common.json || run.out.as_deref().is_some_and(is_standard) {
        return Ok(());
    }
    let mut printed = Ok(());
    bar.suspend(|| printed = print(&(rows::table_of(rows, output::columns()).join("\n") + "\n")));
    printed
}
