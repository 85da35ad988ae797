//! Softmax models made linear (SPEC §10): what a student learns from its teacher, what it keeps of a text, and the
//! adapters it is kept in.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use pollster::block_on;
use polysketch::exec::{CpuExecutor, Executor};
use polysketch::model::config::Linearized;
use polysketch::model::{Adapter, Engine, LoadOptions, Model, ModelConfig, ModelSource, Session, Tokenizer};
use polysketch::train::initial::new_model;
use polysketch::train::linearize::run::{ADAPTER, Event, Rhythm, Run};
use polysketch::train::linearize::texts::Texts;
use polysketch::train::linearize::{Transfer, TransferSettings};
use polysketch::{Error, ErrorKind};

fn engine() -> Engine {
    Engine::on(Executor::Cpu(CpuExecutor::default()))
}

fn open(name: &str) -> ModelSource {
    ModelSource::open(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/public").join(name)).expect("opens")
}

fn load(source: ModelSource) -> Model {
    block_on(engine().load(source, &LoadOptions::default(), &mut |_, _| {})).expect("loads")
}

fn linearized(near: &[usize]) -> Linearized {
    let (sinks, sketch, hidden) = (2, 8, 8);
    Linearized { block_size: 8, near: near.to_vec(), sinks, sketch, hidden, turned: 1024.0 }
}

/// A settled way through the vocabulary: what the same text is for all tests.
fn ids(model: &ModelSource, count: usize, seed: u64) -> Vec<u32> {
    let vocabulary = model.config.vocab_size as u64;
    (0..count as u64).map(|i| ((i * i * 7 + i * (3 + seed) + seed) % 97 % vocabulary) as u32).collect()
}

fn settings(steps: u64) -> TransferSettings {
    let linearized = Linearized { sketch: 16, hidden: 32, ..linearized(&[2, 3]) };
    TransferSettings { linearized, context: 96, batch: 2, steps, lr: 0.01, warmup: 5, seed: 3 }
}

/// A new model of two layers of softmax attention: its attention is broad, as that of most heads is.
fn toy() -> ModelSource {
    let config = r#"{ "vocab_size": 97, "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4,
        "num_key_value_heads": 2, "intermediate_size": 96, "rms_norm_eps": 1e-5, "activation": "silu",
        "rope": { "where": "raw", "theta": 10000.0 }, "attention": { "kind": "softmax" } }"#;
    let (config, _) = ModelConfig::from_json(config, "toy").expect("is good");
    new_model(config, Tokenizer::bytes(), 5).expect("is made")
}

/// Relative L2 of each layer, of the near part alone and after so many steps.
fn learned(source: ModelSource, steps: u64) -> [Vec<f64>; 2] {
    let held_out: Vec<Vec<u32>> = (50..53).map(|seed| ids(&source, 96, seed)).collect();
    let texts: Vec<Vec<u32>> = (0..24).map(|seed| ids(&source, 96, seed)).collect();
    let mut transfer = block_on(Transfer::new(&engine(), source, &settings(steps))).expect("plans");
    let before = block_on(transfer.errors(&held_out)).expect("runs");
    block_on(transfer.calibrate(&texts[0])).expect("runs");
    for step in 1..=steps {
        let at = (2 * step as usize) % (texts.len() - 1);
        block_on(transfer.step(&texts[at..at + 2], step)).expect("runs");
    }
    [before, block_on(transfer.errors(&held_out)).expect("runs")]
}

#[test]
fn a_toy_teacher_is_learned_from() {
    let lost = |name: &str, source: ModelSource, share: f64| {
        let [before, after] = learned(source, 60);
        for (layer, (before, after)) in before.iter().zip(&after).enumerate() {
            assert!(*before > 0.05, "{name}, layer {layer}: the near part alone gives {before}");
            let words = format!("{name}, layer {layer}: {before} before, {after} after");
            assert!(*after < (1.0 - share) * before, "{words}");
        }
    };
    lost("toy", toy(), 0.8);
    // Weights at random, so large that a query sees few keys: no model is like that. Queries and keys of the
    // second have norms.
    lost("llama", open("llama-gqa-tied"), 0.4);
    lost("qwen3", open("qwen3"), 0.2);
}

