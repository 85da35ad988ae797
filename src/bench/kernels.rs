//! Each kernel of a model's plans at its working shapes: rates, and what share of the roofline. Every one
//! runs alone, on what the model itself computes from a text, and is held against its twin in f64.

use std::collections::HashMap;

use super::runner::Bench;
use super::schema::{Check, Row, Suite, Workload};
use super::steps::{ElementsOf as _, moved, variant};
use super::timer::{Samples, Subject, Timer, in_turns, token_ids};
use crate::error::{Error, ErrorKind, Result};
use crate::exec::{CpuExecutor, Executor};
use crate::graph::{Plan, PlannedTensor, Purpose, Role};
use crate::model::LoadOptions;
use crate::model::engine::Blueprint;
use crate::model::transformer;
use crate::tensor::{Call, DType, Lane, ring_after};

/// Error over the largest element, f32 against f64.
const TOLERANCE: f64 = 5e-5;

/// Tensors by name, as words.
type Values = HashMap<String, Vec<u32>>;

/// A plan and the call it is measured in.
struct Scene<'a> {
    name: &'static str,
    plan: &'a Plan,
    call: Call,
}

fn blueprint(bench: &Bench<'_>) -> Result<Blueprint> {
    let source = bench.source()?;
    let mut options = LoadOptions { segment: bench.options.quick.then_some(256), ..LoadOptions::default() };
    // A call and the token after it are within a text that the model can have.
    if let Some(most) = source.config.longest_text() {
        options.segment = Some(options.segment.unwrap_or(1024).min((most / 2).max(1)));
    }
    bench.engine.blueprint(&source.config, source.stored(), &options)
}

/// Rows of the suite.
pub(super) fn rows(bench: &Bench<'_>) -> Result<usize> {
    let blueprint = blueprint(bench)?;
    Ok(scenes(&blueprint, block(bench)?).iter().map(|scene| scene.steps().len()).sum())
}

/// Reading a whole call, and writing the token after it, which folds the block that is full by then.
fn scenes(blueprint: &Blueprint, block: usize) -> [Scene<'_>; 2] {
    let tokens = blueprint.prefill.capacity.tokens;
    let lane = Lane { slot: 0, position: tokens, ring: ring_after(0, tokens, block) };
    [
        Scene { name: "prefill", plan: &blueprint.prefill, call: Call::start(tokens) },
        Scene {
            name: "decode",
            plan: &blueprint.decode,
            call: Call { lanes: vec![lane], tokens: 1, lane_base: 0 },
        },
    ]
}

/// b of the model.
fn block(bench: &Bench<'_>) -> Result<usize> {
    Ok(transformer::attention(&bench.source()?.config).layout.block)
}

impl Scene<'_> {
    /// Steps that run in the call and differ from all before them: kernel, variant or sizes.
    fn steps(&self) -> Vec<usize> {
        let mut seen = Vec::new();
        let key = |at: usize| {
            let step = &self.plan.steps[at];
            let shapes: Vec<String> =
                step.args.iter().map(|arg| self.plan.tensors[arg.tensor.0].tensor.ty.to_string()).collect();
            (step.kernel.stem(), variant(&step.variant), shapes)
        };
        let runs = |at: &usize| self.plan.steps[*at].kernel.runs(&self.call);
        (0..self.plan.steps.len())
            .filter(runs)
            .filter(|at| {
                let key = key(*at);
                let new = !seen.contains(&key);
                if new {
                    seen.push(key);
                }
                new
            })
            .collect()
    }
}

/// Some steps of a plan, with every tensor they touch in a memory where it can be set and read.
fn opened(plan: &Plan, steps: std::ops::Range<usize>) -> Plan {
    let mut plan = Plan { steps: plan.steps[steps].to_vec(), ..plan.clone() };
    let used: Vec<usize> =
        plan.steps.iter().flat_map(|step| step.args.iter().map(|arg| arg.tensor.0)).collect();
    for (i, t) in plan.tensors.iter_mut().enumerate() {
        if !used.contains(&i) {
            t.bytes = 0;
        } else if !matches!(t.tensor.role, Role::Parameter | Role::Constant(_) | Role::Lanes) {
            t.tensor.role = Role::State(Purpose::Exposed);
        }
    }
    // Nothing but the lane table lies in the plan's own memory.
    let exposed = plan.buffers.iter_mut().filter(|buffer| buffer.role != Role::Lanes);
    exposed.for_each(|buffer| buffer.role = Role::State(Purpose::Exposed));
    plan
}

pub(super) async fn run(bench: &mut Bench<'_>) -> Result<()> {
    let (source, blueprint) = (bench.source()?, blueprint(bench)?);
    let executor = bench.engine.executor(blueprint.memory().largest_buffer).await?;
    let timer = Timer::of(&executor).await?;
    bench.started(Suite::Kernels, "what the model computes").await?;
    let mut values = Values::new();
    for packed in &blueprint.parameters {
        values.insert(packed.name.clone(), packed.words(&source.checkpoint)?);
    }
    let dtype = blueprint.build.large.name();
    for scene in scenes(&blueprint, block(bench)?) {
        let (ids, _) = token_ids(bench.options.seed, scene.call.tokens, source.config.vocab_size);
        values.insert("ids".into(), ids);
        compute(&scene, &mut values).await?;
        for at in scene.steps() {
            let step = &scene.plan.steps[at];
            bench
                .started(Suite::Kernels, &format!("{}, {} of {}", step.kernel.stem(), step.label, scene.name))
                .await?;
            let workload = Workload {
                plan: Some(scene.name.into()),
                operation: Some(step.label.clone()),
                tokens: Some(scene.call.tokens),
                dtype: Some(dtype.clone()),
                ..bench.model_workload()
            };
            let mut row = bench.row(Suite::Kernels, step.kernel.stem(), workload);
            let samples = measure(bench, &executor, &timer, &scene, at, &values, &mut row).await;
            bench.conclude(row, samples, &timer)?;
        }
    }
    Ok(())
}

