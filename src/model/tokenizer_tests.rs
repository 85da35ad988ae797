use super::*;
use crate::model::coder::words;
use crate::model::tokenizer_train::{TrainProgress, train};

const TEXT: &str = "It was the 1st of May\u{a0}…\r\n\n  “Don't,” they'll say — naïve café, 日本語 😀👩‍👩‍👧.  \t\nEnd<|endoftext|> Next  <|endoftext|>\n\nIt's 3,000.";

fn small() -> Tokenizer {
    let json = train(&[TEXT, "the letter it said that the letter"], 300, &mut |_| {}).expect("trains").json;
    Tokenizer::from_json_bytes(json.as_bytes(), "small").expect("loads")
}

fn streamed(tokenizer: &Tokenizer, ids: &[u32]) -> String {
    let mut stream = tokenizer.text_stream();
    let mut text: String =
        ids.iter().filter_map(|&id| stream.push(id)).inspect(|piece| assert!(!piece.is_empty())).collect();
    text.extend(stream.finish());
    text
}

#[test]
fn text_survives_encoding_decoding_and_streaming() {
    for tokenizer in [small(), Tokenizer::bytes()] {
        for text in [TEXT, "", " ", "\n", "😀", "  leading and trailing  ", "\u{fffd}"] {
            let ids = tokenizer.encode(text).expect("encodes");
            assert!(
                ids.iter()
                    .all(|&id| (id as usize) < tokenizer.vocab_size() && tokenizer.id_to_token(id).is_some())
            );
            assert_eq!(tokenizer.decode(&ids), text);
            assert_eq!(streamed(&tokenizer, &ids), text, "{tokenizer:?}");
        }
        let end = tokenizer.end_of_text().expect("has one");
        assert_eq!(tokenizer.encode(END_OF_TEXT).expect("encodes"), [end]);
        assert_eq!(tokenizer.id_to_token(end).as_deref(), Some(END_OF_TEXT));
        assert_eq!(tokenizer.decode(&[u32::MAX, end]), END_OF_TEXT);
    }
    assert_eq!((Tokenizer::bytes().vocab_size(), Tokenizer::bytes().end_of_text()), (257, Some(256)));
}

#[test]
fn what_a_text_begins_with_comes_first_and_once() {
    let tokenizer = Tokenizer::bytes().with_begin(Some(256));
    let begins = EncodeOptions { begins: true, ..EncodeOptions::default() };
    let encode = |text: &str, how| tokenizer.encode_as(text, how, &mut |_| {}).expect("encodes");
    assert_eq!(encode("ab", begins), [256, 97, 98]);
    assert_eq!(encode("<|endoftext|>ab", begins), [256, 97, 98]);
    assert_eq!(encode("ab", EncodeOptions::default()), [97, 98]);
    let head = |most| tokenizer.encode_head("ab", most, begins, &mut |_| {}).expect("encodes");
    // It stands for no byte of the text.
    assert_eq!(
        [0, 1, 2, 3].map(head),
        [(vec![], 0), (vec![256], 0), (vec![256, 97], 1), (vec![256, 97, 98], 2)]
    );
}

#[test]
fn a_stream_never_cuts_a_character() {
    let tokenizer = Tokenizer::bytes();
    let mut stream = tokenizer.text_stream();
    let pieces: Vec<Option<String>> = "é😀".bytes().map(|b| stream.push(u32::from(b))).collect();
    assert_eq!(pieces, [None, Some("é".into()), None, None, None, Some("😀".into())]);
    assert_eq!(stream.push(0xf0), None);
    assert_eq!(stream.finish().as_deref(), Some("\u{fffd}"));
    assert_eq!(stream.finish(), None);
}

#[test]
fn word_by_word_is_the_same_as_at_once() {
    let tokenizer = small();
    let Coder::HuggingFace(coder) = &tokenizer.inner.coder else { panic!("not byte-level") };
    let (plain, splits) = (coder.usual(), coder.splits);
    assert!(splits);
    let pieces = [
        "a",
        " ",
        "\n",
        "\r\n",
        "'s",
        "'ll",
        "1",
        "é",
        "。",
        "\u{3000}",
        "\u{85}",
        "\t",
        ".",
        END_OF_TEXT,
        "the",
        "\u{200b}",
        "ſ",
    ];
    let mut state = 7u32;
    for _ in 0..3000 {
        let text: String = (0..14)
            .map(|_| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                pieces[(state >> 16) as usize % pieces.len()]
            })
            .collect();
        assert_eq!(
            tokenizer.encode(&text).expect("encodes"),
            plain.encode_fast(text.as_str(), false).expect("encodes").get_ids(),
            "{text:?}"
        );
        assert_eq!(words(&text).collect::<String>(), text);
    }
}

