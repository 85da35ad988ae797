//! What must hold (SPEC §1): dense = chunk-parallel = recurrent, whatever the cuts, segments, slots and
//! neighbours; save, load, fork, reset and take-back change nothing. Random models and random operations,
//! from fixed seeds.

use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::Arc;

use pollster::block_on;
use polysketch::ErrorKind;
use polysketch::attention::Mode;
use polysketch::check::golden::{Golden, open_all};
use polysketch::check::models::{
    Body, RandomModel, few_models, linear_models, plain_models, polysketch_models,
};
use polysketch::check::random::Rng;
use polysketch::check::slug;
use polysketch::exec::{CpuExecutor, Executor, Memory, Program, Submission};
use polysketch::model::transformer::{self, Build, Ending, Handles};
use polysketch::model::{
    GenerateOptions, Generation, LoadOptions, ModelSource, Session, StopReason, weights,
};
use polysketch::tensor::{Call, Capacity, DType, Lane};
use serde_json::json;

use crate::dense::Dense;
use crate::episode::{Episode, Plan as Operations, Whole};
use crate::places::{Place, Tests, load, max_error, public_folder};

/// SPEC §5.
const TOLERANCE: f64 = 5e-5;
/// The oracle rounds weights of features and rotations to f32, as the shaders do.
const ORACLE: f64 = 2e-6;

fn goes_on(_: usize) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

/// Longest text: some blocks, and for the largest block at least one end.
fn longest(case: &RandomModel) -> usize {
    (2 * case.block() + 24).clamp(48, 160)
}

fn episode(place: &Place, model: &RandomModel, operations: usize) {
    let dense = Dense::new(model);
    let tolerance = if place.is_oracle() { ORACLE } else { TOLERANCE };
    let plan = Operations { operations, longest: longest(model), tolerance };
    if let Err(what) = Episode::new(place.executor(), model.source(), &dense, model.seed, plan).run() {
        panic!("{what}");
    }
}

/// An episode of a public model.
fn public_episode(place: &Place, golden: &Golden, operations: usize) {
    let source = golden.source().unwrap();
    // Those with learned positions have few.
    let longest = if source.config.learned_positions > 0 { 56 } else { 90 };
    let known = Whole::new(golden.source().unwrap(), 4 * longest);
    let plan = Operations { operations, longest, tolerance: TOLERANCE };
    if let Err(what) = Episode::new(place.executor(), source, &known, 11, plan).run() {
        panic!("{what}");
    }
}

