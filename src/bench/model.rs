//! A whole model: reading (`prefill`) and writing (`decode`) at depths, the time to a first token, what a
//! text's state holds, and which kernels the time goes to. Timed by the wall clock: that is what a user waits
//! for.

use std::ops::ControlFlow;

use super::clock::{self, Instant};
use super::fit::worst;
use super::options::BenchOptions;
use super::runner::Bench;
use super::schema::{Check, Row, Suite, Workload};
use super::timer::{Timer, in_turns, token_ids};
use crate::error::{Error, ErrorKind, Result};
use crate::exec::{CpuExecutor, Executor};
use crate::model::{Engine, GenerateOptions, LoadOptions, Model, Session};

/// Error of logits over the largest logit (SPEC §5).
const TOLERANCE: f64 = 5e-5;
/// Budgets that reading up to a depth may take.
const PATIENCE: f64 = 40.0;
/// Steps of a decoding submission.
const STEPS: usize = 16;

/// Rows of the suite.
pub(super) fn rows(options: &BenchOptions) -> usize {
    2 * options.depths.len() + 3
}

pub(super) async fn run(bench: &mut Bench<'_>) -> Result<()> {
    let timer = Timer::wall();
    bench.started(Suite::Model, "load").await?;
    let deepest = bench.options.depths.iter().max().copied().unwrap_or(0);
    // Room in a cache for every sample, where there is one.
    let [read, write] = bench.options.read_write;
    let load =
        LoadOptions { max_context: deepest + read.max(write + 2 * STEPS) + STEPS, ..LoadOptions::default() };
    let source = bench.source()?;
    let dtype = source.stored().name();
    let workload = Workload { dtype: Some(dtype), batch: Some(1), ..bench.model_workload() };
    let loaded = async {
        bench.fits(bench.engine.blueprint(&source.config, source.stored(), &load)?.memory().weights)?;
        bench.engine.load(source, &load, &mut |_, _| {}).await
    };
    let model = match loaded.await {
        Ok(model) => model,
        Err(error) => {
            let row = bench.row(Suite::Model, "prefill", workload);
            return bench.conclude(row, Err(error), &timer);
        }
    };
    bench.started(Suite::Model, "check").await?;
    let check = checked(bench, &model).await;
    first_token(bench, &model, &timer, &check, &workload).await?;
    depths(bench, &model, &timer, &check, &workload).await?;
    shares(bench, &model, &check, &workload).await
}

/// What rows of a model hold beside their times.
fn describe(row: &mut Row, model: &Model, session: &Session) {
    let memory = model.blueprint().memory();
    row.derived.state_bytes = Some(session.state_bytes() as u64);
    row.derived.softmax_cache_bytes =
        row.workload.depth.map(|depth| model.config().softmax_cache_bytes(depth as u64));
    row.derived.memory_bytes = Some(memory.total());
    row.method.segment = Some(memory.segment);
    if let Executor::Gpu(gpu) = model.executor() {
        row.derived.peak_bytes = Some(gpu.context().peak_bytes());
    }
}

async fn read(session: &mut Session, ids: &[u32]) -> Result<()> {
    session.prefill(0, ids, &mut |_| ControlFlow::Continue(())).await
}

/// Writes `tokens`, greedily; fewer at the end of a cache.
async fn write(session: &mut Session, tokens: usize) -> Result<Vec<u32>> {
    let greedy = GenerateOptions::greedy(0);
    let mut ids = Vec::new();
    while ids.len() < tokens {
        let more = session.decode(&[0], &[&greedy], STEPS.min(tokens - ids.len())).await?.swap_remove(0);
        if more.is_empty() {
            break;
        }
        ids.extend(more);
    }
    Ok(ids)
}

/// Tokens that a text of the model can have.
fn longest(model: &Model) -> usize {
    model.config().longest_text().unwrap_or(usize::MAX)
}

/// Tokens that are read and written: those of the options, or as many as a short text has.
fn read_write(bench: &Bench<'_>, model: &Model) -> [usize; 2] {
    let [read, write] = bench.options.read_write;
    [read.min((longest(model) / 2).max(1)), write]
}

