//! A text is its bytes, however it is cut: random texts and ids of every kind of tokenizer that the format
//! describes.

use serde_json::{Value, json};

use super::coder::EncodeOptions;
use super::text_stream::{Seam, StopStrings};
use super::tokenizer::Tokenizer;
use super::tokenizer_train::train;

/// Numbers that look random.
struct Rng(u64);

impl Rng {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) % n as u64) as usize
    }

    fn pick<'a, T: ?Sized>(&mut self, all: &[&'a T]) -> &'a T {
        all[self.below(all.len())]
    }
}

const CONTINUES: EncodeOptions = EncodeOptions { continues: true, special_as_text: false, begins: false };

fn added(id: u32, content: &str, special: bool, strip: bool) -> Value {
    json!({ "id": id, "content": content, "single_word": false, "lstrip": strip, "rstrip": strip,
        "normalized": false, "special": special })
}

fn file(parts: Value) -> Value {
    let mut file = json!({ "version": "1.0", "added_tokens": [], "normalizer": null, "pre_tokenizer": null,
        "post_processor": null, "decoder": null });
    let parts = parts.as_object().expect("an object").clone();
    file.as_object_mut().expect("an object").extend(parts);
    file
}

/// A BPE with a token for each byte, SentencePiece's way.
fn fallback(tokens: &[&str], merges: &[[&str; 2]]) -> Value {
    let names = ["<unk>", "<s>", "</s>"].map(String::from).into_iter();
    let bytes = (0..256).map(|b| format!("<0x{b:02X}>"));
    let all = names.chain(bytes).chain(tokens.iter().map(|t| (*t).to_string()));
    let vocab: serde_json::Map<String, Value> =
        all.enumerate().map(|(id, token)| (token, id.into())).collect();
    json!({ "type": "BPE", "dropout": null, "unk_token": "<unk>", "fuse_unk": true, "byte_fallback": true,
        "vocab": vocab, "merges": merges })
}

fn words(tokens: &[&str]) -> Value {
    let vocab: serde_json::Map<String, Value> =
        tokens.iter().enumerate().map(|(id, token)| ((*token).to_string(), id.into())).collect();
    Value::Object(vocab)
}

/// Byte-level, with added tokens of all sorts and a hole.
fn byte_level() -> Value {
    let text = "She opened the letter, and as she read it, don't you — naïve café 日本語 😀".repeat(3);
    let mut file: Value =
        serde_json::from_str(&train(&[&text], 300, &mut |_| {}).expect("trains").json).expect("JSON");
    let tokens = [
        added(305, "ilÖveyou", false, false),
        added(306, "đé", true, false),
        added(308, "a b", false, false),
        added(309, "<mask>", true, true),
        added(310, "Ġx", true, false),
    ];
    // Where it has them in its vocabulary too, the library leaves their ids alone.
    for token in &tokens {
        file["model"]["vocab"][token["content"].as_str().expect("text")] = token["id"].clone();
    }
    file["added_tokens"].as_array_mut().expect("a list").extend(tokens);
    file
}

/// Whether text survives, and whether the library decodes texts as we do.
struct Kind {
    name: &'static str,
    file: Value,
    lossless: bool,
}

