//! What is written reads back as the same model, whatever fails leaves nothing, and what a file cannot say is
//! refused.

use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use serde_json::{Value as Json, json};

use super::Conversion;
use super::vocabulary::made;
use crate::error::{ErrorKind, Result};
use crate::files::faults;
use crate::model::gguf::{BlockType, Gguf, Metadata, Value};
use crate::model::{ChatTemplate, GgufVocabulary, Message, ModelSource, Tokenizer, WeightType};

fn public(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/public").join(name)
}

fn open(path: &Path) -> ModelSource {
    ModelSource::open(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

fn conversion<'a>(source: &'a ModelSource, folder: Option<&'a Path>) -> Conversion<'a> {
    Conversion { source, name: "test", folder, weights: None }
}

fn go_on(_: u64, _: u64) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        fs::read_dir(folder).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// A model of `llama-hf` with another tokenizer.
fn with_tokenizer(tokenizer: Tokenizer) -> ModelSource {
    ModelSource { tokenizer, ..open(&public("llama-hf")) }
}

fn load(file: &Json) -> Tokenizer {
    Tokenizer::from_json_bytes(file.to_string().as_bytes(), "t").unwrap_or_else(|e| panic!("{e}"))
}

#[test]
fn whatever_fails_leaves_nothing() {
    let from = public("llama-hf");
    let source = open(&from);
    let conversion = conversion(&source, Some(&from));
    for (out, empty) in [("m.gguf", false), ("m", false), ("m", true)] {
        faults::every(|k, fault| {
            let folder = tempfile::tempdir().unwrap();
            let out = folder.path().join(out);
            if empty {
                fs::create_dir(&out).unwrap();
            }
            let (written, hit) = faults::with(k, fault, || conversion.write(&out, &mut go_on));
            match written {
                Ok(_) => _ = open(&out),
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::Io, "{k}: {error}");
                    assert!(error.message().contains("/m"), "{k}: {error}");
                    let left: Vec<String> = if empty { names(&out) } else { names(folder.path()) };
                    assert!(left.is_empty(), "{k} {fault:?}: {left:?}");
                }
            }
            hit
        });
    }
}

#[test]
fn who_is_told_to_stop_stops_and_leaves_nothing() {
    let from = public("llama-hf");
    let source = open(&from);
    let folder = tempfile::tempdir().unwrap();
    for out in ["m.gguf", "m"] {
        let (mut last, mut calls) = ((0, 0), 0);
        let out = folder.path().join(out);
        let stopped = conversion(&source, Some(&from)).write(&out, &mut |done, all| {
            assert!(done >= last.0 && done <= all, "{done} of {all}");
            (last, calls) = ((done, all), calls + 1);
            if calls == 5 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        let error = stopped.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Cancelled, "{error}");
        assert!(names(folder.path()).is_empty());
        let written = conversion(&source, Some(&from))
            .write(&out, &mut |done, all| {
                last = (done, all);
                ControlFlow::Continue(())
            })
            .unwrap();
        assert_eq!(last.0, last.1, "told to the end");
        let size = |name: &str| {
            fs::metadata(if name.is_empty() { out.clone() } else { out.join(name) }).unwrap().len()
        };
        assert!(written.files.iter().all(|(name, bytes)| size(name) == *bytes), "{written:?}");
        fs::remove_dir_all(&out).or_else(|_| fs::remove_file(&out)).unwrap();
    }
}

#[test]
fn a_number_that_is_too_large_is_named() {
    use crate::model::checkpoint::{TensorData, Tensors, write_safetensors};
    let dir = tempfile::tempdir().unwrap();
    for name in ["config.json", "tokenizer.json"] {
        fs::copy(public("llama-hf").join(name), dir.path().join(name)).unwrap();
    }
    let file = Tensors::open(&public("llama-hf/model.safetensors")).unwrap();
    let mut tensors: Vec<(String, Vec<usize>, Vec<f32>)> = file
        .names()
        .into_iter()
        .map(|name| (name.clone(), file.shape(&name).unwrap().to_vec(), file.f32(&name).unwrap()))
        .collect();
    let large = tensors.iter_mut().find(|t| t.0.ends_with("layers.1.self_attn.k_proj.weight")).unwrap();
    large.2[70] = -70000.0;
    let list: Vec<_> =
        tensors.iter().map(|(name, shape, values)| TensorData::f32(name, shape, values)).collect();
    write_safetensors(&dir.path().join("model.safetensors"), &list, &[]).unwrap();
    let source = open(dir.path());
    let folder = tempfile::tempdir().unwrap();
    for out in ["m.gguf", "m"] {
        let out = folder.path().join(out);
        let error = conversion(&source, Some(dir.path())).write(&out, &mut go_on).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ModelFormat);
        for word in ["model.layers.1.self_attn.k_proj.weight", "-70000", "f16 holds at most 65504"] {
            assert!(error.message().contains(word), "{error}");
        }
        assert!(error.advice().is_some_and(|help| help.contains("f32")), "{error}");
        assert!(names(folder.path()).is_empty());
        let wide = Conversion { weights: Some(WeightType::F32), ..conversion(&source, Some(dir.path())) };
        wide.write(&out, &mut go_on).unwrap();
        fs::remove_dir_all(&out).or_else(|_| fs::remove_file(&out)).unwrap();
    }
}

