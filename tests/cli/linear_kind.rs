//! Models with linearised attention of their own: trained, continued, and used as any other.

use std::fs;

use serde_json::{Value, json};

use crate::run::*;
use crate::training::{Run, workplace};

fn config() -> Value {
    json!({
        "vocab_size": 257, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2,
        "intermediate_size": 16, "rope": { "where": "normed" },
        "attention": {
            "kind": "linearized", "block_size": 4, "near": [2, 1], "sinks": 2, "gate": "scalar",
            "sketch": { "size": 4, "hidden": 8 },
        },
    })
}

#[test]
fn a_run_goes_on_and_its_model_is_used() {
    let dir = workplace();
    fs::write(dir.path().join("config.json"), config().to_string()).unwrap();
    let how = ["--eval-every", "4", "--save-every", "4", "--lr", "0.01"];
    let whole = Run::new(dir.path(), "whole");
    whole.ok(whole.start(&[&how[..], &["--steps", "12"]].concat()));
    let resumed = Run::new(dir.path(), "resumed");
    resumed.ok(resumed.start(&[&how[..], &["--steps", "12"]].concat()));
    for name in ["step-000012", "step-000008"] {
        fs::remove_dir_all(resumed.out.join("checkpoints").join(name)).unwrap();
    }
    resumed.ok(resumed.with(&["--resume"]));
    assert_eq!(resumed.log(), whole.log());
    let weights = |run: &Run<'_>| fs::read(run.out.join("model.safetensors")).unwrap();
    assert_eq!(weights(&resumed), weights(&whole));
    let losses: Vec<f64> = whole.log().iter().filter_map(|line| line["loss"].as_f64()).collect();
    assert!(losses[11] < losses[0] - 0.1, "{losses:?}");

    // What was written is read again, with the sizes that it was given.
    let written: Value =
        serde_json::from_str(&fs::read_to_string(whole.out.join("config.json")).unwrap()).unwrap();
    for (key, value) in config()["attention"].as_object().unwrap() {
        if key != "sketch" {
            assert_eq!(written["attention"][key], *value, "{key}");
        }
    }
    whole.loads();
    let model = arg(&whole.out);
    let text = succeeded(&["inspect"], command(&["inspect", "--model", model]).output().unwrap());
    let said = "linearized attention: 1 block of 4 and the first 2 tokens exactly, 2 blocks in 1 layer";
    assert!(text.contains(said) && text.contains("constant state"), "{text}");
    let valid = dir.path().join("valid.txt");
    let evaluated = |more: &[&str]| -> f64 {
        let arguments = [&["eval", "--model", model, "--data", arg(&valid), "--json"][..], more].concat();
        let text = succeeded(&["eval"], command(&arguments).output().unwrap());
        serde_json::from_str::<Value>(&text).unwrap()["nll_per_token"].as_f64().unwrap()
    };
    let (at_once, in_parts) = (evaluated(&["--backend", "cpu"]), evaluated(&["--segment", "8"]));
    assert!((at_once - in_parts).abs() < 1e-5, "{at_once} and {in_parts}");

    // It is no model that an adapter, or linearize, is for.
    let data = arg(&valid);
    let out = dir.path().join("adapter");
    let made =
        ["--teacher", model, "--data", data, "--held-out", data, "--context", "384", "--out", arg(&out)];
    let made = command(&[&["linearize"][..], &made].concat()).output().unwrap();
    let said = String::from_utf8(made.stderr).unwrap();
    let told = said.contains("this model has linearized attention\nhelp: only softmax");
    assert!(made.status.code() == Some(1) && told && !out.join("adapter.safetensors").exists(), "{said}");
}

#[test]
fn impossible_sizes_are_named() {
    let dir = workplace();
    for (change, what) in [
        (json!({ "near": [2] }), ["attention.near is 1", "2, one for each layer"]),
        (json!({ "sinks": 5 }), ["attention.sinks is 5", "from 0 to 4"]),
        (json!({ "sink_reach": 7 }), ["sink reach is 7", "0, or at least 8, what is near"]),
        (json!({ "sketch": { "size": 4, "hidden": 3 } }), ["attention.sketch.hidden is 3", "multiple of 4"]),
        (json!({ "sketch": null }), ["attention.sketch is missing", "an object"]),
    ] {
        let mut config = config();
        let changes = change.as_object().unwrap();
        changes.iter().for_each(|(key, value)| config["attention"][key] = value.clone());
        fs::write(dir.path().join("config.json"), config.to_string()).unwrap();
        let missing = what[0].ends_with("missing");
        fails(Run::new(dir.path(), "out").start(&["--steps", "1"]), &what, missing);
    }
}
