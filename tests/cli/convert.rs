//! `convert`: whatever is written computes what its source computes, and what cannot be is refused.

use std::fs;
use std::path::Path;

use polysketch::model::gguf::{BlockType, Gguf};
use polysketch::model::tensor_file::read_tensors;
use polysketch::model::{Family, ModelSource};
use serde_json::Value;

use crate::run::*;

/// Folders of families that GGUF files know.
const FOLDERS: [&str; 12] = [
    "gpt2",
    "gpt2-hub-names",
    "llama-bf16",
    "llama-bias",
    "llama-gqa-tied",
    "llama-rope-linear",
    "llama-sharded",
    "llama-untied-rope-llama3",
    "mistral",
    "qwen2",
    "qwen3",
    "starcoder2",
];

fn public(name: &str) -> std::path::PathBuf {
    repository("tests/public").join(name)
}

fn open(path: &Path) -> ModelSource {
    ModelSource::open(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

fn convert(model: &Path, out: &Path, more: &[&str]) -> Value {
    json(&[&["convert", "--model", arg(model), "--out", arg(out)], more].concat())
}

/// The logits of some tokens.
fn logits(model: &Path, more: &[&str]) -> Vec<f32> {
    logits_of(model, 20, more)
}

/// The logits of two texts of so many tokens.
fn logits_of(model: &Path, count: usize, more: &[&str]) -> Vec<f32> {
    let dir = folder();
    let (tokens, out) = (dir.path().join("tokens"), dir.path().join("logits"));
    let ids: Vec<i32> = (0..2 * count as i32).map(|i| i * 7 % 60).collect();
    write_tokens(&tokens, &[2, count], &ids);
    let words = ["logits", "--backend", "cpu", "--quiet", "--model", arg(model), "--tokens", arg(&tokens)];
    stdout(&[&words[..], &["--out", arg(&out)], more].concat());
    read_tensors(&out).unwrap().f32("logits").unwrap()
}

/// The largest difference, over the largest logit.
fn error(got: &[f32], want: &[f32]) -> f32 {
    assert_eq!(got.len(), want.len());
    let largest = want.iter().fold(0.0f32, |m, x| m.max(x.abs()));
    got.iter().zip(want).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max) / largest
}

/// All tensors are the same numbers, in our layout.
fn same_tensors(a: &ModelSource, b: &ModelSource, label: &str) {
    let specs = a.config.parameters();
    assert_eq!(specs, b.config.parameters(), "{label}");
    for spec in specs {
        let [a, b] = [a, b].map(|source| source.checkpoint.f32(&spec.name).unwrap());
        assert!(a == b, "{label}: {}", spec.name);
    }
}

#[test]
fn a_folder_becomes_a_file_and_a_folder_again() {
    let dir = folder();
    for name in FOLDERS {
        let from = public(name);
        let [file, back] = ["m.gguf", "m"].map(|end| dir.path().join(format!("{name}-{end}")));
        let told = convert(&from, &file, &["--weights", "f32"]);
        assert_eq!(told["format"], "gguf", "{name}");
        assert_eq!(told["files"][0]["bytes"], fs::metadata(&file).unwrap().len(), "{name}");
        let want = logits(&from, &["--weights", "f32"]);
        let off = error(&logits(&file, &[]), &want);
        assert!(off <= 1e-6, "{name}: {off:e}");
        let source = open(&from);
        same_tensors(&source, &open(&file), name);

        let told = convert(&file, &back, &["--weights", "f32"]);
        assert_eq!((&told["format"], &told["notes"]), (&"folder".into(), &Value::Array(vec![])), "{name}");
        let there = open(&back);
        same_tensors(&source, &there, name);
        let off = error(&logits(&back, &[]), &want);
        assert!(off <= 1e-6, "{name}: {off:e}");
        // The names and layouts of Hugging Face's folders, but for GPT-2's shorter ones.
        let tensors = |dir: &Path| -> Vec<(String, Vec<usize>)> {
            let mut list = Vec::new();
            for path in names(dir).iter().filter(|n| n.starts_with("model") && n.ends_with(".safetensors")) {
                let file = read_tensors(&dir.join(path)).unwrap();
                list.extend(file.names().into_iter().map(|n| (n.clone(), file.shape(&n).unwrap().to_vec())));
            }
            list.retain(|(name, _)| !name.ends_with("inv_freq") && !name.ends_with("attn.bias"));
            list.iter_mut().for_each(|(name, _)| *name = name.trim_start_matches("transformer.").to_string());
            list.sort();
            list
        };
        let tied = |mut list: Vec<(String, Vec<usize>)>| {
            list.retain(|(name, _)| !source.config.tie_word_embeddings || name != "lm_head.weight");
            list
        };
        assert_eq!(tensors(&back), tied(tensors(&from)), "{name}");
        // What is read of the configuration is the same, mistral being llama.
        let mut config = source.config.clone();
        config.origin.clone_from(&there.config.origin);
        config.family = if config.family == Family::Mistral { Family::Llama } else { config.family };
        config.eos_token_id.clone_from(&there.config.eos_token_id);
        config.rope.theta = f64::from(config.rope.theta as f32);
        assert_eq!(config, there.config, "{name}");
        assert_eq!(source.tokenizer.ends(), there.tokenizer.ends(), "{name}");
    }
}

#[test]
fn a_folder_of_any_family_becomes_a_folder() {
    let dir = folder();
    let all = ["gpt-neox", "gpt-neox-f16", "powercoder", "brumby", "llama-sharded", "llama-hf"].map(public);
    let ours =
        ["default-gated", "random-sketch-local-gated"].map(|name| repository("tests/golden").join(name));
    for from in all.iter().chain(&ours) {
        let name = from.file_name().unwrap().to_str().unwrap();
        let out = dir.path().join(name);
        convert(from, &out, &["--weights", "f32"]);
        let (source, there) = (open(from), open(&out));
        same_tensors(&source, &there, name);
        assert!(there.warnings.len() <= source.warnings.len(), "{name}: {:?}", there.warnings);
        assert_eq!(logits(&out, &[]), logits(from, &["--weights", "f32"]), "{name}");
        for file in
            ["tokenizer.json", "generation_config.json", "tokenizer_config.json", "chat_template.jinja"]
        {
            let [old, new] = [from, &out].map(|dir| fs::read(dir.join(file)).ok());
            assert_eq!(old, new, "{name}: {file}");
        }
        // In halves it is what loading makes of it.
        let halves = dir.path().join(format!("{name} in halves"));
        fs::create_dir(&halves).unwrap();
        convert(from, &halves, &[]);
        assert_eq!(logits(&halves, &[]), logits(from, &["--weights", "f16"]), "{name}");
        let config: Value = serde_json::from_slice(&fs::read(halves.join("config.json")).unwrap()).unwrap();
        let word = config.get("dtype").or(config.get("torch_dtype"));
        assert_eq!(word.is_some_and(|word| word == "float16"), source.config.origin.is_some(), "{name}");
    }
}

#[test]
fn files_become_folders_and_files() {
    let dir = folder();
    let files = names(&public("gguf"));
    let files: Vec<&String> = files.iter().filter(|name| name.ends_with(".gguf")).collect();
    assert!(files.len() >= 17, "{files:?}");
    for name in files {
        let from = public("gguf").join(name);
        let [there, back, wide] =
            ["d", "b.gguf", "w.gguf"].map(|end| dir.path().join(format!("{name}-{end}")));
        let want = logits(&from, &["--weights", "f32"]);
        convert(&from, &there, &["--weights", "f32"]);
        convert(&there, &back, &["--weights", "f32"]);
        convert(&from, &wide, &["--weights", "f32"]);
        let source = open(&from);
        for path in [&there, &back, &wide] {
            same_tensors(&source, &open(path), name);
            let off = error(&logits(path, &[]), &want);
            assert!(off <= 1e-6, "{}: {off:e}", path.display());
        }
        for path in [&there, &back, &wide] {
            fs::remove_dir_all(path).or_else(|_| fs::remove_file(path)).unwrap();
        }
    }
}

/// A file of few bits computes what loading the same model with these weights does: rounded once, or never.
#[test]
fn few_bits_are_those_that_loading_rounds_to() {
    let dir = folder();
    let files = [
        "llama-F16",
        "llama-BF16",
        "llama-Q8_0",
        "llama-Q4_0",
        "llama-Q5_1",
        "llama-wide-Q4_K_M",
        "gpt2-F16",
    ];
    let mut sources: Vec<_> = files.iter().map(|name| public("gguf").join(format!("{name}.gguf"))).collect();
    sources.push(public("llama-hf"));
    for from in &sources {
        let source = open(from);
        for (weights, block) in [("q8", BlockType::Q8_0), ("q4", BlockType::Q4_1)] {
            let out = dir.path().join("m.gguf");
            let told = convert(from, &out, &["--weights", weights]);
            assert_eq!(told["notes"], Value::Array(vec![]), "{from:?}");
            let (file, read) = (Gguf::open(&out).unwrap(), open(&out));
            let mut rounded = 0;
            for (name, info) in file.tensors() {
                let matrix = info.shape.len() == 2 && name != "position_embd.weight";
                assert_eq!(info.kind.is_float(), !matrix, "{from:?} {weights}: {name} {:?}", info.kind);
                rounded += usize::from(matrix && info.kind == block);
            }
            assert_eq!(told["types"][block.name()].as_u64().unwrap_or(0), rounded as u64);
            for spec in source.config.parameters() {
                let [a, b] = [&source, &read].map(|s| s.checkpoint.f32(&spec.name).unwrap());
                let largest = a.iter().fold(0.0f32, |m, x| m.max(x.abs()));
                let off = a.iter().zip(&b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
                // Half a step of the block with the largest numbers.
                let step = if weights == "q8" { largest / 127.0 } else { 2.0 * largest / 15.0 };
                assert!(off <= 0.51 * step, "{from:?} {weights}: {} {off} {step}", spec.name);
            }
            // In memory q, k and v are joined, so that some of their blocks may be rounded with the others.
            let mixed = from.ends_with("llama-wide-Q4_K_M.gguf") && weights == "q4";
            if !mixed {
                let off = error(&logits(&out, &[]), &logits(from, &["--weights", weights]));
                assert!(off <= 1e-6, "{from:?} {weights}: {off:e}");
            }
            fs::remove_file(&out).unwrap();
        }
    }
}

#[test]
fn texts_have_the_same_tokens_before_and_after() {
    let dir = folder();
    let expected: Value = serde_json::from_slice(&fs::read(public("gguf/tokens.json")).unwrap()).unwrap();
    let mut seen = 0;
    for (pre, expected) in expected.as_object().unwrap() {
        let Some(name) =
            expected["files"].as_array().unwrap().iter().find_map(|name| {
                Some(name.as_str().unwrap()).filter(|name| public("gguf").join(name).exists())
            })
        else {
            continue;
        };
        let from = public("gguf").join(name);
        let [there, back, other] =
            ["d", "b.gguf", "c.gguf"].map(|end| dir.path().join(format!("{pre}-{end}")));
        convert(&from, &there, &[]);
        convert(&there, &back, &["--weights", "q8"]);
        convert(&from, &other, &["--weights", "q4"]);
        for path in [&there, &back, &other] {
            let tokenizer = open(path).tokenizer;
            for text in expected["texts"].as_array().unwrap() {
                let (text, ids) = (text["text"].as_str().unwrap(), &text["ids"]);
                let got: Value = tokenizer.encode(text).unwrap().into();
                assert_eq!(&got, ids, "{pre}: {text:?}");
                seen += 1;
            }
            assert_eq!(tokenizer.begin().is_empty(), expected["adds_bos"] == false, "{pre}");
        }
        let pre_of = |path: &Path| {
            Gguf::open(path).unwrap().metadata().text("tokenizer.ggml.pre").unwrap().map(String::from)
        };
        let same = [("starcoder", "smollm")];
        let want = same.iter().find(|(old, _)| old == pre).map_or(pre.as_str(), |(_, new)| new);
        assert_eq!(pre_of(&back).as_deref(), Some(want));
        assert_eq!(pre_of(&other), pre_of(&from));
    }
    assert!(seen > 100, "{seen}");
}

#[test]
fn rows_that_are_no_blocks_stay_halves() {
    let dir = folder();
    let out = dir.path().join("m.gguf");
    // Rows of 40 and 56.
    let told = convert(&public("llama-rope-linear"), &out, &["--weights", "q8"]);
    let notes = told["notes"].to_string();
    assert!(notes.contains("no multiple of 32") && notes.contains("token_embd.weight"), "{notes}");
    assert!(told["types"]["F16"].as_u64().unwrap() > 10 && told["types"]["Q8_0"].is_null(), "{told}");
    assert_eq!(error(&logits(&out, &[]), &logits(&public("llama-rope-linear"), &["--weights", "f16"])), 0.0);
}

#[test]
fn what_cannot_be_is_refused_and_nothing_is_replaced() {
    let dir = folder();
    let [file, full, plain] = ["m.gguf", "full", "plain"].map(|name| dir.path().join(name));
    fs::write(&file, "mine").unwrap();
    fs::write(&plain, "mine").unwrap();
    fs::create_dir(&full).unwrap();
    fs::write(full.join("notes.txt"), "mine").unwrap();
    let model = public("llama-hf");
    let try_out = |model: &Path, out: &str, more: &[&str]| {
        run(&[&["convert", "--model", arg(model), "--out", out], more].concat())
    };
    let before = names(dir.path());
    fails(try_out(&model, arg(&file), &[]), &["m.gguf", "is there already"], true);
    fails(try_out(&model, arg(&full), &[]), &["full", "is not empty", "notes.txt"], true);
    fails(try_out(&model, arg(&plain), &[]), &["plain", "is a file"], true);
    fails(try_out(&model, "-", &[]), &["not to stdout"], true);
    let new = dir.path().join("new");
    for weights in ["q8", "q4"] {
        fails(try_out(&model, arg(&new), &["--weights", weights]), &["new", weights], true);
    }
    let gguf = dir.path().join("new.gguf");
    for (model, family) in [
        (repository("tests/golden/default"), "polysketch"),
        (public("gpt-neox"), "gpt_neox"),
        (public("powercoder"), "powercoder"),
        (public("brumby"), "brumby"),
    ] {
        fails(try_out(&model, arg(&gguf), &[]), &[family, "llama, qwen2, qwen3, starcoder2, gpt2"], true);
    }
    fails(run(&["convert", "--out", arg(&gguf)]), &["polysketch"], true);
    let missing = dir.path().join("no/such/m.gguf");
    fails(try_out(&model, arg(&missing), &[]), &["m.gguf"], true);
    fails(try_out(&dir.path().join("none"), arg(&new), &[]), &["none"], true);
    assert_eq!(names(dir.path()), before);
    assert_eq!((fs::read(&file).unwrap(), fs::read(&plain).unwrap()), (b"mine".to_vec(), b"mine".to_vec()));
    assert_eq!(names(&full), ["notes.txt"]);

    // The built-in model, into a folder that is there and empty; people are told what it is.
    fs::create_dir(&new).unwrap();
    let output = run(&["convert", "--out", arg(&new)]);
    assert!(String::from_utf8_lossy(&output.stderr).contains("polysketch model"), "{output:?}");
    assert!(output.status.success() && output.stdout.is_empty());
    assert_eq!(names(&new), ["config.json", "model.safetensors", "tokenizer.json"]);
    let text = |words: &[&str]| {
        let all = ["generate", "--backend", "cpu", "--temperature", "0", "-n", "20", "--prompt", "It was"];
        stdout(&[&all[..], words].concat())
    };
    assert_eq!(text(&["--model", arg(&new)]), text(&[]));
}

#[test]
fn an_adapter_is_written_into_its_model() {
    let dir = folder();
    let (model, out) = (public("gguf/llama-Q4_1_smol.gguf"), dir.path().join("whole"));
    let adapter = public("gguf/llama-Q4_1_smol.adapter.safetensors");
    let with = ["--adapter", arg(&adapter)];
    let want = logits_of(&model, 90, &with);
    let told = convert(&model, &out, &[&with[..], &["--weights", "f32"]].concat());
    assert_eq!((&told["family"], &told["notes"]), (&"polysketch".into(), &Value::Array(vec![])));
    let off = error(&logits_of(&out, 90, &[]), &want);
    assert!(off <= 1e-5, "{off:e}");
    assert!(error(&logits_of(&model, 90, &[]), &want) > 1e-3, "the adapter does something");
    // Every command runs it without one, and another adapter is none for it.
    let said = stdout(&["inspect", "--model", arg(&out)]);
    assert!(said.contains("linearized attention") && said.contains("constant state"), "{said}");
    let chat = ["chat", "--quiet", "--model", arg(&out), "--max-tokens", "4"];
    succeeded(&chat, run_with(&chat, b"Hello\n"));
    let twice = [&["generate", "--model", arg(&out), "--prompt", "a"][..], &with].concat();
    fails(run(&twice), &["linearized attention"], true);
    // A folder again, which is the same.
    let again = dir.path().join("again");
    convert(&out, &again, &["--weights", "f32"]);
    same_tensors(&open(&out), &open(&again), "again");

    let file = dir.path().join("m.gguf");
    let refused = ["convert", "--model", arg(&model), "--out", arg(&file), "--adapter", arg(&adapter)];
    fails(run(&refused), &["m.gguf: GGUF files have no linearised attention"], true);
    assert!(!file.exists());
    let missing = dir.path().join("missing");
    let refused = ["convert", "--model", arg(&model), "--out", arg(&missing), "--adapter", "nowhere"];
    fails(run(&refused), &["--adapter nowhere: there is no such file"], true);
    assert!(!missing.exists());
}
