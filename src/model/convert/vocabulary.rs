//! The vocabulary of a GGUF file from the tokenizer of a model. What such a file cannot say is refused; what
//! its readers do in another way is told.

use std::collections::{BTreeMap, HashMap};

use serde_json::{Value as Json, json};
use tokenizers::models::bpe::BPE;
use tokenizers::pre_tokenizers::metaspace::PrependScheme;
use tokenizers::{DecoderWrapper, ModelWrapper, NormalizerWrapper, PreTokenizerWrapper};

use super::cuts::name_of;
use crate::error::{Error, ErrorKind, Result};
use crate::model::byte_level::char_of;
use crate::model::engine::ModelSource;
use crate::model::gguf::{Array, NO_TOKENIZER, Value};
use crate::model::tensor_file::clip;
use crate::model::tokenizer::{END_OF_TEXT, Tokenizer};
use crate::model::vocabulary::{CONTROL, GgufVocabulary, NORMAL, UNKNOWN, UNUSED, USER};

/// `token_type`: a byte of SentencePiece's.
const BYTE: u32 = 6;

/// Texts that must give the same tokens before and after.
const TEXTS: [&str; 10] = [
    "Hello, world! It's 12:30; they'll've WON'T 'S 're.",
    "  two  spaces   three \t tab\n\n\nlines \r\n end  ",
    "x  1   22 333 4444 1234567 3.14159e-10 0x1F ½ ²",
    "Ünïcödé naïve café été ÀÉ ß Straße",
    "日本語のテキスト 中文 한국어 العربية हिन्दी ไทย Ελληνικά",
    "😀🎉 👩‍👩‍👧 ™ © → ≤ ∑ “quotes” — … ¿qué?",
    "def f(a, b=None):\n    return a+b*2 # comment\n\tif x!=y: {'k': [1,2]}\n",
    "https://example.org/a_b-c?d=%20&e=f#g me@example.org",
    "aaaaaaaa AAAA  ------ ====== ____ ////",
    "\u{1}\u{7f}\u{a0}\u{200b}\u{feff}x",
];

const ADVICE: &str = "give a folder in the place of the .gguf file: it takes tokenizer.json as it is";

/// A vocabulary, and what is to be told of it.
#[derive(Debug, Default)]
pub(super) struct Made {
    pub vocabulary: GgufVocabulary,
    /// What fills up a batch of texts.
    pub padding: Option<u32>,
    pub notes: Vec<String>,
}

/// The vocabulary of a model.
///
/// # Errors
/// [`ErrorKind::Tokenizer`] for a tokenizer that a GGUF file cannot describe.
pub(super) fn made(source: &ModelSource) -> Result<Made> {
    let tokenizer = &source.tokenizer;
    let mut made = match tokenizer.library() {
        Some(library) => {
            tokenizer.check_model(source.config.vocab_size)?;
            of_library(tokenizer, library)?
        }
        None if tokenizer.vocab_size() <= source.config.vocab_size => bytes(),
        None => Made {
            vocabulary: GgufVocabulary { model: NO_TOKENIZER.into(), ..GgufVocabulary::default() },
            notes: vec!["the model has no tokenizer, and the file will have none".into()],
            ..Made::default()
        },
    };
    name_tokens(source, &mut made);
    if made.vocabulary.model != NO_TOKENIZER {
        for id in made.vocabulary.tokens.len()..source.config.vocab_size {
            made.vocabulary.tokens.push(format!("[PAD{id}]"));
            made.vocabulary.types.push(UNUSED);
            if !made.vocabulary.scores.is_empty() {
                made.vocabulary.scores.push(0.0);
            }
        }
        compare(tokenizer, &mut made)?;
    }
    Ok(made)
}

fn refused(tokenizer: &Tokenizer, what: impl std::fmt::Display) -> Error {
    let text = format!("{}: {what}, which a GGUF file cannot say", tokenizer.label());
    Error::new(ErrorKind::Tokenizer, text).help(ADVICE)
}

/// A token a byte.
fn bytes() -> Made {
    let mut vocabulary = GgufVocabulary {
        model: "gpt2".into(),
        pre: Some("gpt-2".into()),
        tokens: (0..=255).map(|byte| char_of(byte).to_string()).collect(),
        types: vec![NORMAL; 256],
        ..GgufVocabulary::default()
    };
    vocabulary.tokens.push(END_OF_TEXT.into());
    vocabulary.types.push(CONTROL);
    Made { vocabulary, ..Made::default() }
}

