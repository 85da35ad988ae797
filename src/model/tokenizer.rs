//! Text to token ids and back: Hugging Face `tokenizer.json`, or plain bytes where a model has none (SPEC
//! §2).

use std::collections::HashMap;
use std::sync::Arc;

use tokenizers::{DecoderWrapper, ModelWrapper, PreTokenizerWrapper};

use super::byte_level;
use super::tensor_file::clip;
use crate::error::{Error, ErrorKind, Result};

/// The token that separates documents.
pub const END_OF_TEXT: &str = "<|endoftext|>";

/// Most ids a tokenizer may have; as many as a model.
const MOST_IDS: usize = 1 << 24;

/// The documents of a text: what lies between `<|endoftext|>`, empty ones left out.
pub fn documents(text: &str) -> impl Iterator<Item = &str> {
    text.split(END_OF_TEXT).filter(|document| !document.is_empty())
}

/// A tokenizer. Cloning is cheap; all clones share one vocabulary.
#[derive(Clone)]
pub struct Tokenizer(Arc<Inner>);

struct Inner {
    label: String,
    coder: Coder,
    /// Bytes of every id, where a token always decodes to the same bytes.
    table: Option<ByteTable>,
    size: usize,
    end_of_text: Option<u32>,
}

enum Coder {
    Bytes,
    HuggingFace {
        tokenizer: Box<tokenizers::Tokenizer>,
        /// Whether a boundary between a visible character and white space is always one between tokens.
        splits: bool,
        /// Bytes that no token stands for, where the tokenizer would drop them silently.
        unknown: Vec<u8>,
    },
}

impl std::fmt::Debug for Tokenizer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Tokenizer({}, {} ids)", self.0.label, self.0.size)
    }
}

impl Tokenizer {
    /// One token a byte, 0 to 255, and `<|endoftext|>` = 256.
    pub fn bytes() -> Self {
        let mut table = ByteTable::default();
        (0..=255).for_each(|byte| table.push(&[byte]));
        table.push(END_OF_TEXT.as_bytes());
        Self(Arc::new(Inner {
            label: "byte tokenizer".into(),
            coder: Coder::Bytes,
            table: Some(table),
            size: 257,
            end_of_text: Some(256),
        }))
    }

    /// The tokenizer of a model folder: its `tokenizer.json`, or [`Tokenizer::bytes`] if there is none.
    ///
    /// # Errors
    /// `ErrorKind::Io` if the file cannot be read; otherwise as [`Tokenizer::from_json_bytes`].
    #[cfg(not(target_arch = "wasm32"))]
    pub fn open(dir: &std::path::Path) -> Result<Self> {
        let path = dir.join("tokenizer.json");
        match path.try_exists() {
            Ok(false) => Ok(Self::bytes()),
            _ => Self::from_json_bytes(&crate::files::read_bytes(&path)?, &path.display().to_string()),
        }
    }

    /// A Hugging Face `tokenizer.json`; `label` stands for its path in messages. Truncation, padding and BPE
    /// dropout are switched off: a text always gives the same ids, all of them.
    ///
    /// # Errors
    /// `ErrorKind::Tokenizer` if it is damaged, of an unknown kind, empty, or has ids past 16 777 216.
    pub fn from_json_bytes(bytes: &[u8], label: &str) -> Result<Self> {
        let damaged = |what: String| {
            Error::new(ErrorKind::Tokenizer, format!("{label}: {what}"))
                .help("the file is damaged or not a Hugging Face tokenizer.json; copy it again")
        };
        // First, because `tokenizers` panics on some texts that are not JSON.
        serde_json::from_slice::<serde_json::Value>(bytes)
            .map_err(|e| damaged(format!("not valid JSON: {e}")))?;
        let mut tokenizer = tokenizers::Tokenizer::from_bytes(bytes)
            .map_err(|e| damaged(format!("not a tokenizer: {}", clip(&e.to_string()))))?;
        make_repeatable(&mut tokenizer);
        let vocabulary = tokenizer.get_vocab(true);
        let Some(&last) = vocabulary.values().max() else {
            return Err(damaged("has an empty vocabulary".into()));
        };
        if last as usize >= MOST_IDS {
            return Err(damaged(format!("has the token id {last}, must be below {MOST_IDS}")));
        }
        let table = matches!(tokenizer.get_decoder(), Some(DecoderWrapper::ByteLevel(_)))
            .then(|| ByteTable::of(&vocabulary, last as usize + 1));
        let end_of_text = tokenizer.token_to_id(END_OF_TEXT);
        let coder = Coder::HuggingFace {
            splits: splits_at_white_space(&tokenizer),
            unknown: unknown_bytes(&tokenizer),
            tokenizer: Box::new(tokenizer),
        };
        Ok(Self(Arc::new(Inner { label: label.into(), coder, table, size: last as usize + 1, end_of_text })))
    }

