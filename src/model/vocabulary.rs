//! Tokenizers that do not come as a `tokenizer.json`: the vocabulary of a GGUF file, or `vocab.json` with
//! `merges.txt`. Both become what a `tokenizer.json` becomes, so that there is one way from text to ids.

use std::collections::HashMap;

use serde_json::Value;
use tokenizers::decoders::byte_fallback::ByteFallback;
use tokenizers::decoders::fuse::Fuse;
use tokenizers::decoders::sequence::Sequence as Decoders;
use tokenizers::decoders::strip::Strip;
use tokenizers::models::bpe::{BPE, Vocab};
use tokenizers::normalizers::{NFC, Prepend, Replace, Sequence as Normalizers};
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::{AddedToken, NormalizerWrapper};

use super::conventions::Conventions;
use super::gguf::{Metadata, NO_TOKENIZER};
use super::splits::Cut;
use super::tensor_file::clip;
use super::tokenizer::{END_OF_TEXT, Tokenizer};
use crate::error::{Error, ErrorKind, Result};

/// What stands for a space in SentencePiece's tokens.
const SPACE: &str = "▁";

/// The vocabulary of a GGUF file: its metadata `tokenizer.ggml.*`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct GgufVocabulary {
    /// `model`: `gpt2` (byte-level), `llama` (SentencePiece) or `none`.
    pub model: String,
    /// `pre`: how a text is cut before bytes are merged.
    pub pre: Option<String>,
    /// `tokens`, by id.
    pub tokens: Vec<String>,
    /// `token_type`, by id: 1 normal, 2 unknown, 3 control, 4 of the user, 5 unused, 6 a byte. May be empty.
    pub types: Vec<u32>,
    /// `scores`, by id, of SentencePiece: the highest is merged first.
    pub scores: Vec<f32>,
    /// `merges`, of byte-level vocabularies: pairs of tokens with a space between, in their order.
    pub merges: Vec<String>,
    /// `bos_token_id`: begins a text.
    pub bos: Option<u32>,
    /// `eos_token_id`, `eot_token_id`, `eom_token_id`: what ends a text or a turn of it.
    pub ends: Vec<u32>,
    /// `unknown_token_id`.
    pub unknown: Option<u32>,
    /// `add_bos_token`: whether a text begins with [`GgufVocabulary::bos`].
    pub add_bos: Option<bool>,
    /// `add_space_prefix`, of SentencePiece: whether a text begins with a space.
    pub add_space: Option<bool>,
}

/// A key of the metadata.
fn key(name: &str) -> String {
    format!("tokenizer.ggml.{name}")
}

/// `token_type`: a token like any other.
pub(super) const NORMAL: u32 = 1;
/// What no token stands for.
pub(super) const UNKNOWN: u32 = 2;
/// A special token.
pub(super) const CONTROL: u32 = 3;
/// A token of its own, wherever its text stands.
pub(super) const USER: u32 = 4;
/// A hole.
pub(super) const UNUSED: u32 = 5;

impl GgufVocabulary {
    /// Of a file's metadata.
    ///
    /// # Errors
    /// [`ErrorKind::ModelFormat`] for a key that is missing or of another kind, by name.
    pub fn of(meta: &Metadata) -> Result<Self> {
        let id = |name: &str| {
            let id = meta.count(&key(name))?;
            Ok::<_, Error>(id.and_then(|id| u32::try_from(id).ok()))
        };
        let texts = |name: &str| Ok::<_, Error>(meta.texts(&key(name))?.unwrap_or_default().to_vec());
        let model = meta.text(&key("model"))?.ok_or_else(|| meta.missing(&key("model")))?;
        let types = meta.ints(&key("token_type"))?.unwrap_or_default();
        let scores = meta.floats(&key("scores"))?.unwrap_or_default();
        let ends = ["eos_token_id", "eot_token_id", "eom_token_id"].map(id).into_iter();
        Ok(Self {
            model: model.into(),
            pre: meta.text(&key("pre"))?.map(String::from),
            tokens: texts("tokens")?,
            types: types.iter().map(|kind| u32::try_from(*kind).unwrap_or(0)).collect(),
            scores: scores.iter().map(|score| *score as f32).collect(),
            merges: texts("merges")?,
            bos: id("bos_token_id")?,
            ends: ends.filter_map(Result::transpose).collect::<Result<_>>()?,
            unknown: id("unknown_token_id")?,
            add_bos: meta.flag(&key("add_bos_token"))?,
            add_space: meta.flag(&key("add_space_prefix"))?,
        })
    }