fn of_library(tokenizer: &Tokenizer, library: &tokenizers::Tokenizer) -> Result<Made> {
    let ModelWrapper::BPE(bpe) = library.get_model() else {
        let kind = match library.get_model() {
            ModelWrapper::WordPiece(_) => "WordPiece",
            ModelWrapper::WordLevel(_) => "WordLevel",
            _ => "Unigram",
        };
        return Err(refused(tokenizer, format!("its tokens are made by {kind}, not by BPE")));
    };
    if bpe.continuing_subword_prefix.as_deref().is_some_and(|x| !x.is_empty())
        || bpe.end_of_word_suffix.as_deref().is_some_and(|x| !x.is_empty())
    {
        return Err(refused(tokenizer, "its tokens are marked where words begin or end"));
    }
    let merges = merges(bpe);
    let mut made = Made::default();
    tokens(tokenizer, library, bpe, &mut made);
    if bpe.byte_fallback {
        sentence_pieces(tokenizer, library, &merges, &mut made)?;
    } else {
        byte_level(tokenizer, library, bpe, &merges, &mut made)?;
    }
    Ok(made)
}

/// The pairs that are merged, in their order.
fn merges(bpe: &BPE) -> Vec<(String, String)> {
    let mut model = serde_json::to_value(bpe).unwrap_or_default();
    serde_json::from_value(model["merges"].take()).unwrap_or_default()
}

/// Tokens by id, with their kinds.
fn tokens(tokenizer: &Tokenizer, library: &tokenizers::Tokenizer, bpe: &BPE, made: &mut Made) {
    let added = library.get_added_tokens_decoder();
    let odd = added.values().filter(|token| token.lstrip || token.rstrip || token.single_word);
    let mut odd: Vec<String> = odd.map(|token| token.content.clone()).collect();
    odd.sort_unstable();
    if let Some(token) = odd.first() {
        let more = if odd.len() > 1 { format!(" and {} more", odd.len() - 1) } else { String::new() };
        made.notes.push(format!(
            "{}{more} take the spaces beside them, or are whole words only: readers of GGUF do not do that",
            clip(token)
        ));
    }
    for id in 0..tokenizer.vocab_size() as u32 {
        let (token, kind) = match (added.get(&id), tokenizer.id_to_token(id)) {
            (_, None) => (format!("[PAD{id}]"), UNUSED),
            (_, Some(token)) if bpe.unk_token.as_ref() == Some(&token) => {
                made.vocabulary.unknown = Some(id);
                (token, if bpe.byte_fallback { UNKNOWN } else { CONTROL })
            }
            (Some(added), Some(token)) => (token, if added.special { CONTROL } else { USER }),
            (None, Some(token)) => {
                let byte = token.strip_prefix("<0x").and_then(|hex| hex.strip_suffix('>'));
                let byte = byte.is_some_and(|hex| hex.len() == 2 && u8::from_str_radix(hex, 16).is_ok());
                (token, if bpe.byte_fallback && byte { BYTE } else { NORMAL })
            }
        };
        made.vocabulary.tokens.push(token);
        made.vocabulary.types.push(kind);
    }
}

fn byte_level(
    tokenizer: &Tokenizer,
    library: &tokenizers::Tokenizer,
    bpe: &BPE,
    merges: &[(String, String)],
    made: &mut Made,
) -> Result<()> {
    match library.get_normalizer() {
        None => {}
        Some(NormalizerWrapper::NFC(_)) => made.notes.push(
            "readers of GGUF do not put texts into Unicode's form NFC: those in another have other tokens"
                .into(),
        ),
        Some(_) => return Err(refused(tokenizer, "its normalizer changes texts")),
    }
    if !matches!(library.get_decoder(), Some(DecoderWrapper::ByteLevel(_))) {
        return Err(refused(tokenizer, "its tokens are neither bytes nor SentencePiece's"));
    }
    let name = library.get_pre_tokenizer().and_then(|cut| name_of(cut, bpe.ignore_merges));
    let Some(name) = name else {
        let cut = serde_json::to_string(&library.get_pre_tokenizer()).unwrap_or_default();
        let text = format!(
            "{}: it cuts texts as no tokenizer does that GGUF files have a name for: {}",
            tokenizer.label(),
            clip(&cut)
        );
        return Err(Error::new(ErrorKind::Tokenizer, text).help(ADVICE));
    };
    if let Some((left, right)) = merges.iter().find(|(left, right)| (left.clone() + right).contains(' ')) {
        return Err(refused(tokenizer, format!("it merges {:?} and {:?}", clip(left), clip(right))));
    }
    made.vocabulary.model = "gpt2".into();
    made.vocabulary.pre = Some(name.into());
    made.vocabulary.merges = merges.iter().map(|(left, right)| format!("{left} {right}")).collect();
    Ok(())
}

