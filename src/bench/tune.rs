//! Measures which variants suit a device: tiles of products at a model's own shapes, tokens of a
//! prefill call. Candidates take turns with the defaults, which stay unless one is faster beyond doubt; each
//! is held against f64. It also tells which block suits a new model; a trained model's block is part of what
//! it computes, and stays.

use std::ops::ControlFlow;
use std::sync::Arc;

use serde::Serialize;

use super::attention::learned;
use super::clock::{self, Instant};
use super::fit::relative;
use super::layer::{Layer, Pass};
use super::options::BenchOptions;
use super::schema::Check;
use super::statistics::Ratio;
use super::timer::{Samples, Subject, Timer, in_turns, kernel_graph, token_ids};
use crate::error::{Error, ErrorKind, Result};
use crate::exec::{CpuExecutor, Executor};
use crate::kernels::DeviceTraits;
use crate::kernels::Tile;
use crate::kernels::contract::tuning::{TunedTile, Tuning};
use crate::kernels::linear::linear::Linear;
use crate::model::{Engine, LoadOptions, ModelSource, Session};
use crate::shape;
use crate::tensor::{TensorType, Unit};

/// Error of a product against f64, relative.
const TOLERANCE: f64 = 5e-5;
/// A candidate replaces the default where it is faster by more than this.
const GAIN: f64 = 1.05;
/// A candidate that takes this many times as long as the best is dropped.
const HOPELESS: f64 = 1.3;
/// Tokens of a prefill call that are tried.
const SEGMENTS: [usize; 4] = [256, 512, 1024, 2048];
/// Blocks that are tried, and the tokens of attention they are tried on.
const BLOCKS: [usize; 4] = [64, 128, 256, 512];
const ATTENDED: usize = 2048;
/// Tokens read to compare them.
const READ: usize = 4096;

/// What was found of one choice.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Choice {
    /// What is chosen.
    pub what: String,
    /// What holds without tuning.
    pub default: String,
    /// What was best.
    pub best: String,
    /// Time of the default over that of the best; 1 where the default stays.
    pub gain: f64,
    /// How many were compared.
    pub candidates: usize,
}

/// Tunes a device for a model; `on_choice` may stop it.
///
/// # Errors
/// [`ErrorKind::Input`] on the CPU executor, which has nothing to choose; [`ErrorKind::Cancelled`].
pub async fn tune(
    engine: &Engine,
    open: &dyn Fn() -> Result<ModelSource>,
    options: &BenchOptions,
    on_choice: &mut dyn FnMut(&Choice) -> ControlFlow<()>,
) -> Result<Tuning> {
    if engine.adapter().is_none() {
        return Err(Error::new(ErrorKind::Input, "the CPU executor has no variants to choose from")
            .help("give --adapter or --backend gpu"));
    }
    let mut tell = |choice: Choice| match on_choice(&choice) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(()) => Err(Error::new(ErrorKind::Cancelled, "stopped; nothing was kept")),
    };
    let source = open()?;
    let defaults = DeviceTraits { tuning: Arc::default(), ..engine.traits() };
    let shapes = shapes(&source, options.quick);
    let largest = shapes.iter().map(|[m, k, n]| 4 * (m * k).max(n * k).max(m * n)).max().unwrap_or(0);
    let executor = engine.executor(largest as u64).await?;
    let timer = Timer::of(&executor).await?;
    let mut tuning = Tuning::default();
    for shape in shapes {
        let (choice, tile) = product(&executor, &timer, options, &defaults, shape).await?;
        tuning.tiles.extend(tile.map(|tile| TunedTile { rows: shape[0], columns: shape[2], tile }));
        tell(choice)?;
    }
    if !options.quick {
        let (choice, segment) = reading(engine, open, options, &tuning).await?;
        tuning.segment = segment;
        tell(choice)?;
        let traits = DeviceTraits { tuning: Arc::new(tuning.clone()), ..defaults };
        tell(block(&executor, &timer, options, &traits).await?)?;
    }
    Ok(tuning)
}

/// Rows, inner size, columns: the layers of the model for a call, and a square.
fn shapes(source: &ModelSource, quick: bool) -> Vec<[usize; 3]> {
    let (d, m) = (source.config.hidden_size, source.config.intermediate_size);
    let rows = if quick { 256 } else { 1024 };
    let layers = [[rows, d, 3 * d], [rows, d, 2 * m], [rows, m, d]];
    layers.into_iter().chain((!quick).then_some([1024; 3])).collect()
}

