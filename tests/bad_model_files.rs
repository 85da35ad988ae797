//! Damaged and impossible model files, made on the fly: each must give one clean error that names the thing and the
//! value, never a panic.

use std::path::Path;

use polysketch::error::{Error, ErrorKind};
use polysketch::model::checkpoint::{Checkpoint, Dtype, TensorData, Tensors, safetensors_bytes, write_safetensors};
use polysketch::model::config::ModelConfig;
use polysketch::model::parameters::ParameterSpec;
use polysketch::model::tokenizer::Tokenizer;
use polysketch::model::tokenizer_train;
use serde_json::{Value, json};

fn assert_error<T: std::fmt::Debug>(result: Result<T, Error>, kind: ErrorKind, parts: &[&str]) {
    let error = result.expect_err(&format!("should fail with {parts:?}"));
    assert_eq!(error.kind(), kind, "{error}");
    for part in parts {
        assert!(error.message().contains(part), "{part:?} is not in {:?}", error.message());
    }
    assert!(!error.message().contains('\n') && error.message().len() < 600, "{error}");
}

// ---------------------------------------------------------------------------------------------- configuration

fn good_config() -> Value {
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

fn config_of(value: &Value) -> Result<ModelConfig, Error> {
    ModelConfig::from_json(&value.to_string(), "some/config.json").map(|(config, _)| config)
}

/// The good configuration with some dotted keys changed; `null` takes a key away.
fn changed(changes: &[(&str, Value)]) -> Value {
    let mut config = good_config();
    for (key, value) in changes {
        config[key.split('.').collect::<Vec<_>>()[0]].is_null().then(|| panic!("{key}"));
        *config.pointer_mut(&format!("/{}", key.replace('.', "/"))).unwrap_or_else(|| panic!("{key}")) = value.clone();
    }
    config
}

#[test]
fn impossible_values_name_the_key_the_value_and_what_is_allowed() {
    let numbers = [json!(0), json!(-4), json!(6.5), json!(1e18), json!(1_000_000_000_000_000_000u64), json!("64"), json!([64]), json!(true)];
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
        ("model_type", json!("llama"), "\"polysketch\""),
        ("hidden_size", json!(18), "multiple of 4"),
        ("intermediate_size", json!(21), "multiple of 4"),
        ("attention.sketch.size", json!(6), "multiple of 4"),
        ("num_attention_heads", json!(3), "divisor of hidden_size 16"),
        ("num_attention_heads", json!(8), "multiple of 4"),
        ("layer_norm_eps", json!(1e-6), "1e-5"),
        ("layer_norm_eps", json!("x"), "a number"),
        ("activation", json!("relu"), "\"gelu_tanh\""),
        ("tie_word_embeddings", json!(false), "true"),
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
        assert_error(config_of(&changed(&[(key, value.clone())])), ErrorKind::Config, &[key, "must be", allowed]);
    }
}

#[test]
fn values_that_do_not_go_together() {
    let kind = |kind: &str, degree: u64| [("attention.kind", json!(kind)), ("attention.degree", json!(degree)), ("attention.gate", json!("none"))];
    let with = |base: &[(&'static str, Value)], more: &[(&'static str, Value)]| changed(&[base, more].concat());
    assert_error(config_of(&with(&kind("polynomial", 3), &[])), ErrorKind::Config, &["attention.degree is 3", "multiple of 2"]);
    assert_error(config_of(&with(&kind("softmax", 4), &[])), ErrorKind::Config, &["rope.where is \"normed\"", "softmax"]);
    let gated = [("rope.where", json!("raw")), ("attention.gate", json!("scalar"))];
    assert_error(config_of(&with(&kind("softmax", 4), &gated)), ErrorKind::Config, &["attention.gate is \"scalar\"", "softmax"]);
    let wide = [("hidden_size", json!(256))];
    assert_error(config_of(&with(&kind("taylor", 4), &wide)), ErrorKind::Config, &["attention.degree is 4", "2 or less", "heads of 128", "65536"]);
    let raw = [("attention.local_exact", json!(false)), ("attention.sketch_input", json!("raw"))];
    assert_error(config_of(&changed(&raw)), ErrorKind::Config, &["rope.where is \"normed\"", "sketch_input"]);
    let hadamard = [("hidden_size", json!(24)), ("attention.sketch.kind", json!("hadamard"))];
    assert_error(config_of(&changed(&hadamard)), ErrorKind::Config, &["attention.sketch.kind is \"hadamard\"", "heads of 12"]);
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
        assert!(result.as_ref().err().and_then(Error::advice).is_some_and(|help| help.contains(key)), "{key}");
        assert_error(result, ErrorKind::Config, &[key, "is missing, must be"]);
    }
}

