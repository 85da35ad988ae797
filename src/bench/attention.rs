//! Every kind of attention alone against the length, beside this engine's flash softmax in turns: forward as
//! a text is read (calls of bounded length on top of the state), and forward with the gradients of
//! projections and weights. Each computation is held against f64 before it is timed.

use super::fit::exponent;
use super::layer::{Layer, Pass};
use super::options::BenchOptions;
use super::runner::Bench;
use super::schema::{Row, Suite, Workload};
use super::statistics::{Ratio, crossover};
use super::timer::{Samples, Subject, Timer, in_turns};
use crate::attention::{Attention, Kind, Sketch};
use crate::error::{Error, Result};
use crate::exec::Executor;

/// Most tokens of the run whose time is told by kernel, if there is a choice.
const MOST_SHARED: usize = 4096;
/// Exponents are fitted from here on where there are enough lengths: below, dispatches cost more than work.
const FIT_FROM: usize = 4096;

const PASSES: [Pass; 2] = [Pass::Forward, Pass::ForwardBackward];

/// A kind of attention, with its name.
struct Contender {
    name: &'static str,
    attention: Attention,
}

/// The baseline.
const SOFTMAX: &str = "softmax";

fn contenders(options: &BenchOptions) -> Vec<Contender> {
    let &BenchOptions { heads, head, sketch, .. } = options;
    let random = polysketch(options, Sketch::Random { leaves: 1, gain: 1.0 / (sketch as f64).sqrt() });
    let few = vec![
        (SOFTMAX, Attention::softmax(heads, head)),
        ("polysketch, learned sketch", learned(options)),
        ("polysketch, gaussian sketch", random),
    ];
    let more = vec![
        ("polysketch, learned sketch, gated", learned(options).with_gate()),
        ("polynomial of degree 2", Attention::polynomial(heads, head, 2)),
        ("polynomial of degree 4", Attention::polynomial(heads, head, 4)),
        ("taylor of degree 2", Attention::taylor(heads, head, 2)),
    ];
    let all = few.into_iter().chain(if options.all_kinds { more } else { Vec::new() });
    all.map(|(name, attention)| Contender { name, attention }).collect()
}

fn polysketch(&BenchOptions { heads, head, sketch, block, .. }: &BenchOptions, kind: Sketch) -> Attention {
    Attention::polysketch(heads, head, sketch, kind).with_block_size(block)
}

/// Attention with a learned sketch.
pub(super) fn learned(options: &BenchOptions) -> Attention {
    polysketch(options, Sketch::Learned { levels: 2, expansion: 8 })
}

/// Rows of the suite, at most.
pub(super) fn rows(options: &BenchOptions) -> usize {
    let contenders = contenders(options).len();
    let shares = if shares_at(options).is_some() { contenders } else { 0 };
    PASSES.len() * (contenders * options.lengths.len() + shares + contenders + (contenders - 1))
}

/// Tokens of the run whose time is told by kernel, unless it is but a quick look.
fn shares_at(options: &BenchOptions) -> Option<usize> {
    let lengths = options.lengths.iter().copied();
    let longest = lengths.clone().filter(|n| *n <= MOST_SHARED).max();
    longest.or(lengths.min()).filter(|_| !options.quick)
}

/// A measured length.
struct Point {
    contender: usize,
    pass: Pass,
    tokens: usize,
    nanoseconds: f64,
}