fn sentence_pieces(
    tokenizer: &Tokenizer,
    library: &tokenizers::Tokenizer,
    merges: &[(String, String)],
    made: &mut Made,
) -> Result<()> {
    made.vocabulary.add_space = Some(space_first(tokenizer, library, &mut made.notes)?);
    made.vocabulary.model = "llama".into();
    made.vocabulary.pre = Some("default".into());
    made.vocabulary.scores = scores(&made.vocabulary, merges).ok_or_else(|| {
        refused(tokenizer, "its merges are not in the order of their tokens, as SentencePiece's")
    })?;
    Ok(())
}

/// Whether a text begins with a space that is put there.
fn space_first(
    tokenizer: &Tokenizer,
    library: &tokenizers::Tokenizer,
    notes: &mut Vec<String>,
) -> Result<bool> {
    let replace = json!({ "type": "Replace", "pattern": { "String": " " }, "content": "▁" });
    let prepend = json!({ "type": "Prepend", "prepend": "▁" });
    let sequence = |all: &[&Json]| json!({ "type": "Sequence", "normalizers": all });
    let normalizer = serde_json::to_value(library.get_normalizer()).unwrap_or_default();
    match library.get_pre_tokenizer() {
        None if normalizer == sequence(&[&prepend, &replace]) => Ok(true),
        None if normalizer == replace || normalizer == sequence(&[&replace]) => Ok(false),
        Some(PreTokenizerWrapper::Metaspace(m))
            if normalizer.is_null() && m.get_replacement() == '▁' && !m.split =>
        {
            if m.get_prepend_scheme() == PrependScheme::First {
                notes.push(
                    "readers of GGUF put a space after special tokens too, not only before a text".into(),
                );
            }
            Ok(m.get_prepend_scheme() != PrependScheme::Never)
        }
        _ => Err(refused(tokenizer, "it changes or cuts texts in a way of its own")),
    }
}

/// Scores that merge in the order of these pairs: of what is merged first the highest. A token has one score,
/// whatever pair it is made of, and every pair that makes one is merged.
fn scores(vocabulary: &GgufVocabulary, merges: &[(String, String)]) -> Option<Vec<f32>> {
    let ids: HashMap<&str, usize> =
        vocabulary.tokens.iter().enumerate().map(|(id, token)| (token.as_str(), id)).collect();
    let normal = |id: usize| vocabulary.types[id] == NORMAL;
    let mut ranks: HashMap<usize, usize> = HashMap::new();
    let (mut last, mut count) = (None, 0);
    for (left, right) in merges {
        let made = *ids.get(format!("{left}{right}").as_str())?;
        if !normal(made) {
            continue;
        }
        count += 1;
        if last != Some(made) {
            let rank = ranks.len();
            if ranks.insert(made, rank).is_some() {
                return None;
            }
            last = Some(made);
        }
    }
    let splits = |token: &str| {
        let is_pair = |at: usize| ids.contains_key(&token[..at]) && ids.contains_key(&token[at..]);
        token.char_indices().skip(1).filter(|(at, _)| is_pair(*at)).count()
    };
    let all = vocabulary.tokens.iter().enumerate().filter(|(id, _)| normal(*id));
    if all.map(|(_, token)| splits(token)).sum::<usize>() != count {
        return None;
    }
    // What nothing makes has no score that matters.
    let score = |id: usize| ranks.get(&id).map_or(0.0, |rank| -(*rank as f32) - 1.0);
    Some((0..vocabulary.tokens.len()).map(score).collect())
}