fn name(tile: &Tile) -> String {
    let [x, y] = tile.group;
    format!("{}x{} by {x}x{y}", tile.rows, tile.columns)
}

/// The best tile of a product, unless it is the default.
async fn product(
    executor: &Executor,
    timer: &Timer,
    options: &BenchOptions,
    defaults: &DeviceTraits,
    [m, k, n]: [usize; 3],
) -> Result<(Choice, Option<Tile>)> {
    let default = Tile::default_for(m, n);
    let others = Tile::candidates(defaults).into_iter().filter(|tile| *tile != default);
    let tiles: Vec<Tile> = std::iter::once(default).chain(others).collect();
    let inputs = [TensorType::f32(shape![Unit::Rows, k]), TensorType::f32(shape![n, k])];
    let graph = kernel_graph(Linear::new(k, n), &inputs)?;
    let reads = [("out", m * n)];
    let oracle = Executor::Oracle(CpuExecutor::default());
    let want = Subject::kernel(&oracle, &oracle.traits(), &graph, m, options.seed).await?.run(&reads).await?;
    let mut found: Vec<(Tile, Subject, f64)> = Vec::new();
    for tile in tiles {
        let tuning = Tuning { tiles: vec![TunedTile { rows: m, columns: n, tile }], ..Tuning::default() };
        let traits = DeviceTraits { tuning: Arc::new(tuning), ..defaults.clone() };
        let tried = async {
            let mut subject = Subject::kernel(executor, &traits, &graph, m, options.seed).await?;
            let got = subject.run(&reads).await?;
            Check::against_f64(relative(&got[0], &want[0]), TOLERANCE, "", None).verdict()?;
            let nanoseconds = subject.time(timer, 1).await?;
            Ok::<_, Error>((tile, subject, nanoseconds))
        };
        match tried.await {
            Ok(candidate) => found.push(candidate),
            // A driver may refuse one, or compile it wrongly: it is out, as long as it is not all there is.
            Err(error) if tile == default || error.kind() == ErrorKind::DeviceLost => return Err(error),
            Err(error) => log::debug!("tile {}: {error}", name(&tile)),
        }
    }
    let candidates = found.len();
    let quickest = found.iter().map(|(_, _, ns)| *ns).fold(f64::INFINITY, f64::min);
    found.retain(|(tile, _, ns)| *tile == default || *ns <= HOPELESS * quickest);
    let samples = in_turns(&mut found, &[], options, timer, true, async |(_, subject, _), times| {
        subject.time(timer, times).await
    })
    .await;
    let (best, gain) = winner(&times(samples));
    let tile = found[best].0;
    let choice = Choice {
        what: format!("product {m}×{k}×{n}"),
        default: name(&default),
        best: name(&tile),
        gain,
        candidates,
    };
    Ok((choice, (best > 0).then_some(tile)))
}

/// Samples of those that could be measured.
fn times(samples: Vec<Result<Samples>>) -> Vec<Vec<f64>> {
    samples.into_iter().map(|s| s.map(|s| s.nanoseconds).unwrap_or_default()).collect()
}

/// The block that makes attention fastest.
async fn block(
    executor: &Executor,
    timer: &Timer,
    options: &BenchOptions,
    traits: &DeviceTraits,
) -> Result<Choice> {
    let others = BLOCKS.into_iter().filter(|b| *b != options.block);
    let blocks: Vec<usize> = std::iter::once(options.block).chain(others).collect();
    let mut candidates = Vec::new();
    for &block in &blocks {
        candidates.push(attended(executor, traits, &BenchOptions { block, ..options.clone() }).await?);
    }
    let (best, gain) = fastest(&mut candidates, timer, options).await;
    let name = |block: usize| format!("{block} tokens");
    Ok(Choice {
        what: "block of a new model".into(),
        default: name(blocks[0]),
        best: name(blocks[best]),
        gain,
        candidates: blocks.len(),
    })
}

/// [`winner`] of some subjects in turns.
async fn fastest(candidates: &mut [Subject], timer: &Timer, options: &BenchOptions) -> (usize, f64) {
    winner(&times(
        in_turns(candidates, &[], options, timer, true, async |subject, times| {
            subject.time(timer, times).await
        })
        .await,
    ))
}