fn kinds() -> Vec<Kind> {
    let kind = |name, lossless, file| Kind { name, file, lossless };
    let letters = ["▁", "a", "b", "é", "▁a", "ab", "▁▁", "日", "\n", "."];
    let merges = [["▁", "a"], ["a", "b"], ["▁", "▁"]];
    let llama = json!({ "type": "Sequence", "decoders": [
        { "type": "Replace", "pattern": { "String": "▁" }, "content": " " }, { "type": "ByteFallback" },
        { "type": "Fuse" }, { "type": "Strip", "content": " ", "start": 1, "stop": 0 }] });
    let ends =
        [added(1, "<s>", true, false), added(2, "</s>", true, false), added(270, "ilÖve", false, false)];
    let metaspace = |scheme: &str| json!({ "type": "Metaspace", "replacement": "▁", "prepend_scheme": scheme, "split": true });
    let piece = |scheme: &'static str| {
        let words = ["<unk>", "▁", "▁she", "she", "▁a", "a", "b", ".", "▁日本", "é", "▁▁"];
        let vocab: Vec<Value> = words.iter().enumerate().map(|(i, w)| json!([w, -1.0 - i as f64])).collect();
        file(json!({ "added_tokens": [added(11, "</s>", true, false), added(12, "Ö ö", false, false)],
            "pre_tokenizer": metaspace(scheme), "decoder": metaspace(scheme),
            "model": { "type": "Unigram", "unk_id": 0, "vocab": vocab, "byte_fallback": false } }))
    };
    let mut sequence = byte_level();
    sequence["pre_tokenizer"] = json!({ "type": "Sequence", "pretokenizers": [
        { "type": "Split", "pattern": { "Regex": "\\s+|\\S+" }, "behavior": "Isolated", "invert": false },
        { "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": false }] });
    let mut prefixed = byte_level();
    prefixed["pre_tokenizer"]["add_prefix_space"] = true.into();
    vec![
        kind("byte level", true, byte_level()),
        kind("byte level, in a sequence", true, sequence),
        kind("byte level, a space first", true, prefixed),
        kind(
            "llama",
            true,
            file(json!({ "added_tokens": ends, "decoder": llama,
                "normalizer": { "type": "Sequence", "normalizers": [{ "type": "Prepend", "prepend": "▁" },
                    { "type": "Replace", "pattern": { "String": " " }, "content": "▁" }] },
                "model": fallback(&letters, &merges) })),
        ),
        kind(
            "llama, no normalizer",
            true,
            file(json!({ "added_tokens": ends, "decoder": llama,
                "pre_tokenizer": { "type": "Metaspace", "replacement": "▁", "prepend_scheme": "first", "split": false },
                "model": fallback(&letters, &merges) })),
        ),
        kind("metaspace first", false, piece("first")),
        kind("metaspace always", false, piece("always")),
        kind("metaspace never", false, piece("never")),
        kind(
            "word pieces",
            false,
            file(json!({ "added_tokens": [added(0, "[UNK]", true, false), added(9, "[é]", true, false)],
                "pre_tokenizer": { "type": "BertPreTokenizer" },
                "decoder": { "type": "WordPiece", "prefix": "##", "cleanup": true },
                "model": { "type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##",
                    "max_input_chars_per_word": 100,
                    "vocab": words(&["[UNK]", "she", "##s", "a", "##b", ".", "!", "'", "n't"]) } })),
        ),
        kind(
            "ends of words",
            false,
            file(json!({ "pre_tokenizer": { "type": "WhitespaceSplit" },
                "decoder": { "type": "BPEDecoder", "suffix": "</w>" },
                "model": { "type": "BPE", "dropout": null, "unk_token": "<unk>", "fuse_unk": false, "byte_fallback": false,
                    "end_of_word_suffix": "</w>", "vocab": words(&["<unk>", "a", "b", "a</w>", "b</w>", "ab</w>"]),
                    "merges": [["a", "b</w>"]] } })),
        ),
        kind(
            "words",
            false,
            file(json!({ "pre_tokenizer": { "type": "Whitespace" },
                "model": { "type": "WordLevel", "unk_token": "<unk>", "vocab": words(&["<unk>", "she", "a", "é", "."]) } })),
        ),
    ]
}

fn load(file: &Value) -> Tokenizer {
    Tokenizer::from_json_bytes(file.to_string().as_bytes(), "t").unwrap_or_else(|e| panic!("{e}"))
}

fn text(rng: &mut Rng) -> String {
    let parts = [
        "she",
        " a",
        "ab",
        " ",
        "  ",
        "é",
        "日本",
        "😀",
        ".",
        "\n",
        "ilÖveyou",
        "đé",
        "a b",
        "Ġx",
        "n't",
        "Ö ö",
    ];
    (0..rng.below(9)).map(|_| rng.pick(&parts)).collect()
}

