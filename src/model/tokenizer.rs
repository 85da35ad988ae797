//! Text to token ids and back: Hugging Face `tokenizer.json`, or plain bytes where a model has none (SPEC
//! §2).
//!
//! | file | what |
//! |---|---|
//! | `coder` | text to ids |
//! | `vocabulary`, `splits` | tokenizers that come in other files than `tokenizer.json` |
//! | `pieces` | the bytes of each id |
//! | `text_stream` | ids to text, one by one |
//! | `ends` | which ids end a text |

use std::sync::Arc;

use super::byte_level;
use super::coder::{EncodeOptions, HuggingFace};
use super::pieces::Pieces;
use super::tensor_file::clip;
use crate::error::{Error, ErrorKind, Result};
use crate::text::{json_bytes, unmarked};

/// The token that separates documents.
pub const END_OF_TEXT: &str = "<|endoftext|>";

/// Tokens that end a text where no file says which do, as the known families of models name them. The first
/// that a tokenizer has also separates documents.
const KNOWN_ENDS: [&str; 12] = [
    END_OF_TEXT,
    "</s>",
    "<|end_of_text|>",
    "<eos>",
    "<|eos|>",
    "<|end▁of▁sentence|>",
    "<｜end▁of▁sentence｜>",
    "<|im_end|>",
    "<|eot_id|>",
    "<|end|>",
    "<end_of_turn>",
    "[EOS]",
];

/// Most ids a tokenizer may have; as many as a model.
const MOST_IDS: usize = 1 << 24;

/// The documents of a text: what lies between `<|endoftext|>`, empty ones left out.
pub fn documents(text: &str) -> impl Iterator<Item = &str> {
    text.split(END_OF_TEXT).filter(|document| !document.is_empty())
}

/// A tokenizer. Cloning is cheap; all clones share one vocabulary.
#[derive(Clone)]
pub struct Tokenizer {
    inner: Arc<Inner>,
    /// What ends a text; the first separates documents.
    ends: Arc<[u32]>,
    /// What a text begins with.
    begin: Arc<[u32]>,
}

struct Inner {
    label: String,
    coder: Coder,
    pieces: Pieces,
    size: usize,
}

enum Coder {
    Bytes,
    HuggingFace(Box<HuggingFace>),
}

impl std::fmt::Debug for Tokenizer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Tokenizer({}, {} ids)", self.inner.label, self.inner.size)
    }
}

impl Tokenizer {
    /// One token a byte, 0 to 255, and `<|endoftext|>` = 256.
    pub fn bytes() -> Self {
        let inner = Inner {
            label: "byte tokenizer".into(),
            coder: Coder::Bytes,
            pieces: Pieces::of_bytes(END_OF_TEXT),
            size: 257,
        };
        Self { inner: Arc::new(inner), ends: [256].into(), begin: [].into() }
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
        json_bytes(bytes).map_err(damaged)?;
        let tokenizer = tokenizers::Tokenizer::from_bytes(unmarked(bytes))
            .map_err(|e| damaged(format!("not a tokenizer: {}", clip(&e.to_string()))))?;
        Self::of(tokenizer, label)
    }

    /// A tokenizer of the library.
    pub(super) fn of(tokenizer: tokenizers::Tokenizer, label: &str) -> Result<Self> {
        let damaged = |what: String| {
            Error::new(ErrorKind::Tokenizer, format!("{label}: {what}"))
                .help("the file is damaged or not a tokenizer; copy it again")
        };
        let Some(last) = tokenizer.get_vocab(true).into_values().max() else {
            return Err(damaged("has an empty vocabulary".into()));
        };
        if last as usize >= MOST_IDS {
            return Err(damaged(format!("has the token id {last}, must be below {MOST_IDS}")));
        }
        let begin = begin(&tokenizer);
        let size = last as usize + 1;
        let ends = KNOWN_ENDS.iter().filter_map(|token| tokenizer.token_to_id(token)).collect();
        let pieces = Pieces::of(&tokenizer, size);
        let coder = Coder::HuggingFace(Box::new(HuggingFace::new(tokenizer)));
        Ok(Self { inner: Arc::new(Inner { label: label.into(), coder, pieces, size }), ends, begin })
    }

    /// The same with other ends of a text, as a model's files name them. The first separates documents.
    #[must_use]
    pub fn with_ends(&self, ends: &[u32]) -> Self {
        Self { ends: ends.into(), ..self.clone() }
    }

    /// The same with another beginning of a text.
    #[must_use]
    pub fn with_begin(&self, begin: Option<u32>) -> Self {
        Self { begin: begin.into_iter().collect(), ..self.clone() }
    }

