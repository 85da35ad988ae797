//! Softmax models made linear (SPEC §10): what a student learns from its teacher, what it keeps of a text, and the
//! adapters it is kept in.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use pollster::block_on;
use polysketch::exec::{CpuExecutor, Executor};
use polysketch::graph::Recompute;
use polysketch::model::config::Linearized;
use polysketch::model::parameters::{ADAPTED, ParameterKind};
use polysketch::model::{
    Adapter, ChatTemplate, Engine, LoadOptions, Model, ModelConfig, ModelSource, Session, Tokenizer,
};
use polysketch::train::initial::new_model;
use polysketch::train::linearize::run::{ADAPTER, Event, Rhythm, Run};
use polysketch::train::linearize::samples::{SAMPLES, Wanted, samples};
use polysketch::train::linearize::texts::Texts;
use polysketch::train::linearize::{Distill, Learning, LinearizeSettings, Stage, Transfer};
use polysketch::{Error, ErrorKind};

pub fn engine() -> Engine {
    Engine::on(Executor::Cpu(CpuExecutor::default()))
}

pub fn public(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/public").join(name)
}

pub fn open(name: &str) -> ModelSource {
    ModelSource::open(&public(name)).expect("opens")
}

pub fn load(source: ModelSource) -> Model {
    block_on(engine().load(source, &LoadOptions::default(), &mut |_, _| {})).expect("loads")
}

pub fn linearized(near: &[usize]) -> Linearized {
    let (sinks, sketch, hidden) = (2, 8, 8);
    Linearized {
        block_size: 8,
        near: near.to_vec(),
        sinks,
        sink_reach: 0,
        sketch,
        hidden,
        turned: 1024.0,
        rank: 0,
    }
}

/// A settled way through the vocabulary: what the same text is for all tests.
pub fn ids(model: &ModelSource, count: usize, seed: u64) -> Vec<u32> {
    let vocabulary = model.config.vocab_size as u64;
    (0..count as u64).map(|i| ((i * i * 7 + i * (3 + seed) + seed) % 97 % vocabulary) as u32).collect()
}

pub fn settings(steps: u64) -> LinearizeSettings {
    let linearized = Linearized { sketch: 16, hidden: 32, ..linearized(&[2, 3]) };
    let stage = Stage::Attention;
    LinearizeSettings {
        stage,
        linearized,
        context: 96,
        batch: 2,
        steps,
        lr: 0.01,
        warmup: 5,
        seed: 3,
        data: 0,
        begin: None,
    }
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

/// An adapter for a model whose sketches are some small numbers, and what it adds to projections smaller ones.
pub fn some_adapter(source: &ModelSource, linearized: &Linearized) -> Vec<u8> {
    let base = block_on(source.fingerprint()).expect("reads");
    let config = ModelConfig { linearized: Some(linearized.clone()), ..source.config.clone() };
    let values = config.parameters().into_iter().filter(|spec| spec.name.starts_with(ADAPTED)).map(|spec| {
        let size = if spec.name.contains("lora") { 0.1 } else { 0.3 };
        let number = |i: usize| ((i * 37 % 101) as f32 / 101.0 - 0.4) * size;
        let (gates, n) = (spec.kind == ParameterKind::GateBias, spec.elements());
        (spec.name, (0..n).map(|i| if gates { 4.0 } else { number(i) }).collect())
    });
    Adapter::to_bytes(&config, base, &values.collect(), &[]).expect("fits")
}

fn student(name: &str, linearized: &Linearized) -> Model {
    let source = open(name);
    let adapter = Adapter::from_bytes(some_adapter(&source, linearized), "a").expect("is one");
    load(block_on(source.adapt(adapter)).expect("fits"))
}

pub fn worst(a: &[f32], b: &[f32]) -> f32 {
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
        let long = logits(&student(name, &linearized(&vec![8; layers])));
        assert!(worst(&long, &teacher) < 1e-5, "{name}: {}", worst(&long, &teacher));
        // A layer may stay as it is, the first of them as well as the last.
        for kept in [0, layers - 1] {
            let mut near = vec![8; layers];
            near[kept] = 0;
            let long = logits(&student(name, &linearized(&near)));
            assert!(worst(&long, &teacher) < 1e-5, "{name}: {}", worst(&long, &teacher));
        }
        let short = logits(&student(name, &linearized(&vec![2; layers])));
        assert!(worst(&short, &teacher) > 1e-3, "{name}: the far part does something");
    }
}

#[test]
fn a_text_may_be_cut_saved_and_taken_back() {
    for rank in [0, 4] {
        for near in [[2, 4], [0, 3], [3, 0]] {
            cut_saved_and_taken_back(&Linearized { rank, ..linearized(&near) });
        }
    }
}

