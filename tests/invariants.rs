//! What must hold (SPEC §1): dense = chunk-parallel = recurrent, whatever the cuts, segments, slots and
//! neighbours; save, load, fork, reset and take-back change nothing. Random models and random operations,
//! from fixed seeds.

mod common;

use std::ops::ControlFlow;

use common::dense::Dense;
use common::episode::{Episode, Plan};
use common::random_model::{Body, Case, Rng, few_cases, plain_cases, polysketch_cases};
use common::{Bare, cpu_executors, gpu_executors, load, max_error};
use pollster::block_on;
use polysketch::ErrorKind;
use polysketch::exec::{Executor, Memory};
use polysketch::model::{GenerateOptions, Generation, LoadOptions, Session, StopReason};
use polysketch::tensor::DType;
use serde_json::json;

/// SPEC §5.
const TOLERANCE: f64 = 5e-5;
/// The oracle rounds weights of features and rotations to f32, as the shaders do.
const ORACLE: f64 = 2e-6;

fn goes_on(_: usize) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

/// Longest text: some blocks, and for the largest block at least one end.
fn longest(case: &Case) -> usize {
    (2 * case.block() + 24).clamp(48, 160)
}

fn episodes(
    name: &str,
    executor: &Executor,
    cases: &[Case],
    operations: usize,
    tolerance: f64,
) -> Vec<String> {
    let mut failures = Vec::new();
    let mut worst = (0.0, "");
    for case in cases {
        let dense = Dense::new(case);
        let plan = Plan { operations, longest: longest(case), tolerance };
        match Episode::new(executor, case, &dense, case.seed, plan).run() {
            Ok(error) if error >= worst.0 => worst = (error, &case.name),
            Ok(_) => {}
            Err(what) => failures.push(format!("{name}: {}: {what}", case.name)),
        }
    }
    println!("{name}: {} models, largest error {:.1e} ({})", cases.len(), worst.0, worst.1);
    failures
}

#[test]
fn plain_kinds_on_the_cpu() {
    let cases = plain_cases();
    let mut failures = Vec::new();
    for (name, executor) in cpu_executors() {
        failures.extend(episodes(
            &name,
            &executor,
            &cases,
            14,
            if name == "oracle" { ORACLE } else { TOLERANCE },
        ));
    }
    assert!(failures.is_empty(), "{failures:#?}");
}

#[test]
fn every_polysketch_on_the_cpu() {
    let cases = polysketch_cases();
    assert!(cases.len() > 80, "{}", cases.len());
    let mut failures = Vec::new();
    for (name, executor) in cpu_executors() {
        failures.extend(episodes(
            &name,
            &executor,
            &cases,
            10,
            if name == "oracle" { ORACLE } else { TOLERANCE },
        ));
    }
    assert!(failures.is_empty(), "{failures:#?}");
}

#[test]
fn a_few_models_on_every_adapter() {
    let mut failures = Vec::new();
    for (name, executor) in gpu_executors() {
        failures.extend(episodes(&name, &executor, &few_cases(), 10, TOLERANCE));
    }
    assert!(failures.is_empty(), "{failures:#?}");
}

/// A model of bytes that likes to write a few letters and to end.
fn writer(mut case: Case) -> (Case, Dense, polysketch::model::ModelSource) {
    case.config["logit_bias"] = json!(true);
    let mut weights = case.weights();
    let (_, bias) = weights.iter_mut().find(|(spec, _)| spec.name == "lm_head.bias").unwrap();
    (b'a'..=b'd').for_each(|letter| bias[usize::from(letter)] += 20.0);
    bias[256] += 17.0;
    let dense = Dense::with(case.parsed(), weights.iter().map(|(spec, v)| (spec.name.clone(), v.clone())));
    let source = case.source_of(&weights);
    (case, dense, source)
}

