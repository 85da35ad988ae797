//! Weights and token files: damaged, incomplete, of another model.

use std::path::Path;

use polysketch::model::checkpoint::{
    Checkpoint, Dtype, TensorData, Tensors, safetensors_bytes, write_safetensors,
};
use polysketch::model::parameters::ParameterSpec;
use polysketch::{Error, ErrorKind};
use serde_json::{Value, json};

use super::assert_error;
use super::configuration::{config_of, good_config};

/// Weights of the good configuration.
pub struct Model {
    pub specs: Vec<ParameterSpec>,
    values: Vec<Vec<f32>>,
}

impl Model {
    pub fn new() -> Self {
        let specs = config_of(&good_config()).expect("the good configuration is good").parameters();
        let values =
            specs.iter().map(|spec| (0..spec.elements()).map(|i| i as f32 / 64.0).collect()).collect();
        Self { specs, values }
    }

    fn tensors(&self) -> Vec<TensorData<'_>> {
        self.specs
            .iter()
            .zip(&self.values)
            .map(|(spec, values)| TensorData::f32(&spec.name, &spec.shape, values))
            .collect()
    }

    pub fn bytes(&self) -> Vec<u8> {
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
        (
            b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 12\n".to_vec(),
            vec!["claims a header of"],
        ),
        (with_header(&|h| h["model.norm.bias"]["data_offsets"] = json!([0, 64])), vec!["starts at byte 0"]),
        (with_header(&|h| h["lm_head.bias"]["data_offsets"] = json!([0, u64::MAX])), vec!["lm_head.bias"]),
        (with_header(&|h| h["lm_head.bias"]["data_offsets"] = json!([96, 0])), vec!["lm_head.bias", "96..0"]),
        (
            with_header(&|h| h["lm_head.bias"]["shape"] = json!([25])),
            vec!["lm_head.bias", "[25]", "100 bytes"],
        ),
        (
            with_header(&|h| h["lm_head.bias"]["shape"] = json!([1u64 << 40, 1u64 << 40])),
            vec!["lm_head.bias", "1099511627776"],
        ),
        (
            with_header(&|h| h["lm_head.bias"]["shape"] = json!([u64::MAX, u64::MAX, u64::MAX])),
            vec!["impossible shape"],
        ),
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
    assert_error(
        check(&tensors),
        ErrorKind::ModelFormat,
        &["model.embed_tokens.weight", "has type I32", "F32, F16 or BF16"],
    );

    let mut tensors = model.tensors();
    let gone: Vec<String> = tensors.drain(..5).map(|t| t.name).collect();
    assert_error(
        check(&tensors),
        ErrorKind::ModelFormat,
        &["5 of", "tensors missing", &gone[0], &gone[1], &gone[2], "and 2 more"],
    );

    let mut tensors = model.tensors();
    tensors.push(TensorData::f32("optimizer.step", &[1], &[1.0]));
    let warnings = check(&tensors).expect("an unknown tensor is no error");
    assert!(
        warnings.len() == 1
            && warnings[0].contains("optimizer.step")
            && warnings[0].contains("w.safetensors"),
        "{warnings:?}"
    );
}

#[test]
fn weights_that_are_no_numbers() {
    for (value, shown) in [(f32::NAN, "NaN"), (f32::INFINITY, "inf"), (f32::NEG_INFINITY, "-inf")] {
        let mut model = Model::new();
        model.values[0][77] = value;
        model.values[0][200] = f32::NAN;
        let checkpoint =
            Checkpoint::from_bytes(model.bytes(), "w.safetensors").expect("the container is sound");
        assert_error(
            checkpoint.f32("model.embed_tokens.weight"),
            ErrorKind::ModelFormat,
            &["w.safetensors", "model.embed_tokens.weight", &format!("holds {shown} at index 77")],
        );
        let half =
            safetensors_bytes(&[TensorData::f16("x", &[24, 16], &model.values[0])], &[]).expect("fits");
        let half = Checkpoint::from_bytes(half, "h").expect("the container is sound");
        assert_error(
            half.f16_bits("x"),
            ErrorKind::ModelFormat,
            &["tensor x", &format!("holds {shown} at index 77")],
        );
        assert_error(half.f32("x"), ErrorKind::ModelFormat, &["index 77"]);
    }
    // Too large for f16, and just not.
    for (value, fits) in [(70000.0, false), (-65520.0, false), (65519.0, true), (1e-30, true)] {
        let mut model = Model::new();
        model.values[0][77] = value;
        let checkpoint = Checkpoint::from_bytes(model.bytes(), "w.safetensors").expect("sound");
        let halves = checkpoint.f16_bits("model.embed_tokens.weight");
        if fits {
            assert!(halves.is_ok(), "{value}");
        } else {
            assert_error(
                halves,
                ErrorKind::ModelFormat,
                &[
                    "w.safetensors",
                    "model.embed_tokens.weight",
                    &format!("holds {value} at index 77"),
                    "65504",
                ],
            );
        }
    }
    // Infinite once stored.
    let half = safetensors_bytes(&[TensorData::f16("x", &[1], &[1e6])], &[]).expect("fits");
    assert_error(
        Checkpoint::from_bytes(half, "h").expect("sound").f32("x"),
        ErrorKind::ModelFormat,
        &["holds inf at index 0"],
    );
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
    assert_error(
        index(&|i| i["weight_map"][first] = json!("b.safetensors")),
        ErrorKind::ModelFormat,
        &["index.json", "b.safetensors", first],
    );
    assert_error(
        index(&|i| i["weight_map"][first] = json!("c.safetensors")),
        ErrorKind::Io,
        &["c.safetensors"],
    );
    for path in ["../a.safetensors", "/etc/passwd", "", ".", "x/y", "..\\a"] {
        assert_error(
            index(&|i| i["weight_map"][first] = json!(path)),
            ErrorKind::ModelFormat,
            &["index.json", first, path],
        );
    }
    assert_error(index(&|i| i["weight_map"] = json!({})), ErrorKind::ModelFormat, &["weight_map is empty"]);
    assert_error(index(&|i| *i = json!({})), ErrorKind::ModelFormat, &["index.json", "weight_map"]);
    assert_error(
        index(&|i| i["weight_map"][first] = json!(7)),
        ErrorKind::ModelFormat,
        &["index.json", "not a valid index"],
    );
    std::fs::write(dir.join("b.safetensors"), b"short").expect("writes");
    assert_error(index(&|_| {}), ErrorKind::ModelFormat, &["b.safetensors", "only 5 bytes"]);
    let twice =
        [a, a].map(|t| Tensors::from_bytes(safetensors_bytes(t, &[]).expect("fits"), "t").expect("sound"));
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
        assert!(
            std::fs::read_dir(folder.path()).expect("lists").next().is_none(),
            "something was left behind"
        );
    }
}

#[test]
fn a_folder_is_not_a_file() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::create_dir(folder.path().join("model.safetensors")).expect("makes");
    assert_error(Checkpoint::open(folder.path()), ErrorKind::Io, &["model.safetensors", "is a folder"]);
    assert_error(
        Tensors::open(Path::new("/no/such/tokens.safetensors")),
        ErrorKind::Io,
        &["/no/such/tokens.safetensors"],
    );
}