    /// Ids this tokenizer can give are below this.
    pub fn vocab_size(&self) -> usize {
        self.0.size
    }

    /// Id of `<|endoftext|>`, if there is one.
    pub fn end_of_text(&self) -> Option<u32> {
        self.0.end_of_text
    }

    /// The path or label.
    pub fn label(&self) -> &str {
        &self.0.label
    }

    /// The token of an id as the vocabulary writes it (byte-level: `Ġthe`); None if there is none.
    pub fn id_to_token(&self, id: u32) -> Option<String> {
        match &self.0.coder {
            Coder::Bytes if id == 256 => Some(END_OF_TEXT.into()),
            Coder::Bytes => u8::try_from(id).ok().map(|b| byte_level::char_of(b).to_string()),
            Coder::HuggingFace { tokenizer, .. } => tokenizer.id_to_token(id),
        }
    }

    /// Refuses a model that is too small for this tokenizer. (A larger one is fine: some ids then have no
    /// text.)
    ///
    /// # Errors
    /// `ErrorKind::Tokenizer`, with both sizes.
    pub fn check_model(&self, vocab_size: usize) -> Result<()> {
        if self.0.size <= vocab_size {
            return Ok(());
        }
        let e = Error::new(
            ErrorKind::Tokenizer,
            format!("{}: has {} tokens, the model's vocab_size is {vocab_size}", self.0.label, self.0.size),
        );
        Err(match self.0.coder {
            Coder::Bytes => e.help("the model has no tokenizer.json and is too small for plain bytes; put its tokenizer.json into the folder"),
            Coder::HuggingFace { .. } => e.help("use the tokenizer.json that the model was trained with"),
        })
    }

