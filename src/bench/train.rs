//! Steps of training a model on one sequence: time and memory against its length.

use super::clock::{self, Instant};
use super::fit::{exponent, relative, worst};
use super::options::BenchOptions;
use super::runner::Bench;
use super::schema::{Check, Row, Suite, Workload};
use super::timer::{Samples, Timer, in_turns, token_ids};
use crate::error::Result;
use crate::exec::{CpuExecutor, Executor, by_kernel};
use crate::graph::Recompute;
use crate::model::{Engine, ModelSource};
use crate::tensor::{Call, Lane};
use crate::train::learner::NamedTensors;
use crate::train::{AdamW, Batch, Learner, LearnerOptions, LearnerPlan};

/// Error of a gradient, relative to its norm (SPEC §5).
const TOLERANCE: f64 = 5e-4;

/// Rows of the suite.
pub(super) fn rows(options: &BenchOptions) -> usize {
    options.train_lengths.len() + 2
}

pub(super) async fn run(bench: &mut Bench<'_>) -> Result<()> {
    let source = bench.source()?;
    let options = |context| segmented(context, None);
    let mut lengths = bench.options.train_lengths.clone();
    lengths.sort_unstable();
    let plan = |context| {
        LearnerPlan::new(&source.config, &bench.engine.traits(), &options(context)).map(|plan| plan.memory())
    };
    let fits = |memory: &crate::train::LearnerMemory| bench.fits(memory.total()).is_ok();
    let largest = lengths
        .iter()
        .filter_map(|n| plan(*n).ok().filter(fits))
        .map(|m| m.largest_buffer)
        .max()
        .unwrap_or(0);
    // One device for all lengths: shaders are compiled once.
    let engine = Engine::on(bench.engine.executor(largest).await?).tuned(bench.engine.tuning().clone());
    bench.started(Suite::Train, "check").await?;
    let check = checked(bench, &engine, &source).await;
    let school = School { engine: &engine, source: &source, timer: Timer::wall(), check };
    let mut points: Vec<(f64, f64)> = Vec::new();
    for n in lengths {
        bench.started(Suite::Train, &format!("step, n {n}")).await?;
        let workload =
            Workload { tokens: Some(n), batch: Some(1), dtype: Some("f32".into()), ..bench.model_workload() };
        let mut row = bench.row(Suite::Train, "step", workload);
        // Time grows as the length.
        let foreseen = points.last().map_or(0.0, |(tokens, ns)| ns * 1e-9 * n as f64 / tokens);
        let samples = match bench.foresee(foreseen) {
            Ok(()) => school.step(bench, &options(n), &mut row).await,
            Err(error) => Err(error),
        };
        let row = bench.complete(row, samples, &school.timer)?;
        points.extend(row.median_ns().map(|ns| (n as f64, ns)));
        bench.finished(row)?;
    }
    let mut row = bench.row(Suite::Train, "exponent", bench.model_workload());
    row.derived.exponent = exponent(&points);
    match (points.first(), points.last(), row.derived.exponent) {
        (Some(first), Some(last), Some(_)) => {
            (row.derived.exponent_from, row.derived.exponent_to) =
                (Some(first.0 as usize), Some(last.0 as usize));
        }
        _ => row.skipped = Some("fewer than two lengths were measured".into()),
    }
    bench.finished(row)?;
    shares(bench, &school).await
}

/// Where steps are taken.
struct School<'a> {
    engine: &'a Engine,
    source: &'a ModelSource,
    timer: Timer,
    check: Result<Check>,
}

