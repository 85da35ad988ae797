//! Vocabularies of public models and their chat templates: the same tokens and texts as the libraries that
//! the models were made with (`tests/public`).

use std::path::PathBuf;

use polysketch::model::{ChatTemplate, EncodeOptions, GgufVocabulary, Message, Tokenizer};
use polysketch::{ErrorKind, Result};
use serde_json::Value;

fn public(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/public").join(name)
}

fn json(name: &str) -> Value {
    let text = std::fs::read_to_string(public(name)).expect("reads");
    serde_json::from_str(&text).expect("JSON")
}

fn words(list: &Value) -> Vec<String> {
    list.as_array().into_iter().flatten().map(|x| x.as_str().expect("a text").to_string()).collect()
}

fn ids(list: &Value) -> Vec<u32> {
    list.as_array().expect("a list").iter().map(|x| x.as_u64().expect("an id") as u32).collect()
}

fn messages(list: &Value) -> Vec<Message> {
    serde_json::from_value(list.clone()).expect("messages")
}

/// A vocabulary as a GGUF file has it.
fn vocabulary(file: &Value) -> GgufVocabulary {
    let id = |name: &str| file[name].as_u64().map(|id| id as u32);
    GgufVocabulary {
        model: file["ggml.model"].as_str().expect("a kind").into(),
        pre: file["ggml.pre"].as_str().map(Into::into),
        tokens: words(&file["ggml.tokens"]),
        types: ids(&file["ggml.token_type"]),
        merges: words(&file["ggml.merges"]),
        bos: id("ggml.bos_token_id"),
        ends: id("ggml.eos_token_id").into_iter().collect(),
        add_bos: file["ggml.add_bos_token"].as_bool(),
        ..GgufVocabulary::default()
    }
}

#[test]
fn tokens_of_every_cut_are_those_of_llama_cpp() {
    let (expected, files) = (json("gguf/tokens.json"), json("gguf/vocabularies.json"));
    for (pre, expected) in expected.as_object().expect("by cut") {
        let vocabulary = vocabulary(&files[pre]);
        let tokenizer = vocabulary.tokenizer(pre).expect("a tokenizer");
        for text in expected["texts"].as_array().expect("texts") {
            let (text, ids) = (text["text"].as_str().expect("a text"), ids(&text["ids"]));
            assert_eq!(tokenizer.encode(text).expect("encodes"), ids, "{pre}: {text:?}");
            assert_eq!(tokenizer.decode(&ids), text, "{pre}");
        }
        let begin: Vec<u32> = vocabulary.bos.into_iter().filter(|_| expected["adds_bos"] == true).collect();
        assert_eq!(tokenizer.begin(), begin, "{pre}");
        assert!(
            tokenizer.ends().contains(&2) && tokenizer.ends().contains(&0),
            "{pre}: {:?}",
            tokenizer.ends()
        );
    }
}

#[test]
fn the_same_vocabulary_in_every_kind_of_file() {
    let file = &json("gguf/vocabularies.json")["smollm"];
    let from_gguf = vocabulary(file).tokenizer("gguf").expect("a tokenizer");
    let from_json = Tokenizer::open(&public("llama-hf")).expect("opens");
    // vocab.json and merges.txt, cut as GPT-2 does.
    let file = &json("gguf/vocabularies.json")["gpt-2"];
    let dir = tempfile::tempdir().expect("a folder");
    let tokens = words(&file["ggml.tokens"]);
    let lists: serde_json::Map<String, Value> =
        tokens.iter().enumerate().map(|(id, token)| (token.clone(), id.into())).collect();
    let write = |name: &str, text: String| std::fs::write(dir.path().join(name), text).expect("writes");
    write("vocab.json", Value::from(lists).to_string());
    write("merges.txt", format!("#version: 0.2\n{}\n", words(&file["ggml.merges"]).join("\n")));
    write(
        "tokenizer_config.json",
        r#"{"added_tokens_decoder":{"1":{"content":"<|im_start|>","special":true},"2":{"content":"<|im_end|>"}}}"#.into(),
    );
    let from_lists = Tokenizer::open(dir.path()).expect("opens");
    let gpt2 = vocabulary(file).tokenizer("gguf").expect("a tokenizer");
    for text in
        ["", "a   7\n\n\n8 ...?!\n", "<|im_start|>user\nHi<|im_end|>\n<|endoftext|>", "x  1   22 été 🙂"]
    {
        assert_eq!(
            from_json.encode(text).expect("encodes"),
            from_gguf.encode(text).expect("encodes"),
            "{text:?}"
        );
        assert_eq!(
            from_lists.encode(text).expect("encodes"),
            gpt2.encode(text).expect("encodes"),
            "{text:?}"
        );
        let as_text = EncodeOptions { special_as_text: true, ..EncodeOptions::default() };
        let plain = |t: &Tokenizer| t.encode_as(text, as_text, &mut |_| {}).expect("encodes");
        assert_eq!(plain(&from_json), plain(&from_gguf), "{text:?}");
        assert!(plain(&from_json).iter().all(|id| *id > 2), "{text:?}");
    }
    std::fs::write(dir.path().join("merges.txt"), "one\n").expect("writes");
    let error = Tokenizer::open(dir.path()).expect_err("damaged");
    assert!(error.message().contains("merges.txt: line 1"), "{error}");
}

