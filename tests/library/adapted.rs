//! What a linearised model is worth beside its teacher, piece by piece, and adapters that become a part of their model.

use std::ops::ControlFlow;

use pollster::block_on;
use polysketch::ErrorKind;
use polysketch::model::config::{AttentionKind, Linearized};
use polysketch::model::weights::WeightType;
use polysketch::model::{Adapter, Conversion, Model, ModelSource, Session};
use polysketch::report::linearize::{Positions, Recall, Trial, predictions, recall};
use polysketch::train::linearize::{LinearizeSettings, Transfer, layer_errors};

use crate::linearize::*;

const NAME: &str = "llama-hf";

fn adapter(linearized: &Linearized) -> Adapter {
    Adapter::from_bytes(some_adapter(&open(NAME), linearized), "a").expect("is one")
}

fn student(linearized: &Linearized) -> Model {
    load(block_on(open(NAME).adapt(adapter(linearized))).expect("fits"))
}

fn go_on(_: usize) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

#[test]
fn layers_of_an_adapter_are_measured_as_they_are_learned() {
    let near = linearized(&[2, 3]);
    let texts: Vec<Vec<u32>> = (0..3).map(|seed| ids(&open(NAME), 96, seed)).collect();
    let errors = |linearized: &Linearized, bytes: Vec<u8>| {
        let adapter = Adapter::from_bytes(bytes, "a").expect("is one");
        assert_eq!(adapter.linearized, *linearized);
        block_on(layer_errors(&engine(), open(NAME), &adapter, &texts, &mut go_on)).expect("runs")
    };
    let settings = LinearizeSettings { linearized: near.clone(), ..settings(1) };
    let mut transfer = block_on(Transfer::new(&engine(), open(NAME), &settings)).expect("plans");
    block_on(transfer.student.begin(&adapter(&near))).expect("fits");
    let want: Vec<Option<f64>> =
        block_on(transfer.errors(&texts)).expect("runs").into_iter().map(Some).collect();
    let got = errors(&near, some_adapter(&open(NAME), &near));
    assert_eq!(got, want);
    // What is added to projections is the student's alone: nothing added is the same, by another way.
    let close = |a: &[Option<f64>], b: &[Option<f64>]| {
        let pairs = a.iter().zip(b).map(|(a, b)| a.expect("is far") - b.expect("is far"));
        pairs.map(f64::abs).fold(0.0, f64::max)
    };
    let ranked = Linearized { rank: 4, ..near.clone() };
    let mut model = open(NAME);
    model.config.linearized = Some(ranked.clone());
    let base = block_on(open(NAME).fingerprint()).expect("reads");
    let values = model.config.parameters().into_iter().filter(|spec| spec.name.starts_with("linear."));
    let values = values.map(|spec| {
        let plain = adapter(&near).tensors;
        let known = plain.names().contains(&spec.name);
        let none = vec![if spec.name.ends_with("lora_a") { 0.5 } else { 0.0 }; spec.elements()];
        (spec.name.clone(), if known { plain.f32(&spec.name).expect("is there") } else { none })
    });
    let silent = Adapter::to_bytes(&model.config, base, &values.collect(), &[]).expect("fits");
    let got = errors(&ranked, silent);
    assert!(close(&got, &want) < 1e-6, "{got:?}, {want:?}");
    let got = errors(&ranked, some_adapter(&open(NAME), &ranked));
    assert!(close(&got, &want) > 5e-5, "{got:?}, {want:?}");
    // A layer that sees all of a text has nothing to be measured.
    let long = linearized(&[2, 12]);
    let got = errors(&long, some_adapter(&open(NAME), &long));
    assert!(got[0].is_some() && got[1].is_none(), "{got:?}");
}