    /// The tokenizer; `label` stands for the file in messages. What ends a text is what the file names, and
    /// special tokens that are known to.
    ///
    /// # Errors
    /// [`ErrorKind::Tokenizer`] for a kind that is not known, or tokens and merges that do not fit together.
    pub fn tokenizer(&self, label: &str) -> Result<Tokenizer> {
        if matches!(self.model.as_str(), NO_TOKENIZER | "no_vocab") {
            // As a folder without one.
            return Ok(Tokenizer::bytes().with_ends(&self.ends));
        }
        let damaged = |what: String| {
            Error::new(ErrorKind::Tokenizer, format!("{label}: {what}"))
                .help("the vocabulary in the file is damaged: copy the file again")
        };
        let n = self.tokens.len();
        for (name, list) in [("token_type", self.types.len()), ("scores", self.scores.len())] {
            if list != 0 && list != n {
                return Err(damaged(format!("tokenizer.ggml.{name} has {list} entries for {n} tokens")));
            }
        }
        let all = self.ends.iter().chain(&self.bos).chain(&self.unknown);
        if let Some(id) = all.copied().find(|id| *id as usize >= n) {
            return Err(damaged(format!("names the token {id} of a vocabulary of {n}")));
        }
        let failed = |e: tokenizers::Error| damaged(format!("not a tokenizer: {}", clip(&e.to_string())));
        let (mut tokenizer, begins) = match self.model.as_str() {
            "gpt2" => {
                let name = self.pre.as_deref().unwrap_or_default();
                let cut = Cut::named(name).ok_or_else(|| {
                    Error::new(
                        ErrorKind::Tokenizer,
                        format!("{label}: its texts are cut by the rules {name:?}, which are not known here"),
                    )
                    .help("use a model folder with its tokenizer.json")
                })?;
                let merges = self.merges.iter().map(|line| pair(line).ok_or(line));
                let merges: Vec<_> = merges
                    .collect::<Result<_, _>>()
                    .map_err(|line| damaged(format!("{line:?} is no merge of two tokens")))?;
                (byte_level(self.vocabulary(), merges, cut).map_err(failed)?, cut.begins)
            }
            "llama" => (self.sentence_piece().map_err(failed)?, true),
            other => {
                return Err(Error::new(
                    ErrorKind::Tokenizer,
                    format!("{label}: its vocabulary is of the kind {other:?}, must be gpt2 or llama"),
                )
                .help("use a model folder with its tokenizer.json"));
            }
        };
        tokenizer.add_special_tokens(self.added(&[CONTROL, UNKNOWN], true)).map_err(failed)?;
        tokenizer.add_tokens(self.added(&[USER], false)).map_err(failed)?;
        let tokenizer = Tokenizer::of(tokenizer, label)?;
        let begin = self.bos.filter(|_| self.add_bos.unwrap_or(begins));
        let mut ends = self.ends.clone();
        for id in tokenizer.known_ends().filter(|id| self.kind(*id as usize) == CONTROL) {
            if !ends.contains(&id) {
                ends.push(id);
            }
        }
        Ok(tokenizer.with_ends(&ends).with_begin(begin))
    }

    /// How the model is talked to: with the chat template of the file, if it has one.
    pub fn conventions(&self, template: Option<&str>, label: &str) -> Conventions {
        let ids =
            [("bos_token", self.bos), ("eos_token", self.ends.first().copied()), ("unk_token", self.unknown)];
        let token = |id: u32| self.tokens.get(id as usize).cloned();
        let tokens = ids.into_iter().filter_map(|(name, id)| Some((name.to_string(), token(id?)?))).collect();
        let named = Conventions { tokens, ..Conventions::default() };
        let template = template.map(|source| named.other_template(source, label));
        Conventions { template, ..named }
    }

    fn kind(&self, id: usize) -> u32 {
        self.types.get(id).copied().unwrap_or(NORMAL)
    }

