//! `logits`, `tokenizer train`, `inspect`, `devices`: what they write and print.

use polysketch::model::tensor_file::read_tensors;
use serde_json::Value;

use crate::run::*;

#[test]
fn logits_are_the_golden_ones() {
    let dir = folder();
    let out = dir.path().join("logits.safetensors");
    for name in ["default-gated", "release-softmax", "taylor-degree-2"] {
        let model = repository("tests/golden").join(name);
        let golden = model.join("golden.safetensors");
        // In one segment, and cut into small ones.
        for more in [&[][..], &["--segment", "7"]] {
            stdout(
                &[
                    &[
                        "logits",
                        "--backend",
                        "cpu",
                        "--model",
                        arg(&model),
                        "--tokens",
                        arg(&golden),
                        "--out",
                        arg(&out),
                    ],
                    more,
                ]
                .concat(),
            );
            let (got, want) = (read_tensors(&out).unwrap(), read_tensors(&golden).unwrap());
            assert_eq!(got.names(), ["logits"]);
            assert_eq!(got.shape("logits"), want.shape("logits"));
            let (got, want) = (got.f32("logits").unwrap(), want.f64("logits").unwrap());
            let largest = want.iter().fold(0.0f64, |m, x| m.max(x.abs()));
            let error =
                got.iter().zip(&want).map(|(g, w)| (f64::from(*g) - w).abs()).fold(0.0, f64::max) / largest;
            assert!(error <= 5e-5, "{name} {more:?}: {error:e}");
        }
    }
    assert_eq!(names(dir.path()), ["logits.safetensors"]);
}

#[test]
fn a_tokenizer_is_trained_and_loads() {
    let dir = folder();
    let out = dir.path().join("tokenizer.json");
    let data = repository("tests/data/openings.txt");
    let report = json(&[
        "tokenizer",
        "train",
        "--data",
        arg(&data),
        arg(&data),
        "--vocab-size",
        "400",
        "--out",
        arg(&out),
    ]);
    assert_eq!(report["vocab_size"], 400);
    let tokenizer = polysketch::model::Tokenizer::open(dir.path()).unwrap();
    assert_eq!((tokenizer.vocab_size(), tokenizer.end_of_text()), (400, Some(0)));
    let text = std::fs::read_to_string(&data).unwrap();
    assert_eq!(tokenizer.decode(&tokenizer.encode(&text).unwrap()), text);
    assert_eq!(names(dir.path()), ["tokenizer.json"]);
}

#[test]
fn inspect_tells_the_whole_memory() {
    let report = json(&["inspect", "--backend", "cpu"]);
    assert_eq!(report["parameters"]["total"], 2_220_176);
    let groups = report["parameters"]["groups"].as_object().unwrap();
    assert_eq!(groups.values().map(|n| n.as_u64().unwrap()).sum::<u64>(), 2_220_176);
    assert_eq!((&report["memory"]["cache"], &report["fits"]), (&Value::from(0), &Value::from(true)));
    // 2 (keys and values) · 4 bytes · 4 layers · width 192.
    assert_eq!(report["softmax_cache_bytes"]["1048576"], 2 * 4 * 4 * 192 * 1_048_576u64);
    // Three times the state, but for the few bytes that the smallest buffers are rounded up.
    let three = json(&["inspect", "--backend", "cpu", "--slots", "3"]);
    let (one, three) =
        (report["memory"]["state"].as_u64().unwrap(), three["memory"]["state"].as_u64().unwrap());
    assert!(three <= 3 * one && three + 64 > 3 * one, "{one} {three}");
    // A state file is the state, with a head of its own.
    let dir = folder();
    let state = dir.path().join("state");
    let run =
        json(&["generate", "--prompt", "It was", "-n", "1", "--backend", "cpu", "--state-out", arg(&state)]);
    let (size, planned) =
        (std::fs::metadata(&state).unwrap().len(), run["statistics"]["state_bytes"].as_u64().unwrap());
    assert!(size > planned && size < planned + 20_000, "{size} {planned}");
}

#[test]
fn inspect_needs_no_weights_and_draws() {
    let dir = folder();
    let softmax = repository("tests/golden/release-softmax");
    std::fs::copy(softmax.join("config.json"), dir.path().join("config.json")).unwrap();
    let cache = |n: &str| {
        let report = json(&["inspect", "--backend", "cpu", "--model", arg(dir.path()), "--max-context", n]);
        report["memory"]["cache"].as_u64().unwrap()
    };
    assert!(cache("1k") > 0);
    assert_eq!(cache("4k"), 4 * cache("1k"));
    for plan in ["prefill", "decode"] {
        let dot = stdout(&["inspect", "--backend", "cpu", "--dot", plan]);
        assert!(dot.starts_with(&format!("digraph \"{plan}\" {{")) && dot.ends_with("}\n"), "{dot}");
        assert_eq!(dot.matches('{').count(), dot.matches('}').count());
    }
}

#[test]
fn devices_names_what_is_taken() {
    let report = json(&["devices"]);
    let adapters = report["adapters"].as_array().unwrap();
    assert!(adapters.iter().enumerate().all(|(i, a)| a["index"] == i && a["limits"].is_object()));
    assert!(report["cpu"]["threads"].as_u64().unwrap() >= 1);
    assert_eq!(json(&["devices", "--backend", "cpu"])["taken"], "cpu");
    let text = stdout(&["devices"]);
    assert_eq!(text.lines().filter(|line| line.starts_with('→')).count(), 2, "{text}");
    assert!(adapters.iter().all(|a| text.contains(a["name"].as_str().unwrap())));
    if !adapters.is_empty() {
        assert_eq!(json(&["devices", "--adapter", "0"])["taken"], 0);
    }
}
