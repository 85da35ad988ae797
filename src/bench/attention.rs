//! Every kind of attention alone against the length, beside this engine's flash softmax in turns: forward as
//! a text is read (calls of bounded length on top of the state), and forward with the gradients of
//! projections and weights. Each computation is held against f64 before it is timed.

use super::Bench;
use super::BenchOptions;
use super::clock::{self, Instant};
use super::fit::{exponent, relative};
use super::schema::{Check, Row, Suite, Workload};
use super::statistics::{Ratio, crossover};
use super::timer::{Samples, Subject, Timer, in_turns, numbers};
use crate::attention::{Attention, Inputs, Kind, Mode, Sketch};
use crate::error::{Error, ErrorKind, Result};
use crate::exec::{CpuExecutor, Executor};
use crate::graph::{Graph, Plan, PlannedTensor, Recompute, Role};
use crate::kernels::DeviceTraits;
use crate::shape;
use crate::tensor::{Call, Capacity, DType, Lane, TensorType, Unit, ring_after};

/// Largest error of an output, relative to the largest one, f32 against f64.
const FORWARD_TOLERANCE: f64 = 5e-5;
/// Largest error of a gradient, relative to its norm (SPEC §5).
const GRADIENT_TOLERANCE: f64 = 5e-4;
/// The least a check covers, whatever it costs, in blocks: the sketch works from the second on.
const LEAST_CHECKED: usize = 2;
/// Most tokens of the run whose time is told by kernel, if there is a choice.
const MOST_SHARED: usize = 4096;
/// Exponents are fitted from here on where there are enough lengths: below, dispatches cost more than work.
const FIT_FROM: usize = 4096;

/// What is timed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pass {
    Forward,
    ForwardBackward,
}

const PASSES: [Pass; 2] = [Pass::Forward, Pass::ForwardBackward];

impl Pass {
    fn as_str(self) -> &'static str {
        match self {
            Pass::Forward => "forward",
            Pass::ForwardBackward => "forward_backward",
        }
    }
}

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
        c.attention.check(true)?;
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
        Kind::Softmax => None,
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

/// What is timed of a contender.
pub(super) struct Layer<'a> {
    pub attention: &'a Attention,
    pub pass: Pass,
    pub tokens: usize,
}