#[test]
fn asking_on_the_way_changes_no_answer() {
    let model = student(&linearized(&[2, 4]));
    let filler = ids(&open(NAME), 400, 1);
    let run = |session: &mut Session, number: usize, told: &mut [Recall]| {
        block_on(recall(session, &filler, Trial { number, of: 3 }, told)).expect("runs");
    };
    let at = |distances: &[usize]| distances.iter().map(|n| Recall::at(*n)).collect::<Vec<_>>();
    let start = || block_on(Session::new(&model)).expect("starts");
    let same = |a: &Recall, b: &Recall| {
        assert_eq!((a.distance, a.digits), (b.distance, b.digits));
        assert!((a.log_probability() - b.log_probability()).abs() < 1e-5, "{a:?}, {b:?}");
        assert_eq!(a.first(), b.first());
    };
    // All distances of one text, and each alone. The first trial's text begins at the same place for all.
    let mut all = at(&[30, 90, 200]);
    run(&mut start(), 0, &mut all);
    for together in &all {
        let mut alone = at(&[together.distance]);
        run(&mut start(), 0, &mut alone);
        same(together, &alone[0]);
        assert_eq!(together.digits, 4, "a byte each");
    }
    assert!((all[0].log_probability() - all[2].log_probability()).abs() > 1e-3, "other text is other text");
    // Trials add up, and do not depend on what the session read before.
    let (mut once, mut apart) = (at(&[30, 90]), at(&[30, 90]));
    let mut session = start();
    for number in 0..3 {
        run(&mut session, number, &mut once);
        run(&mut start(), number, &mut apart);
    }
    once.iter().zip(&apart).for_each(|(a, b)| same(a, b));
    assert_eq!(once[0].digits, 12);
}

#[test]
fn a_teacher_predicts_as_far_as_it_goes() {
    let (teacher, student) = (load(open(NAME)), student(&linearized(&[2, 2])));
    let text = ids(&open(NAME), 700, 4);
    let read = |context: usize, all: &mut [Positions; 2]| {
        let mut tell = |_: usize| ControlFlow::Continue(());
        block_on(predictions(&[&teacher, &student], &text, context, all, &mut tell)).expect("runs");
    };
    let [mut whole, mut short] = [(); 2].map(|()| <[Positions; 2]>::default());
    read(usize::MAX, &mut whole);
    read(512, &mut short);
    assert_eq!(whole[0].all().tokens, 699);
    assert_eq!([0, 1].map(|who| short[who].all().tokens), [511, 699]);
    // What the student predicts is the same; only up to there it has somebody beside it.
    assert_eq!(short[1].all().perplexity(), whole[1].all().perplexity());
    assert_eq!([0, 1].map(|bucket| short[1].bucket(bucket)), [0, 1].map(|bucket| whole[1].bucket(bucket)));
    assert!(short[1].bucket(2).kl().is_none() && whole[1].bucket(2).kl().expect("both predict") > 0.0);
    assert_eq!(short[1].beside(&short[0]).tokens, 511);
    assert!(short[0].all().kl().expect("is its own").abs() < 1e-9);
    // Texts add up, and one that was stopped adds nothing.
    let stopped = whole.clone();
    let mut stop = |_: usize| ControlFlow::Break(());
    let error = block_on(predictions(&[&teacher, &student], &text, 9, &mut whole, &mut stop));
    assert!(error.is_err() && whole == stopped);
    read(usize::MAX, &mut whole);
    assert_eq!(whole[1].all().tokens, 2 * 699);
}

#[test]
fn an_adapter_becomes_a_part_of_its_model() {
    let dir = tempfile::tempdir().expect("is made");
    let names = [
        "llama-hf",
        "qwen2",
        "qwen3",
        "llama-untied-rope-llama3",
        "gguf/llama-Q4_1_smol.gguf",
        "gguf/qwen3-Q4_1.gguf",
        "gguf/llama-rope-llama3-F32.gguf",
    ];
    for (at, name) in names.into_iter().enumerate() {
        let rank = if at % 2 == 0 { 4 } else { 0 };
        let layers = open(name).config.num_hidden_layers;
        let near = Linearized { rank, ..linearized(&(2..2 + layers).collect::<Vec<_>>()) };
        let adapted = || {
            let adapter = Adapter::from_bytes(some_adapter(&open(name), &near), "a").expect("is one");
            block_on(open(name).adapt(adapter)).expect("fits")
        };
        let text = ids(&open(name), 90, 6);
        let logits = |source: ModelSource| {
            let mut session = block_on(Session::new(&load(source))).expect("starts");
            block_on(session.forward(&[0], &[&text], false)).expect("runs").0
        };
        let source = adapted();
        let path = public(name);
        let folder = path.is_dir().then_some(path.as_path());
        let convert = |out: &str, weights: Option<WeightType>| {
            let out = dir.path().join(out);
            let conversion = Conversion { source: &source, name, folder, weights };
            let written = conversion.write(&out, &mut |_, _| ControlFlow::Continue(()));
            written.map(|_| out)
        };
        let want = logits(adapted());
        let largest = want.iter().fold(0.0f32, |m, x| m.max(x.abs()));
        for (weights, most) in [(Some(WeightType::F32), 1e-5), (None, 4e-3)] {
            let out = convert(&format!("{at}-{weights:?}"), weights).expect("writes");
            let whole = ModelSource::open(&out).expect("opens");
            assert_eq!(whole.warnings, Vec::<String>::new(), "{name}");
            assert_eq!(whole.config.attention.kind, AttentionKind::Linearized);
            assert!(whole.config.adapted().is_none() && out.join("config.json").is_file());
            assert_eq!(whole.config.linearized, Some(Linearized { rank: 0, ..near.clone() }), "{name}");
            let words = "It is said that Helen came.";
            assert_eq!(whole.tokenizer.encode(words).ok(), source.tokenizer.encode(words).ok(), "{name}");
            assert_eq!(whole.tokenizer.ends(), source.tokenizer.ends(), "{name}");
            assert_eq!(whole.conventions.template().is_ok(), source.conventions.template().is_ok(), "{name}");
            let off = worst(&logits(whole), &want) / largest;
            assert!(off < most, "{name}, {weights:?}: {off}");
        }
        let error = convert("m.gguf", None).expect_err("is refused");
        assert!(error.kind() == ErrorKind::Input && error.message().contains("m.gguf"), "{error}");
        assert!(error.advice().is_some_and(|help| help.contains("folder")), "{error}");
    }
}