/// Logits after reading a text in calls and writing on, against f64 after the same tokens.
async fn checked(bench: &mut Bench<'_>, model: &Model) -> Result<Check> {
    let plans = model.blueprint();
    let preparation = bench.pace.begin(&[&plans.prefill, &plans.decode])?;
    let most = longest(model).saturating_sub(STEPS).max(8);
    let n = if bench.options.quick { 150 } else { 600 }.min(most);
    let (ids, _) = token_ids(bench.options.seed, n, model.config().vocab_size);
    let mut session = Session::new(model).await?;
    read(&mut session, &ids[..n - 7]).await?;
    read(&mut session, &ids[n - 7..]).await?;
    let written = write(&mut session, STEPS).await?;
    let got = session.logits(0).await?;
    let oracle = Engine::on(Executor::Oracle(CpuExecutor::default()));
    let reference = oracle.load(bench.source()?, &LoadOptions::default(), &mut |_, _| {}).await?;
    let mut session = Session::new(&reference).await?;
    read(&mut session, &[ids, written].concat()).await?;
    let want = session.logits(0).await?;
    bench.pace.ready(&preparation);
    let largest = want.iter().fold(0f32, |most, x| most.max(x.abs()));
    let differences = got.iter().zip(&want).map(|(a, b)| f64::from((a - b).abs() / largest));
    let error = worst(differences);
    let most = bench.tolerance(TOLERANCE);
    Ok(Check::against_f64(error, most, "largest difference over largest logit", Some(n + STEPS)))
}

/// Time from a prompt to its first token on the host.
async fn first_token(
    bench: &mut Bench<'_>,
    model: &Model,
    timer: &Timer,
    check: &Result<Check>,
    workload: &Workload,
) -> Result<()> {
    let [n, _] = read_write(bench, model);
    bench.started(Suite::Model, &format!("first_token, n {n}")).await?;
    let mut row = bench.row(
        Suite::Model,
        "first_token",
        Workload { tokens: Some(n), depth: Some(0), ..workload.clone() },
    );
    let measured = async {
        row.checked_by(check)?;
        let (ids, _) = token_ids(bench.options.seed, n, model.config().vocab_size);
        let mut session = Session::new(model).await?;
        let samples = in_turns(
            std::slice::from_mut(&mut session),
            &[],
            bench.options,
            timer,
            false,
            async |session, _| {
                session.reset(0);
                let start = Instant::now();
                read(session, &ids).await?;
                write(session, 1).await?;
                Ok(clock::nanoseconds_since(start))
            },
        );
        let samples = samples.await.swap_remove(0);
        describe(&mut row, model, &session);
        samples
    };
    let samples = measured.await;
    let mut row = bench.complete(row, samples, timer)?;
    row.derived.tokens_per_second = None;
    bench.finished(row)
}