/// What begins a text, ends it, and so on.
fn name_tokens(source: &ModelSource, made: &mut Made) {
    let (tokenizer, config) = (&source.tokenizer, &source.config);
    let fits = |id: &u32| (*id as usize) < config.vocab_size;
    let named = |name: &str| {
        let token = source.conventions.tokens.iter().find(|(n, _)| n == name)?;
        tokenizer.token_to_id(&token.1)
    };
    let of_config = |key: &str| {
        let id = config.origin.as_ref()?.get(key)?.as_u64()?;
        u32::try_from(id).ok()
    };
    let vocabulary = &mut made.vocabulary;
    let begin = tokenizer.begin();
    let bos = begin.last().copied().or_else(|| named("bos_token")).or_else(|| of_config("bos_token_id"));
    vocabulary.bos = bos.filter(fits);
    vocabulary.add_bos = (vocabulary.model != NO_TOKENIZER).then_some(!begin.is_empty());
    if begin.len() > 1 {
        let text = format!("a text begins with {} tokens, in the file with the last of them", begin.len());
        made.notes.push(text);
    }
    // The end that templates name comes first.
    let mut ends = tokenizer.ends().to_vec();
    if let Some(at) = named("eos_token").and_then(|eos| ends.iter().position(|id| *id == eos)) {
        ends[..=at].rotate_right(1);
    }
    ends.truncate(END_KEYS.len());
    vocabulary.ends = ends;
    vocabulary.unknown = vocabulary.unknown.or_else(|| named("unk_token")).filter(fits);
    made.padding = named("pad_token").or_else(|| of_config("pad_token_id")).filter(fits);
}

/// Reads it back, and compares.
fn compare(tokenizer: &Tokenizer, made: &mut Made) -> Result<()> {
    let read = made.vocabulary.tokenizer(tokenizer.label())?;
    let control = made.vocabulary.tokens.iter().zip(&made.vocabulary.types);
    let control = control.filter(|(_, kind)| matches!(**kind, CONTROL | USER));
    let special: Vec<String> = control.take(64).map(|(token, _)| token.clone()).collect();
    for text in TEXTS.into_iter().chain(special.iter().map(String::as_str)) {
        let (before, after) = (tokenizer.encode(text), read.encode(text));
        match (before, after) {
            // Bytes that it has no tokens for.
            (Err(_), _) => {}
            (Ok(before), Ok(after)) if before == after => {}
            (Ok(before), after) => {
                let after = after.unwrap_or_default();
                let at = before.iter().zip(&after).take_while(|(a, b)| a == b).count();
                let what = format!("its tokens of {:?} would be others from token {at} on", clip(text));
                return Err(refused(tokenizer, what));
            }
        }
    }
    let lost: Vec<String> = tokenizer
        .ends()
        .iter()
        .filter(|id| !read.ends().contains(id))
        .map(|id| tokenizer.id_to_token(*id).unwrap_or_else(|| id.to_string()))
        .collect();
    if !lost.is_empty() {
        made.notes.push(format!("a GGUF file has no room for the ends of a text {}", lost.join(", ")));
    }
    Ok(())
}

/// Keys of what ends a text, in the order in which they are read.
const END_KEYS: [&str; 3] = ["eos_token_id", "eot_token_id", "eom_token_id"];

impl Made {
    /// The metadata that say it.
    pub fn metadata(self) -> BTreeMap<String, Value> {
        let v = self.vocabulary;
        let mut map = BTreeMap::new();
        let mut put = |name: &str, value: Option<Value>| {
            map.extend(value.map(|value| (format!("tokenizer.ggml.{name}"), value)));
        };
        let id = |id: Option<u32>| id.map(|id| Value::Int(i128::from(id)));
        let texts =
            |list: Vec<String>| Some(list).filter(|l| !l.is_empty()).map(|l| Value::Array(Array::Texts(l)));
        let types: Vec<i64> = v.types.iter().map(|kind| i64::from(*kind)).collect();
        let scores: Vec<f64> = v.scores.iter().map(|score| f64::from(*score)).collect();
        put("pre", v.pre.map(Value::Text));
        // A byte-level vocabulary has merges, if only none.
        let merges = (v.model == "gpt2").then_some(Value::Array(Array::Texts(v.merges)));
        put("merges", merges);
        put("model", Some(Value::Text(v.model)));
        put("tokens", texts(v.tokens));
        put("token_type", (!types.is_empty()).then_some(Value::Array(Array::Ints(types))));
        put("scores", (!scores.is_empty()).then_some(Value::Array(Array::Floats(scores))));
        put("bos_token_id", id(v.bos));
        END_KEYS.iter().zip(&v.ends).for_each(|(key, end)| put(key, id(Some(*end))));
        put("unknown_token_id", id(v.unknown));
        put("padding_token_id", id(self.padding));
        put("add_bos_token", v.add_bos.map(Value::Bool));
        put("add_space_prefix", v.add_space.map(Value::Bool));
        map
    }
}