#[test]
fn other_kinds_of_tokenizer_stream_too() {
    let vocab = r####"{"[UNK]":0,"hello":1,"##s":2,"world":3,"!":4}"####;
    let word_piece = format!(
        r####"{{"version":"1.0","added_tokens":[],"normalizer":null,"pre_tokenizer":{{"type":"BertPreTokenizer"}},"post_processor":null,
        "decoder":{{"type":"WordPiece","prefix":"##","cleanup":true}},
        "model":{{"type":"WordPiece","unk_token":"[UNK]","continuing_subword_prefix":"##","max_input_chars_per_word":100,"vocab":{vocab}}}}}"####
    );
    let tokenizer = Tokenizer::from_json_bytes(word_piece.as_bytes(), "wp").expect("loads");
    let ids = tokenizer.encode("hellos world! hello").expect("encodes");
    assert_eq!(ids, [1, 2, 3, 4, 1]);
    assert_eq!(tokenizer.decode(&ids), "hellos world! hello");
    assert_eq!(streamed(&tokenizer, &ids), "hellos world! hello");
}

#[test]
fn dropout_truncation_and_padding_are_switched_off() {
    let json = train(&[TEXT], 300, &mut |_| {}).expect("trains").json;
    let mut wild: serde_json::Value = serde_json::from_str(&json).expect("JSON");
    wild["model"]["dropout"] = 0.9.into();
    wild["truncation"] =
        serde_json::json!({ "direction": "Right", "max_length": 3, "strategy": "LongestFirst", "stride": 0 });
    wild["padding"] = serde_json::json!({ "strategy": { "Fixed": 4096 }, "direction": "Right", "pad_to_multiple_of": null, "pad_id": 0, "pad_type_id": 0, "pad_token": "x" });
    let wild = Tokenizer::from_json_bytes(wild.to_string().as_bytes(), "wild").expect("loads");
    let tame = Tokenizer::from_json_bytes(json.as_bytes(), "tame").expect("loads");
    assert_eq!(wild.encode(TEXT).expect("encodes"), tame.encode(TEXT).expect("encodes"));
}

#[test]
fn training_is_deterministic_and_reports() {
    let texts = [TEXT.repeat(4_000), "another text, another text".into()];
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let mut reports = Vec::new();
    let first = train(&texts, 320, &mut |p| reports.push(p)).expect("trains");
    for _ in 0..3 {
        assert_eq!(train(&texts, 320, &mut |_| {}).expect("trains").json, first.json);
    }
    assert_eq!((first.vocab_size, first.warnings.len()), (320, 0));
    assert!(matches!(reports[0], TrainProgress::Reading { done, total } if done > 0 && done < total));
    assert_eq!(reports.last(), Some(&TrainProgress::Merging));
    let tokenizer = Tokenizer::from_json_bytes(first.json.as_bytes(), "t").expect("loads");
    assert_eq!((tokenizer.vocab_size(), tokenizer.end_of_text()), (320, Some(0)));
}

#[test]
fn documents_are_what_lies_between() {
    assert_eq!(documents("a<|endoftext|>b<|endoftext|>").collect::<Vec<_>>(), ["a", "b"]);
    assert_eq!(documents("<|endoftext|><|endoftext|>").count(), 0);
    assert_eq!(documents(" <|endoftext|>\n").collect::<Vec<_>>(), [" ", "\n"]);
}

/// The built-in model's, beside the library whose format it is, on more than one part of a long text.
#[test]
fn the_built_in_one() {
    let assets = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("assets");
    let dir = assets.join("novels-2m");
    let tokenizer = Tokenizer::open(&dir).expect("loads");
    assert_eq!((tokenizer.vocab_size(), tokenizer.end_of_text()), (2048, Some(0)));
    let passage = std::fs::read_to_string(assets.join("passage.txt")).expect("reads");
    let log = std::fs::read_to_string(dir.join("train.jsonl")).expect("reads");
    let text = [passage.repeat(50), log, "naïve café, 中文, 🦀\r\n\t".into()].join(END_OF_TEXT);
    let plain = tokenizers::Tokenizer::from_file(dir.join("tokenizer.json")).expect("loads");
    let plain_ids = plain.encode_fast(&*text, false).expect("encodes");
    let mut reported = 0;
    let ids = tokenizer.encode_with(&text, &mut |done| reported = done).expect("encodes");
    assert_eq!((&ids[..], reported), (plain_ids.get_ids(), text.len()));
    assert_eq!(tokenizer.decode(&ids), text);
    let ids = tokenizer.encode(&passage).expect("encodes");
    assert_eq!(streamed(&tokenizer, &ids), passage);
}