#[test]
fn not_a_configuration_at_all() {
    for text in ["", "{", "\u{0}", "{\"vocab_size\": NaN}", "{\"vocab_size\": 1e999}", &"[".repeat(100_000)] {
        assert_error(ModelConfig::from_json(text, "c.json"), ErrorKind::Config, &["c.json", "not valid JSON"]);
    }
    for text in ["[]", "null", "7", "\"text\""] {
        assert_error(ModelConfig::from_json(text, "c.json"), ErrorKind::Config, &["c.json", "must be a JSON object"]);
    }
}

#[test]
fn unknown_and_idle_keys_are_warnings() {
    let mut config = good_config();
    config["torch_dtype"] = json!("float32");
    config["attention"]["sketch"]["gain"] = json!(1.0);
    config["attention"]["windo\nw"] = json!(4);
    let (_, warnings) = ModelConfig::from_json(&config.to_string(), "c.json").expect("warnings are no errors");
    assert_eq!(warnings.len(), 3, "{warnings:?}");
    for part in
        ["unknown key torch_dtype", "unknown key attention.windo\\nw", "attention.sketch.gain has no effect with attention.sketch.kind \"learned\""]
    {
        assert!(warnings.iter().any(|w| w.starts_with("c.json: ") && w.contains(part)), "{part}: {warnings:?}");
    }
}

// ---------------------------------------------------------------------------------------------------- weights

struct Model {
    specs: Vec<ParameterSpec>,
    values: Vec<Vec<f32>>,
}

impl Model {
    fn new() -> Self {
        let specs = config_of(&good_config()).expect("the good configuration is good").parameters();
        let values = specs.iter().map(|spec| (0..spec.elements()).map(|i| i as f32 / 64.0).collect()).collect();
        Self { specs, values }
    }

    fn tensors(&self) -> Vec<TensorData<'_>> {
        self.specs.iter().zip(&self.values).map(|(spec, values)| TensorData::f32(&spec.name, &spec.shape, values)).collect()
    }

    fn bytes(&self) -> Vec<u8> {
        safetensors_bytes(&self.tensors(), &[]).expect("the tensors fit their shapes")
    }
}