pub(super) async fn run(bench: &mut Bench<'_>) -> Result<()> {
    let contenders = contenders(bench.options);
    for c in &contenders {
        c.attention.check()?;
    }
    let traits = bench.engine.traits();
    let mut lengths = bench.options.lengths.clone();
    lengths.sort_unstable();
    let mut largest = 0;
    for c in &contenders {
        for (&n, pass) in lengths.iter().flat_map(|n| PASSES.map(|pass| (n, pass))) {
            let plan =
                Layer { attention: &c.attention, pass, tokens: n }.plan(&traits, bench.options.segment).ok();
            let fits = plan.filter(|plan| bench.fits(plan.bytes(|_| true) as u64).is_ok());
            largest = largest.max(fits.map_or(0, |plan| plan.largest_buffer()));
        }
    }
    let executor = bench.engine.executor(largest as u64).await?;
    let timer = Timer::of(&executor).await?;
    let mut points = Vec::new();
    let setup = Setup { contenders, executor, timer };
    for pass in PASSES {
        for &n in &lengths {
            at_length(bench, &setup, pass, n, &mut points).await?;
        }
        fits(bench, &setup.contenders, pass, &points)?;
    }
    Ok(())
}

/// What all lengths share.
struct Setup {
    contenders: Vec<Contender>,
    executor: Executor,
    timer: Timer,
}

/// All contenders at one length, in turns.
async fn at_length(
    bench: &mut Bench<'_>,
    setup: &Setup,
    pass: Pass,
    tokens: usize,
    points: &mut Vec<Point>,
) -> Result<()> {
    let Setup { contenders, executor, timer } = setup;
    bench.started(Suite::Attention, &format!("{}, n {tokens}", pass.as_str())).await?;
    let (mut ready, mut known): (Vec<Subject>, Vec<f64>) = Default::default();
    let mut rows: Vec<(Row, Option<Error>)> = Vec::new();
    let mut held = 0;
    for (at, c) in contenders.iter().enumerate() {
        let mut row = bench.row(Suite::Attention, pass.as_str(), workload(bench.options, c, Some(tokens)));
        let layer = Layer { attention: &c.attention, pass, tokens };
        let last = points.iter().rfind(|p| p.contender == at && p.pass == pass);
        let prepared = match bench.foresee(foreseen(c, last, tokens)) {
            Err(error) => Err(error),
            Ok(()) => layer.prepare(bench, executor, &mut row, &mut held).await,
        };
        match prepared {
            Ok((subject, nanoseconds)) => {
                ready.push(subject);
                known.push(nanoseconds);
                rows.push((row, None));
            }
            Err(error) => rows.push((row, Some(error))),
        }
    }
    let samples = in_turns(&mut ready, &known, bench.options, timer, true, async |subject, times| {
        subject.time(timer, times).await
    })
    .await;
    let mut samples = samples.into_iter();
    let mut subjects = ready.into_iter();
    let mut measured: Vec<Result<Samples>> = Vec::new();
    let mut shares = Vec::new();
    for ((_, error), c) in rows.iter_mut().zip(contenders) {
        if let Some(error) = error.take() {
            measured.push(Err(error));
            continue;
        }
        let (samples, subject) = (samples.next().unwrap_or_else(|| Ok(Samples::default())), subjects.next());
        if let (Ok(_), Some(mut subject), true) =
            (&samples, subject, shares_at(bench.options) == Some(tokens))
        {
            let workload = Workload {
                operation: Some(pass.as_str().into()),
                ..workload(bench.options, c, Some(tokens))
            };
            shares.push((bench.row(Suite::Attention, "shares", workload), subject.shares().await));
        }
        measured.push(samples);
    }
    let softmax =
        contenders.iter().position(|c| c.name == SOFTMAX).and_then(|at| measured[at].as_ref().ok()).cloned();
    for (at, ((mut row, _), samples)) in rows.into_iter().zip(measured).enumerate() {
        if let (Some(softmax), Ok(ours)) =
            (softmax.as_ref().filter(|_| contenders[at].name != SOFTMAX), &samples)
            && let Some(ratio) = Ratio::of(&softmax.nanoseconds, &ours.nanoseconds)
        {
            row.derived.speedup = Some(ratio.value);
            [row.derived.speedup_low, row.derived.speedup_high] =
                ratio.interval.map_or([None; 2], |ends| ends.map(Some));
        }
        let row = bench.complete(row, samples, timer)?;
        if let Some(nanoseconds) = row.median_ns() {
            points.push(Point { contender: at, pass, tokens, nanoseconds });
        }
        bench.finished(row)?;
    }
    for (row, found) in shares {
        bench.conclude_shares(row, found)?;
    }
    Ok(())
}