impl Layer<'_> {
    /// `qkv` (and `norms`, `sketch`) → `o`, or the gradients of all of them, given that of o as `seed`.
    fn graph(&self, context: usize) -> Result<Graph> {
        let mut g = Graph::new();
        let l = &self.attention.layout;
        let qkv = g.parameter("qkv", DType::F32, shape![Unit::Rows, l.qkv_width()]);
        let lanes = g.input("lanes", TensorType::u32(shape![Unit::Lanes, 4]));
        let norms = l.normed.then(|| g.parameter("norms", DType::F32, shape![4, l.head]));
        let sketch = self.attention.sketch_weights().map(|n| g.parameter("sketch", DType::F32, shape![n]));
        let inputs = Inputs { qkv, lanes, norms, sketch };
        if self.pass == Pass::Forward {
            let o = self.attention.build(&mut g, "attention", Mode::Prefill, inputs, context)?.output;
            g.output(o, "o");
            return Ok(g);
        }
        let o = self.attention.build(&mut g, "attention", Mode::Train, inputs, 0)?.output;
        let seed = g.parameter("seed", DType::F32, shape![Unit::Rows, l.heads * l.head]);
        g.backward(&[(o, seed)], &|name| name != "seed", Recompute::Nothing)?;
        Ok(g)
    }

    /// The plan of one call; gradients take the whole text at once.
    pub fn plan(&self, traits: &DeviceTraits, segment: usize) -> Result<Plan> {
        let context = if self.pass == Pass::Forward && self.attention.has_cache() { self.tokens } else { 0 };
        let graph = self.graph(context)?;
        let mut tokens = if self.pass == Pass::Forward { self.tokens.min(segment) } else { self.tokens };
        loop {
            match graph.lower("attention", traits, Capacity { lanes: 1, tokens, slots: 1, context }) {
                Err(e) if e.kind() == ErrorKind::Limit && self.pass == Pass::Forward && tokens > 16 => {
                    tokens /= 2
                }
                result => return result,
            }
        }
    }

    /// The calls over the first `tokens`, each of at most `segment`.
    pub fn calls(&self, tokens: usize, segment: usize) -> Vec<Call> {
        let (mut calls, mut position, mut ring) = (Vec::new(), 0, 0);
        while position < tokens {
            let n = segment.min(tokens - position);
            calls.push(Call { lanes: vec![Lane { slot: 0, position, ring }], tokens: n, lane_base: 0 });
            ring = ring_after(ring, n, self.attention.layout.block);
            position += n;
        }
        calls
    }

    /// Tokens of the check: as many of the first as the options allow to compute in f64.
    fn checked(&self, plan: &Plan, work: f64) -> usize {
        let cost = |tokens: usize| {
            self.calls(tokens, plan.capacity.tokens).iter().map(|call| plan.flops(call)).sum::<u64>() as f64
                / 2.0
        };
        let least = LEAST_CHECKED * self.attention.layout.block;
        let doubling = std::iter::successors(Some(least), |n| Some(2 * n)).take_while(|n| *n < self.tokens);
        let lengths = doubling.chain([self.tokens]);
        lengths.take_while(|n| *n <= least || cost(*n) <= work).last().unwrap_or(least).min(self.tokens)
    }

    /// Numbers of a parameter: norms scale by 1, the gradient of o ends after `checked` tokens, so that the
    /// same gradients can be computed from these tokens alone: attention is causal.
    pub fn fill(&self, t: &PlannedTensor, seed: u64, checked: usize) -> Option<Vec<u32>> {
        let l = &self.attention.layout;
        match t.tensor.name.as_str() {
            _ if t.tensor.role != Role::Parameter => None,
            "norms" => {
                Some((0..t.bytes / 4).map(|i| f32::from((i / l.head).is_multiple_of(2)).to_bits()).collect())
            }
            "sketch"
                if matches!(self.attention.kind, Kind::Polysketch { sketch: Sketch::Learned { .. }, .. }) =>
            {
                Some(numbers(seed, t, 0.2))
            }
            "seed" => {
                let mut words = numbers(seed, t, 1.0);
                words.iter_mut().skip(checked * l.heads * l.head).for_each(|w| *w = 0);
                Some(words)
            }
            _ => Some(numbers(seed, t, 1.7)),
        }
    }

    /// Plans, allocates, and holds the result against f64; the nanoseconds that this run took, or would have
    /// taken over all tokens.
    async fn prepare(
        &self,
        bench: &mut Bench<'_>,
        executor: &Executor,
        row: &mut Row,
        held: &mut u64,
    ) -> Result<(Subject, f64)> {
        let options = bench.options;
        let plan = self.plan(&bench.engine.traits(), options.segment)?;
        let segment = plan.capacity.tokens;
        let bytes = plan.bytes(|_| true) as u64;
        let calls = self.calls(self.tokens, segment);
        let d = &mut row.derived;
        d.memory_bytes = Some(bytes);
        d.flops = Some(calls.iter().map(|call| plan.flops(call)).sum());
        d.flops_formula = Some("2 · multiply-adds, as each kernel of the plan counts them".into());
        if self.pass == Pass::Forward {
            d.state_bytes = Some(plan.bytes(|role| *role == Role::State) as u64);
            row.method.segment = Some(segment);
        }
        bench.fits(*held + bytes)?;
        let preparation = bench.pace.begin(&[&plan])?;
        let checked = self.checked(&plan, options.check_work);
        let mut subject = Subject::new(executor, &plan, self.calls(checked, segment), &|t| {
            self.fill(t, options.seed, checked)
        })
        .await?;
        if self.pass == Pass::ForwardBackward {
            // The timed plan itself: later tokens get and give no gradients.
            subject.set_calls(calls.clone());
        }
        let (check, nanoseconds) = self.check(&mut subject, options.seed, checked, segment).await?;
        bench.pace.ready(&preparation);
        row.check = Some(check.clone());
        check.verdict()?;
        subject.set_calls(calls);
        *held += bytes;
        let part = if self.pass == Pass::Forward { self.tokens as f64 / checked as f64 } else { 1.0 };
        Ok((subject, nanoseconds * part))
    }

    /// A run, against the same in f64 over the first `checked` tokens; and the nanoseconds it took.
    async fn check(
        &self,
        subject: &mut Subject,
        seed: u64,
        checked: usize,
        segment: usize,
    ) -> Result<(Check, f64)> {
        let short = Layer { tokens: checked, ..*self };
        let plan = short.plan(&DeviceTraits::cpu(), segment)?;
        let oracle = Executor::Oracle(CpuExecutor::default());
        let mut want =
            Subject::new(&oracle, &plan, short.calls(checked, segment), &|t| short.fill(t, seed, checked))
                .await?;
        let l = &self.attention.layout;
        // Of the last call, which stands on all before it.
        let rows = short.calls(checked, segment).last().map_or(0, |call| call.tokens);
        let reads: &[(&str, usize)] = if self.pass == Pass::Forward {
            &[("o", rows * l.heads * l.head)]
        } else {
            &[("gradient.qkv", 4)]
        };
        let start = Instant::now();
        let got = subject.run(reads).await?;
        let nanoseconds = clock::nanoseconds_since(start);
        if self.pass == Pass::Forward {
            let want = want.run(reads).await?;
            let largest = want[0].iter().fold(0f32, |most, x| most.max(x.abs()));
            let error = got[0].iter().zip(&want[0]).map(|(a, b)| f64::from((a - b).abs() / largest));
            let check = Check::against_f64(
                worst(error),
                FORWARD_TOLERANCE,
                "largest difference over largest output",
                Some(checked),
            );
            return Ok((check, nanoseconds));
        }
        want.run(&[]).await?;
        let mut errors = Vec::new();
        for t in plan.tensors.iter().filter(|t| t.bytes > 0 && t.tensor.name.starts_with("gradient.")) {
            let (name, elements) = (t.tensor.name.as_str(), t.tensor.ty.shape.elements(&plan.capacity));
            let (got, want) = (subject.state(name, elements).await?, want.state(name, elements).await?);
            // Within one block the sketch counts for nothing.
            let nothing = want.iter().chain(&got).all(|x| *x == 0.0);
            errors.push(if nothing { 0.0 } else { relative(&got, &want) });
        }
        let check = Check::against_f64(
            worst(errors.into_iter()),
            GRADIENT_TOLERANCE,
            "relative, Frobenius, of the worst gradient",
            Some(checked),
        );
        Ok((check, nanoseconds))
    }
}