/// A SentencePiece vocabulary with bytes: `<unk> <s> </s>`, 256 bytes, pieces with scores, and one of the user.
fn pieces() -> GgufVocabulary {
    let mut tokens: Vec<String> = ["<unk>", "<s>", "</s>"].map(String::from).into();
    tokens.extend((0..=255u8).map(|b| format!("<0x{b:02X}>")));
    let mut types = vec![2, 3, 3];
    types.extend([6; 256]);
    let mut scores = vec![0.0; tokens.len()];
    for (at, token) in ["▁a", "ab", "▁ab", "▁▁", "▁", "a", "b", "c"].into_iter().enumerate() {
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
        ..GgufVocabulary::default()
    }
}

#[test]
fn sentence_pieces_are_merged_by_score_and_fall_back_to_bytes() {
    let tokenizer = pieces().tokenizer("pieces").expect("a tokenizer");
    let id = |token: &str| tokenizer.token_to_id(token).expect(token);
    let ids = |tokens: &[&str]| tokens.iter().map(|token| id(token)).collect::<Vec<_>>();
    let encoded = |text: &str| tokenizer.encode(text).expect("encodes");
    // `▁a` has a better score than `ab`, and `▁ab` is made of it.
    assert_eq!(encoded("ab"), ids(&["▁ab"]));
    assert_eq!(encoded("cab"), ids(&["▁", "c", "ab"]));
    assert_eq!(encoded("a  b"), ids(&["▁a", "▁▁", "b"]));
    assert_eq!(encoded("é"), ids(&["▁", "<0xC3>", "<0xA9>"]));
    // A space is put at the head of what follows a special token too, as llama.cpp and transformers do.
    assert_eq!(encoded("a</s>a<user>c"), ids(&["▁a", "</s>", "▁a", "<user>", "▁", "c"]));
    for text in ["ab", " ab", "a  b é\n", "🙂 c"] {
        assert_eq!(tokenizer.decode(&encoded(text)), text);
    }
    assert_eq!((tokenizer.begin(), tokenizer.ends()), (&[1][..], &[2][..]));
    let bare = GgufVocabulary { add_space: Some(false), add_bos: Some(false), ..pieces() };
    let bare = bare.tokenizer("bare").expect("a tokenizer");
    assert_eq!(bare.encode("ab").expect("encodes"), ids(&["ab"]));
    assert_eq!((bare.decode(&ids(&["ab"])), bare.begin()), ("ab".into(), &[][..]));
}

#[test]
fn impossible_vocabularies_are_refused_in_a_line() {
    let sound = vocabulary(&json("gguf/vocabularies.json")["gpt-2"]);
    let refused = |what: &str, change: fn(&mut GgufVocabulary)| {
        let mut file = sound.clone();
        change(&mut file);
        let error = file.tokenizer("model.gguf").expect_err(what);
        assert_eq!(error.kind(), ErrorKind::Tokenizer);
        assert!(error.message().contains(what) && error.advice().is_some(), "{error}");
    };
    refused("\"elvish\"", |v| v.pre = Some("elvish".into()));
    refused("\"bert\"", |v| v.model = "bert".into());
    refused("token_type has 1", |v| v.types = vec![1]);
    refused("the token 288", |v| v.bos = Some(288));
    refused("no merge", |v| v.merges.push("x".into()));
    refused("not a tokenizer", |v| v.merges.push("not there".into()));
    refused("empty", |v| (v.tokens, v.types, v.merges, v.bos, v.ends) = Default::default());
}

#[test]
fn templates_are_rendered_as_jinja_in_python_does() {
    let file = json("templates.json");
    let tokens = [("bos_token", "<s>"), ("eos_token", "</s>")].map(|(a, b)| (a.to_string(), b.to_string()));
    for expected in file["renderings"].as_array().expect("a list") {
        let text = |name: &str| expected[name].as_str();
        let (name, chat) = (text("template").expect("a name"), text("chat").expect("a name"));
        let source = file["templates"][name].as_str().expect("a template");
        let template = ChatTemplate::new(source, name).expect("a template").with_tokens(tokens.clone());
        let rendered: Result<String> =
            template.render(&messages(&file["chats"][chat]), expected["open"] == true);
        match (rendered, text("rendered"), text("refused")) {
            (Ok(rendered), Some(expected), _) => assert_eq!(rendered, expected, "{name}, {chat}"),
            (Err(error), None, Some(why)) => {
                assert!(error.message().contains(why) && error.advice().is_some(), "{error}");
            }
            (rendered, ..) => panic!("{name}, {chat}: {rendered:?} for {expected}"),
        }
    }
}

/// The template in SmolLM2's files.
const SMOLLM2: &str = "{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}{{ '<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>\n' }}{% endif %}{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}";

#[test]
fn conversations_of_smollm2_are_rendered_as_its_makers_do() {
    let template = ChatTemplate::new(SMOLLM2, "SmolLM2").expect("a template");
    for chat in json("smollm2/expected.json")["chats"].as_array().expect("a list") {
        let open = chat["add_generation_prompt"] == true;
        let rendered = template.render(&messages(&chat["messages"]), open).expect("renders");
        assert_eq!(Some(rendered.as_str()), chat["rendered"].as_str());
    }
}

#[test]
fn dates_are_today() {
    let template = ChatTemplate::new("{{ strftime_now('%Y-%m-%d %b %B') }}", "date").expect("a template");
    let date = template.render(&[], false).expect("renders");
    let year: i32 = date[..4].parse().expect("a year");
    assert!(year > 2024 && date.len() > 15 && !date.contains('%'), "{date}");
    let wrong = ChatTemplate::new("{{ strftime_now('%!') }}", "date").expect("a template");
    let error = wrong.render(&[], false).expect_err("no such letter");
    assert!(error.message().contains("strftime_now"), "{error}");
}