fn workload(options: &BenchOptions, c: &Contender, tokens: Option<usize>) -> Workload {
    let l = &c.attention.layout;
    let degree = match c.attention.kind {
        Kind::Softmax | Kind::Linearized { .. } => None,
        Kind::Polynomial { degree, .. } | Kind::Taylor { degree, .. } | Kind::Polysketch { degree, .. } => {
            Some(degree)
        }
    };
    Workload {
        kind: Some(c.name.into()),
        heads: Some(options.heads),
        head: Some(options.head),
        sketch: Some(l.sketch).filter(|r| *r > 0),
        block: Some(l.block).filter(|_| !c.attention.has_cache()),
        degree,
        batch: Some(1),
        tokens,
        dtype: Some("f32".into()),
        ..Workload::default()
    }
}

/// Seconds of a length, going by a shorter one; 0 without one.
fn foreseen(c: &Contender, last: Option<&Point>, tokens: usize) -> f64 {
    let growth = if c.attention.has_cache() { 2 } else { 1 };
    last.map_or(0.0, |last| last.nanoseconds * 1e-9 * (tokens as f64 / last.tokens as f64).powi(growth))
}

/// Exponents, and where the others overtake softmax.
fn fits(bench: &mut Bench<'_>, contenders: &[Contender], pass: Pass, points: &[Point]) -> Result<()> {
    let curve = |at: usize| -> Vec<(f64, f64)> {
        points
            .iter()
            .filter(|p| p.contender == at && p.pass == pass)
            .map(|p| (p.tokens as f64, p.nanoseconds))
            .collect()
    };
    let softmax = contenders.iter().position(|c| c.name == SOFTMAX).map(curve).unwrap_or_default();
    for (at, c) in contenders.iter().enumerate() {
        let all = curve(at);
        let long: Vec<(f64, f64)> = all.iter().copied().filter(|(n, _)| *n >= FIT_FROM as f64).collect();
        let fitted = if long.len() >= 3 { long } else { all.clone() };
        let workload = Workload { operation: Some(pass.as_str().into()), ..workload(bench.options, c, None) };
        let mut row = bench.row(Suite::Attention, "exponent", workload.clone());
        row.derived.exponent = exponent(&fitted);
        match row.derived.exponent {
            None => row.skipped = Some("fewer than two lengths were measured".into()),
            Some(_) => {
                row.derived.exponent_from = fitted.first().map(|p| p.0 as usize);
                row.derived.exponent_to = fitted.last().map(|p| p.0 as usize);
            }
        }
        bench.finished(row)?;
        if c.name == SOFTMAX {
            continue;
        }
        let mut row =
            bench.row(Suite::Attention, "crossover", Workload { against: Some(SOFTMAX.into()), ..workload });
        row.derived.crossover_tokens = crossover(&all, &softmax);
        if row.derived.crossover_tokens.is_none() {
            let faster = all.iter().any(|(n, time)| softmax.iter().any(|(m, other)| n == m && time < other));
            row.skipped = Some(
                if faster { "faster at every length measured" } else { "at no length measured with both" }
                    .into(),
            );
        }
        bench.finished(row)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_that_take_too_long_are_foreseen() {
        let contenders = contenders(&BenchOptions::quick());
        let point = Point { contender: 0, pass: Pass::Forward, tokens: 1024, nanoseconds: 0.5e9 };
        let seconds = |at: usize| foreseen(&contenders[at], Some(&point), 2048);
        assert_eq!((seconds(0), seconds(1), foreseen(&contenders[0], None, 2048)), (2.0, 1.0, 0.0));
        assert_eq!(contenders[0].name, SOFTMAX);
    }
}