fn check(tensors: &[TensorData<'_>]) -> Result<Vec<String>, Error> {
    let bytes = safetensors_bytes(tensors, &[]).expect("the tensors fit their shapes");
    Checkpoint::from_bytes(bytes, "w.safetensors").and_then(|c| c.check(&Model::new().specs))
}

#[test]
fn damaged_containers() {
    let good = Model::new().bytes();
    let header_len = u64::from_le_bytes(*good.first_chunk().expect("eight bytes")) as usize;
    let open = |bytes: Vec<u8>| Checkpoint::from_bytes(bytes, "w.safetensors");
    let with_length = |n: u64| [&n.to_le_bytes(), &good[8..]].concat();
    let with_header = |f: &dyn Fn(&mut Value)| {
        let mut header: Value = serde_json::from_slice(&good[8..8 + header_len]).expect("a header");
        f(&mut header);
        let header = header.to_string().into_bytes();
        [&(header.len() as u64).to_le_bytes()[..], &header, &good[8 + header_len..]].concat()
    };
    let rows: Vec<(Vec<u8>, Vec<&str>)> = vec![
        (vec![], vec!["only 0 bytes"]),
        (good[..5].to_vec(), vec!["only 5 bytes"]),
        (good[..header_len / 2].to_vec(), vec!["claims a header of", "bytes in all"]),
        (good[..good.len() - 1].to_vec(), vec!["its tensors take", "the file has"]),
        ([&good[..], &[0]].concat(), vec!["its tensors take", "the file has"]),
        (with_length(u64::MAX), vec!["claims a header of 18446744073709551615 bytes"]),
        (with_length(1 << 40), vec!["claims a header of 1099511627776 bytes"]),
        (with_length(90_000_000), vec!["claims a header of 90000000 bytes", "bytes in all"]),
        (with_length(3), vec!["the header is not valid"]),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 12\n".to_vec(), vec!["claims a header of"]),
        (with_header(&|h| h["model.norm.bias"]["data_offsets"] = json!([0, 64])), vec!["starts at byte 0"]),
        (with_header(&|h| h["lm_head.bias"]["data_offsets"] = json!([0, u64::MAX])), vec!["lm_head.bias"]),
        (with_header(&|h| h["lm_head.bias"]["data_offsets"] = json!([96, 0])), vec!["lm_head.bias", "96..0"]),
        (with_header(&|h| h["lm_head.bias"]["shape"] = json!([25])), vec!["lm_head.bias", "[25]", "100 bytes"]),
        (with_header(&|h| h["lm_head.bias"]["shape"] = json!([1u64 << 40, 1u64 << 40])), vec!["lm_head.bias", "1099511627776"]),
        (with_header(&|h| h["lm_head.bias"]["shape"] = json!([u64::MAX, u64::MAX, u64::MAX])), vec!["impossible shape"]),
        (with_header(&|h| h["lm_head.bias"]["shape"] = json!([-1])), vec!["the header is not valid"]),
        (with_header(&|h| h["lm_head.bias"]["dtype"] = json!("F7")), vec!["the header is not valid", "F7"]),
        (with_header(&|h| *h = json!([])), vec!["the header is not valid"]),
    ];
    for (bytes, parts) in rows {
        let result = open(bytes);
        assert!(result.as_ref().err().is_some_and(|e| e.advice().is_some()), "{parts:?}");
        assert_error(result, ErrorKind::ModelFormat, &[&["w.safetensors"], &parts[..]].concat());
    }
    let pointer = open(b"version https://git-lfs.github.com/spec/v1\n".to_vec());
    assert!(pointer.is_err_and(|e| e.advice().is_some_and(|help| help.contains("git lfs pull"))));
}

#[test]
fn tensors_that_do_not_fit_the_configuration() {
    let model = Model::new();
    assert_eq!(check(&model.tensors()).expect("fits"), Vec::<String>::new());

    let mut tensors = model.tensors();
    let shapes = tensors[0].shape.clone();
    tensors[0].shape.reverse();
    assert_error(
        check(&tensors),
        ErrorKind::ModelFormat,
        &["w.safetensors", "model.embed_tokens.weight", "has shape [16, 24]", &format!("{shapes:?}")],
    );

    let mut tensors = model.tensors();
    tensors[0].dtype = Dtype::I32;
    assert_error(check(&tensors), ErrorKind::ModelFormat, &["model.embed_tokens.weight", "has type I32", "F32, F16 or BF16"]);

    let mut tensors = model.tensors();
    let gone: Vec<String> = tensors.drain(..5).map(|t| t.name).collect();
    assert_error(check(&tensors), ErrorKind::ModelFormat, &["5 of", "tensors missing", &gone[0], &gone[1], &gone[2], "and 2 more"]);

    let mut tensors = model.tensors();
    tensors.push(TensorData::f32("optimizer.step", &[1], &[1.0]));
    let warnings = check(&tensors).expect("an unknown tensor is no error");
    assert!(warnings.len() == 1 && warnings[0].contains("optimizer.step") && warnings[0].contains("w.safetensors"), "{warnings:?}");
}

#[test]
fn weights_that_are_no_numbers() {
    for (value, shown) in [(f32::NAN, "NaN"), (f32::INFINITY, "inf"), (f32::NEG_INFINITY, "-inf")] {
        let mut model = Model::new();
        model.values[0][77] = value;
        model.values[0][200] = f32::NAN;
        let checkpoint = Checkpoint::from_bytes(model.bytes(), "w.safetensors").expect("the container is sound");
        assert_error(
            checkpoint.f32("model.embed_tokens.weight"),
            ErrorKind::ModelFormat,
            &["w.safetensors", "model.embed_tokens.weight", &format!("holds {shown} at index 77")],
        );
        let half = safetensors_bytes(&[TensorData::f16("x", &[24, 16], &model.values[0])], &[]).expect("fits");
        let half = Checkpoint::from_bytes(half, "h").expect("the container is sound");
        assert_error(half.f16_bits("x"), ErrorKind::ModelFormat, &["tensor x", &format!("holds {shown} at index 77")]);
        assert_error(half.f32("x"), ErrorKind::ModelFormat, &["index 77"]);
    }
    // Too large for f16: infinite once stored.
    let half = safetensors_bytes(&[TensorData::f16("x", &[1], &[1e6])], &[]).expect("fits");
    assert_error(Checkpoint::from_bytes(half, "h").expect("sound").f32("x"), ErrorKind::ModelFormat, &["holds inf at index 0"]);
    let checkpoint = Checkpoint::from_bytes(Model::new().bytes(), "w.safetensors").expect("sound");
    assert_error(checkpoint.f32("no.such"), ErrorKind::ModelFormat, &["w.safetensors", "no.such", "missing"]);
}

#[test]
fn folders_and_shards() {
    let folder = tempfile::tempdir().expect("a folder");
    let dir = folder.path();
    assert_error(Checkpoint::open(&dir.join("nowhere")), ErrorKind::Io, &["nowhere"]);
    assert_error(Checkpoint::open(dir), ErrorKind::Io, &["model.safetensors"]);

    let model = Model::new();
    let tensors = model.tensors();
    let (a, b) = tensors.split_at(7);
    write_safetensors(&dir.join("a.safetensors"), a, &[]).expect("writes");
    write_safetensors(&dir.join("b.safetensors"), b, &[("format", "pt")]).expect("writes");
    let index = |change: &dyn Fn(&mut Value)| {
        let mut map = json!({});
        for (file, list) in [("a.safetensors", a), ("b.safetensors", b)] {
            list.iter().for_each(|t| map[&t.name] = json!(file));
        }
        let mut index = json!({ "metadata": { "total_size": 1 }, "weight_map": map });
        change(&mut index);
        std::fs::write(dir.join("model.safetensors.index.json"), index.to_string()).expect("writes");
        Checkpoint::open(dir)
    };
    let good = index(&|_| {}).expect("sharded");
    assert_eq!(good.check(&model.specs).expect("complete"), Vec::<String>::new());
    for (spec, values) in model.specs.iter().zip(&model.values) {
        assert_eq!(&good.f32(&spec.name).expect("there"), values);
    }
    assert_eq!(good.bytes_total(), model.values.iter().map(|v| v.len() as u64 * 4).sum::<u64>());

    let first = &a[0].name;
    assert_error(index(&|i| i["weight_map"][first] = json!("b.safetensors")), ErrorKind::ModelFormat, &["index.json", "b.safetensors", first]);
    assert_error(index(&|i| i["weight_map"][first] = json!("c.safetensors")), ErrorKind::Io, &["c.safetensors"]);
    for path in ["../a.safetensors", "/etc/passwd", "", ".", "x/y", "..\\a"] {
        assert_error(index(&|i| i["weight_map"][first] = json!(path)), ErrorKind::ModelFormat, &["index.json", first, path]);
    }
    assert_error(index(&|i| i["weight_map"] = json!({})), ErrorKind::ModelFormat, &["weight_map is empty"]);
    assert_error(index(&|i| *i = json!({})), ErrorKind::ModelFormat, &["index.json", "weight_map"]);
    assert_error(index(&|i| i["weight_map"][first] = json!(7)), ErrorKind::ModelFormat, &["index.json", "not a valid index"]);
    std::fs::write(dir.join("b.safetensors"), b"short").expect("writes");
    assert_error(index(&|_| {}), ErrorKind::ModelFormat, &["b.safetensors", "only 5 bytes"]);
    let twice = [a, a].map(|t| Tensors::from_bytes(safetensors_bytes(t, &[]).expect("fits"), "t").expect("sound"));
    assert_error(Checkpoint::from_files(twice.into()), ErrorKind::ModelFormat, &["also in another file"]);
}

#[test]
fn token_files() {
    let bytes = safetensors_bytes(
        &[
            TensorData::new("tokens", Dtype::I32, &[1, 3], &[1i32, -2, 3]),
            TensorData::new("big", Dtype::I64, &[2], &[1i64 << 40, 0]),
            TensorData::f32("logits", &[2], &[0.5, f32::NAN]),
        ],
        &[],
    )
    .expect("fits");
    let file = Tensors::from_bytes(bytes, "t.safetensors").expect("sound");
    assert_eq!(file.i32("tokens").expect("i32"), [1, -2, 3]);
    assert_eq!(file.shape("tokens"), Some(&[1, 3][..]));
    assert!(file.f64("logits").expect("f32")[1].is_nan());
    assert_error(file.u32("tokens"), ErrorKind::Input, &["t.safetensors", "tokens", "holds -2 at index 1"]);
    assert_error(file.i32("big"), ErrorKind::Input, &["big", "1099511627776"]);
    assert_error(file.i32("logits"), ErrorKind::Input, &["logits", "has type F32", "must be I32"]);
    assert_error(file.f32("tokens"), ErrorKind::Input, &["tokens", "has type I32", "must be F32"]);
    assert_error(file.i32("ids"), ErrorKind::Input, &["no tensor ids", "tokens"]);
}

#[test]
fn writing_refuses_tensors_that_do_not_fit() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("x.safetensors");
    let wrong = [TensorData::f32("x", &[3], &[1.0])];
    let twice = [TensorData::f32("x", &[1], &[1.0]), TensorData::f32("x", &[1], &[2.0])];
    for tensors in [&wrong[..], &twice[..]] {
        assert_error(safetensors_bytes(tensors, &[]), ErrorKind::Shape, &["tensor x"]);
        assert_error(write_safetensors(&path, tensors, &[]), ErrorKind::Io, &["x.safetensors", "tensor x"]);
        assert!(std::fs::read_dir(folder.path()).expect("lists").next().is_none(), "something was left behind");
    }
}