    /// The ids that a text begins with, where a model wants that (a BOS token): as the post-processor of
    /// `tokenizer.json`, `add_bos_token` of `tokenizer_config.json` or a GGUF file says. `encode` adds
    /// them only where [`EncodeOptions::begins`] says so: they belong to the head of a text, and a chat template
    /// writes its own.
    pub fn begin(&self) -> &[u32] {
        &self.begin
    }

    /// The library's tokenizer; none: bytes.
    #[cfg(not(target_arch = "wasm32"))]
    pub(super) fn library(&self) -> Option<&tokenizers::Tokenizer> {
        match &self.inner.coder {
            Coder::Bytes => None,
            Coder::HuggingFace(coder) => Some(coder.usual()),
        }
    }

    /// Ids of special tokens that are known to end a text, in this order.
    pub(super) fn known_ends(&self) -> impl Iterator<Item = u32> {
        KNOWN_ENDS.iter().filter_map(|token| self.token_to_id(token))
    }

    /// Ids this tokenizer can give are below this.
    pub fn vocab_size(&self) -> usize {
        self.inner.size
    }

    /// The ids that end a text. Where a model's files do not name them: those of the known names
    /// (`<|endoftext|>`, `</s>`, `<|im_end|>`, …) that the tokenizer has.
    pub fn ends(&self) -> &[u32] {
        &self.ends
    }

    /// The id that ends a text and separates documents, if there is one: the first of [`Tokenizer::ends`].
    pub fn end_of_text(&self) -> Option<u32> {
        self.ends.first().copied()
    }

    /// The path or label.
    pub fn label(&self) -> &str {
        &self.inner.label
    }

    /// The token of an id as the vocabulary writes it (byte-level: `Ġthe`); None if there is none.
    pub fn id_to_token(&self, id: u32) -> Option<String> {
        match &self.inner.coder {
            Coder::Bytes if id == 256 => Some(END_OF_TEXT.into()),
            Coder::Bytes => u8::try_from(id).ok().map(|b| byte_level::char_of(b).to_string()),
            Coder::HuggingFace(coder) => coder.usual().id_to_token(id),
        }
    }

    /// The id of a token as the vocabulary writes it; None if there is none.
    pub fn token_to_id(&self, token: &str) -> Option<u32> {
        match &self.inner.coder {
            Coder::Bytes => (token == END_OF_TEXT).then_some(256),
            Coder::HuggingFace(coder) => coder.usual().token_to_id(token),
        }
    }

    /// Whether an id has a text. One that has none, a hole in the vocabulary, is never sampled.
    pub fn has_text(&self, id: u32) -> bool {
        self.inner.pieces.has_text(id)
    }

    /// Refuses a model that is too small for this tokenizer. (A larger one is fine: some ids then have no
    /// text.)
    ///
    /// # Errors
    /// `ErrorKind::Tokenizer`, with both sizes.
    pub fn check_model(&self, vocab_size: usize) -> Result<()> {
        let Inner { label, size, coder, .. } = &*self.inner;
        if *size <= vocab_size {
            return Ok(());
        }
        let e = Error::new(
            ErrorKind::Tokenizer,
            format!("{label}: has {size} tokens, the model's vocab_size is {vocab_size}"),
        );
        Err(match coder {
            Coder::Bytes => e.help("the model has no tokenizer.json and is too small for plain bytes; put its tokenizer.json into the folder"),
            Coder::HuggingFace(_) => e.help("use the tokenizer.json that the model was trained with"),
        })
    }

