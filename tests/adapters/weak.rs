//! The floor of SPEC §6 on every adapter: default limits and no optional features, halves as weights, tables
//! cut into shards.

use std::sync::Arc;

use pollster::block_on;
use polysketch::check::models::{RandomModel, few_models};
use polysketch::check::random::Rng;
use polysketch::check::slug;
use polysketch::exec::Executor;
use polysketch::kernels::DeviceTraits;
use polysketch::model::parameters::ParameterKind;
use polysketch::model::{Engine, GenerateOptions, LoadOptions, Session, WeightType};

use crate::dense::Dense;
use crate::golden::models;
use crate::places::{Place, Tests, load, max_error};

/// SPEC §5.
const TOLERANCE: f64 = 5e-5;

/// The device really has no more than the floor; how long its loops may be is no limit that can be asked for.
fn has_no_more_than_the_floor(executor: &Executor) {
    let (got, floor) = (executor.traits(), DeviceTraits::floor());
    assert_eq!(DeviceTraits { software: false, loop_iterations: None, ..got }, floor);
}

/// Golden models that software adapters run at the floor too: a kind each.
const FEW: [&str; 4] = ["default-gated", "polynomial-degree-8", "release-random-sketch", "release-softmax"];

/// The oracle of a model whose large matrices are halves.
fn halved(case: &RandomModel) -> Dense {
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
fn compare(executor: &Executor, case: &RandomModel, dense: &Dense, options: LoadOptions) {
    let model = load(executor, case.source(), LoadOptions { segment: Some(48), max_context: 128, ..options });
    let mut session = block_on(Session::new(&model)).unwrap();
    let mut text = Rng(case.seed).tokens(43, case.parsed().vocab_size);
    let (logits, _) = block_on(session.forward(&[0], &[&text], false)).unwrap();
    let error = max_error(&logits, &dense.logits(&text, 0).concat());
    assert!(error <= TOLERANCE, "{}: {error:.1e}", case.name);
    let settings = GenerateOptions { temperature: 2.0, seed: 5, ..GenerateOptions::greedy(1) };
    let ids = block_on(session.decode(&[0], &[&settings], 6)).unwrap().swap_remove(0);
    text.extend(ids);
    let error = max_error(&block_on(session.logits(0)).unwrap(), &dense.last(&text));
    assert!(error <= TOLERANCE, "{}: {error:.1e} after decoding", case.name);
}

fn halves_are_rounded_once_and_then_exact(executor: &Executor, at: usize) {
    let case = &few_models()[at];
    let options = LoadOptions { weights: Some(WeightType::F16), ..LoadOptions::default() };
    compare(executor, case, &halved(case), options);
}

fn a_table_in_shards_is_the_same_table(executor: &Executor) {
    let case = &few_models()[0]; // 269 tokens, 36 columns
    let (full, half) = (Dense::new(case), halved(case));
    for (weights, row, rows) in
        [(WeightType::F32, 36 * 4, 100), (WeightType::F32, 36 * 4, 37), (WeightType::F16, 36 * 2, 64)]
    {
        let max_binding = Some(rows * row + 10);
        let options = LoadOptions { weights: Some(weights), max_binding, ..LoadOptions::default() };
        let model = load(executor, case.source(), options);
        let shards = model.blueprint().parameters.iter().filter(|p| p.name.starts_with("embedding.")).count();
        assert_eq!(shards, 269usize.div_ceil(rows));
        compare(executor, case, if weights == WeightType::F16 { &half } else { &full }, options);
    }
}

pub fn add(tests: &mut Tests) {
    for golden in models().into_iter().map(Arc::new) {
        let few = FEW.contains(&golden.name.as_str());
        let name = golden.name.clone();
        let on = move |place: &Place| place.is_gpu() && (few || !place.is_slow());
        tests.each(on, "weak_golden_logits", &name, move |place| {
            has_no_more_than_the_floor(place.weak());
            let deviations = golden.logits(&Engine::on(place.weak().clone())).unwrap();
            let wrong: Vec<_> = deviations.iter().filter(|d| d.wrong()).collect();
            assert!(wrong.is_empty(), "{wrong:#?}");
        });
    }
    for at in [0, 1, 4] {
        let name = slug(&few_models()[at].name);
        tests.each(
            |_| true,
            "halves_are_rounded_once",
            &name,
            move |place| {
                halves_are_rounded_once_and_then_exact(place.executor(), at);
            },
        );
    }
    tests.each(
        |_| true,
        "weak",
        "a_table_in_shards_is_the_same_table",
        |place| {
            a_table_in_shards_is_the_same_table(place.weak());
        },
    );
}
