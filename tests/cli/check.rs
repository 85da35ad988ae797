//! `check`: kernels against their twins, golden models, and what is said of a misspelt name.

use serde_json::Value;

use crate::run::*;

#[test]
fn one_kernel_on_the_cpu() {
    let text = stdout(&["check", "activate", "--backend", "cpu"]);
    assert!(text.contains("layer_3x41") && text.contains("error"), "{text}");
    assert!(!text.contains("linear "), "{text}");
}

#[test]
fn rows_go_to_a_file_as_they_come() {
    let dir = folder();
    let out = dir.path().join("rows.jsonl");
    stdout(&["check", "--backend", "cpu", "norm_grad", "--out", arg(&out)]);
    let text = std::fs::read_to_string(&out).unwrap();
    let rows: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(!rows.is_empty());
    for row in &rows {
        assert_eq!((&row["kernel"], &row["wrong"]), (&"norm_grad".into(), &false.into()), "{row}");
        assert!(row["outputs"][0]["error"].as_f64().unwrap() < 2e-5, "{row}");
    }
}

#[test]
fn an_adapter_is_checked_where_there_is_one() {
    let devices = json(&["devices"]);
    let Some(name) = devices["adapters"][0]["name"].as_str() else {
        println!("skipped: no adapter");
        return;
    };
    let text = stdout(&["check", "activate", "--adapter", "0"]);
    assert!(text.contains(name) && text.contains("layer_3x41"), "{text}");
    let found = json(&["check", "add", "--variant", "IN_PLACE"]);
    let variants: Vec<&str> =
        found["findings"].as_array().unwrap().iter().map(|f| f["variant"].as_str().unwrap()).collect();
    assert!(!variants.is_empty() && variants.iter().all(|v| v.contains("IN_PLACE")), "{variants:?}");
}

#[test]
fn golden_models_on_the_cpu() {
    let golden = repository("tests/golden");
    let text = stdout(&["check", "--golden", arg(&golden), "--backend", "cpu"]);
    assert!(text.contains("default-gated") && text.contains("release-softmax"), "{text}");
}

#[test]
fn what_there_is_not_is_refused() {
    let cpu = ["--backend", "cpu"];
    let refused = |arguments: &[&str], words: &[&str]| {
        fails(run(&[&["check"], &cpu[..], arguments].concat()), words, true);
    };
    refused(&["scan_ouptut"], &["no kernel scan_ouptut", "but scan_output"]);
    refused(&["transmogrify"], &["no kernel transmogrify"]);
    refused(&["activate", "--variant", "NONE_SUCH"], &["nothing to check"]);
    let empty = folder();
    refused(&["--golden", arg(empty.path())], &["golden.safetensors"]);
}
