//! `config.json`: impossible, missing and unknown values.

use polysketch::model::config::ModelConfig;
use polysketch::{Error, ErrorKind};
use serde_json::{Value, json};

use super::assert_error;

pub fn good_config() -> Value {
    json!({
        "model_type": "polysketch", "vocab_size": 24, "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2,
        "intermediate_size": 20, "activation": "gelu_tanh", "layer_norm_eps": 1e-5, "tie_word_embeddings": true,
        "logit_bias": true, "sinusoidal": false, "rope": { "where": "normed", "theta": 10000.0, "layout": "half" },
        "attention": {
            "kind": "polysketch", "degree": 4, "qk_scale": 0.25, "block_size": 16, "denominator_bias": 1.0, "gate": "scalar",
            "local_exact": true, "shared_qk_norm": false, "sketch_input": "normed",
            "sketch": { "kind": "learned", "size": 8, "levels": 2, "expansion": 8 }
        }
    })
}

pub fn config_of(value: &Value) -> Result<ModelConfig, Error> {
    ModelConfig::from_json(&value.to_string(), "some/config.json").map(|(config, _)| config)
}

/// The good configuration with some dotted keys changed; `null` takes a key away.
fn changed(changes: &[(&str, Value)]) -> Value {
    let mut config = good_config();
    for (key, value) in changes {
        config[key.split('.').collect::<Vec<_>>()[0]].is_null().then(|| panic!("{key}"));
        *config.pointer_mut(&format!("/{}", key.replace('.', "/"))).unwrap_or_else(|| panic!("{key}")) =
            value.clone();
    }
    config
}

#[test]
fn impossible_values_name_the_key_the_value_and_what_is_allowed() {
    let numbers = [
        json!(0),
        json!(-4),
        json!(6.5),
        json!(1e18),
        json!(1_000_000_000_000_000_000u64),
        json!("64"),
        json!([64]),
        json!(true),
    ];
    let sizes = [
        "vocab_size",
        "hidden_size",
        "num_hidden_layers",
        "num_attention_heads",
        "intermediate_size",
        "attention.degree",
        "attention.block_size",
        "attention.sketch.size",
        "attention.sketch.levels",
        "attention.sketch.expansion",
    ];
    for key in sizes {
        for value in &numbers {
            let shown = if value.is_array() { "a list".to_string() } else { value.to_string() };
            assert_error(
                config_of(&changed(&[(key, value.clone())])),
                ErrorKind::Config,
                &["some/config.json", key, &format!("is {shown}, must be")],
            );
        }
    }
    let rows: &[(&str, Value, &str)] = &[
        ("model_type", json!("mamba"), "\"polysketch\""),
        ("hidden_size", json!(18), "multiple of 4"),
        ("intermediate_size", json!(21), "multiple of 4"),
        ("attention.sketch.size", json!(6), "multiple of 4"),
        ("num_attention_heads", json!(3), "divisor of hidden_size 16"),
        ("num_attention_heads", json!(8), "multiple of 4"),
        ("layer_norm_eps", json!(2.0), "at most 1e0"),
        ("layer_norm_eps", json!("x"), "a number"),
        ("activation", json!("tanh"), "\"gelu_tanh\""),
        ("tie_word_embeddings", json!(0), "true"),
        ("logit_bias", json!(1), "true or false"),
        ("rope", json!(7), "an object"),
        ("rope.where", json!("everywhere"), "\"none\", \"raw\", \"normed\""),
        ("rope.theta", json!(0), "at least 1"),
        ("rope.theta", json!(-1e300), "at least 1"),
        ("rope.layout", json!("quarter"), "\"half\", \"interleaved\""),
        ("attention", json!("softmax"), "an object"),
        ("attention.kind", json!("linear"), "\"softmax\", \"polynomial\", \"polysketch\", \"taylor\""),
        ("attention.degree", json!(3), "4, 8, 16 or 32"),
        ("attention.degree", json!(2), "4, 8, 16 or 32"),
        ("attention.degree", json!(12), "4, 8, 16 or 32"),
        ("attention.qk_scale", json!(0), "above 0"),
        ("attention.qk_scale", json!(1e18), "at most 1e4"),
        ("attention.denominator_bias", json!(-1), "at least 0"),
        ("attention.gate", json!("vector"), "\"none\", \"scalar\""),
        ("attention.local_exact", json!("yes"), "true or false"),
        ("attention.sketch_input", json!("both"), "\"normed\", \"raw\""),
        ("attention.sketch", json!([]), "an object"),
        ("attention.sketch.kind", json!("fourier"), "\"learned\", \"gaussian\", \"hadamard\""),
    ];
    for (key, value, allowed) in rows {
        assert_error(
            config_of(&changed(&[(key, value.clone())])),
            ErrorKind::Config,
            &[key, "must be", allowed],
        );
    }
}