    /// Token ids of a text. `<|endoftext|>` and other special tokens in it are recognised; none are added.
    ///
    /// # Errors
    /// `ErrorKind::Input` for a character that the vocabulary has no token for.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>> {
        self.encode_as(text, EncodeOptions::default(), &mut |_| {})
    }

    /// [`Tokenizer::encode`] that reports the bytes done so far, every 64 KiB or so.
    ///
    /// # Errors
    /// As [`Tokenizer::encode`].
    pub fn encode_with(&self, text: &str, progress: &mut dyn FnMut(usize)) -> Result<Vec<u32>> {
        self.encode_as(text, EncodeOptions::default(), progress)
    }

    /// [`Tokenizer::encode_with`] of a text that continues another, begins what a model reads, or has special
    /// tokens as text.
    ///
    /// # Errors
    /// As [`Tokenizer::encode`].
    pub fn encode_as(
        &self,
        text: &str,
        options: EncodeOptions,
        progress: &mut dyn FnMut(usize),
    ) -> Result<Vec<u32>> {
        let ids = self.encode_bare(text, options, progress)?;
        Ok([self.missing_begin(&ids, options), &ids].concat())
    }

    /// What is to come before the ids of a text.
    fn missing_begin(&self, ids: &[u32], options: EncodeOptions) -> &[u32] {
        if options.begins && !ids.starts_with(&self.begin) { &self.begin } else { &[] }
    }

    fn encode_bare(
        &self,
        text: &str,
        options: EncodeOptions,
        progress: &mut dyn FnMut(usize),
    ) -> Result<Vec<u32>> {
        match &self.inner.coder {
            Coder::Bytes => Ok(encode_bytes(text, options)),
            Coder::HuggingFace(coder) => {
                self.refuse(&coder.unknown, text)?;
                let ids = if coder.splits {
                    coder.encode_words(text, options, progress)
                } else {
                    coder.encode(text, options)
                };
                ids.map_err(|e| self.failed(&e))
            }
        }
    }

    /// The first `most` ids of a text, and the bytes of the text that they stand for.
    ///
    /// # Errors
    /// As [`Tokenizer::encode`].
    pub fn encode_head(
        &self,
        text: &str,
        most: usize,
        options: EncodeOptions,
        progress: &mut dyn FnMut(usize),
    ) -> Result<(Vec<u32>, usize)> {
        let mut ids = self.encode_bare(text, options, progress)?;
        let begin = self.missing_begin(&ids, options);
        if begin.len() + ids.len() <= most {
            return Ok(([begin, &ids].concat(), text.len()));
        }
        let begin = &begin[..begin.len().min(most)];
        let most = most - begin.len();
        let size = |ids: &[u32]| ids.iter().map(|id| self.token_bytes(*id).len()).sum::<usize>();
        let bytes = match &self.inner.coder {
            // Where the tokens' bytes are those of the text.
            _ if size(&ids) == text.len() => size(&ids[..most]),
            Coder::HuggingFace(coder) if most > 0 => {
                let (_, ends) = coder.encode_with_ends(text, options).map_err(|e| self.failed(&e))?;
                ends.get(most - 1).copied().unwrap_or(text.len())
            }
            _ => 0,
        };
        ids.truncate(most);
        Ok(([begin, &ids].concat(), bytes))
    }

    fn failed(&self, error: &tokenizers::Error) -> Error {
        let text = format!("{}: cannot encode the text: {}", self.inner.label, clip(&error.to_string()));
        Error::new(ErrorKind::Input, text)
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
            format!("{}: has no token for byte 0x{byte:02x} of the text (at byte {at})", self.inner.label),
        )
        .help("leave the character out, or use a tokenizer with all 256 bytes"))
    }

    /// The text of some ids, special tokens included; bytes that are not UTF-8 become U+FFFD, ids without a
    /// token nothing.
    pub fn decode(&self, ids: &[u32]) -> String {
        let mut stream = self.text_stream();
        let mut text: String = ids.iter().filter_map(|id| stream.push(*id)).collect();
        text.extend(stream.finish());
        text
    }

    /// What an id adds to a text that something came before.
    pub(super) fn token_bytes(&self, id: u32) -> &[u8] {
        self.inner.pieces.within(id)
    }

    /// What an id is at the head of a text.
    pub(super) fn first_bytes(&self, id: u32) -> Vec<u8> {
        self.inner.pieces.first(id, self.id_to_token(id))
    }

    /// Whether a space follows this id if anything does.
    pub(super) fn ends_word(&self, id: u32) -> bool {
        self.inner.pieces.ends_word(id)
    }

    /// The documents of a text, empty ones left out: what lies between `<|endoftext|>`, or tokens that end a
    /// text here.
    pub fn documents<'t>(&self, text: &'t str) -> Vec<&'t str> {
        let mut ends: Vec<String> = self.ends.iter().filter_map(|id| self.id_to_token(*id)).collect();
        ends.push(END_OF_TEXT.into());
        let mut documents = vec![text];
        for end in ends.iter().filter(|end| !end.is_empty()) {
            documents = documents.into_iter().flat_map(|part| part.split(end.as_str())).collect();
        }
        documents.retain(|document| !document.is_empty());
        documents
    }
}

/// What the post-processor puts before a text.
fn begin(tokenizer: &tokenizers::Tokenizer) -> Arc<[u32]> {
    let encode =
        |special| tokenizer.encode_fast("a", special).map(|e| e.get_ids().to_vec()).unwrap_or_default();
    let (plain, whole) = (encode(false), encode(true));
    let at = whole.windows(plain.len().max(1)).position(|part| part == plain).unwrap_or(0);
    whole[..at].into()
}

fn encode_bytes(text: &str, options: EncodeOptions) -> Vec<u32> {
    if options.special_as_text {
        return text.bytes().map(u32::from).collect();
    }
    let mut ids = Vec::with_capacity(text.len());
    for (i, part) in text.split(END_OF_TEXT).enumerate() {
        if i > 0 {
            ids.push(256);
        }
        ids.extend(part.bytes().map(u32::from));
    }
    ids
}

#[cfg(all(test, not(target_arch = "wasm32")))]
#[path = "tokenizer_tests.rs"]
mod tests;
