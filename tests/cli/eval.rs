//! `eval` of the built-in model on a short text: the same on every adapter, every token counted once.

use std::process::Command;

use polysketch::model::ModelSource;
use polysketch::model::documents;
use serde_json::Value;

const DATA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/openings.txt");

fn json(arguments: &[&str]) -> Value {
    let output =
        Command::new(env!("CARGO_BIN_EXE_polysketch")).args(arguments).arg("--json").output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn eval(device: &[&str], more: &[&str]) -> Value {
    json(&[&["eval", "--data", DATA], device, more].concat())
}

/// The CPU, then every usable adapter, as options.
fn devices() -> Vec<Vec<String>> {
    let mut list = vec![vec!["--backend".to_string(), "cpu".into()]];
    for adapter in json(&["devices"])["adapters"].as_array().unwrap() {
        match adapter["unusable"].as_str() {
            None => list.push(vec!["--adapter".into(), adapter["index"].to_string()]),
            Some(reason) => println!("skipped {}: {reason}", adapter["name"]),
        }
    }
    list
}

fn number(value: &Value, key: &str) -> f64 {
    value[key].as_f64().unwrap_or_else(|| panic!("{key} in {value}"))
}

/// Tokens of each document, by the library.
fn lengths() -> Vec<usize> {
    let tokenizer = ModelSource::builtin().unwrap().tokenizer;
    let text = std::fs::read_to_string(DATA).unwrap();
    documents(&text).map(|document| tokenizer.encode(document).unwrap().len()).collect()
}

#[test]
fn every_device_gives_the_same_perplexity() {
    // Past two blocks, so that the state takes part; not longer, because software adapters are slow.
    for more in [["--max-tokens", "400", "--context", "1000000"], ["--max-tokens", "400", "--context", "130"]]
    {
        let mut first = None;
        for device in devices() {
            let device: Vec<&str> = device.iter().map(String::as_str).collect();
            let report = eval(&device, &more);
            let perplexity = number(&report, "perplexity");
            println!("{:45} {more:?} perplexity {perplexity:.5}", report["device"].as_str().unwrap());
            let cpu = *first.get_or_insert(perplexity);
            assert!((perplexity / cpu - 1.0).abs() < 1e-3, "{device:?}: {perplexity}, on the CPU {cpu}");
            // What a model of English novels reaches on one, not what guessing does (2048).
            assert!((20.0..80.0).contains(&perplexity), "{perplexity}");
        }
    }
}

#[test]
fn every_token_is_counted_once() {
    let lengths = lengths();
    assert_eq!(lengths.len(), 2, "the empty document in between is skipped");
    let total: usize = lengths.iter().sum();
    let bytes: usize = documents(&std::fs::read_to_string(DATA).unwrap()).map(str::len).sum();
    for context in [None, Some(2), Some(128), Some(257), Some(total)] {
        let text = context.map(|n| n.to_string());
        let more: Vec<&str> = text.iter().flat_map(|n| ["--context", n]).collect();
        let report = eval(&["--backend", "cpu"], &more);
        let windows: usize = lengths.iter().map(|n| n.div_ceil(context.unwrap_or(usize::MAX))).sum();
        assert_eq!(report["tokens"], total);
        assert_eq!(report["scored_tokens"], total - windows, "{context:?}");
        assert_eq!(report["bytes"], bytes);
        let rows = report["documents"].as_array().unwrap();
        assert_eq!(
            rows.iter().map(|row| row["tokens"].as_u64().unwrap() as usize).collect::<Vec<_>>(),
            lengths
        );
        // The parts add up to the whole.
        let nll = |row: &Value| number(row, "nll_per_token") * number(row, "scored_tokens");
        let sum: f64 = rows.iter().map(nll).sum();
        assert!((sum - nll(&report)).abs() < 1e-6 * sum);
        let bits = nll(&report) / std::f64::consts::LN_2 / bytes as f64;
        assert!((bits - number(&report, "bits_per_byte")).abs() < 1e-9);
        assert!(
            (number(&report, "nll_per_token").exp() - number(&report, "perplexity")).abs()
                < 1e-9 * number(&report, "perplexity")
        );
        let longest = lengths.iter().max().unwrap().min(&context.unwrap_or(usize::MAX)).saturating_sub(1);
        let buckets = (longest / 128).checked_ilog2().map_or(1, |log| log as usize + 2);
        assert_eq!(report["nll_by_position"].as_object().unwrap().len(), buckets, "{context:?}");
    }
}

/// Positions count from the start of each window, and a window knows nothing of the one before.
#[test]
fn windows_start_afresh() {
    let first = eval(&["--backend", "cpu"], &["--max-tokens", "200"]);
    assert_eq!(first["tokens"], 400);
    let windows = eval(&["--backend", "cpu"], &["--max-tokens", "200", "--context", "200"]);
    assert_eq!(first["nll_per_token"], windows["nll_per_token"]);
    let stream = eval(&["--backend", "cpu"], &["--max-tokens", "400"]);
    let halves = eval(&["--backend", "cpu"], &["--max-tokens", "400", "--context", "200"]);
    assert_eq!((number(&stream, "scored_tokens"), number(&halves, "scored_tokens")), (798.0, 796.0));
    assert_ne!(stream["nll_per_token"], halves["nll_per_token"]);
    assert!(
        halves["nll_by_position"].get("256-512").is_none()
            && stream["nll_by_position"].get("256-512").is_some()
    );
}