#[test]
fn layers_may_stay_as_they_are() {
    let kept = linearized(&[0, 2]);
    let texts: Vec<Vec<u32>> = (0..6).map(|seed| ids(&open(NAME), 96, seed)).collect();
    let settings = LinearizeSettings { linearized: kept.clone(), ..settings(20) };
    let mut transfer = block_on(Transfer::new(&engine(), open(NAME), &settings)).expect("plans");
    block_on(transfer.calibrate(&texts[0])).expect("runs");
    let before = block_on(transfer.errors(&texts)).expect("runs");
    for step in 1..=20 {
        let errors = block_on(transfer.step(&texts[..2], step)).expect("runs");
        assert!(errors.len() == 2 && errors[0] == 0.0 && errors[1] > 0.0, "{errors:?}");
    }
    let after = block_on(transfer.errors(&texts)).expect("runs");
    assert!(before[0] == 0.0 && after[0] == 0.0 && after[1] < 0.97 * before[1], "{before:?}, {after:?}");
    // Its adapter has nothing for the layer, and its state grows by that one's cache alone.
    let bytes = block_on(transfer.student.adapter(&[])).expect("is finite");
    let adapter = || Adapter::from_bytes(bytes.clone(), "a").expect("is one");
    assert!(adapter().tensors.names().iter().all(|name| name.starts_with("linear.layers.1.")));
    let model = load(block_on(open(NAME).adapt(adapter())).expect("fits"));
    let grows = |model: &Model| {
        let session = block_on(Session::new(model)).expect("starts");
        session.bytes_of(400) - session.bytes_of(200)
    };
    assert_eq!((grows(&model), grows(&student(&linearized(&[2, 2])))), (grows(&load(open(NAME))) / 2, 0));
    let layers = block_on(layer_errors(&engine(), open(NAME), &adapter(), &texts, &mut go_on)).expect("runs");
    assert!(layers[0].is_none() && layers[1].is_some(), "{layers:?}");

    // What it has not learned cannot be begun from, it is no kind of its own, and some layer is made linear.
    let settings = LinearizeSettings { linearized: linearized(&[2, 2]), ..settings.clone() };
    let mut other = block_on(Transfer::new(&engine(), open(NAME), &settings)).expect("plans");
    let error = block_on(other.student.begin(&adapter())).expect_err("is refused");
    assert!(error.message().contains("layer 0 keeps") && error.advice().is_some(), "{error}");
    let source = block_on(open(NAME).adapt(adapter())).expect("fits");
    let dir = tempfile::tempdir().expect("is made");
    let conversion = Conversion { source: &source, name: NAME, folder: None, weights: None };
    let written = conversion.write(&dir.path().join("m"), &mut |_, _| ControlFlow::Continue(()));
    let error = written.expect_err("is refused");
    assert!(error.message().contains("layers 0 keep") && error.advice().is_some(), "{error}");
    let settings = LinearizeSettings { linearized: linearized(&[0, 0]), ..settings };
    let error = settings.check_student(&open(NAME).config).expect_err("is refused");
    assert!(error.message().contains("nothing is made linear"), "{error}");
}