// -------------------------------------------------------------------------------------------------- tokenizer

fn small_tokenizer() -> String {
    tokenizer_train::train(&["to be or not to be, that is the question"], 262, &mut |_| {}).expect("trains").json
}

fn tokenizer_of(change: impl Fn(&mut Value)) -> Result<Tokenizer, Error> {
    let mut json: Value = serde_json::from_str(&small_tokenizer()).expect("JSON");
    change(&mut json);
    Tokenizer::from_json_bytes(json.to_string().as_bytes(), "some/tokenizer.json")
}

#[test]
fn damaged_tokenizers() {
    let fails = |change: &dyn Fn(&mut Value), part: &str| {
        let result = tokenizer_of(change);
        assert!(result.as_ref().err().is_some_and(|e| e.advice().is_some()), "{part}");
        assert_error(result, ErrorKind::Tokenizer, &["some/tokenizer.json", part]);
    };
    fails(&|j| *j = json!({}), "not a tokenizer");
    fails(&|j| *j = json!([1]), "not a tokenizer");
    fails(&|j| j["model"]["type"] = json!("Markov"), "not a tokenizer");
    fails(&|j| j["model"]["merges"] = json!([["no", "such"]]), "not a tokenizer");
    fails(&|j| j["model"]["vocab"]["a"] = json!(-1), "not a tokenizer");
    fails(&|j| j["model"]["vocab"]["zzz"] = json!(4_000_000_000u32), "4000000000");
    fails(&|j| *j = json!({ "version": "1.0", "added_tokens": [], "model": { "type": "BPE", "vocab": {}, "merges": [] } }), "empty vocabulary");
    let text = small_tokenizer();
    for end in [0, 1, text.len() / 2, text.len() - 2] {
        assert_error(Tokenizer::from_json_bytes(&text.as_bytes()[..end], "t.json"), ErrorKind::Tokenizer, &["t.json", "not valid JSON"]);
    }
    assert_error(Tokenizer::from_json_bytes(&[0xff, 0xfe, 0], "t.json"), ErrorKind::Tokenizer, &["t.json"]);
}