/// An adapter for a model whose sketches are some small numbers.
fn some_adapter(source: &ModelSource, near: &[usize]) -> Vec<u8> {
    let base = block_on(source.fingerprint()).expect("reads");
    let silent = Adapter::silent(&linearized(near), base, source).expect("fits");
    let layers = source.config.num_hidden_layers;
    let numbers = silent.tensors.shape("linear.layers.0.sketch").expect("is there")[0];
    let number = |i: usize| ((i * 37 % 101) as f32 / 101.0 - 0.4) * 0.3;
    let sketches: Vec<Vec<f32>> =
        (0..layers).map(|layer| (0..numbers).map(|i| number(i + layer)).collect()).collect();
    let gates = vec![vec![4.0; source.config.num_key_value_heads]; layers];
    Adapter::to_bytes(&linearized(near), base, &sketches, &gates, &[]).expect("fits")
}

fn student(name: &str, near: &[usize]) -> Model {
    let source = open(name);
    let adapter = Adapter::from_bytes(some_adapter(&source, near), "a").expect("is one");
    load(block_on(source.adapt(adapter)).expect("fits"))
}

fn worst(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

#[test]
fn what_is_near_to_the_end_is_the_teacher() {
    for name in ["llama-gqa-tied", "qwen2", "gguf/llama-Q4_1.gguf"] {
        let source = open(name);
        let text = ids(&source, 60, 1);
        let layers = source.config.num_hidden_layers;
        let logits = |model: &Model| {
            let mut session = block_on(Session::new(model)).expect("starts");
            block_on(session.forward(&[0], &[&text], false)).expect("runs").0
        };
        let teacher = logits(&load(source));
        let long = logits(&student(name, &vec![8; layers]));
        assert!(worst(&long, &teacher) < 1e-5, "{name}: {}", worst(&long, &teacher));
        let short = logits(&student(name, &vec![2; layers]));
        assert!(worst(&short, &teacher) > 1e-3, "{name}: the far part does something");
    }
}

#[test]
fn a_text_may_be_cut_saved_and_taken_back() {
    let model = student("llama-gqa-tied", &[2, 4]);
    let text = ids(&open("llama-gqa-tied"), 150, 2);
    let start = || block_on(Session::new(&model)).expect("starts");
    let read = |session: &mut Session, ids: &[u32]| {
        block_on(session.prefill(0, ids, &mut |_| ControlFlow::Continue(()))).expect("reads");
    };
    let logits = |session: &mut Session| block_on(session.logits(0)).expect("is no NaN");
    let mut whole = start();
    read(&mut whole, &text);
    let (want, size) = (logits(&mut whole), whole.state_bytes());
    for cuts in [vec![1, 2, 3, 8, 9, 16], vec![40, 41, 64, 65], vec![7, 71, 72, 73, 149]] {
        let mut session = start();
        let mut at = 0;
        for cut in cuts.into_iter().chain([text.len()]) {
            read(&mut session, &text[at..cut]);
            at = cut;
            // What is saved goes on elsewhere.
            let saved = block_on(session.save(0)).expect("saves");
            session = start();
            block_on(session.load(0, &saved, "a text")).expect("loads");
        }
        assert_eq!(session.state_bytes(), size);
        assert!(worst(&logits(&mut session), &want) < 2e-5, "{}", worst(&logits(&mut session), &want));
    }
    // Decoding gives the logits that reading gives, and what it wrote can be taken back.
    let greedy = polysketch::model::GenerateOptions::greedy(1);
    let mut written = text[..60].to_vec();
    let mut session = start();
    read(&mut session, &written);
    while written.len() < 100 {
        let new = block_on(session.decode(&[0], &[&greedy], 7)).expect("writes").swap_remove(0);
        let kept = if new.len() > 2 { new.len() - 1 } else { new.len() };
        if kept < new.len() {
            session.rewind(0, new.len() - kept).expect("takes back");
        }
        written.extend(&new[..kept]);
    }
    let mut again = start();
    read(&mut again, &written);
    let (a, b) = (logits(&mut session), logits(&mut again));
    assert!(worst(&a, &b) < 2e-5, "{}", worst(&a, &b));
}

/// Runs in a folder until a step, then to the end.
fn run_in(folder: &Path, stops: &[u64]) -> Vec<u8> {
    let text = folder.join("text.txt");
    let words: Vec<String> = (0..4000u64).map(|i| format!("w{}", i * i % 89)).collect();
    std::fs::write(&text, words.join(" ")).expect("writes");
    let out = folder.join("out");
    for &stop in stops {
        std::fs::create_dir_all(&out).expect("is made");
        let source = open("gguf/llama-Q4_1.gguf");
        let print = block_on(source.fingerprint()).expect("reads");
        let texts = Texts::open(&source, print, std::slice::from_ref(&text), 96, None, &mut |_, _| {})
            .expect("reads");
        let layers = source.config.num_hidden_layers;
        let settings = TransferSettings { linearized: linearized(&vec![2; layers]), ..settings(6) };
        let mut transfer = block_on(Transfer::new(&engine(), source, &settings)).expect("plans");
        let run = Run { out: out.clone(), settings, command: "test".into(), begin: None };
        let rhythm = Rhythm { evaluate: 100, save: 2 };
        let last = block_on(run.run(&mut transfer, [&texts, &texts], rhythm, &mut |event| match event {
            Event::Step(step, ..) if step == stop => ControlFlow::Break(()),
            _ => ControlFlow::Continue(()),
        }));
        assert_eq!(last.expect("runs"), stop);
    }
    let lines = std::fs::read_to_string(out.join("train.jsonl")).expect("reads");
    let steps = lines.lines().filter(|line| line.contains("\"lr\"")).count();
    assert_eq!(steps, 6, "a line for each step");
    std::fs::read(out.join(ADAPTER)).expect("reads")
}

#[test]
fn to_go_on_is_not_to_have_stopped() {
    let [once, thrice] = [(); 2].map(|()| tempfile::tempdir().expect("is made"));
    assert_eq!(run_in(once.path(), &[6]), run_in(thrice.path(), &[1, 4, 6]));
}

/// What is said of an adapter that does not fit.
fn refused(bytes: Vec<u8>, name: &str) -> Error {
    let adapted = Adapter::from_bytes(bytes, "a.safetensors").and_then(|a| block_on(open(name).adapt(a)));
    adapted.expect_err("is refused")
}

#[test]
fn adapters_of_others_are_refused() {
    let source = open("llama-gqa-tied");
    let good = some_adapter(&source, &[2, 2]);
    let said = |bytes: Vec<u8>, name: &str, words: &str| {
        let error = refused(bytes, name);
        assert!(
            error.message().contains(words) && error.advice().is_some() && !error.message().contains('\n'),
            "{error}"
        );
        assert!(error.message().contains("a.safetensors") || error.kind() == ErrorKind::Config, "{error}");
    };
    // Another file of the same shape, another model, half of one, one that says another number of layers.
    said(good.clone(), "llama-sharded", "is for the model");
    said(good.clone(), "gpt2", "heads of 9");
    said(good.clone(), "llama-rope-linear", "heads of 10");
    said(good[..good.len() / 2].to_vec(), "llama-gqa-tied", "");
    said(some_adapter(&source, &[2, 2, 2]), "llama-gqa-tied", "is for 3 layers");
    said(vec![1; 40], "llama-gqa-tied", "");
    let plain = std::fs::read(
        PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden/default/model.safetensors"),
    );
    said(plain.expect("reads"), "llama-gqa-tied", "is no adapter");
    // On top of another, and for attention that is no softmax.
    let adapter = || Adapter::from_bytes(good.clone(), "a.safetensors").expect("is one");
    let twice = block_on(open("llama-gqa-tied").adapt(adapter())).and_then(|s| block_on(s.adapt(adapter())));
    assert!(twice.expect_err("is refused").message().contains("has an adapter already"));
    let other = block_on(open("powercoder").adapt(adapter())).expect_err("is refused");
    assert!(other.message().contains("attention"), "{other}");
}

#[test]
fn a_plan_needs_no_look_at_the_weights() {
    // Two models of one shape: their plans are the same, but only one is the adapter's.
    let (name, twin) = ("gguf/llama-Q4_0.gguf", "gguf/llama-F16.gguf");
    let bytes = some_adapter(&open(name), &[2, 3]);
    let adapter = || Adapter::from_bytes(bytes.clone(), "a.safetensors").expect("is one");
    let unread = open(twin).adapt_unread(adapter()).expect("has the shape");
    let whole = block_on(open(name).adapt(adapter())).expect("fits");
    assert_eq!(unread.config.linearized, whole.config.linearized);
    assert!(refused(bytes.clone(), twin).message().contains("is for the model"));
    let layers = Adapter::from_bytes(some_adapter(&open(name), &[2]), "a.safetensors");
    let error = open(twin).adapt_unread(layers.expect("is one")).expect_err("is refused");
    assert!(error.message().contains("is for 1 layers, the model has 2"), "{error}");
    assert!(open("powercoder").adapt_unread(adapter()).is_err());
}