    fn vocabulary(&self) -> HashMap<String, u32> {
        // Of tokens that are there twice the first one counts; what is unused has no text.
        let used = (0..self.tokens.len()).rev().filter(|id| self.kind(*id) != UNUSED);
        used.map(|id| (self.tokens[id].clone(), id as u32)).collect()
    }

    fn added(&self, kinds: &[u32], special: bool) -> Vec<AddedToken> {
        let ids = (0..self.tokens.len()).filter(|id| kinds.contains(&self.kind(*id)));
        let token = |id: usize| AddedToken::from(self.tokens[id].clone(), special).normalized(false);
        ids.filter(|id| !self.tokens[*id].is_empty()).map(token).collect()
    }

    /// Pairs are merged in the order of the scores of what they make.
    fn sentence_piece(&self) -> tokenizers::Result<tokenizers::Tokenizer> {
        let vocabulary = self.vocabulary();
        let mut merges = Vec::new();
        for (token, id) in &vocabulary {
            if self.kind(*id as usize) > NORMAL {
                continue;
            }
            for (at, _) in token.char_indices().skip(1) {
                let (left, right) = token.split_at(at);
                if let (Some(l), Some(r)) = (vocabulary.get(left), vocabulary.get(right)) {
                    let score = self.scores.get(*id as usize).copied().unwrap_or(-(*id as f32));
                    merges.push((score, *id, *l, *r, left.to_string(), right.to_string()));
                }
            }
        }
        merges.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)).then((a.2, a.3).cmp(&(b.2, b.3))));
        let merges: Vec<_> = merges.into_iter().map(|(.., left, right)| (left, right)).collect();
        let unknown = self.unknown.and_then(|id| self.tokens.get(id as usize)).cloned();
        let mut bpe = BPE::builder()
            .vocab_and_merges(vocabulary.into_iter().collect::<Vocab>(), merges)
            .fuse_unk(true)
            .byte_fallback(true);
        if let Some(unknown) = unknown {
            bpe = bpe.unk_token(unknown);
        }
        let mut tokenizer = tokenizers::Tokenizer::new(bpe.build()?);
        let prefix = self.add_space.unwrap_or(true);
        let mut normalizers: Vec<NormalizerWrapper> = Vec::new();
        if prefix {
            normalizers.push(Prepend::new(SPACE.into()).into());
        }
        normalizers.push(Replace::new(" ", SPACE)?.into());
        tokenizer.with_normalizer(Some(Normalizers::new(normalizers)))?;
        let mut decoders =
            vec![Replace::new(SPACE, " ")?.into(), ByteFallback::new().into(), Fuse::new().into()];
        if prefix {
            decoders.push(Strip::new(' ', 1, 0).into());
        }
        tokenizer.with_decoder(Some(Decoders::new(decoders)));
        Ok(tokenizer)
    }
}

impl Tokenizer {
    /// The tokenizer of `vocab.json` and `merges.txt`, the files of byte-level vocabularies before there was a
    /// `tokenizer.json`; `config` is `tokenizer_config.json`.
    ///
    /// # Errors
    /// [`ErrorKind::Tokenizer`] for files that are damaged or do not fit together.
    pub fn from_lists(vocab: &str, merges: &str, config: &Value, label: &str) -> Result<Self> {
        lists(vocab, merges, config, label)
    }

    /// The tokenizer of a model folder: its `tokenizer.json`, else its `vocab.json` with `merges.txt`, else
    /// [`Tokenizer::bytes`].
    ///
    /// # Errors
    /// `ErrorKind::Io` if a file cannot be read; otherwise as [`Tokenizer::from_json_bytes`].
    #[cfg(not(target_arch = "wasm32"))]
    pub fn open(dir: &std::path::Path) -> Result<Self> {
        use crate::files::{Whole, read_bytes, read_text};
        let text = |name: &str| read_text(&dir.join(name), Whole::Settings);
        let is_there = |name: &str| !matches!(dir.join(name).try_exists(), Ok(false));
        if is_there("tokenizer.json") {
            let path = dir.join("tokenizer.json");
            return Self::from_json_bytes(&read_bytes(&path, Whole::Settings)?, &path.display().to_string());
        }
        if is_there("vocab.json") && is_there("merges.txt") {
            let [vocab, merges] = ["vocab.json", "merges.txt"].map(text);
            let config = text("tokenizer_config.json").unwrap_or_default();
            // A damaged one is told about where its ends are read.
            let config = serde_json::from_str(&config).unwrap_or_default();
            return Self::from_lists(&vocab?, &merges?, &config, &dir.display().to_string());
        }
        if is_there("tokenizer.model") {
            return Err(Error::new(
                ErrorKind::Tokenizer,
                format!("{}: has a tokenizer.model but no tokenizer.json", dir.display()),
            )
            .help("load the tokenizer once with the Python library transformers and save it: that writes tokenizer.json"));
        }
        Ok(Self::bytes())
    }
}