impl School<'_> {
    /// Time of a step over one sequence.
    async fn step(&self, bench: &Bench<'_>, options: &LearnerOptions, row: &mut Row) -> Result<Samples> {
        row.checked_by(&self.check)?;
        let memory = LearnerPlan::new(&self.source.config, &self.engine.traits(), options)?.memory();
        (row.derived.memory_bytes, row.derived.state_bytes) = (Some(memory.total()), Some(memory.state));
        row.method.segment = Some(memory.segment);
        bench.fits(memory.total())?;
        let mut learner = Learner::new(self.engine, self.source, options).await?;
        let (tokens, targets) = token_ids(bench.options.seed, options.context, self.source.config.vocab_size);
        let batch = Batch { context: options.context, tokens, targets };
        let mut number = 0;
        let samples = in_turns(
            std::slice::from_mut(&mut learner),
            &[],
            bench.options,
            &self.timer,
            false,
            async |learner, _| {
                number += 1;
                let start = Instant::now();
                learner.accumulate(&batch, 1.0 / batch.scored().max(1) as f32).await?;
                learner.update(&AdamW { lr: 1e-5, ..AdamW::default() }, number).await?;
                learner.executor().finish().await?;
                Ok(clock::nanoseconds_since(start))
            },
        );
        let samples = samples.await.into_iter().next().unwrap_or_else(|| Ok(Samples::default()));
        if let Executor::Gpu(gpu) = learner.executor() {
            row.derived.peak_bytes = Some(gpu.context().peak_bytes());
        }
        samples
    }
}

/// Gradients of a short text in segments on the device, against the whole in f64.
async fn checked(bench: &mut Bench<'_>, engine: &Engine, source: &ModelSource) -> Result<Check> {
    let most = source.config.longest_text().unwrap_or(usize::MAX);
    let n = if bench.options.quick { 140 } else { 600 }.min(most);
    let (tokens, targets) = token_ids(bench.options.seed, n, source.config.vocab_size);
    let batch = Batch { context: n, tokens, targets };
    let oracle = Engine::on(Executor::Oracle(CpuExecutor::default()));
    let plan = LearnerPlan::new(&source.config, &engine.traits(), &segmented(n, Some(n / 2)))?;
    let plans = [Some(&plan.train), Some(&plan.forward), plan.states.as_ref()];
    let preparation = bench.pace.begin(&plans.into_iter().flatten().collect::<Vec<_>>())?;
    let want = gradients(&oracle, source, &batch, None).await?;
    let got = gradients(engine, source, &batch, Some(n / 2)).await?;
    bench.pace.ready(&preparation);
    let errors = got.iter().zip(&want).map(|(got, want)| relative(&got.2, &want.2));
    let error = worst(errors);
    let most = bench.tolerance(TOLERANCE);
    Ok(Check::against_f64(error, most, "relative, Frobenius, of the worst gradient", Some(n)))
}

/// One sequence, in segments or as the plan has it.
fn segmented(context: usize, segment: Option<usize>) -> LearnerOptions {
    LearnerOptions { lanes: 1, context, segment, recompute: Recompute::Nothing }
}

async fn gradients(
    engine: &Engine,
    source: &ModelSource,
    batch: &Batch,
    segment: Option<usize>,
) -> Result<NamedTensors> {
    let mut learner = Learner::new(engine, source, &segmented(batch.context, segment)).await?;
    learner.accumulate(batch, 1.0 / batch.scored().max(1) as f32).await?;
    learner.gradients().await
}

/// Where the time of a training call goes.
async fn shares(bench: &mut Bench<'_>, school: &School<'_>) -> Result<()> {
    let School { engine, source, .. } = *school;
    bench.started(Suite::Train, "shares").await?;
    let most = source.config.longest_text().unwrap_or(usize::MAX);
    let n = if bench.options.quick { 64 } else { 1024 }.min(most);
    let row = bench.row(
        Suite::Train,
        "shares",
        Workload { tokens: Some(n), batch: Some(1), ..bench.model_workload() },
    );
    let measured = async {
        school.check.as_ref().map_err(Clone::clone)?.verdict()?;
        let (tokens, targets) = token_ids(bench.options.seed, n, source.config.vocab_size);
        let batch = Batch { context: n, tokens, targets };
        let mut learner = Learner::new(engine, source, &segmented(n, Some(n))).await?;
        // Once to warm up.
        learner.accumulate(&batch, 1.0).await?;
        learner.profile();
        learner.accumulate(&batch, 1.0).await?;
        let call = Call { lanes: vec![Lane { slot: 0, position: 0, ring: 0 }], tokens: n, lane_base: 0 };
        Ok(by_kernel(&learner.plan().train, &call, learner.times()))
    };
    let shares = measured.await;
    bench.conclude_shares(row, shares)
}