#[test]
fn values_that_do_not_go_together() {
    let kind = |kind: &str, degree: u64| {
        [
            ("attention.kind", json!(kind)),
            ("attention.degree", json!(degree)),
            ("attention.gate", json!("none")),
        ]
    };
    let with =
        |base: &[(&'static str, Value)], more: &[(&'static str, Value)]| changed(&[base, more].concat());
    assert_error(
        config_of(&with(&kind("polynomial", 3), &[])),
        ErrorKind::Config,
        &["attention.degree is 3", "multiple of 2"],
    );
    assert_error(
        config_of(&with(&kind("softmax", 4), &[])),
        ErrorKind::Config,
        &["rope.where is \"normed\"", "no norm"],
    );
    let gated = [("rope.where", json!("raw")), ("attention.gate", json!("scalar"))];
    assert_error(
        config_of(&with(&kind("softmax", 4), &gated)),
        ErrorKind::Config,
        &["attention.gate is \"scalar\"", "softmax"],
    );
    let wide = [("hidden_size", json!(256))];
    assert_error(
        config_of(&with(&kind("taylor", 4), &wide)),
        ErrorKind::Config,
        &["attention.degree is 4", "2 or less", "heads of 128", "65536"],
    );
    let raw = [("attention.local_exact", json!(false)), ("attention.sketch_input", json!("raw"))];
    assert_error(config_of(&changed(&raw)), ErrorKind::Config, &["rope.where is \"normed\"", "sketch_input"]);
    let hadamard = [("hidden_size", json!(24)), ("attention.sketch.kind", json!("hadamard"))];
    assert_error(
        config_of(&changed(&hadamard)),
        ErrorKind::Config,
        &["attention.sketch.kind is \"hadamard\"", "heads of 12"],
    );
    let mut backwards = good_config();
    backwards["attention"]["causal"] = json!(false);
    assert_error(config_of(&backwards), ErrorKind::Config, &["attention.gate", "causal"]);
    backwards["attention"]["gate"] = json!("none");
    assert_error(config_of(&backwards), ErrorKind::Config, &["attention.causal is false", "local_exact"]);
    let huge = [
        ("vocab_size", json!(1 << 24)),
        ("hidden_size", json!(1 << 16)),
        ("num_attention_heads", json!(1024)),
        ("num_hidden_layers", json!(1024)),
        ("intermediate_size", json!(1 << 18)),
    ];
    assert_error(config_of(&changed(&huge)), ErrorKind::Config, &["number of parameters"]);
}

#[test]
fn missing_values() {
    let keys = [
        "vocab_size",
        "hidden_size",
        "num_hidden_layers",
        "num_attention_heads",
        "intermediate_size",
        "rope",
        "rope.where",
        "attention",
        "attention.kind",
        "attention.degree",
        "attention.block_size",
        "attention.local_exact",
        "attention.sketch",
        "attention.sketch.kind",
        "attention.sketch.size",
    ];
    for key in keys {
        let result = config_of(&changed(&[(key, Value::Null)]));
        assert!(
            result.as_ref().err().and_then(Error::advice).is_some_and(|help| help.contains(key)),
            "{key}"
        );
        assert_error(result, ErrorKind::Config, &[key, "is missing, must be"]);
    }
}

#[test]
fn not_a_configuration_at_all() {
    for text in ["", "{", "\u{0}", "{\"vocab_size\": NaN}", "{\"vocab_size\": 1e999}", &"[".repeat(100_000)] {
        assert_error(
            ModelConfig::from_json(text, "c.json"),
            ErrorKind::Config,
            &["c.json", "not valid JSON"],
        );
    }
    for text in ["[]", "null", "7", "\"text\""] {
        assert_error(
            ModelConfig::from_json(text, "c.json"),
            ErrorKind::Config,
            &["c.json", "must be a JSON object"],
        );
    }
}

#[test]
fn unknown_and_idle_keys_are_warnings() {
    let mut config = good_config();
    config["torch_dtype"] = json!("float32");
    config["attention"]["sketch"]["gain"] = json!(1.0);
    config["attention"]["windo\nw"] = json!(4);
    let (_, warnings) =
        ModelConfig::from_json(&config.to_string(), "c.json").expect("warnings are no errors");
    assert_eq!(warnings.len(), 3, "{warnings:?}");
    for part in [
        "unknown key torch_dtype",
        "unknown key attention.windo\\nw",
        "attention.sketch.gain has no effect with attention.sketch.kind \"learned\"",
    ] {
        assert!(
            warnings.iter().any(|w| w.starts_with("c.json: ") && w.contains(part)),
            "{part}: {warnings:?}"
        );
    }
}
