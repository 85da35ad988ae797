//! From text to ids with the `tokenizers` library: the head of a text and its continuation, special tokens as
//! tokens or as text.

use std::collections::HashMap;
use std::sync::OnceLock;

use tokenizers::normalizers::Sequence as Normalizers;
use tokenizers::pre_tokenizers::metaspace::PrependScheme;
use tokenizers::pre_tokenizers::sequence::Sequence as PreTokenizers;
use tokenizers::pre_tokenizers::split::SplitPattern;
use tokenizers::{Encoding, ModelWrapper, NormalizerWrapper, PreTokenizerWrapper, Result, Tokenizer};

use super::byte_level;

/// How a text becomes ids.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EncodeOptions {
    /// The text goes on where another ended: no space is put before it where the tokenizer puts one at the
    /// head of a text.
    pub continues: bool,
    /// Special tokens in the text (`<|endoftext|>`) are text like any other, not tokens.
    pub special_as_text: bool,
    /// The text is the head of what a model reads: [`Tokenizer::begin`](super::Tokenizer::begin) comes first,
    /// unless the text begins with it.
    pub begins: bool,
}

/// A Hugging Face tokenizer.
pub(super) struct HuggingFace {
    usual: Tokenizer,
    /// As [`EncodeOptions`] say: for continuations, with special tokens as text, both.
    others: [OnceLock<Tokenizer>; 3],
    /// Whether the head of a text is encoded differently from the rest.
    prefixes: bool,
    /// Whether a boundary between a visible character and white space is always one between tokens.
    pub splits: bool,
    /// Bytes that no token stands for, where the tokenizer would drop them silently.
    pub unknown: Vec<u8>,
}

impl HuggingFace {
    pub fn new(mut usual: Tokenizer) -> Self {
        make_repeatable(&mut usual);
        let (splits, unknown) = (splits_at_white_space(&usual), unknown_bytes(&usual));
        let prefixes = usual.get_pre_tokenizer().is_some_and(|p| bare_pre_tokenizer(p).is_some())
            || usual.get_normalizer().is_some_and(|n| bare_normalizer(n).is_some());
        Self { usual, others: Default::default(), prefixes, splits, unknown }
    }

    /// For a text at its head, special tokens recognised.
    pub fn usual(&self) -> &Tokenizer {
        &self.usual
    }

    fn variant(&self, EncodeOptions { continues, special_as_text, .. }: EncodeOptions) -> &Tokenizer {
        let bare = continues && self.prefixes;
        let Some(at) = (usize::from(bare) + 2 * usize::from(special_as_text)).checked_sub(1) else {
            return &self.usual;
        };
        self.others[at].get_or_init(|| {
            let mut tokenizer = self.usual.clone();
            tokenizer.set_encode_special_tokens(special_as_text);
            if bare {
                if let Some(changed) = tokenizer.get_pre_tokenizer().and_then(bare_pre_tokenizer) {
                    tokenizer.with_pre_tokenizer(Some(changed));
                }
                if let Some(changed) = tokenizer.get_normalizer().and_then(bare_normalizer) {
                    // Cannot fail where the usual one did not: its added tokens are normalized again.
                    let _ = tokenizer.with_normalizer(Some(changed));
                }
            }
            tokenizer
        })
    }

    /// The ids of a whole text.
    pub fn encode(&self, text: &str, options: EncodeOptions) -> Result<Vec<u32>> {
        let bare = self.variant(options);
        if !(options.continues && self.prefixes) {
            return Ok(bare.encode_fast(text, false)?.get_ids().to_vec());
        }
        // What comes after an added token is encoded as ever.
        let encoding = bare.encode(text, false)?;
        let added = self.usual.get_added_tokens_decoder();
        let first = encoding.get_ids().iter().position(|id| added.contains_key(id));
        let Some(at) = first.map(|first| encoding.get_offsets()[first].0) else {
            return Ok(encoding.get_ids().to_vec());
        };
        let usual = self.variant(EncodeOptions { continues: false, ..options });
        let mut ids = bare.encode_fast(&text[..at], false)?.get_ids().to_vec();
        ids.extend_from_slice(usual.encode_fast(&text[at..], false)?.get_ids());
        Ok(ids)
    }

    /// The ids of a text with the bytes of it that each of them ends at.
    pub fn encode_with_ends(&self, text: &str, options: EncodeOptions) -> Result<(Vec<u32>, Vec<usize>)> {
        let encoding: Encoding = self.variant(options).encode(text, false)?;
        let ends = encoding.get_offsets().iter().map(|(_, end)| *end).collect();
        Ok((encoding.get_ids().to_vec(), ends))
    }