/// Generation that stops somewhere (stop string, end of text, the caller, the limit) leaves the text as if
/// the kept tokens had been read afresh: for logits, for more text, for saving, and for generating again.
fn generation_can_be_cut_anywhere(
    name: &str,
    executor: &Executor,
    case: Case,
    rounds: usize,
) -> Vec<StopReason> {
    let (case, dense, source) = writer(case);
    let mut rng = Rng(case.seed);
    let options = LoadOptions { slots: 2, segment: Some(64), max_context: 512, ..LoadOptions::default() };
    let model = load(executor, source, options);
    let mut session = block_on(Session::new(&model)).unwrap();
    let mut fresh = block_on(Session::new(&model)).unwrap();
    let mut reasons = Vec::new();
    for round in 0..rounds {
        session.reset(0);
        let n = rng.within(1, 130);
        let mut text = rng.tokens(n, 250);
        block_on(session.prefill(0, &text, &mut goes_on)).unwrap();
        for part in 0..2 {
            let at = format!("{name}: {}: round {round}, part {part}, {} tokens", case.name, text.len());
            let stop = if rng.below(2) == 0 {
                ["ab", "ba", "cd", "dc", "ca", "aa", "bb"].map(String::from).to_vec()
            } else {
                vec![]
            };
            let settings = GenerateOptions {
                max_tokens: rng.within(1, 40),
                temperature: 1.0,
                repetition_penalty: Some(1.3),
                seed: rng.next(),
                stop,
                ..GenerateOptions::greedy(1)
            };
            let pieces = rng.within(1, 60);
            let run = |session: &mut Session| {
                let mut heard = 0;
                block_on(session.generate(0, &settings, &mut |_| {
                    heard += 1;
                    if heard >= pieces { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
                }))
                .unwrap()
            };
            fresh.reset(0);
            block_on(fresh.prefill(0, &text, &mut goes_on)).unwrap();
            let generated = run(&mut session);
            assert_eq!(generated, run(&mut fresh), "{at}");
            reasons.push(generated.reason);
            text.extend(&generated.ids);
            assert_eq!(session.position(0), text.len(), "{at}");
            match rng.below(4) {
                0 => {
                    let more = rng.tokens(5, 250);
                    block_on(session.prefill(0, &more, &mut goes_on)).unwrap();
                    text.extend(more);
                }
                1 => {
                    // Through a file, and another slot.
                    let bytes = block_on(session.save(0)).unwrap();
                    block_on(session.load(1, &bytes, "cut")).unwrap_or_else(|e| panic!("{at}: {e}"));
                    let bytes = block_on(session.save(1)).unwrap();
                    block_on(session.load(0, &bytes, "cut")).unwrap();
                }
                2 => session = block_on(session.fork()).unwrap(),
                _ => continue, // generates again at once
            }
            let error = max_error(&block_on(session.logits(0)).unwrap(), &dense.last(&text));
            assert!(error <= TOLERANCE, "{at}: {:?}, then error {error:.2e}", generated.reason);
        }
    }
    reasons
}

#[test]
fn cut_generation_equals_the_text_read_afresh() {
    let mut executors = cpu_executors();
    executors.truncate(1);
    executors.extend(gpu_executors());
    for (i, (name, executor)) in executors.into_iter().enumerate() {
        // The CPU and the first adapter meet every reason to stop; the others, which are slow, what comes in
        // a few rounds.
        let rounds = if i < 2 { 8 } else { 2 };
        let mut reasons = Vec::new();
        for case in
            few_cases().into_iter().filter(|c| ["h=12", "gaussian"].iter().any(|part| c.name.contains(part)))
        {
            reasons.extend(generation_can_be_cut_anywhere(&name, &executor, case, rounds));
        }
        if i >= 2 {
            continue;
        }
        for reason in
            [StopReason::MaxTokens, StopReason::EndOfText, StopReason::StopString, StopReason::Cancelled]
        {
            assert!(reasons.contains(&reason), "{name}: {reason:?} never happened");
        }
    }
}

/// Tokens that are taken back never were: neither for the state nor for the repetition penalty.
#[test]
fn what_is_taken_back_never_was() {
    let mut executors = cpu_executors();
    executors.truncate(1);
    executors.extend(gpu_executors().into_iter().take(1));
    for (name, executor) in executors {
        let model = load(&executor, few_cases()[0].source(), LoadOptions::default());
        let mut session = block_on(Session::new(&model)).unwrap();
        let input = |result: polysketch::Result<()>| {
            assert_eq!(result.map_err(|e| e.kind()), Err(ErrorKind::Input), "{name}")
        };
        let mut text = vec![1, 2, 3];
        block_on(session.prefill(0, &text, &mut goes_on)).unwrap();
        for seed in 0..6 {
            let options = GenerateOptions {
                temperature: 1.0,
                repetition_penalty: Some(3.0),
                seed,
                ..GenerateOptions::greedy(1)
            };
            let ids = block_on(session.decode(&[0], &[&options], 5)).unwrap().swap_remove(0);
            input(session.rewind(0, ids.len()));
            let back = 2.min(ids.len() - 1);
            session.rewind(0, back).unwrap();
            text.extend(&ids[..ids.len() - back]);
            assert_eq!(session.position(0), text.len(), "{name}");
            if back > 0 {
                input(session.rewind(0, 1));
            }
            let mut fresh = block_on(Session::new(&model)).unwrap();
            block_on(fresh.prefill(0, &text, &mut goes_on)).unwrap();
            let want = block_on(fresh.decode(&[0], &[&options], 1)).unwrap();
            assert_eq!(block_on(session.decode(&[0], &[&options], 1)).unwrap(), want, "{name}: seed {seed}");
            text.extend(&want[0]);
        }
        input(session.rewind(1, 1));
    }
}

/// A state file goes from any executor to any other.
#[test]
fn state_files_travel_between_executors() {
    for case in [&few_cases()[0], &few_cases()[3]] {
        let dense = Dense::new(case);
        let mut rng = Rng(7);
        let mut text = rng.tokens(45, 200);
        let mut file: Option<Vec<u8>> = None;
        let mut executors = cpu_executors();
        executors.extend(gpu_executors());
        executors.push(cpu_executors().swap_remove(0));
        for (name, executor) in executors {
            let options = LoadOptions { segment: Some(32), max_context: 512, ..LoadOptions::default() };
            let mut session = block_on(Session::new(&load(&executor, case.source(), options))).unwrap();
            match &file {
                Some(bytes) => block_on(session.load(0, bytes, "from the executor before")).unwrap(),
                None => block_on(session.prefill(0, &text, &mut goes_on)).unwrap(),
            }
            let more = rng.tokens(13, 200);
            block_on(session.prefill(0, &more, &mut goes_on)).unwrap();
            text.extend(more);
            let error = max_error(&block_on(session.logits(0)).unwrap(), &dense.last(&text));
            assert!(error <= TOLERANCE, "{name}: {}: {error:.2e}", case.name);
            file = Some(block_on(session.save(0)).unwrap());
        }
    }
}

/// `score` leaves the text as reading it would, and scores every token but the first, however the text is
/// cut.
#[test]
fn scoring_does_not_depend_on_cuts_either() {
    let mut executors = cpu_executors();
    executors.extend(gpu_executors().into_iter().take(1));
    for (name, executor) in executors {
        for case in [&few_cases()[0], &few_cases()[3]] {
            let dense = Dense::new(case);
            let options = LoadOptions { segment: Some(10), max_context: 128, ..LoadOptions::default() };
            let mut session = block_on(Session::new(&load(&executor, case.source(), options))).unwrap();
            let text = Rng(3).tokens(50, case.parsed().vocab_size);
            let mut nll = Vec::new();
            for part in [&text[..17], &text[17..18], &text[18..]] {
                block_on(session.score(0, part, &mut |_, scores| nll.extend_from_slice(scores))).unwrap();
            }
            let want: Vec<f64> = dense
                .logits(&text, 0)
                .iter()
                .zip(&text[1..])
                .map(|(row, id)| {
                    let high = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
                    row.iter().map(|l| (l - high).exp()).sum::<f64>().ln() + high - row[*id as usize]
                })
                .collect();
            assert!(max_error(&nll, &want) <= TOLERANCE, "{name}: {}: {nll:?} {want:?}", case.name);
            let error = max_error(&block_on(session.logits(0)).unwrap(), &dense.last(&text));
            assert!(error <= TOLERANCE, "{name}: {}: {error:.2e} after scoring", case.name);
        }
    }
}

/// Far into a text: the same as the oracle at those positions.
#[test]
fn large_positions() {
    let body = Body { vocabulary: 61, heads: 2, head: 16, layers: 1, mlp: 20 };
    let sketch = json!({ "kind": "gaussian", "size": 8, "gain": 0.1 });
    let polysketch = |input: &str, local: bool| {
        json!({ "kind": "polysketch", "degree": 4, "qk_scale": 0.25, "block_size": 16, "gate": "scalar", "local_exact": local,
            "sketch_input": input, "sketch": sketch })
    };
    let cases = [
        Case::new(
            "polynomial raw",
            401,
            body,
            ("raw", "half"),
            json!({ "kind": "polynomial", "degree": 2, "qk_scale": 0.25 }),
        ),
        Case::new(
            "taylor normed sinusoidal",
            402,
            body,
            ("normed", "interleaved"),
            json!({ "kind": "taylor", "degree": 2, "qk_scale": 0.25 }),
        ),
        Case::new("sketch of rotated vectors", 403, body, ("raw", "half"), polysketch("raw", false)),
        Case::new("local blocks", 404, body, ("normed", "interleaved"), polysketch("normed", true)),
    ];
    let mut executors = cpu_executors();
    executors.extend(gpu_executors());
    for case in &cases {
        let (dense, source) = (Dense::new(case), case.source());
        let ids = Rng(case.seed).tokens(50, 61);
        // A multiple of both block sizes, so that an empty state is what stands before it.
        for first in [70_016, 1 << 24, 3_000_000_000 / 64 * 64] {
            let want = dense.logits(&ids, first);
            for (name, executor) in &executors {
                let mut bare = Bare::new(executor, &source, &executor.traits(), DType::F32, 64);
                let mut got = bare.logits(&ids[..21], first, 0);
                got.extend(bare.logits(&ids[21..], first + 21, (21 - 1) % case.block() + 1));
                let error = max_error(&got, &want.concat());
                assert!(error <= TOLERANCE, "{name}: {} at {first}: {error:.2e}", case.name);
            }
        }
    }
}

/// Nothing grows with the text.
#[test]
fn memory_does_not_grow_with_the_text() {
    for (name, executor) in gpu_executors() {
        let Executor::Gpu(gpu) = &executor else { continue };
        let model = load(
            &executor,
            few_cases()[0].source(),
            LoadOptions { segment: Some(64), ..LoadOptions::default() },
        );
        let mut session = block_on(Session::new(&model)).unwrap();
        let mut seen = Vec::new();
        for n in [100, 100, 400, 1500] {
            block_on(session.prefill(0, &Rng(n).tokens(n as usize, 200), &mut goes_on)).unwrap();
            block_on(session.decode(&[0], &[&GenerateOptions::greedy(1)], 8)).unwrap();
            seen.push((
                session.state_bytes(),
                block_on(session.save(0)).unwrap().len(),
                gpu.context().allocated_bytes(),
            ));
        }
        // The first rounds warm up pools. The file names the tokens that occurred: it may grow by those.
        let seen = &seen[2..];
        assert!(
            seen.iter().all(|s| s.0 == seen[0].0 && s.2 == seen[0].2 && s.1.abs_diff(seen[0].1) <= 4 * 300),
            "{name}: {seen:?}"
        );
    }
}

/// What is not there is an error, or nothing, and no panic.
#[test]
fn texts_and_calls_that_are_not_there() {
    let (_, cpu) = cpu_executors().swap_remove(0);
    let model =
        load(&cpu, few_cases()[0].source(), LoadOptions { segment: Some(16), ..LoadOptions::default() });
    let mut session = block_on(Session::new(&model)).unwrap();
    let input =
        |result: polysketch::Result<()>| assert_eq!(result.map_err(|e| e.kind()), Err(ErrorKind::Input));
    input(block_on(session.prefill(1, &[1], &mut goes_on)));
    input(block_on(session.logits(1)).map(drop));
    input(block_on(session.save(1)).map(drop));
    input(block_on(session.forward(&[0, 1], &[&[1], &[1]], false)).map(drop));
    input(block_on(session.decode(&[1], &[&GenerateOptions::greedy(1)], 1)).map(drop));
    let mut generation = Generation::new(&model, 1, &GenerateOptions::greedy(1)).unwrap();
    input(block_on(generation.advance(&mut session, &mut |_| ControlFlow::Continue(()))));
    session.reset(1);
    assert_eq!(session.position(1), 0);
    // More than the plan was compiled for.
    assert_eq!(block_on(session.profile(0, &[1; 17])).map_err(|e| e.kind()), Err(ErrorKind::Shape));

    let memory = Memory::new(&cpu);
    block_on(memory.store("three", DType::F32, &[1, 2, 3])).unwrap();
    assert_eq!(block_on(memory.read("three", 1..3)).unwrap(), [2, 3]);
    assert_eq!(block_on(memory.read("three", 1..4)).map_err(|e| e.kind()), Err(ErrorKind::Shape));
    assert_eq!(
        block_on(memory.write("three", usize::MAX, &[1])).map_err(|e| e.kind()),
        Err(ErrorKind::Shape)
    );
}