fn lists(vocab: &str, merges: &str, config: &Value, label: &str) -> Result<Tokenizer> {
    let damaged = |file: &str, what: String| {
        Error::new(ErrorKind::Tokenizer, format!("{label}/{file}: {what}")).help(
            "the file is damaged or of another kind of tokenizer; copy it again, or add a tokenizer.json",
        )
    };
    let vocabulary: HashMap<String, u32> =
        serde_json::from_str(vocab).map_err(|e| damaged("vocab.json", format!("not a vocabulary: {e}")))?;
    let lines = merges
        .lines()
        .enumerate()
        .filter(|(at, line)| !(line.is_empty() || *at == 0 && line.starts_with("#version")));
    let merges = lines.map(|(at, line)| {
        pair(line).ok_or_else(|| damaged("merges.txt", format!("line {} is no merge of two tokens", at + 1)))
    });
    let merges = merges.collect::<Result<Vec<_>>>()?;
    let qwen = config["tokenizer_class"].as_str().is_some_and(|class| class.starts_with("Qwen2Tokenizer"));
    let cut = if qwen { Cut::QWEN2 } else { Cut::GPT2 };
    let failed =
        |e: tokenizers::Error| damaged("vocab.json", format!("not a tokenizer: {}", clip(&e.to_string())));
    let end = vocabulary.contains_key(END_OF_TEXT);
    let mut tokenizer = byte_level(vocabulary, merges, cut).map_err(failed)?;
    if qwen {
        tokenizer.with_normalizer(Some(NFC)).map_err(failed)?;
    }
    let mut added: Vec<(u64, AddedToken)> = Vec::new();
    for (id, token) in config["added_tokens_decoder"].as_object().into_iter().flatten() {
        let (Ok(id), Some(content)) = (id.parse(), token["content"].as_str()) else { continue };
        let is = |name: &str| token[name].as_bool().unwrap_or(false);
        let token = AddedToken::from(content, is("special"))
            .lstrip(is("lstrip"))
            .rstrip(is("rstrip"))
            .single_word(is("single_word"))
            .normalized(is("normalized"));
        added.push((id, token));
    }
    added.sort_by_key(|(id, _)| *id);
    let mut added: Vec<AddedToken> = added.into_iter().map(|(_, token)| token).collect();
    if end && !added.iter().any(|token| token.content == END_OF_TEXT) {
        added.push(AddedToken::from(END_OF_TEXT, true));
    }
    tokenizer.add_tokens(added).map_err(failed)?;
    Tokenizer::of(tokenizer, label)
}

fn pair(line: &str) -> Option<(String, String)> {
    let (left, right) = line.split_once(' ')?;
    let whole = !left.is_empty() && !right.is_empty() && !right.contains(' ');
    whole.then(|| (left.into(), right.into()))
}

fn byte_level(
    vocabulary: HashMap<String, u32>,
    merges: Vec<(String, String)>,
    cut: Cut,
) -> tokenizers::Result<tokenizers::Tokenizer> {
    let bpe = BPE::builder()
        .vocab_and_merges(vocabulary.into_iter().collect::<Vocab>(), merges)
        .ignore_merges(cut.whole)
        .build()?;
    let mut tokenizer = tokenizers::Tokenizer::new(bpe);
    tokenizer.with_pre_tokenizer(Some(cut.pre_tokenizer()?));
    tokenizer.with_decoder(Some(ByteLevel::default()));
    Ok(tokenizer)
}