/// A configuration that has no words in GGUF is refused by what it is.
#[test]
fn what_a_file_cannot_say_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    for name in ["model.safetensors", "tokenizer.json"] {
        fs::copy(public("llama-hf").join(name), dir.path().join(name)).unwrap();
    }
    let text = fs::read_to_string(public("llama-hf/config.json")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let refused = |change: &dyn Fn(&mut Json)| {
        let mut config: Json = serde_json::from_str(&text).unwrap();
        change(&mut config);
        fs::write(dir.path().join("config.json"), config.to_string()).unwrap();
        let source = open(dir.path());
        let error = conversion(&source, None).write(&folder.path().join("m.gguf"), &mut go_on).unwrap_err();
        assert!(names(folder.path()).is_empty() && error.advice().is_some(), "{error}");
        error.message().to_string()
    };
    let activation = refused(&|c| c["hidden_act"] = "gelu".into());
    assert!(activation.contains("the MLP's activation"), "{activation}");
    let partial = refused(&|c| c["rope_parameters"]["partial_rotary_factor"] = 0.5.into());
    assert!(partial.contains("rope.dimension_count is 8"), "{partial}");
}

/// SentencePiece's vocabulary: `<unk> <s> </s>`, 256 bytes, pieces with scores.
fn pieces(add_space: bool) -> GgufVocabulary {
    let mut tokens: Vec<String> = ["<unk>", "<s>", "</s>"].map(String::from).into();
    tokens.extend((0..=255u8).map(|b| format!("<0x{b:02X}>")));
    let mut types = vec![2, 3, 3];
    types.extend([6; 256]);
    let mut scores = vec![0.0; tokens.len()];
    for (at, token) in ["▁▁", "▁a", "ab", "▁ab", "abab", "▁", "a", "b", "c", "."].into_iter().enumerate()
    {
        tokens.push(token.into());
        types.push(1);
        scores.push(-(at as f32));
    }
    tokens.push("<user>".into());
    types.push(4);
    scores.push(0.0);
    GgufVocabulary {
        model: "llama".into(),
        tokens,
        types,
        scores,
        bos: Some(1),
        ends: vec![2],
        unknown: Some(0),
        add_bos: Some(true),
        add_space: Some(add_space),
        ..GgufVocabulary::default()
    }
}

const TEXTS: [&str; 8] =
    ["", "ab", "cab ab", "a  b   ab", "é 日", "abababab. cab.", "a</s>a<user>c", " ab\nab <s>"];

#[test]
fn pieces_go_to_a_folder_and_come_back() {
    for add_space in [true, false] {
        let before = pieces(add_space).tokenizer("before").unwrap();
        let (_, json) = super::texts::tokenizer_json(&before).unwrap().expect("has one");
        let folder = Tokenizer::from_json_bytes(&json, "folder").unwrap();
        assert_eq!(folder.begin(), [1], "its beginning is written too");
        let made = made(&with_tokenizer(folder.with_ends(&[2]))).unwrap();
        assert_eq!(
            (made.notes.len(), made.vocabulary.bos, made.vocabulary.add_bos),
            (0, Some(1), Some(true))
        );
        assert_eq!(
            (made.vocabulary.tokens.len(), &made.vocabulary.tokens[287]),
            (288, &"[PAD287]".to_string())
        );
        assert_eq!(made.vocabulary.types[..3], [2, 3, 3]);
        assert_eq!(made.vocabulary.add_space, Some(add_space));
        let metadata = Metadata::new("after", made.metadata());
        let after = GgufVocabulary::of(&metadata).unwrap().tokenizer("after").unwrap();
        for text in TEXTS {
            let ids = before.encode(text).unwrap();
            assert_eq!(folder.encode(text).unwrap(), ids, "{text:?}");
            assert_eq!(after.encode(text).unwrap(), ids, "{text:?}");
            assert_eq!(after.decode(&ids), before.decode(&ids), "{text:?}");
        }
        assert_eq!((after.begin(), after.ends()), (before.begin(), before.ends()));
    }
}