/// What a text that goes on gives out, cut after some of its ids; what is held at a cut travels in a seam.
fn pieces(tokenizer: &Tokenizer, ids: &[u32], cuts: &mut dyn FnMut() -> bool) -> String {
    let mut text = String::new();
    let mut seam = Seam { begun: true, ..Seam::default() };
    let mut stream = tokenizer.text_stream_from(seam.clone());
    for id in ids {
        text.extend(stream.push(*id));
        if cuts() {
            seam = stream.into_seam();
            stream = tokenizer.text_stream_from(seam.clone());
        }
    }
    text.extend(stream.finish());
    text
}

#[test]
fn ids_are_one_text_however_they_are_cut() {
    let mut rng = Rng(1);
    for Kind { name, file, .. } in kinds() {
        let tokenizer = load(&file);
        for _ in 0..300 {
            let ids: Vec<u32> =
                (0..rng.below(12)).map(|_| rng.below(tokenizer.vocab_size() + 2) as u32).collect();
            let whole = pieces(&tokenizer, &ids, &mut || false);
            assert_eq!(pieces(&tokenizer, &ids, &mut || true), whole, "{name}: {ids:?}");
            assert_eq!(pieces(&tokenizer, &ids, &mut || rng.below(2) == 0), whole, "{name}: {ids:?}");
            // At the head of a text the same comes with its first token alone.
            let all = tokenizer.decode(&ids);
            let rest = ids.iter().position(|id| tokenizer.has_text(*id)).map_or(&ids[..0], |i| &ids[i + 1..]);
            let tail: Vec<u8> = rest.iter().flat_map(|id| tokenizer.token_bytes(*id)).copied().collect();
            if let Ok(tail) = String::from_utf8(tail) {
                let (all, tail) = (all.replace(' ', ""), tail.replace(' ', ""));
                assert!(all.ends_with(&tail), "{name}: {ids:?}: {all:?} {tail:?}");
            }
        }
    }
}

#[test]
fn stop_strings_are_found_across_a_cut() {
    let mut rng = Rng(2);
    let tokenizer = load(&kinds()[3].file);
    let run = |ids: &[u32], cut: usize| {
        let stops = || StopStrings::new(["ab é", "日a"]).expect("not empty");
        let (mut text, mut seam) = (String::new(), Seam { begun: true, ..Seam::default() });
        for part in [&ids[..cut], &ids[cut..]] {
            let (mut stops, mut stream) = (stops(), tokenizer.text_stream_from(seam));
            let before = stream.take().unwrap_or_default();
            text += &stops.push(&before).0;
            for id in part {
                let (more, stopped) = stops.push(&stream.push(*id).unwrap_or_default());
                text += &more;
                if stopped {
                    return text;
                }
            }
            let held = stops.finish().into_bytes();
            seam = stream.into_seam();
            seam.held = [held, seam.held].concat();
        }
        text + &String::from_utf8_lossy(&seam.held)
    };
    let mut found = 0;
    for _ in 0..400 {
        let texts: String = (0..6).map(|_| rng.pick(&["ab", " ", "é", "日", "a", "\n"])).collect();
        let ids = tokenizer.encode_as(&texts, CONTINUES, &mut |_| {}).expect("encodes");
        let whole = run(&ids, ids.len());
        found += usize::from(whole != texts);
        (0..ids.len()).for_each(|cut| assert_eq!(run(&ids, cut), whole, "{texts:?} {cut}"));
    }
    assert!(found > 20, "{found}");
}