/// Reading and writing, on top of texts of several lengths, in turns, to show that all cost the same.
async fn depths(
    bench: &mut Bench<'_>,
    model: &Model,
    timer: &Timer,
    check: &Result<Check>,
    workload: &Workload,
) -> Result<()> {
    let mut depths = bench.options.depths.clone();
    depths.sort_unstable();
    let mut session = Session::new(model).await?;
    let most = bench.options.read_write[0].max(1 << 12);
    let (ids, _) = token_ids(bench.options.seed, most, model.config().vocab_size);
    // Seconds a token took to read.
    let mut pace = 0.0;
    let mut texts: Vec<(usize, Result<Vec<u8>>)> = Vec::with_capacity(depths.len());
    for depth in depths {
        bench.started(Suite::Model, &format!("reading to {depth}")).await?;
        let saved = match check {
            Ok(_) => descend(bench, &mut session, &ids, depth, &mut pace).await,
            Err(error) => Err(error.clone()),
        };
        texts.push((depth, saved));
    }
    let [n, written] = read_write(bench, model);
    let longest = longest(model);
    for (depth, saved) in &mut texts {
        let end = *depth + n.max(written + 2 * STEPS);
        if end > longest && saved.is_ok() {
            let text = format!("a text of {end} tokens: this model has learned {longest} positions");
            *saved = Err(Error::new(ErrorKind::Limit, text));
        }
    }
    for (name, tokens) in [("prefill", n), ("decode", written)] {
        bench.started(Suite::Model, &format!("{name}, n {tokens}, in turns")).await?;
        let mut reached: Vec<(usize, &[u8])> =
            texts.iter().filter_map(|(depth, saved)| Some((*depth, saved.as_deref().ok()?))).collect();
        let samples = in_turns(&mut reached, &[], bench.options, timer, false, async |(depth, saved), _| {
            session.load(0, saved, "the text").await?;
            if name == "decode" && *depth == 0 {
                // Decoding needs a token to go on from.
                read(&mut session, &ids[..1]).await?;
            }
            model.executor().finish().await?;
            let start = Instant::now();
            if name == "prefill" {
                read(&mut session, &ids[..tokens]).await?;
            } else {
                write(&mut session, tokens).await?;
            }
            Ok(clock::nanoseconds_since(start))
        });
        let mut samples = samples.await.into_iter();
        for (depth, saved) in &texts {
            let mut row = bench.row(
                Suite::Model,
                name,
                Workload { tokens: Some(tokens), depth: Some(*depth), ..workload.clone() },
            );
            let measured = match saved {
                Ok(_) => samples.next().transpose(),
                Err(error) => Err(error.clone()),
            };
            let measured = row.checked_by(check).and(measured).map(Option::unwrap_or_default);
            describe(&mut row, model, &session);
            bench.conclude(row, measured, timer)?;
        }
    }
    Ok(())
}

/// Reads on until the text is `depth` long; the text then.
async fn descend(
    bench: &mut Bench<'_>,
    session: &mut Session,
    ids: &[u32],
    depth: usize,
    pace: &mut f64,
) -> Result<Vec<u8>> {
    let left = depth - session.position(0).min(depth);
    let (seconds, most) = (left as f64 * *pace, PATIENCE * bench.options.budget);
    if seconds > most {
        let text = format!("reading up to there would take {seconds:.0} s, {most:.0} s are allowed");
        return Err(Error::new(ErrorKind::Limit, text));
    }
    while session.position(0) < depth {
        let n = ids.len().min(depth - session.position(0));
        let start = Instant::now();
        read(session, &ids[..n]).await?;
        session.model().executor().finish().await?;
        *pace = clock::nanoseconds_since(start) * 1e-9 / n as f64;
        bench.started(Suite::Model, &format!("reading to {depth}: {}", session.position(0))).await?;
    }
    bench.fits(session.state_bytes() as u64)?;
    session.save(0).await
}

/// Time by kernel, of a prefill call and of a decoding step.
async fn shares(
    bench: &mut Bench<'_>,
    model: &Model,
    check: &Result<Check>,
    workload: &Workload,
) -> Result<()> {
    let most = if bench.options.quick { 256 } else { 1024 };
    // A call to warm up, and one to look at.
    let n = model.blueprint().capacity.tokens.min(most).min((longest(model) / 4).max(1));
    let (ids, _) = token_ids(bench.options.seed, n, model.config().vocab_size);
    for (plan, ids) in [("prefill", &ids[..]), ("decode", &[])] {
        bench.started(Suite::Model, &format!("shares, {plan}")).await?;
        let workload =
            Workload { plan: Some(plan.into()), tokens: Some(ids.len().max(1)), ..workload.clone() };
        let row = bench.row(Suite::Model, "shares", workload);
        let measured = async {
            check.as_ref().map_err(Clone::clone)?.verdict()?;
            let mut session = Session::new(model).await?;
            read(&mut session, &[1]).await?;
            // Once to warm up.
            session.profile(0, ids).await?;
            session.profile(0, ids).await
        };
        let shares = measured.await;
        bench.conclude_shares(row, shares)?;
    }
    Ok(())
}