/// Runs a scene by the CPU twins, and keeps all it computed and left.
async fn compute(scene: &Scene<'_>, values: &mut Values) -> Result<()> {
    let plan = opened(scene.plan, 0..scene.plan.steps.len());
    let cpu = Executor::Cpu(CpuExecutor::default());
    let mut subject = Subject::new(&cpu, &plan, vec![scene.call.clone()], &|t| fitting(t, values)).await?;
    subject.run(&[]).await?;
    for t in plan.tensors.iter().filter(|t| t.bytes > 0 && matches!(t.tensor.role, Role::State(_))) {
        let words = subject.words(&t.tensor.name, t.tensor.ty.shape.elements(&plan.capacity)).await?;
        values.insert(t.tensor.name.clone(), words);
    }
    Ok(())
}

/// What a tensor holds: the value of that name, filled up with zeros.
fn fitting(t: &PlannedTensor, values: &Values) -> Option<Vec<u32>> {
    let mut words = values.get(&t.tensor.name)?.clone();
    if matches!(t.tensor.role, Role::State(_)) {
        words.resize(t.bytes / 4, 0);
    }
    Some(words)
}

/// Checks and times one step.
async fn measure(
    bench: &mut Bench<'_>,
    executor: &Executor,
    timer: &Timer,
    scene: &Scene<'_>,
    at: usize,
    values: &Values,
    row: &mut Row,
) -> Result<Samples> {
    let plan = opened(scene.plan, at..at + 1);
    let step = plan.steps.first().ok_or_else(|| Error::new(ErrorKind::Shape, "a plan without steps"))?;
    row.method.variant = Some(variant(&step.variant));
    row.estimate = bench.estimator.of(&plan, std::slice::from_ref(&scene.call));
    let d = &mut row.derived;
    d.flops = Some(step.kernel.flops(&scene.call)).filter(|flops| *flops > 0);
    d.flops_formula = d.flops.map(|_| "2 · multiply-adds, as the kernel counts them".into());
    d.bytes = Some(moved(&plan, step, &scene.call));
    d.bytes_formula = Some("every argument once, of tables looked up in only the rows".into());
    let calls = vec![scene.call.clone()];
    let preparation = bench.pace.begin(&[&plan])?;
    let mut subject = Subject::new(executor, &plan, calls.clone(), &|t| fitting(t, values)).await?;
    subject.run(&[]).await?;
    bench.pace.ready(&preparation);
    // How a cache is cut for decoding is the shader's own business: its twin does not cut.
    if step.kernel.stem() != "attention_dense_decode" {
        let oracle = Executor::Oracle(CpuExecutor::default());
        let mut want = Subject::new(&oracle, &plan, calls, &|t| fitting(t, values)).await?;
        want.run(&[]).await?;
        let mut error = 0.0f64;
        for arg in step.args.iter().filter(|arg| arg.written) {
            let t = &plan.tensors[arg.tensor.0];
            let (name, elements) =
                (t.tensor.name.as_str(), t.tensor.ty.shape.elements_of(&plan, &scene.call));
            let (got, want) = (subject.words(name, elements).await?, want.words(name, elements).await?);
            error = larger(error, difference(t.tensor.ty.dtype, &got, &want));
        }
        // Others compute in f32 in a plan of mixed precision too.
        let most = if step.variant.is_mixed() { bench.tolerance(TOLERANCE) } else { TOLERANCE };
        let check = Check::against_f64(error, most, "largest difference over largest output", None);
        row.check = Some(check.clone());
        check.verdict()?;
    }
    let samples =
        in_turns(std::slice::from_mut(&mut subject), &[], bench.options, timer, true, async |s, times| {
            s.time(timer, times).await
        })
        .await;
    samples.into_iter().next().unwrap_or_else(|| Ok(Samples::default()))
}

/// The larger; not a number if one is not.
fn larger(a: f64, b: f64) -> f64 {
    if a.is_nan() || b <= a { a } else { b }
}

/// Largest difference over the largest magnitude; for integers, the share that differs.
fn difference(dtype: DType, got: &[u32], want: &[u32]) -> f64 {
    if dtype == DType::U32 {
        return got.iter().zip(want).filter(|(a, b)| a != b).count() as f64 / got.len().max(1) as f64;
    }
    let value = |w: &u32| f64::from(f32::from_bits(*w));
    let largest = want.iter().map(value).fold(f64::MIN_POSITIVE, |most, x| most.max(x.abs()));
    got.iter().zip(want).map(|(a, b)| (value(a) - value(b)).abs() / largest).fold(0.0, larger)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences() {
        let words = |values: &[f32]| values.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
        assert!((difference(DType::F32, &words(&[1.0, 4.5]), &words(&[1.0, 5.0])) - 0.1).abs() < 1e-12);
        assert!(difference(DType::F32, &words(&[f32::NAN]), &words(&[5.0])).is_nan());
        assert_eq!(
            (
                difference(DType::U32, &[1, 2], &[1, 3]),
                difference(DType::F32, &words(&[0.0]), &words(&[0.0]))
            ),
            (0.5, 0.0)
        );
    }
}
