//! Texts: where they end, what is no number, what a file begins with.

use std::fs;
use std::path::Path;

use polysketch::model::tensor_file::{TensorData, write_safetensors};
use polysketch::model::{ModelConfig, Tokenizer};
use serde_json::{Value, json};

use crate::run::*;

const CPU: [&str; 2] = ["--backend", "cpu"];

/// A model of bytes that knows nothing, its last norm times `norm`; `more` goes into its configuration.
fn bytes_model(folder: &Path, norm: f32, more: &Value) {
    let text = fs::read_to_string(repository("assets/configs/tiny.json")).unwrap();
    let mut config: Value = serde_json::from_str(&text).unwrap();
    config["vocab_size"] = 257.into();
    config.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    fs::write(folder.join("config.json"), config.to_string()).unwrap();
    let (config, _) = ModelConfig::from_json(&config.to_string(), "config").unwrap();
    let specs = config.parameters();
    let mut state = 1u32;
    let values: Vec<Vec<f32>> = specs
        .iter()
        .map(|spec| {
            let last = spec.name == "model.norm.weight";
            (0..spec.shape.iter().product())
                .map(|i: usize| {
                    state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    let x = (state >> 8) as f32 / (1 << 24) as f32 - 0.5;
                    if last { if i.is_multiple_of(2) { norm } else { -norm } } else { 0.2 * x }
                })
                .collect()
        })
        .collect();
    let tensors: Vec<TensorData<'_>> =
        specs.iter().zip(&values).map(|(s, v)| TensorData::f32(&s.name, &s.shape, v)).collect();
    write_safetensors(&folder.join("model.safetensors"), &tensors, &[]).unwrap();
}