#[test]
fn tokenizers_too_large_for_the_model() {
    let tokenizer = tokenizer_of(|_| {}).expect("good");
    assert!(tokenizer.check_model(262).is_ok() && tokenizer.check_model(300).is_ok());
    assert_error(tokenizer.check_model(261), ErrorKind::Tokenizer, &["some/tokenizer.json", "has 262 tokens", "vocab_size is 261"]);
    assert_error(Tokenizer::bytes().check_model(61), ErrorKind::Tokenizer, &["has 257 tokens", "is 61"]);
}

#[test]
fn text_that_the_vocabulary_cannot_write() {
    let tokenizer = tokenizer_of(|j| {
        let vocab = j["model"]["vocab"].as_object_mut().expect("a vocabulary");
        vocab.remove("Ã");
    })
    .expect("a tokenizer without byte 0xc3");
    assert!(tokenizer.encode("cafe").is_ok());
    assert_error(tokenizer.encode("café"), ErrorKind::Input, &["some/tokenizer.json", "0xc3", "at byte 3"]);
}

#[test]
fn tokenizer_training_on_too_little() {
    let train = |texts: &[&str], n: usize| tokenizer_train::train(texts, n, &mut |_| {});
    assert_error(train(&["some text"], 257), ErrorKind::Input, &["257", "258"]);
    assert_error(train(&["some text"], usize::MAX), ErrorKind::Input, &["1048576"]);
    assert_error(train(&[], 300), ErrorKind::Input, &["nothing to train"]);
    assert_error(train(&["", "<|endoftext|>"], 300), ErrorKind::Input, &["nothing to train"]);
    let small = train(&["aaaa"], 1000).expect("trains what there is");
    assert!(small.vocab_size < 1000 && small.warnings.len() == 1, "{small:?}");
    assert!(small.warnings[0].contains("1000") && small.warnings[0].contains(&small.vocab_size.to_string()), "{:?}", small.warnings);
}