fn cut_saved_and_taken_back(linearized: &Linearized) {
    let model = student("llama-gqa-tied", linearized);
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
fn run_in(folder: &Path, stage: Stage, stops: &[u64]) -> Vec<u8> {
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
        let near = linearized(&vec![2; source.config.num_hidden_layers]);
        let begin = (stage == Stage::Logits)
            .then(|| Adapter::from_bytes(some_adapter(&source, &near), "a").expect("is one"));
        let rank = if stage == Stage::Logits { 4 } else { 0 };
        let settings = LinearizeSettings { stage, linearized: Linearized { rank, ..near }, ..settings(6) };
        let engine = engine();
        let learning = Learning::new(&engine, source, &settings, Recompute::Nothing);
        let mut learning = block_on(learning).expect("plans");
        let run = Run { out: out.clone(), settings, command: "test".into(), begin };
        let rhythm = Rhythm { evaluate: 100, save: 2 };
        let last = block_on(run.run(&mut learning, [&texts, &texts], rhythm, &mut |event| match event {
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
    for stage in [Stage::Attention, Stage::Logits] {
        let [once, thrice] = [(); 2].map(|()| tempfile::tempdir().expect("is made"));
        assert_eq!(run_in(once.path(), stage, &[6]), run_in(thrice.path(), stage, &[1, 4, 6]));
    }
}

/// Mean KL over texts, by the logits of two models.
fn divergence(teacher: &Model, student: &Model, texts: &[Vec<u32>]) -> f64 {
    let (mut sum, mut tokens) = (0.0, 0);
    for text in texts {
        let [t, s] = [teacher, student].map(|model| {
            let mut session = block_on(Session::new(model)).expect("starts");
            block_on(session.forward(&[0], &[text], false)).expect("runs").0
        });
        let vocabulary = t.len() / text.len();
        for (t, s) in t.chunks(vocabulary).zip(s.chunks(vocabulary)) {
            let norm = |row: &[f32]| row.iter().map(|x| f64::from(*x).exp()).sum::<f64>().ln();
            let (of_t, of_s) = (norm(t), norm(s));
            let logs = t.iter().zip(s).map(|(t, s)| (f64::from(*t) - of_t, f64::from(*s) - of_s));
            sum += logs.map(|(t, s)| t.exp() * (t - s)).sum::<f64>();
            tokens += 1;
        }
    }
    sum / f64::from(tokens)
}

/// Stage 2: what it measures is the KL of the models as they run, it learns, and its adapter is what has learned.
#[test]
fn a_student_learns_from_logits() {
    for (name, near, recompute) in [
        ("llama-gqa-tied", [2, 2], Recompute::Nothing),
        ("qwen3", [2, 2], Recompute::Sections),
        ("qwen2", [0, 2], Recompute::Nothing),
    ] {
        let source = || open(name);
        let given = linearized(&near);
        let begin = || Adapter::from_bytes(some_adapter(&source(), &given), "a");
        let linearized = Linearized { rank: 4, ..given.clone() };
        let settings = LinearizeSettings { stage: Stage::Logits, linearized, ..settings(40) };
        let texts: Vec<Vec<u32>> = (0..8).map(|seed| ids(&source(), 96, seed)).collect();
        let mut distill = block_on(Distill::new(&engine(), source(), &settings, recompute)).expect("plans");
        block_on(distill.student.begin(&begin().expect("is one"))).expect("fits");
        let first = block_on(distill.divergence(&texts)).expect("runs");
        let teacher = load(source());
        let adapted = |adapter| load(block_on(source().adapt(adapter)).expect("fits"));
        let measured = divergence(&teacher, &adapted(begin().expect("is one")), &texts);
        assert!((first - measured).abs() < 1e-4 * (1.0 + measured), "{name}: {first}, measured {measured}");
        for step in 1..=40 {
            let at = 2 * (step as usize % 4);
            block_on(distill.step(&texts[at..at + 2], step)).expect("runs");
        }
        let last = block_on(distill.divergence(&texts)).expect("runs");
        assert!(last < 0.7 * first, "{name}: {first} before, {last} after");
        let bytes = block_on(distill.student.adapter(&[])).expect("is finite");
        let adapter = Adapter::from_bytes(bytes, "b").expect("is one");
        let measured = divergence(&teacher, &adapted(adapter), &texts);
        // It is kept in halves.
        assert!((last - measured).abs() < 0.02 * last + 1e-4, "{name}: {last}, measured {measured}");
    }
}

/// What a teacher writes does not depend on where it was stopped, and is what it writes for itself alone.
#[test]
fn a_teacher_writes_texts() {
    let write = |folder: &Path, stops: &[usize]| {
        let wanted = Wanted { teacher: 1, texts: 20, tokens: 24, seed: 7 };
        let teacher = || Ok(open("gguf/llama-Q4_1.gguf"));
        for &stop in stops {
            let mut tell = |done, all| {
                assert_eq!(all, 480);
                if done > stop { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            };
            let error = block_on(samples(&engine(), teacher, folder, wanted, &mut tell)).expect_err("stops");
            assert_eq!(error.kind(), ErrorKind::Cancelled);
        }
        block_on(samples(&engine(), teacher, folder, wanted, &mut |_, _| ControlFlow::Continue(())))
            .expect("writes")
    };
    let [once, thrice] = [(); 2].map(|()| tempfile::tempdir().expect("is made"));
    let texts = write(once.path(), &[]);
    assert!(texts.len() == 20 && texts.iter().all(|text| text.len() == 24));
    assert!(texts[1..].iter().all(|text| *text != texts[0]), "each is another");
    assert_eq!(texts, write(thrice.path(), &[5, 400]));
    let refused = |wanted: Wanted, kind: ErrorKind| {
        let teacher = || Ok(open("gguf/llama-Q4_1.gguf"));
        let texts =
            block_on(samples(&engine(), teacher, once.path(), wanted, &mut |_, _| ControlFlow::Continue(())));
        let error = texts.expect_err("is refused");
        assert!(error.kind() == kind && error.advice().is_some(), "{error}");
    };
    let wanted = Wanted { teacher: 1, texts: 21, tokens: 24, seed: 7 };
    for other in
        [Wanted { teacher: 2, ..wanted }, Wanted { tokens: 30, ..wanted }, Wanted { seed: 8, ..wanted }]
    {
        refused(other, ErrorKind::Input);
    }
    std::fs::write(once.path().join(SAMPLES), "{\n").expect("writes");
    refused(wanted, ErrorKind::ModelFormat);
    std::fs::remove_file(once.path().join(SAMPLES)).expect("is there");
    refused(Wanted { tokens: 1, ..wanted }, ErrorKind::Input);
}

#[test]
fn chats_are_read_through_the_template() {
    let folder = tempfile::tempdir().expect("is made");
    let path = folder.path().join("chats.jsonl");
    let open = |lines: &str| {
        std::fs::write(&path, lines).expect("writes");
        let mut source = open("gguf/llama-Q4_1.gguf");
        let template = "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}";
        source.conventions.template = Some(ChatTemplate::new(template, "t"));
        let texts = Texts::open(&source, 1, std::slice::from_ref(&path), 4, None, &mut |_, _| {});
        texts.map(|texts| source.tokenizer.decode(&texts.spread(1, 1000)[0]))
    };
    let good = "{\"messages\":[{\"role\":\"user\",\"content\":\"Hello\"},{\"role\":\"assistant\",\"content\":\"Hi\"}]}\n\n";
    let text = open(&good.repeat(2)).expect("reads");
    assert_eq!(text, "user: Hello\nassistant: Hi\nuser: Hello\nassistant: Hi\n");
    for (wrong, line) in [("hello\n".to_string(), 1), (format!("{good}{{\"text\":\"a\"}}\n"), 3)] {
        let error = open(&wrong).expect_err("is refused");
        assert!(error.message().contains(&format!("line {line}")) && error.advice().is_some(), "{error}");
    }
}

#[test]
fn ranks_and_beginnings_that_cannot_be_are_refused() {
    let near = linearized(&[2, 2]);
    let source = || open("llama-gqa-tied");
    for rank in [6, 4096] {
        let settings = LinearizeSettings { linearized: Linearized { rank, ..near.clone() }, ..settings(1) };
        let error = settings.check_student(&source().config).expect_err("is refused");
        assert!(error.message().contains(&format!("rank {rank}")), "{error}");
    }
    // What a student adds to projections is not dropped without a word.
    let adapter = some_adapter(&source(), &Linearized { rank: 4, ..near.clone() });
    let adapter = Adapter::from_bytes(adapter, "a").expect("is one");
    let settings = LinearizeSettings { linearized: near, ..settings(1) };
    let mut transfer = block_on(Transfer::new(&engine(), source(), &settings)).expect("plans");
    let error = block_on(transfer.student.begin(&adapter)).expect_err("is refused");
    assert!(error.message().contains("rank 4") && error.advice().is_some(), "{error}");
}

/// What is said of an adapter that does not fit.
fn refused(bytes: Vec<u8>, name: &str) -> Error {
    let adapted = Adapter::from_bytes(bytes, "a.safetensors").and_then(|a| block_on(open(name).adapt(a)));
    adapted.expect_err("is refused")
}

#[test]
fn adapters_of_others_are_refused() {
    let source = open("llama-gqa-tied");
    let good = some_adapter(&source, &linearized(&[2, 2]));
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
    said(some_adapter(&source, &linearized(&[2, 2, 2])), "llama-gqa-tied", "is for 3 layers");
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
    let bytes = some_adapter(&open(name), &linearized(&[2, 3]));
    let adapter = || Adapter::from_bytes(bytes.clone(), "a.safetensors").expect("is one");
    let unread = open(twin).adapt_unread(adapter()).expect("has the shape");
    let whole = block_on(open(name).adapt(adapter())).expect("fits");
    assert_eq!(unread.config.linearized, whole.config.linearized);
    assert!(refused(bytes.clone(), twin).message().contains("is for the model"));
    let layers = Adapter::from_bytes(some_adapter(&open(name), &linearized(&[2])), "a.safetensors");
    let error = open(twin).adapt_unread(layers.expect("is one")).expect_err("is refused");
    assert!(error.message().contains("is for 1 layers, the model has 2"), "{error}");
    assert!(open("powercoder").adapt_unread(adapter()).is_err());
}
