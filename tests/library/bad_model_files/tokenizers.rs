//! `tokenizer.json`: damaged, too large, incomplete; training one on too little.

use polysketch::model::Tokenizer;
use polysketch::model::tokenizer_train;
use polysketch::{Error, ErrorKind};
use serde_json::{Value, json};

use super::assert_error;

pub fn small_tokenizer() -> String {
    tokenizer_train::train(&["to be or not to be, that is the question"], 262, &mut |_| {})
        .expect("trains")
        .json
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
    fails(
        &|j| *j = json!({ "version": "1.0", "added_tokens": [], "model": { "type": "BPE", "vocab": {}, "merges": [] } }),
        "empty vocabulary",
    );
    let text = small_tokenizer();
    for end in [0, 1, text.len() / 2, text.len() - 2] {
        assert_error(
            Tokenizer::from_json_bytes(&text.as_bytes()[..end], "t.json"),
            ErrorKind::Tokenizer,
            &["t.json", "not valid JSON"],
        );
    }
    assert_error(Tokenizer::from_json_bytes(&[0xff, 0xfe, 0], "t.json"), ErrorKind::Tokenizer, &["t.json"]);
}

#[test]
fn tokenizers_too_large_for_the_model() {
    let tokenizer = tokenizer_of(|_| {}).expect("good");
    assert!(tokenizer.check_model(262).is_ok() && tokenizer.check_model(300).is_ok());
    assert_error(
        tokenizer.check_model(261),
        ErrorKind::Tokenizer,
        &["some/tokenizer.json", "has 262 tokens", "vocab_size is 261"],
    );
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
    assert!(
        small.warnings[0].contains("1000") && small.warnings[0].contains(&small.vocab_size.to_string()),
        "{:?}",
        small.warnings
    );
}