/// A model of bytes that likes to write a few letters and to end.
fn writer(mut case: RandomModel) -> (RandomModel, Dense, ModelSource) {
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
fn generation_can_be_cut_anywhere(executor: &Executor, case: RandomModel, rounds: usize) -> Vec<StopReason> {
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
            let at = format!("round {round}, part {part}, {} tokens", text.len());
            let stop = if rng.below(2) == 0 {
                ["ab", "ba", "cd", "dc", "ca", "aa", "bb"].map(String::from).to_vec()
            } else {
                vec![]
            };
            let settings = GenerateOptions {
                max_tokens: rng.within(1, 40),
                temperature: 1.0,
                repetition_penalty: Some(1.3),
                seed: rng.bits(),
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
            // What it holds back would come first in the next part.
            session.finish_text(0);
            fresh.finish_text(0);
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

/// A model of every public family, and some of few bits.
fn public_models() -> Vec<Golden> {
    let open = |folder: PathBuf| open_all(&folder).unwrap();
    let folder = public_folder();
    open(folder.clone()).into_iter().chain(open(folder.join("gguf"))).collect()
}

/// The models that generation is cut in.
fn cut_models() -> Vec<RandomModel> {
    let named = |m: &RandomModel| ["h=12", "gaussian"].iter().any(|part| m.name.contains(part));
    few_models().into_iter().filter(named).collect()
}

/// On the CPU every reason to stop occurs in a few rounds.
fn every_reason_to_stop_occurs(executor: &Executor) {
    let cut = |model| generation_can_be_cut_anywhere(executor, model, 8);
    let reasons: Vec<StopReason> = cut_models().into_iter().flat_map(cut).collect();
    for reason in
        [StopReason::MaxTokens, StopReason::EndOfText, StopReason::StopString, StopReason::Cancelled]
    {
        assert!(reasons.contains(&reason), "{reason:?} never happened");
    }
}

/// A state file goes from any executor to any other.
fn state_files_travel(places: &[Arc<Place>], case: &RandomModel) {
    let _turns: Vec<_> = places.iter().map(|place| place.turn()).collect();
    let dense = Dense::new(case);
    let mut rng = Rng(7);
    let mut text = rng.tokens(45, 200);
    let mut file: Option<Vec<u8>> = None;
    // And back to the first.
    for place in places.iter().chain(&places[..1]) {
        let options = LoadOptions { segment: Some(32), max_context: 512, ..LoadOptions::default() };
        let mut session = block_on(Session::new(&load(place.executor(), case.source(), options))).unwrap();
        match &file {
            Some(bytes) => block_on(session.load(0, bytes, "from the executor before")).unwrap(),
            None => block_on(session.prefill(0, &text, &mut goes_on)).unwrap(),
        }
        let more = rng.tokens(13, 200);
        block_on(session.prefill(0, &more, &mut goes_on)).unwrap();
        text.extend(more);
        let error = max_error(&block_on(session.logits(0)).unwrap(), &dense.last(&text));
        assert!(error <= TOLERANCE, "{}: {error:.2e}", place.name);
        file = Some(block_on(session.save(0)).unwrap());
    }
}

/// `score` leaves the text as reading it would, and scores every token but the first, however the text is
/// cut.
fn scoring_does_not_depend_on_cuts_either(executor: &Executor, case: &RandomModel) {
    let dense = Dense::new(case);
    let options = LoadOptions { segment: Some(10), max_context: 128, ..LoadOptions::default() };
    let mut session = block_on(Session::new(&load(executor, case.source(), options))).unwrap();
    let text = Rng(3).tokens(50, case.parsed().vocab_size);
    let mut nll = Vec::new();
    for part in [&text[..17], &text[17..18], &text[18..]] {
        block_on(session.score(0, part, &mut |_, scores| {
            nll.extend_from_slice(scores);
            ControlFlow::Continue(())
        }))
        .unwrap();
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
    assert!(max_error(&nll, &want) <= TOLERANCE, "{nll:?} {want:?}");
    let error = max_error(&block_on(session.logits(0)).unwrap(), &dense.last(&text));
    assert!(error <= TOLERANCE, "{error:.2e} after scoring");
}

/// Models for positions far into a text.
fn far_models() -> Vec<RandomModel> {
    let body = Body { vocabulary: 61, heads: 2, head: 16, layers: 1, mlp: 20 };
    let sketch = json!({ "kind": "gaussian", "size": 8, "gain": 0.1 });
    let polysketch = |input: &str, local: bool| {
        json!({ "kind": "polysketch", "degree": 4, "qk_scale": 0.25, "block_size": 16, "gate": "scalar",
            "local_exact": local, "sketch_input": input, "sketch": sketch })
    };
    let plain = |kind: &str| json!({ "kind": kind, "degree": 2, "qk_scale": 0.25 });
    vec![
        RandomModel::new("polynomial raw", 401, body, ("raw", "half"), plain("polynomial")),
        RandomModel::new("taylor normed", 402, body, ("normed", "interleaved"), plain("taylor")),
        RandomModel::new("sketch of rotated", 403, body, ("raw", "half"), polysketch("raw", false)),
        RandomModel::new("local blocks", 404, body, ("normed", "interleaved"), polysketch("normed", true)),
    ]
}

/// A model below the session: parameters and one plan, so that positions can be chosen.
struct Bare {
    program: Program,
    handles: Handles,
    vocabulary: usize,
}

impl Bare {
    /// The prefill plan with all logits.
    fn new(executor: &Executor, source: &ModelSource, tokens: usize) -> Self {
        let (config, traits) = (&source.config, executor.traits());
        let attention = transformer::attention(config);
        let build =
            Build { large: DType::F32.into(), max_binding: traits.max_binding, slots: 1, context: 256 };
        let context = if attention.has_cache() { 256 } else { 0 };
        let capacity = Capacity { lanes: 1, tokens, slots: 1, context };
        let decoder = transformer::build(config, Mode::Prefill, Ending::All, &build).unwrap();
        let plan = decoder.lower("bare", &traits, capacity).unwrap();
        let memory = Memory::new(executor);
        let program = block_on(async {
            for packed in weights::packed(config, &attention, DType::F32, traits.max_binding) {
                let words = packed.words(&source.checkpoint).unwrap();
                memory.store(&packed.name, packed.dtype, &words).await.unwrap();
            }
            Program::new(plan, &memory).await.unwrap()
        });
        Self { program, handles: decoder.handles, vocabulary: config.vocab_size }
    }

    /// All logits of one call.
    fn logits(&mut self, ids: &[u32], position: usize, ring: usize) -> Vec<f32> {
        let calls = [Call { lanes: vec![Lane { slot: 0, position, ring }], tokens: ids.len(), lane_base: 0 }];
        let logits = self.handles.all.as_ref().unwrap().logits;
        let (inputs, reads) = ([(self.handles.ids, ids)], [(logits, ids.len() * self.vocabulary)]);
        let submission = Submission { calls: &calls, inputs: &inputs, reads: &reads };
        let read = block_on(self.program.run(submission)).unwrap();
        read[0].iter().map(|w| f32::from_bits(*w)).collect()
    }
}

/// Far into a text: the same as the oracle at those positions.
fn large_positions(executor: &Executor, case: &RandomModel) {
    let (dense, source) = (Dense::new(case), case.source());
    let ids = Rng(case.seed).tokens(50, 61);
    // A multiple of both block sizes, so that an empty state is what stands before it.
    for first in [70_016, 1 << 24, 3_000_000_000 / 64 * 64] {
        let want = dense.logits(&ids, first);
        let mut bare = Bare::new(executor, &source, 64);
        let mut got = bare.logits(&ids[..21], first, 0);
        got.extend(bare.logits(&ids[21..], first + 21, (21 - 1) % case.block() + 1));
        let error = max_error(&got, &want.concat());
        assert!(error <= TOLERANCE, "at {first}: {error:.2e}");
    }
}

/// Nothing grows with the text.
fn memory_does_not_grow_with_the_text(executor: &Executor) {
    let Executor::Gpu(gpu) = executor else { return };
    let options = LoadOptions { segment: Some(64), ..LoadOptions::default() };
    let model = load(executor, few_models()[0].source(), options);
    let mut session = block_on(Session::new(&model)).unwrap();
    let mut seen = Vec::new();
    for n in [100, 100, 400, 1500] {
        block_on(session.prefill(0, &Rng(n).tokens(n as usize, 200), &mut goes_on)).unwrap();
        block_on(session.decode(&[0], &[&GenerateOptions::greedy(1)], 8)).unwrap();
        let saved = block_on(session.save(0)).unwrap().len();
        seen.push((session.state_bytes(), saved, gpu.context().allocated_bytes()));
    }
    // The first rounds warm up pools. The file names the tokens that occurred: it may grow by those.
    let seen = &seen[2..];
    let same =
        |s: &(usize, usize, u64)| s.0 == seen[0].0 && s.2 == seen[0].2 && s.1.abs_diff(seen[0].1) <= 4 * 300;
    assert!(seen.iter().all(same), "{seen:?}");
}

/// Tokens that are taken back never were: neither for the state nor for the repetition penalty.
fn what_is_taken_back_never_was(executor: &Executor) {
    let model = load(executor, few_models()[0].source(), LoadOptions::default());
    let mut session = block_on(Session::new(&model)).unwrap();
    let input =
        |result: polysketch::Result<()>| assert_eq!(result.map_err(|e| e.kind()), Err(ErrorKind::Input));
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
        assert_eq!(session.position(0), text.len());
        if back > 0 {
            input(session.rewind(0, 1));
        }
        let mut fresh = block_on(Session::new(&model)).unwrap();
        block_on(fresh.prefill(0, &text, &mut goes_on)).unwrap();
        let want = block_on(fresh.decode(&[0], &[&options], 1)).unwrap();
        assert_eq!(block_on(session.decode(&[0], &[&options], 1)).unwrap(), want, "seed {seed}");
        text.extend(&want[0]);
    }
    input(session.rewind(1, 1));
}

/// What is not there is an error, or nothing, and no panic.
fn texts_and_calls_that_are_not_there() {
    let cpu = Executor::Cpu(CpuExecutor::default());
    let model =
        load(&cpu, few_models()[0].source(), LoadOptions { segment: Some(16), ..LoadOptions::default() });
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

pub fn add(tests: &mut Tests) {
    let of_cpu = |place: &Place| !place.is_gpu();
    let all = |model: &RandomModel, operations: usize, tests: &mut Tests, on: &dyn Fn(&Place) -> bool| {
        let (name, model) = (slug(&model.name), model.clone());
        tests.each(on, "episode", &name, move |place| episode(place, &model, operations));
    };
    plain_models().iter().for_each(|model| all(model, 14, tests, &of_cpu));
    linear_models().iter().for_each(|model| all(model, 14, tests, &of_cpu));
    let sketched = polysketch_models();
    assert!(sketched.len() > 80, "{}", sketched.len());
    sketched.iter().for_each(|model| all(model, 10, tests, &of_cpu));
    // The dense specification knows the block of our own models.
    let own = |model: &&RandomModel| model.name.starts_with("few:");
    few_models().iter().filter(own).for_each(|model| all(model, 10, tests, &Place::is_gpu));

    for golden in public_models() {
        let name = golden.name.clone();
        // On adapters a model of each kind of attention, and blocks of few bits.
        let on_adapters = ["llama-gqa-tied", "powercoder", "llama-Q4_1_smol"].contains(&name.as_str());
        let on = move |place: &Place| !place.is_oracle() && (on_adapters || !place.is_gpu());
        tests.each(on, "public_episode", &name, move |place| {
            let golden = public_models().into_iter().find(|g| g.name == golden.name).unwrap();
            public_episode(place, &golden, if place.is_slow() { 6 } else { 14 });
        });
    }

    tests.add("cpu", "generation", "every_reason_to_stop_occurs", || {
        every_reason_to_stop_occurs(&Executor::Cpu(CpuExecutor::default()));
    });
    for model in cut_models() {
        let name = slug(&model.name);
        tests.each(Place::is_gpu, "cut_generation", &name, move |place| {
            let rounds = if place.is_slow() { 2 } else { 8 };
            generation_can_be_cut_anywhere(place.executor(), model.clone(), rounds);
        });
    }
    tests.each(
        |_| true,
        "generation",
        "what_is_taken_back_never_was",
        |place| {
            what_is_taken_back_never_was(place.executor());
        },
    );
    for at in [0, 3] {
        let (places, name) = (tests.places.clone(), slug(&few_models()[at].name));
        tests.add("all", "state_files_travel", &name, move || state_files_travel(&places, &few_models()[at]));
        tests.each(
            |_| true,
            "scoring_does_not_depend_on_cuts",
            &name,
            move |place| {
                scoring_does_not_depend_on_cuts_either(place.executor(), &few_models()[at]);
            },
        );
    }
    for model in far_models() {
        let name = slug(&model.name);
        tests.each(
            |_| true,
            "large_positions",
            &name,
            move |place| {
                large_positions(place.executor(), &model);
            },
        );
    }
    tests.each(Place::is_gpu, "memory", "does_not_grow_with_the_text", |place| {
        // Other tests allocate on the device that is shared.
        memory_does_not_grow_with_the_text(&place.fresh(Default::default()));
    });
    tests.add("cpu", "sessions", "texts_and_calls_that_are_not_there", texts_and_calls_that_are_not_there);
}
