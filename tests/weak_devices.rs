//! The floor of SPEC §6 on every adapter: default limits and no optional features, halves as weights, tables
//! cut into shards.

mod common;

use common::dense::Dense;
use common::random_model::{Case, Rng, few_cases};
use common::{cpu_executors, executors, golden, golden_names, gpu_executors_with, load, max_error};
use pollster::block_on;
use polysketch::exec::Executor;
use polysketch::gpu::Needs;
use polysketch::kernels::DeviceTraits;
use polysketch::model::parameters::ParameterKind;
use polysketch::model::{GenerateOptions, LoadOptions, Session};
use polysketch::tensor::DType;

/// SPEC §5.
const TOLERANCE: f64 = 5e-5;

fn weak() -> Vec<(String, Executor)> {
    let executors = gpu_executors_with(Needs { weak: true, ..Needs::default() });
    for (name, executor) in &executors {
        // The device really has no more than the floor; how long its loops may be is no limit that can be
        // asked for.
        let (got, floor) = (executor.traits(), DeviceTraits::floor());
        assert_eq!(DeviceTraits { software: false, loop_iterations: None, ..got }, floor, "{name}");
    }
    executors
}

#[test]
fn golden_models_at_the_floor() {
    let mut failures = Vec::new();
    for (number, (name, executor)) in weak().into_iter().enumerate() {
        // All on the first adapter, every third on the others.
        for model_name in golden_names().into_iter().skip(number % 3).step_by(if number == 0 { 1 } else { 3 })
        {
            let (source, golden) = golden(&model_name);
            let (lanes, n) = (golden.shape("tokens").unwrap()[0], golden.shape("tokens").unwrap()[1]);
            let model = load(
                &executor,
                source,
                LoadOptions { slots: lanes, max_context: n, ..LoadOptions::default() },
            );
            let mut session = block_on(Session::new(&model)).unwrap();
            let tokens = golden.u32("tokens").unwrap();
            let ids: Vec<&[u32]> = tokens.chunks_exact(n).collect();
            let (logits, _) =
                block_on(session.forward(&(0..lanes).collect::<Vec<_>>(), &ids, false)).unwrap();
            let error = max_error(&logits, &golden.f64("logits").unwrap());
            if error.is_nan() || error > TOLERANCE {
                failures.push(format!("{name}: {model_name}: {error:.1e}"));
            }
        }
    }
    assert!(failures.is_empty(), "{failures:#?}");
}

/// The oracle of a model whose large matrices are halves.
fn halved(case: &Case) -> Dense {
    let large =
        |kind| matches!(kind, ParameterKind::Embedding | ParameterKind::Linear | ParameterKind::GateWeight);
    let weights = case.weights().into_iter().map(|(spec, mut values)| {
        // A sketch keeps its precision.
        if large(spec.kind) && !spec.name.contains(".sketch.") {
            values.iter_mut().for_each(|x| *x = half::f16::from_f32(*x).to_f32());
        }
        (spec.name, values)
    });
    Dense::with(case.parsed(), weights)
}

/// Prefill, decode and all logits of a model on an executor, against an oracle.
fn compare(name: &str, executor: &Executor, case: &Case, dense: &Dense, options: LoadOptions) {
    let model = load(executor, case.source(), LoadOptions { segment: Some(48), max_context: 128, ..options });
    let mut session = block_on(Session::new(&model)).unwrap();
    let mut text = Rng(case.seed).tokens(43, case.parsed().vocab_size);
    let (logits, _) = block_on(session.forward(&[0], &[&text], false)).unwrap();
    let error = max_error(&logits, &dense.logits(&text, 0).concat());
    assert!(error <= TOLERANCE, "{name}: {}: {error:.1e}", case.name);
    let settings = GenerateOptions { temperature: 2.0, seed: 5, ..GenerateOptions::greedy(1) };
    let ids = block_on(session.decode(&[0], &[&settings], 6)).unwrap().swap_remove(0);
    text.extend(ids);
    let error = max_error(&block_on(session.logits(0)).unwrap(), &dense.last(&text));
    assert!(error <= TOLERANCE, "{name}: {}: {error:.1e} after decoding", case.name);
}

#[test]
fn halves_are_rounded_once_and_then_exact() {
    for (name, executor) in executors() {
        for case in [&few_cases()[0], &few_cases()[1], &few_cases()[4]] {
            let options = LoadOptions { weights: Some(DType::F16), ..LoadOptions::default() };
            compare(&name, &executor, case, &halved(case), options);
        }
    }
}

#[test]
fn a_table_in_shards_is_the_same_table() {
    let case = &few_cases()[0]; // 269 tokens, 36 columns
    let full = Dense::new(case);
    let half = halved(case);
    let mut list = cpu_executors();
    list.extend(weak());
    for (name, executor) in list {
        for (weights, row, rows) in
            [(DType::F32, 36 * 4, 100), (DType::F32, 36 * 4, 37), (DType::F16, 36 * 2, 64)]
        {
            let options = LoadOptions {
                weights: Some(weights),
                max_binding: Some(rows * row + 10),
                ..LoadOptions::default()
            };
            let model = load(&executor, case.source(), options);
            let shards =
                model.blueprint().parameters.iter().filter(|p| p.name.starts_with("embedding.")).count();
            assert_eq!(shards, 269usize.div_ceil(rows), "{name}");
            compare(&name, &executor, case, if weights == DType::F16 { &half } else { &full }, options);
        }
    }
}