#[test]
fn tokenizers_that_files_have_no_words_for_are_refused() {
    let good: Json =
        serde_json::from_str(&fs::read_to_string(public("llama-hf/tokenizer.json")).unwrap()).unwrap();
    let with = |change: &dyn Fn(&mut Json)| {
        let mut file = good.clone();
        change(&mut file);
        made(&with_tokenizer(load(&file))).map(|made| made.notes)
    };
    assert_eq!(with(&|_| {}).unwrap(), Vec::<String>::new());
    let notes = with(&|t| t["normalizer"] = json!({ "type": "NFC" })).unwrap();
    assert!(notes.len() == 1 && notes[0].contains("NFC"), "{notes:?}");
    let notes = with(&|t| t["added_tokens"][1]["lstrip"] = true.into()).unwrap();
    assert!(notes.len() == 1 && notes[0].contains("<|im_start|>"), "{notes:?}");
    for (words, change) in [
        (
            "no tokenizer does",
            &(|t: &mut Json| t["pre_tokenizer"] = json!({ "type": "Whitespace" })) as &dyn Fn(&mut Json),
        ),
        ("no tokenizer does", &|t| t["model"]["ignore_merges"] = true.into()),
        ("no tokenizer does", &|t| {
            t["pre_tokenizer"]["pretokenizers"].as_array_mut().unwrap().remove(0);
            t["pre_tokenizer"]["pretokenizers"][0]["pattern"]["Regex"] = "[a-z]+".into();
        }),
        ("normalizer", &|t| t["normalizer"] = json!({ "type": "Lowercase" })),
        ("neither bytes", &|t| t["decoder"] = Json::Null),
        ("where words begin", &|t| t["model"]["end_of_word_suffix"] = "</w>".into()),
        ("WordLevel", &|t| {
            let vocab = t["model"]["vocab"].take();
            t["model"] = json!({ "type": "WordLevel", "vocab": vocab, "unk_token": "!" });
        }),
    ] {
        let error = with(change).unwrap_err();
        assert!(error.kind() == ErrorKind::Tokenizer && error.message().contains(words), "{words}: {error}");
        assert!(error.advice().is_some_and(|help| help.contains("folder")), "{error}");
    }
    // Merges that are in no order of their tokens.
    let vocabulary = pieces(true).tokenizer("p").unwrap();
    let (_, json) = super::texts::tokenizer_json(&vocabulary).unwrap().unwrap();
    let mut file: Json = serde_json::from_slice(&json).unwrap();
    let merges = file["model"]["merges"].as_array_mut().unwrap();
    merges.pop();
    let error = made(&with_tokenizer(load(&file))).unwrap_err();
    assert!(error.message().contains("merges are not in the order"), "{error}");
    // More tokens than the model.
    let mut large = with_tokenizer(load(&good));
    large.config.vocab_size = 100;
    assert!(made(&large).unwrap_err().message().contains("288 tokens"));
}

#[test]
fn models_of_bytes_get_a_token_a_byte_or_no_tokenizer() {
    let dir = tempfile::tempdir().unwrap();
    for name in ["model.safetensors", "config.json"] {
        fs::copy(public("llama-hf").join(name), dir.path().join(name)).unwrap();
    }
    let out = dir.path().join("bytes.gguf");
    let source = open(dir.path());
    let written = conversion(&source, Some(dir.path())).write(&out, &mut go_on).unwrap();
    assert!(written.notes.is_empty(), "{written:?}");
    let read = open(&out);
    for text in ["", "Hé 日\u{1}\n<|endoftext|> a", "123  456"] {
        assert_eq!(read.tokenizer.encode(text).unwrap(), source.tokenizer.encode(text).unwrap(), "{text:?}");
    }
    assert_eq!(read.tokenizer.vocab_size(), 257, "the rest are holes");
    assert_eq!(read.tokenizer.ends()[0], source.tokenizer.ends()[0]);

    // Fewer tokens than bytes.
    let source = open(&public("llama-gqa-tied"));
    let out = dir.path().join("none.gguf");
    let written = conversion(&source, None).write(&out, &mut go_on).unwrap();
    assert!(written.notes[0].contains("no tokenizer"), "{written:?}");
    let read = open(&out);
    assert_eq!(read.tokenizer.ends(), source.tokenizer.ends());
    assert!(read.checkpoint.metadata().unwrap().get("tokenizer.ggml.tokens").is_none());
    assert!(read.tokenizer.check_model(read.config.vocab_size).is_err());
}