    /// Token ids of a text. `<|endoftext|>` and other special tokens in it are recognised; none are added.
    ///
    /// # Errors
    /// `ErrorKind::Input` for a character that the vocabulary has no token for.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>> {
        self.encode_with(text, &mut |_| {})
    }

    /// [`Tokenizer::encode`] that reports the bytes done so far, every 64 KiB or so.
    ///
    /// # Errors
    /// As [`Tokenizer::encode`].
    pub fn encode_with(&self, text: &str, progress: &mut dyn FnMut(usize)) -> Result<Vec<u32>> {
        match &self.0.coder {
            Coder::Bytes => Ok(encode_bytes(text)),
            Coder::HuggingFace { tokenizer, splits: true, unknown } => {
                self.refuse(unknown, text)?;
                self.encode_words(tokenizer, text, progress)
            }
            Coder::HuggingFace { tokenizer, unknown, .. } => {
                self.refuse(unknown, text)?;
                Ok(self.encode_plain(tokenizer, text)?.get_ids().to_vec())
            }
        }
    }

    /// Word by word, each distinct one encoded once; the same ids as for the whole text at once, many times
    /// faster.
    fn encode_words(
        &self,
        tokenizer: &tokenizers::Tokenizer,
        text: &str,
        progress: &mut dyn FnMut(usize),
    ) -> Result<Vec<u32>> {
        const LONGEST_KEPT: usize = 64;
        let mut ids = Vec::new();
        let mut seen: HashMap<&str, (usize, usize)> = HashMap::new();
        let (mut done, mut reported) = (0, 0);
        for word in words(text) {
            if let Some(&(from, to)) = seen.get(word) {
                ids.extend_from_within(from..to);
            } else {
                let from = ids.len();
                ids.extend_from_slice(self.encode_plain(tokenizer, word)?.get_ids());
                if word.len() <= LONGEST_KEPT {
                    seen.insert(word, (from, ids.len()));
                }
            }
            done += word.len();
            if done - reported >= 1 << 16 {
                reported = done;
                progress(done);
            }
        }
        progress(done);
        Ok(ids)
    }

    fn encode_plain(&self, tokenizer: &tokenizers::Tokenizer, text: &str) -> Result<tokenizers::Encoding> {
        tokenizer.encode_fast(text, false).map_err(|e| {
            Error::new(
                ErrorKind::Input,
                format!("{}: cannot encode the text: {}", self.0.label, clip(&e.to_string())),
            )
        })
    }

    fn refuse(&self, unknown: &[u8], text: &str) -> Result<()> {
        let Some(at) =
            (!unknown.is_empty()).then(|| text.bytes().position(|b| unknown.contains(&b))).flatten()
        else {
            return Ok(());
        };
        let byte = text.as_bytes()[at];
        Err(Error::new(
            ErrorKind::Input,
            format!("{}: has no token for byte 0x{byte:02x} of the text (at byte {at})", self.0.label),
        )
        .help("leave the character out, or use a tokenizer with all 256 bytes"))
    }

    /// The text of some ids, special tokens included; bytes that are not UTF-8 become U+FFFD, ids without a
    /// token nothing.
    ///
    /// # Errors
    /// `ErrorKind::Tokenizer` if the tokenizer's own decoder fails (never for byte-level ones).
    pub fn decode(&self, ids: &[u32]) -> Result<String> {
        match (&self.0.coder, &self.0.table) {
            (_, Some(table)) => Ok(String::from_utf8_lossy(
                &ids.iter().flat_map(|&id| table.get(id)).copied().collect::<Vec<u8>>(),
            )
            .into_owned()),
            (Coder::HuggingFace { tokenizer, .. }, None) => tokenizer.decode(ids, false).map_err(|e| {
                Error::new(
                    ErrorKind::Tokenizer,
                    format!("{}: cannot decode {} ids: {}", self.0.label, ids.len(), clip(&e.to_string())),
                )
            }),
            (Coder::Bytes, None) => Ok(String::new()),
        }
    }

    /// The bytes of one id, where that is all there is to decoding.
    pub(super) fn token_bytes(&self, id: u32) -> Option<&[u8]> {
        self.0.table.as_ref().map(|table| table.get(id))
    }
}

/// Switches off what would make ids random or incomplete.
fn make_repeatable(tokenizer: &mut tokenizers::Tokenizer) {
    // Cannot fail: only a stride that does not fit its length does, and none has neither.
    let _ = tokenizer.with_truncation(None);
    tokenizer.with_padding(None);
    if let ModelWrapper::BPE(bpe) = tokenizer.get_model()
        && bpe.dropout.is_some()
    {
        let mut bpe = bpe.clone();
        bpe.dropout = None;
        tokenizer.with_model(bpe);
    }
}

/// The words of a text, each with the white space before it: cut wherever white space follows something else.
pub(super) fn words(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let mut visible = false;
        let end = rest.char_indices().find_map(|(i, c)| {
            let cut = visible && c.is_whitespace();
            visible |= !c.is_whitespace();
            cut.then_some(i)
        });
        let (word, after) = rest.split_at(end.unwrap_or(rest.len()));
        rest = after;
        (!word.is_empty()).then_some(word)
    })
}

fn encode_bytes(text: &str) -> Vec<u32> {
    let mut ids = Vec::with_capacity(text.len());
    for (i, part) in text.split(END_OF_TEXT).enumerate() {
        if i > 0 {
            ids.push(256);
        }
        ids.extend(part.bytes().map(u32::from));
    }
    ids
}

/// The GPT-2 pattern never joins a visible character to white space after it, nor looks across that boundary.
fn splits_at_white_space(t: &tokenizers::Tokenizer) -> bool {
    let byte_level = matches!(t.get_pre_tokenizer(), Some(PreTokenizerWrapper::ByteLevel(b)) if b.use_regex && !b.add_prefix_space);
    let plain = |a: &tokenizers::AddedToken| {
        !(a.lstrip || a.rstrip || a.single_word || a.content.contains(char::is_whitespace))
    };
    byte_level && t.get_normalizer().is_none() && t.get_added_tokens_decoder().values().all(plain)
}