/// Attention with a learned sketch over [`ATTENDED`] tokens, ready to be timed, its first blocks held against
/// f64.
async fn attended(executor: &Executor, traits: &DeviceTraits, options: &BenchOptions) -> Result<Subject> {
    let attention = learned(options);
    let layer = |tokens| Layer { attention: &attention, pass: Pass::Forward, tokens };
    let (whole, checked) = (layer(ATTENDED), ATTENDED.min(2 * options.block));
    let reads = [("o", checked * options.heads * options.head)];
    let calls = |tokens| whole.calls(tokens, ATTENDED);
    let plan = whole.plan(traits, ATTENDED)?;
    let mut subject =
        Subject::new(executor, &plan, calls(checked), &|t| whole.fill(t, options.seed, checked)).await?;
    let got = subject.run(&reads).await?;
    let oracle = Executor::Oracle(CpuExecutor::default());
    let short = layer(checked);
    let plan = short.plan(&oracle.traits(), checked)?;
    let want = Subject::new(&oracle, &plan, calls(checked), &|t| short.fill(t, options.seed, checked))
        .await?
        .run(&reads)
        .await?;
    Check::against_f64(relative(&got[0], &want[0]), TOLERANCE, "", None).verdict()?;
    subject.set_calls(calls(ATTENDED));
    Ok(subject)
}

/// The fastest, if it beats the first beyond doubt; else the first. And by how much.
fn winner(samples: &[Vec<f64>]) -> (usize, f64) {
    let ratio = |at: usize| Ratio::of(&samples[0], &samples[at]);
    let fastest = (1..samples.len())
        .filter_map(|at| Some((at, ratio(at)?)))
        .max_by(|a, b| a.1.value.total_cmp(&b.1.value));
    match fastest {
        Some((at, ratio)) if ratio.value > GAIN && ratio.interval.is_some_and(|[low, _]| low > 1.0) => {
            (at, ratio.value)
        }
        _ => (0, 1.0),
    }
}

/// Tokens of a prefill call, unless the default is best.
async fn reading(
    engine: &Engine,
    open: &dyn Fn() -> Result<ModelSource>,
    options: &BenchOptions,
    tuning: &Tuning,
) -> Result<(Choice, Option<usize>)> {
    let engine = engine.tuned(tuning.clone());
    let (mut sessions, mut segments) = (Vec::new(), Vec::new());
    let default = {
        let source = open()?;
        engine.blueprint(&source.config, source.stored(), &LoadOptions::default())?.capacity.tokens
    };
    for segment in std::iter::once(default).chain(SEGMENTS.into_iter().filter(|s| *s != default)) {
        let load = LoadOptions { segment: Some(segment), max_context: READ + 1, ..LoadOptions::default() };
        match engine.load(open()?, &load, &mut |_, _| {}).await {
            Ok(model) => {
                sessions.push(Session::new(&model).await?);
                segments.push(segment);
            }
            Err(error) if segment == default => return Err(error),
            Err(error) => log::debug!("segment {segment}: {error}"),
        }
    }
    let timer = Timer::wall();
    let vocabulary = open()?.config.vocab_size;
    let (ids, _) = token_ids(options.seed, READ, vocabulary);
    let samples = in_turns(&mut sessions, &[], options, &timer, false, async |session, _| {
        session.reset(0);
        let start = Instant::now();
        session.prefill(0, &ids, &mut |_| ControlFlow::Continue(())).await?;
        Ok(clock::nanoseconds_since(start))
    });
    let (best, gain) = winner(&times(samples.await));
    let name = |segment: usize| format!("{segment} tokens");
    let choice = Choice {
        what: "reading call".into(),
        default: name(default),
        best: name(segments[best]),
        gain,
        candidates: segments.len(),
    };
    Ok((choice, (best > 0).then(|| segments[best])))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_stays_unless_something_is_faster_beyond_doubt() {
        let around = |centre: f64, noise: f64| {
            (0..9).map(|i| centre * (1.0 + noise * f64::from(i % 3 - 1))).collect::<Vec<f64>>()
        };
        assert_eq!(winner(&[around(1.0, 0.01), around(0.99, 0.01)]), (0, 1.0));
        assert_eq!(winner(&[around(1.0, 0.01), around(0.5, 0.01), around(0.8, 0.01)]).0, 1);
        assert_eq!(winner(&[around(1.0, 0.6), around(0.9, 0.6)]).0, 0);
        assert_eq!(winner(&[around(1.0, 0.0), Vec::new()]), (0, 1.0));
    }
}