/// Metadata of a file are those of the one it was made of, and so are its blocks.
#[test]
fn a_file_of_a_file_is_the_same_but_for_what_was_asked_for() -> Result<()> {
    let folder = tempfile::tempdir().unwrap();
    for name in ["qwen3-Q4_1", "llama-wide-Q4_K_M", "llama-Q4_1_smol", "gpt2-Q8_0", "llama-rope-llama3-F32"] {
        let from = public("gguf").join(format!("{name}.gguf"));
        let source = open(&from);
        let old = Gguf::open(&from)?;
        for (asked, keeps) in [
            (None, &(|_: BlockType| true) as &dyn Fn(BlockType) -> bool),
            (Some(WeightType::Q8), &|_| true),
            (Some(WeightType::Q4), &|kind| kind.quant(256).is_some_and(|q| q.bits == 4)),
            (Some(WeightType::F16), &|_| false),
        ] {
            let out = folder.path().join("new.gguf");
            let written =
                Conversion { weights: asked, ..conversion(&source, None) }.write(&out, &mut go_on)?;
            let new = Gguf::open(&out)?;
            assert_eq!(old.tensors().len(), new.tensors().len(), "{name}");
            let mut copied = 0;
            for (tensor, info) in old.tensors() {
                let found = &new.tensors()[tensor];
                assert_eq!(found.shape, info.shape, "{name}: {tensor}");
                if info.kind == BlockType::F32 && info.shape.len() == 1 {
                    assert!(
                        found.kind == BlockType::F32 && new.raw(tensor) == old.raw(tensor),
                        "{name}: {tensor}"
                    );
                } else if !info.kind.is_float() && keeps(info.kind) {
                    assert!(
                        found.kind == info.kind && new.raw(tensor) == old.raw(tensor),
                        "{name}: {tensor}"
                    );
                    copied += 1;
                }
            }
            assert_eq!(written.copied, copied, "{name} {asked:?}");
            for (key, value) in old.metadata().iter().filter(|(key, _)| *key != "general.file_type") {
                assert_eq!(new.metadata().get(key), Some(value), "{name}: {key}");
            }
            assert_eq!(old.metadata().iter().count(), new.metadata().iter().count());
            if asked.is_none() && !name.contains("F32") {
                let kind = |file: &Gguf| file.metadata().get("general.file_type").cloned();
                assert_eq!(kind(&new), kind(&old), "{name}");
            }
            fs::remove_file(&out).unwrap();
        }
    }
    Ok(())
}

/// Names, ends, beginning and template of a GGUF file survive in a folder, and those of a folder in a file.
#[test]
fn conversations_go_along() {
    let folder = tempfile::tempdir().unwrap();
    let messages =
        [Message::new("user", "Hi"), Message::new("assistant", "Hello"), Message::new("user", "?")];
    let render = |source: &ModelSource| {
        let template: &ChatTemplate = source.conventions.template().expect("has one");
        template.render(&messages, true).expect("renders")
    };
    for name in ["llama-Q4_1_smol.gguf", "qwen3-Q4_1.gguf", "llama-rope-linear-F16.gguf"] {
        let from = open(&public("gguf").join(name));
        let [there, back] = ["there", "back.gguf"].map(|end| folder.path().join(format!("{name}-{end}")));
        conversion(&from, None).write(&there, &mut go_on).unwrap();
        let there_source = open(&there);
        assert_eq!(there_source.warnings, Vec::<String>::new(), "{name}");
        conversion(&there_source, Some(&there)).write(&back, &mut go_on).unwrap();
        let back = open(&back);
        for source in [&there_source, &back] {
            assert_eq!(source.tokenizer.ends(), from.tokenizer.ends(), "{name}");
            assert_eq!(source.tokenizer.begin(), from.tokenizer.begin(), "{name}");
            assert_eq!(render(source), render(&from), "{name}");
            let mut tokens = source.conventions.tokens.clone();
            tokens.retain(|(name, _)| ["bos_token", "eos_token"].contains(&name.as_str()));
            let mut want = from.conventions.tokens.clone();
            want.retain(|(name, _)| ["bos_token", "eos_token"].contains(&name.as_str()));
            assert_eq!(tokens, want, "{name}");
        }
        let metadata = back.checkpoint.metadata().unwrap();
        let of_file = from.checkpoint.metadata().unwrap();
        for key in ["pre", "bos_token_id", "eos_token_id", "add_bos_token"] {
            let key = format!("tokenizer.ggml.{key}");
            assert_eq!(metadata.get(&key), of_file.get(&key), "{name}: {key}");
        }
        assert_eq!(
            metadata.get("general.architecture"),
            Some(&Value::Text(from.config.family.as_str().into()))
        );
    }
}