/// Bytes that a byte-level BPE without all of them would drop without a word.
fn unknown_bytes(t: &tokenizers::Tokenizer) -> Vec<u8> {
    let byte_level = matches!(t.get_pre_tokenizer(), Some(PreTokenizerWrapper::ByteLevel(_)));
    match t.get_model() {
        ModelWrapper::BPE(bpe) if byte_level && bpe.unk_token.is_none() && !bpe.byte_fallback => (0..=255)
            .filter(|&b| t.token_to_id(byte_level::char_of(b).encode_utf8(&mut [0; 4])).is_none())
            .collect(),
        _ => Vec::new(),
    }
}

/// The bytes of every id, one after the other.
#[derive(Default)]
struct ByteTable {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl ByteTable {
    fn of(vocabulary: &HashMap<String, u32>, size: usize) -> Self {
        let mut tokens: Vec<(&str, u32)> =
            vocabulary.iter().map(|(token, &id)| (token.as_str(), id)).collect();
        tokens.sort_unstable_by(|a, b| (a.1, a.0).cmp(&(b.1, b.0)));
        let mut table = Self::default();
        for (token, id) in tokens {
            table.ends.resize((id as usize).max(table.ends.len()), table.bytes.len());
            if table.ends.len() == id as usize {
                table.push(&byte_level::bytes_of(token));
            }
        }
        table.ends.resize(size, table.bytes.len());
        table
    }

    fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
        self.ends.push(self.bytes.len());
    }

    fn get(&self, id: u32) -> &[u8] {
        let id = id as usize;
        let Some(&end) = self.ends.get(id) else { return &[] };
        &self.bytes[if id == 0 { 0 } else { self.ends[id - 1] }..end]
    }
}

#[cfg(all(test, not(target_arch = "wasm32")))]
mod tests {
    use super::*;
    use crate::model::tokenizer_train::{TrainProgress, train};

    const TEXT: &str = "It was the 1st of May\u{a0}…\r\n\n  “Don't,” they'll say — naïve café, 日本語 😀👩‍👩‍👧.  \t\nEnd<|endoftext|> Next  <|endoftext|>\n\nIt's 3,000.";

    fn small() -> Tokenizer {
        let json =
            train(&[TEXT, "the letter it said that the letter"], 300, &mut |_| {}).expect("trains").json;
        Tokenizer::from_json_bytes(json.as_bytes(), "small").expect("loads")
    }

    fn streamed(tokenizer: &Tokenizer, ids: &[u32]) -> String {
        let mut stream = tokenizer.text_stream();
        let mut text: String = ids
            .iter()
            .filter_map(|&id| stream.push(id))
            .inspect(|piece| assert!(!piece.is_empty()))
            .collect();
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
                        .all(|&id| (id as usize) < tokenizer.vocab_size()
                            && tokenizer.id_to_token(id).is_some())
                );
                assert_eq!(tokenizer.decode(&ids).expect("decodes"), text);
                assert_eq!(streamed(&tokenizer, &ids), text, "{tokenizer:?}");
            }
            let end = tokenizer.end_of_text().expect("has one");
            assert_eq!(tokenizer.encode(END_OF_TEXT).expect("encodes"), [end]);
            assert_eq!(tokenizer.id_to_token(end).as_deref(), Some(END_OF_TEXT));
            assert_eq!(tokenizer.decode(&[u32::MAX, end]).expect("decodes"), END_OF_TEXT);
        }
        assert_eq!((Tokenizer::bytes().vocab_size(), Tokenizer::bytes().end_of_text()), (257, Some(256)));
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
        let Coder::HuggingFace { tokenizer: plain, splits, .. } = &tokenizer.0.coder else {
            panic!("not byte-level")
        };
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
        assert_eq!(tokenizer.decode(&ids).expect("decodes"), "hellos world! hello");
        assert_eq!(streamed(&tokenizer, &ids), "hellos world! hello");
    }

    #[test]
    fn dropout_truncation_and_padding_are_switched_off() {
        let json = train(&[TEXT], 300, &mut |_| {}).expect("trains").json;
        let mut wild: serde_json::Value = serde_json::from_str(&json).expect("JSON");
        wild["model"]["dropout"] = 0.9.into();
        wild["truncation"] = serde_json::json!({ "direction": "Right", "max_length": 3, "strategy": "LongestFirst", "stride": 0 });
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
        assert_eq!(tokenizer.decode(&ids).expect("decodes"), text);
        let ids = tokenizer.encode(&passage).expect("encodes");
        assert_eq!(streamed(&tokenizer, &ids), passage);
    }
}