// ------------------------------------------------------------------------------------------- anything at all

/// Bytes changed at random: any error will do, but no panic and no wild allocation.
#[test]
fn random_damage_never_panics() {
    let mut state = 0x9e37_79b9_7f4a_7c15u64;
    let mut random = move |n: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % n.max(1) as u64) as usize
    };
    let specs = Model::new().specs;
    type Load<'a> = &'a dyn Fn(Vec<u8>);
    let sources: [(Vec<u8>, Load<'_>); 3] = [
        (good_config().to_string().into_bytes(), &|b| drop(ModelConfig::from_json(&String::from_utf8_lossy(&b), "fuzz"))),
        (Model::new().bytes(), &|b| {
            drop(Checkpoint::from_bytes(b, "fuzz").map(|c| c.check(&specs).map(|_| specs.iter().for_each(|s| drop(c.f32(&s.name))))));
        }),
        (small_tokenizer().into_bytes(), &|b| {
            drop(Tokenizer::from_json_bytes(&b, "fuzz").and_then(|t| t.encode("to be, ünd <|endoftext|> 日本").and_then(|ids| t.decode(&ids))));
        }),
    ];
    for (good, load) in sources {
        for _ in 0..2000 {
            let mut bytes = good.clone();
            for _ in 0..=random(4) {
                let at = random(bytes.len().min(4096));
                match random(4) {
                    0 => bytes[at] = random(256) as u8,
                    1 => bytes[at] = b"0123456789eE-+.\"{}[],:ntf"[random(25)],
                    2 => drop(bytes.remove(at)),
                    _ => bytes.insert(at, b'9'),
                }
            }
            load(bytes);
        }
    }
}

#[test]
fn a_folder_is_not_a_file() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::create_dir(folder.path().join("model.safetensors")).expect("makes");
    assert_error(Checkpoint::open(folder.path()), ErrorKind::Io, &["model.safetensors", "is a folder"]);
    assert_error(Tensors::open(Path::new("/no/such/tokens.safetensors")), ErrorKind::Io, &["/no/such/tokens.safetensors"]);
}