#[test]
fn numbers_that_are_none_are_errors_everywhere() {
    let dir = folder();
    let (model, out) = (dir.path().join("model"), dir.path().join("out"));
    fs::create_dir(&model).unwrap();
    bytes_model(&model, 3e38, &json!({}));
    let (text, tokens) = (dir.path().join("text"), dir.path().join("tokens"));
    fs::write(&text, "Once upon a time").unwrap();
    write_tokens(&tokens, &[2, 5], &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
    let generate = ["generate", "--model", arg(&model), "--prompt", "Once upon", "-n", "5", "--quiet"];
    for device in devices() {
        let device: Vec<&str> = device.iter().map(String::as_str).collect();
        // Software adapters take their time to compile: one run each.
        let runs = [&["--temperature", "0", "--state-out", arg(&out)][..], &["--json"]];
        for more in &runs[..if device == CPU { 2 } else { 1 }] {
            let output = run(&[&generate[..], more, &device].concat());
            assert!(output.stdout.is_empty(), "{device:?}");
            fails(output, &["text 0", "after token 9", "no numbers"], true);
        }
    }
    let eval = ["eval", "--model", arg(&model), "--data", arg(&text), "--quiet", "--json"];
    let logits = ["logits", "--model", arg(&model), "--tokens", arg(&tokens), "--out", arg(&out), "--quiet"];
    let grad = ["grad", "--model", arg(&model), "--tokens", arg(&tokens), "--out", arg(&out), "--quiet"];
    for (command, words) in [
        (&eval[..], &["after token 1", "no numbers"][..]),
        (&logits, &["no numbers"]),
        (&grad, &["sequence 0, token 1", "loss"]),
    ] {
        let output = run(&[command, &CPU].concat());
        assert!(output.stdout.is_empty(), "{command:?}");
        fails(output, words, true);
    }
    assert_eq!(names(dir.path()), ["model", "text", "tokens"]);
}

#[test]
fn an_average_of_nothing_is_not_there() {
    let dir = folder();
    let text = dir.path().join("text");
    fs::write(&text, "a<|endoftext|>It was the best of times").unwrap();
    let arguments = [&["eval", "--data", arg(&text)][..], &CPU].concat();
    let report = json(&arguments);
    let one = report["documents"][0].as_object().unwrap();
    assert!(one["tokens"] == 1 && one["scored_tokens"] == 0 && one["bytes"] == 1, "{report}");
    assert!(
        !one.contains_key("nll_per_token") && !report.to_string().contains("null,\"perplexity"),
        "{report}"
    );
    assert!(report["documents"][1]["perplexity"].as_f64().unwrap() > 1.0);
    let table = stdout(&arguments);
    assert!(!table.to_lowercase().contains("nan") && table.contains("best of times"), "{table}");
}

#[test]
fn a_text_ends_where_the_files_say() {
    let dir = folder();
    let all: Vec<u32> = (0..256).collect();
    let ends = |model: &Path| {
        let arguments = ["generate", "--model", arg(model), "--prompt", "a", "-n", "9", "--backend", "cpu"];
        let report = json(&arguments);
        (report["stop_reason"].as_str().unwrap().to_string(), report["ids"].as_array().unwrap().len())
    };
    let at_once = ("end-of-text".to_string(), 1);
    for (name, config, files) in [
        ("a", json!({ "eos_token_id": all }), &[][..]),
        ("b", json!({}), &[("generation_config.json", json!({ "eos_token_id": all }))]),
        ("c", json!({ "eos_token_id": 300 }), &[("generation_config.json", json!({ "eos_token_id": all }))]),
    ] {
        let model = dir.path().join(name);
        fs::create_dir(&model).unwrap();
        bytes_model(&model, 1.0, &config);
        for (file, content) in files {
            fs::write(model.join(file), content.to_string()).unwrap();
        }
        assert_eq!(ends(&model), at_once, "{name}");
    }
    let stderr = run(&["generate", "--model", arg(&dir.path().join("c")), "--prompt", "a", "-n", "1"]).stderr;
    assert!(String::from_utf8(stderr).unwrap().contains("token 300"), "not told");
    let model = dir.path().join("d");
    fs::create_dir(&model).unwrap();
    bytes_model(&model, 1.0, &json!({}));
    assert_eq!(ends(&model), ("max-tokens".to_string(), 9));
}

/// A tokenizer whose end of a text is another: learnt, and stopped at.
#[test]
fn another_end_of_a_text() {
    let dir = folder();
    let path = |name: &str| dir.path().join(name);
    let words = ["<unk>", "<s>", "</s>", "▁she", "▁opened", "▁the", "▁door", "▁and", "▁went"];
    let vocab: serde_json::Map<String, Value> =
        words.iter().enumerate().map(|(id, word)| (word.to_string(), id.into())).collect();
    let metaspace =
        json!({ "type": "Metaspace", "replacement": "▁", "prepend_scheme": "first", "split": true });
    let end = json!({ "id": 2, "content": "</s>", "single_word": false, "lstrip": false, "rstrip": false,
        "normalized": false, "special": true });
    let tokenizer = json!({ "version": "1.0", "added_tokens": [end], "normalizer": null, "post_processor": null,
        "pre_tokenizer": metaspace, "decoder": metaspace,
        "model": { "type": "WordLevel", "vocab": vocab, "unk_token": "<unk>" } });
    fs::write(path("t.json"), tokenizer.to_string()).unwrap();
    let text = fs::read_to_string(repository("assets/configs/tiny.json")).unwrap();
    let mut config: Value = serde_json::from_str(&text).unwrap();
    config["vocab_size"] = 10.into();
    fs::write(path("config.json"), config.to_string()).unwrap();
    // Files are joined by it, and <|endoftext|> in a file is it.
    fs::write(path("one"), "she opened the door").unwrap();
    fs::write(path("two"), "she went<|endoftext|>and</s>the").unwrap();
    let vocabulary = polysketch::train::corpus::Vocabulary::open(&path("t.json")).unwrap();
    let corpus = polysketch::train::corpus::Corpus::read(
        &[path("one"), path("two")],
        &vocabulary,
        None,
        &mut |_, _| {},
    )
    .unwrap();
    assert_eq!(corpus.tokens[..], [3, 4, 5, 6, 2, 3, 8, 2, 7, 2, 0]);
    fs::write(path("text"), "she opened the door</s>".repeat(40)).unwrap();
    let train = [
        "train",
        "--config",
        arg(&path("config.json")),
        "--tokenizer",
        arg(&path("t.json")),
        "--data",
        arg(&path("text")),
        "--steps",
        "60",
        "--batch",
        "4",
        "--context",
        "16",
        "--lr",
        "0.02",
        "--eval-every",
        "0",
        "--quiet",
        "--backend",
        "cpu",
        "--out",
        arg(&path("out")),
    ]
    .map(String::from);
    stdout(&train.iter().map(String::as_str).collect::<Vec<_>>());
    let out = path("out");
    let generate = [
        "generate",
        "--model",
        arg(&out),
        "--prompt",
        "she opened",
        "-n",
        "12",
        "--temperature",
        "0",
        "--backend",
        "cpu",
    ];
    let report = json(&generate);
    // The first token after a prompt keeps its space.
    assert_eq!(
        (report["text"].as_str(), report["stop_reason"].as_str()),
        (Some(" the door"), Some("end-of-text"))
    );
    // In two runs: a continuation has no head.
    let state = path("state");
    let first = stdout(&[
        "generate",
        "--model",
        arg(&out),
        "--prompt",
        "she",
        "-n",
        "1",
        "--temperature",
        "0",
        "--backend",
        "cpu",
        "--state-out",
        arg(&state),
    ]);
    let second = stdout(&[
        "generate",
        "--model",
        arg(&out),
        "--state-in",
        arg(&state),
        "-n",
        "9",
        "--temperature",
        "0",
        "--backend",
        "cpu",
    ]);
    assert_eq!(first + &second, " opened the door");
}

#[test]
fn special_tokens_are_tokens_or_text() {
    let count = |more: &[&str]| {
        let arguments =
            [&["generate", "--prompt", "She wrote: <|endoftext|>", "-n", "0"][..], more, &CPU].concat();
        json(&arguments)["statistics"]["prompt_tokens"].as_u64().unwrap()
    };
    assert!(count(&["--special-as-text"]) > count(&[]) + 3);
    let dir = folder();
    let text = dir.path().join("text");
    fs::write(&text, "one<|endoftext|>two").unwrap();
    let documents = |more: &[&str]| {
        let report = json(&[&["eval", "--data", arg(&text)][..], more, &CPU].concat());
        (report["documents"].as_array().unwrap().len(), report["bytes"].as_u64().unwrap())
    };
    assert_eq!((documents(&[]), documents(&["--special-as-text"])), ((2, 6), (1, 19)));
}

#[test]
fn a_byte_order_mark_is_no_text() {
    let dir = folder();
    let (file, model) = (dir.path().join("text"), dir.path().join("model"));
    let marked = |text: &str| ["\u{feff}", text].concat();
    let tokens = |output: std::process::Output| {
        let report: Value = serde_json::from_slice(&output.stdout).unwrap();
        report["statistics"]["prompt_tokens"].as_u64().unwrap()
    };
    let ask = ["generate", "-n", "0", "--backend", "cpu", "--json"];
    let want = tokens(run(&[&ask[..], &["--prompt", "Once upon"]].concat()));
    fs::write(&file, marked("Once upon")).unwrap();
    assert_eq!(tokens(run(&[&ask[..], &["-f", arg(&file)]].concat())), want);
    assert_eq!(tokens(run_with(&ask, marked("Once upon").as_bytes())), want);
    assert_eq!(json(&[&["eval", "--data", arg(&file)][..], &CPU].concat())["bytes"], 9);
    fs::create_dir(&model).unwrap();
    for name in ["model.safetensors", "config.json"] {
        fs::copy(repository("assets/novels-2m").join(name), model.join(name)).unwrap();
    }
    let json = fs::read_to_string(repository("assets/novels-2m/tokenizer.json")).unwrap();
    fs::write(model.join("tokenizer.json"), marked(&json)).unwrap();
    assert_eq!(Tokenizer::open(&model).unwrap().vocab_size(), 2048);
}

/// Bytes of the text, not of what its tokens decode to.
#[test]
fn bytes_are_those_of_the_text() {
    let dir = folder();
    let (model, text) = (dir.path().join("model"), dir.path().join("text"));
    fs::create_dir(&model).unwrap();
    other_model(&model);
    let json_text = fs::read_to_string(model.join("tokenizer.json")).unwrap();
    let mut tokenizer: Value = serde_json::from_str(&json_text).unwrap();
    tokenizer["normalizer"] = json!({ "type": "NFC" });
    fs::write(model.join("tokenizer.json"), tokenizer.to_string()).unwrap();
    // An accent of its own is three bytes with its letter, and two as one character.
    fs::write(&text, "so cafe\u{301} and you").unwrap();
    let report = json(&[&["eval", "--model", arg(&model), "--data", arg(&text)][..], &CPU].concat());
    assert_eq!(report["bytes"], 17);
}

#[test]
fn a_text_begins_as_the_model_wants_it() {
    let dir = folder();
    for name in ["config.json", "model.safetensors", "tokenizer.json"] {
        fs::copy(repository("tests/public/llama-hf").join(name), dir.path().join(name)).unwrap();
    }
    let data = dir.path().join("text");
    fs::write(&data, "one two").unwrap();
    let state = dir.path().join("state");
    let count = |arguments: &[&str], at: &[&str]| {
        let value = json(&[arguments, &["--backend", "cpu", "--model", arg(dir.path())]].concat());
        at.iter().fold(&value, |value, key| &value[key]).as_u64().unwrap()
    };
    let read = |more: &[&str]| {
        let arguments = [&["generate", "--temperature", "0", "-n", "2", "-p", "one two"], more].concat();
        count(&arguments, &["statistics", "prompt_tokens"])
    };
    let scored = || count(&["eval", "--data", arg(&data)], &["scored_tokens"]);
    let (plain, judged) = (read(&[]), scored());
    let config = r#"{"add_bos_token": true, "bos_token": "<|im_start|>"}"#;
    fs::write(dir.path().join("tokenizer_config.json"), config).unwrap();
    assert_eq!((read(&["--state-out", arg(&state)]), scored()), (plain + 1, judged + 1));
    assert_eq!(read(&["--state-in", arg(&state)]), plain, "it goes on");
}