#[test]
fn texts_are_decoded_as_the_library_does() {
    let mut rng = Rng(3);
    for Kind { name, file, .. } in kinds() {
        let tokenizer = load(&file);
        let library = tokenizers::Tokenizer::from_bytes(file.to_string()).expect("loads");
        for _ in 0..200 {
            let text = text(&mut rng);
            // The library sends added tokens through the decoder.
            if ["ilÖve", "đé", "a b", "Ġx", "Ö ö"].iter().any(|token| text.contains(token)) {
                continue;
            }
            let ids = tokenizer.encode(&text).expect("encodes");
            let want =
                if ids.is_empty() { String::new() } else { library.decode(&ids, false).expect("decodes") };
            assert_eq!(tokenizer.decode(&ids), want, "{name}: {text:?}");
        }
    }
}

#[test]
fn a_continuation_is_the_text_that_was_given() {
    let mut rng = Rng(4);
    for Kind { name, file, lossless } in kinds() {
        let tokenizer = load(&file);
        for _ in 0..200 {
            let text = text(&mut rng);
            let ids = tokenizer.encode_as(&text, CONTINUES, &mut |_| {}).expect("encodes");
            // Those that put a space before every part of a text put it after an added token too.
            let parts = ["ilÖve", "đé", "a b", "Ġx"].iter().any(|token| text.contains(token));
            if lossless && !(parts && ["llama", "byte level, a space first"].contains(&name)) {
                assert_eq!(pieces(&tokenizer, &ids, &mut || false), text, "{name}");
            }
            let head = pieces(&tokenizer, &ids, &mut || false);
            let artificial = head.starts_with(' ') && !text.starts_with(' ');
            let spaced = ["word pieces", "words"].contains(&name);
            assert!(!artificial || spaced, "{name}: {text:?} became {head:?}");
        }
    }
}

#[test]
fn added_tokens_are_what_they_say() {
    let tokenizer = load(&byte_level());
    for (text, id) in [("ilÖveyou", 305), ("đé", 306), ("a b", 308), ("Ġx", 310)] {
        assert_eq!(tokenizer.encode(text).expect("encodes"), [id]);
        assert_eq!((tokenizer.decode(&[id]), tokenizer.token_bytes(id)), (text.into(), text.as_bytes()));
    }
    assert!(tokenizer.has_text(305) && !tokenizer.has_text(304) && !tokenizer.has_text(307));
    assert!(!tokenizer.has_text(311));
    // A word of the model stands for what the model means by it.
    let spaces = added(267, "▁▁", false, false);
    let mut file = kinds().swap_remove(3).file;
    file["added_tokens"].as_array_mut().expect("a list").push(spaces);
    let tokenizer = load(&file);
    let id = tokenizer.token_to_id("▁▁").expect("is there");
    assert_eq!(tokenizer.token_bytes(id), b"  ");
}

#[test]
fn special_tokens_can_be_text() {
    let as_text = EncodeOptions { special_as_text: true, ..EncodeOptions::default() };
    for (tokenizer, text) in
        [(load(&byte_level()), "She<|endoftext|> đé"), (Tokenizer::bytes(), "She<|endoftext|> é")]
    {
        let end = tokenizer.end_of_text().expect("has one");
        assert!(tokenizer.encode(text).expect("encodes").contains(&end));
        let ids = tokenizer.encode_as(text, as_text, &mut |_| {}).expect("encodes");
        assert!(!ids.contains(&end) && !ids.contains(&306), "{ids:?}");
        assert_eq!(tokenizer.decode(&ids), text);
    }
}

#[test]
fn the_head_of_a_text_has_the_bytes_that_are_there() {
    let plain = EncodeOptions::default();
    let mut rng = Rng(5);
    for Kind { name, file, .. } in kinds() {
        let tokenizer = load(&file);
        for _ in 0..60 {
            let text = text(&mut rng);
            let ids = tokenizer.encode(&text).expect("encodes");
            let mut before = 0;
            for most in 0..=ids.len() {
                let (head, bytes) = tokenizer.encode_head(&text, most, plain, &mut |_| {}).expect("encodes");
                assert_eq!(head, ids[..most]);
                assert!(bytes >= before && bytes <= text.len(), "{name}: {text:?} {most}: {bytes}");
                before = bytes;
            }
            assert_eq!(before, text.len(), "{name}: {text:?}");
        }
    }
}