/// The largest; not a number if one is not.
fn worst(errors: impl Iterator<Item = f64>) -> f64 {
    errors.fold(0.0, |worst: f64, error| if worst.is_nan() || error <= worst { worst } else { error })
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
    fn checks_cover_what_they_may_cost() {
        let attention = Attention::softmax(4, 64);
        let layer = Layer { attention: &attention, pass: Pass::Forward, tokens: 5000 };
        let plan = layer.plan(&DeviceTraits::cpu(), 4096).expect("a plan");
        assert_eq!([0.0, 2e9, 1e12].map(|work| layer.checked(&plan, work)), [128, 2048, 5000]);
        let calls = layer.calls(5000, 4096);
        assert_eq!(
            calls.iter().map(|c| (c.lanes[0].position, c.tokens)).collect::<Vec<_>>(),
            [(0, 4096), (4096, 904)]
        );
    }

    #[test]
    fn lengths_that_take_too_long_are_foreseen() {
        let contenders = contenders(&BenchOptions::quick());
        let point = Point { contender: 0, pass: Pass::Forward, tokens: 1024, nanoseconds: 0.5e9 };
        let seconds = |at: usize| foreseen(&contenders[at], Some(&point), 2048);
        assert_eq!((seconds(0), seconds(1), foreseen(&contenders[0], None, 2048)), (2.0, 1.0, 0.0));
        assert_eq!(contenders[0].name, SOFTMAX);
    }
}
