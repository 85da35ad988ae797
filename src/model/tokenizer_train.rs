//! Training a byte-level BPE tokenizer, in the form of a Hugging Face `tokenizer.json`.

use std::collections::HashMap;

use tokenizers::models::bpe::{BPE, BpeTrainer};
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::utils::ProgressFormat;
use tokenizers::{AddedToken, OffsetReferential, OffsetType, PreTokenizedString, PreTokenizer, Trainer};

use super::coder::words;
use super::tokenizer::{END_OF_TEXT, documents};
use crate::error::{Error, ErrorKind, Result};

/// Fewest tokens: 256 bytes, `<|endoftext|>` and one merge.
pub const SMALLEST_VOCABULARY: usize = 258;
/// Most tokens.
pub const LARGEST_VOCABULARY: usize = 1 << 20;

/// How far the training is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TrainProgress {
    /// Cutting the text into words.
    Reading {
        /// Bytes done.
        done: usize,
        /// Bytes in all.
        total: usize,
    },
    /// Choosing the tokens; the rest of the time, without further reports.
    Merging,
}

/// A trained tokenizer.
#[derive(Clone, Debug)]
pub struct Trained {
    /// The text of `tokenizer.json`.
    pub json: String,
    /// Tokens, `<|endoftext|>` included.
    pub vocab_size: usize,
    /// What the user should know: fewer tokens than asked for.
    pub warnings: Vec<String>,
}

/// Trains a byte-level BPE of `vocab_size` tokens on `texts`: `<|endoftext|>` = 0, then the 256 bytes, then
/// merges. It separates documents in the texts and is not counted. The same texts always give the same
/// tokenizer.
///
/// # Errors
/// `ErrorKind::Input` if `vocab_size` is below 258 or above 1 048 576, or there is no text.
pub fn train(texts: &[&str], vocab_size: usize, progress: &mut dyn FnMut(TrainProgress)) -> Result<Trained> {
    if !(SMALLEST_VOCABULARY..=LARGEST_VOCABULARY).contains(&vocab_size) {
        let message = format!(
            "the vocabulary size is {vocab_size}, must be from {SMALLEST_VOCABULARY} to {LARGEST_VOCABULARY}"
        );
        return Err(Error::new(ErrorKind::Input, message)
            .help("256 bytes and <|endoftext|> come first; 2048 to 32768 is usual"));
    }
    let total = texts.iter().map(|t| t.len()).sum();
    if texts.iter().all(|text| documents(text).next().is_none()) {
        return Err(Error::new(
            ErrorKind::Input,
            format!("nothing to train a tokenizer on: the data has {total} bytes of text"),
        )
        .help("give a file with text in it"));
    }
    let mut trainer = BpeTrainer::builder()
        .vocab_size(vocab_size)
        .show_progress(false)
        .progress_format(ProgressFormat::Silent)
        .special_tokens(vec![AddedToken::from(END_OF_TEXT, true)])
        .initial_alphabet(ByteLevel::alphabet().into_iter().collect())
        .build();
    feed(&mut trainer, texts, total, progress)?;
    progress(TrainProgress::Merging);
    let mut model = BPE::default();
    let special = trainer.train(&mut model).map_err(failed)?;
    finish(model, special, vocab_size)
}

fn failed(e: tokenizers::Error) -> Error {
    Error::new(ErrorKind::Tokenizer, format!("training the tokenizer failed: {e}"))
}

/// Hands every distinct word to the trainer with its number: cutting a word into tokens is slow, counting is
/// not.
fn feed(
    trainer: &mut BpeTrainer,
    texts: &[&str],
    total: usize,
    progress: &mut dyn FnMut(TrainProgress),
) -> Result<()> {
    // The trainer takes texts only, and counts what comes out of `split`: so the number travels inside the
    // text.
    const MOST_AT_ONCE: usize = 1024;
    let counts = count_words(texts, total, progress);
    let numbered = counts.iter().flat_map(|(word, &count)| {
        let (whole, rest) = (count / MOST_AT_ONCE, count % MOST_AT_ONCE);
        std::iter::repeat_n(MOST_AT_ONCE, whole)
            .chain((rest > 0).then_some(rest))
            .map(move |n| format!("{n}:{word}"))
    });
    let byte_level = ByteLevel::new(false, true, true);
    let split = |numbered: &str| {
        let (count, word) = numbered.split_once(':').unwrap_or(("1", numbered));
        let mut text = PreTokenizedString::from(word);
        byte_level.pre_tokenize(&mut text)?;
        let words: Vec<String> = text
            .get_splits(OffsetReferential::Original, OffsetType::Byte)
            .into_iter()
            .map(|(w, _, _)| w.to_string())
            .collect();
        Ok(std::iter::repeat_n(words, count.parse()?).flatten().collect())
    };
    trainer.feed(numbered, split).map_err(failed)
}

fn count_words<'t>(
    texts: &[&'t str],
    total: usize,
    progress: &mut dyn FnMut(TrainProgress),
) -> HashMap<&'t str, usize> {
    let mut counts = HashMap::new();
    let (mut done, mut reported) = (0, 0);
    for word in texts.iter().copied().flat_map(documents).flat_map(words) {
        *counts.entry(word).or_insert(0) += 1;
        done += word.len();
        if done - reported >= 1 << 18 {
            reported = done;
            progress(TrainProgress::Reading { done, total });
        }
    }
    counts
}

fn finish(model: BPE, special: Vec<AddedToken>, vocab_size: usize) -> Result<Trained> {
    let mut tokenizer = tokenizers::Tokenizer::new(model);
    tokenizer.with_pre_tokenizer(Some(ByteLevel::new(false, true, true)));
    tokenizer.with_decoder(Some(ByteLevel::default()));
    tokenizer.add_special_tokens(special).map_err(failed)?;
    let size = tokenizer.get_vocab_size(true);
    let mut warnings = Vec::new();
    if size < vocab_size {
        warnings.push(format!(
            "the data gives only {size} tokens, not the {vocab_size} asked for; set vocab_size to {size}"
        ));
    }
    Ok(Trained { json: tokenizer.to_string(true).map_err(failed)?, vocab_size: size, warnings })
}