    /// Word by word, each distinct one encoded once; the same ids as for the whole text at once, many times
    /// faster. Only where the tokenizer splits there.
    pub fn encode_words(
        &self,
        text: &str,
        options: EncodeOptions,
        progress: &mut dyn FnMut(usize),
    ) -> Result<Vec<u32>> {
        const LONGEST_KEPT: usize = 64;
        let tokenizer = self.variant(options);
        let mut ids = Vec::new();
        let mut seen: HashMap<&str, (usize, usize)> = HashMap::new();
        let (mut done, mut reported) = (0, 0);
        for word in words(text) {
            if let Some(&(from, to)) = seen.get(word) {
                ids.extend_from_within(from..to);
            } else {
                let from = ids.len();
                ids.extend_from_slice(tokenizer.encode_fast(word, false)?.get_ids());
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
}

/// Switches off what would make ids random or incomplete.
fn make_repeatable(tokenizer: &mut Tokenizer) {
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

/// The same without a space before a text; none if it puts none there.
fn bare_pre_tokenizer(given: &PreTokenizerWrapper) -> Option<PreTokenizerWrapper> {
    match given {
        PreTokenizerWrapper::Metaspace(m) if m.get_prepend_scheme() != PrependScheme::Never => {
            let mut bare = m.clone();
            bare.set_prepend_scheme(PrependScheme::Never);
            Some(bare.into())
        }
        PreTokenizerWrapper::ByteLevel(b) if b.add_prefix_space => {
            let mut bare = *b;
            bare.add_prefix_space = false;
            Some(bare.into())
        }
        PreTokenizerWrapper::Sequence(all) => {
            let changed: Vec<_> = all.as_ref().iter().map(|p| (p, bare_pre_tokenizer(p))).collect();
            let any = changed.iter().any(|(_, bare)| bare.is_some());
            let bare = changed.into_iter().map(|(p, bare)| bare.unwrap_or_else(|| p.clone()));
            any.then(|| PreTokenizers::new(bare.collect()).into())
        }
        _ => None,
    }
}

fn bare_normalizer(given: &NormalizerWrapper) -> Option<NormalizerWrapper> {
    match given {
        NormalizerWrapper::Prepend(_) => Some(Normalizers::new(Vec::new()).into()),
        NormalizerWrapper::Sequence(all) => {
            let changed: Vec<_> = all.as_ref().iter().map(|n| (n, bare_normalizer(n))).collect();
            let any = changed.iter().any(|(_, bare)| bare.is_some());
            let bare = changed.into_iter().map(|(n, bare)| bare.unwrap_or_else(|| n.clone()));
            any.then(|| Normalizers::new(bare.collect()).into())
        }
        _ => None,
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

/// The GPT-2 pattern never joins a visible character to white space after it, nor looks across that boundary;
/// to put digits apart before only adds boundaries.
fn splits_at_white_space(t: &Tokenizer) -> bool {
    let gpt2 = |p: &PreTokenizerWrapper| matches!(p, PreTokenizerWrapper::ByteLevel(b) if b.use_regex && !b.add_prefix_space);
    let digits = |p: &PreTokenizerWrapper| match p {
        PreTokenizerWrapper::Digits(_) => true,
        PreTokenizerWrapper::Split(s) => s.pattern == SplitPattern::Regex(r"\p{N}".into()) && !s.invert,
        _ => false,
    };
    let cuts = t.get_pre_tokenizer().is_some_and(|p| match p {
        PreTokenizerWrapper::Sequence(all) => {
            all.as_ref().split_last().is_some_and(|(last, before)| gpt2(last) && before.iter().all(digits))
        }
        p => gpt2(p),
    });
    let plain = |a: &tokenizers::AddedToken| {
        !(a.lstrip || a.rstrip || a.single_word || a.content.contains(char::is_whitespace))
    };
    cuts && t.get_normalizer().is_none() && t.get_added_tokens_decoder().values().all(plain)
}

/// Bytes that a byte-level BPE without all of them would drop without a word.
fn unknown_bytes(t: &Tokenizer) -> Vec<u8> {
    let byte_level = t.get_pre_tokenizer().is_some_and(|p| match p {
        PreTokenizerWrapper::Sequence(all) => {
            all.as_ref().iter().any(|p| matches!(p, PreTokenizerWrapper::ByteLevel(_)))
        }
        p => matches!(p, PreTokenizerWrapper::ByteLevel(_)),
    });
    match t.get_model() {
        ModelWrapper::BPE(bpe) if byte_level && bpe.unk_token.is_none() && !bpe.byte_fallback => (0..=255)
            .filter(|&b| t.token_to_id(byte_level::char_of(b).encode_utf8(&mut [0; 4])).is_none())
            .collect(),
        _ => Vec::new(),
    }
}
