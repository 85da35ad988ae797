//! The bytes that each id adds to a text. A decoder of `tokenizer.json` works on all tokens of a text at once,
//! but what it makes of one of them depends on little: whether it is the first (a word's space is left out
//! there), and with end-of-word suffixes whether another follows. So the bytes of every id in the middle of a
//! text are kept in a table, and a text can be cut anywhere and continued.

use tokenizers::{Decoder as _, DecoderWrapper, Model as _};

use super::byte_level;

/// Stands before or after a token so that it is not the first or the last.
const OTHER: &str = "x";

/// The bytes of all ids.
pub(super) struct Pieces {
    steps: Steps,
    middle: ByteTable,
    /// Ids that end a word: a space follows if anything does. In order.
    gaps: Vec<u32>,
    /// Ids without a token, or with an empty one. In order.
    textless: Vec<u32>,
    /// Ids that are decoded as they are. In order.
    plain: Vec<u32>,
}

/// How tokens become bytes.
enum Steps {
    /// A token's bytes are all there is to it.
    Bytes,
    /// A decoder's steps, one after the other.
    Chain(Vec<DecoderWrapper>),
    /// No decoder: a space between tokens.
    Spaced,
}

impl Pieces {
    /// One byte an id, and one more token.
    pub fn of_bytes(last: &str) -> Self {
        let mut middle = ByteTable::default();
        (0..=255).for_each(|byte| middle.push(&[byte]));
        middle.push(last.as_bytes());
        Self { steps: Steps::Bytes, middle, gaps: Vec::new(), textless: Vec::new(), plain: Vec::new() }
    }

    /// Of the first `size` ids of a tokenizer.
    pub fn of(tokenizer: &tokenizers::Tokenizer, size: usize) -> Self {
        let steps = match tokenizer.get_decoder() {
            None => Steps::Spaced,
            Some(decoder) => {
                let mut steps = Vec::new();
                flatten(decoder, &mut steps);
                Steps::Chain(steps)
            }
        };
        let model = tokenizer.get_model();
        let added = tokenizer.get_added_tokens_decoder();
        let (mut middle, mut gaps, mut textless, mut plain) =
            (ByteTable::default(), Vec::new(), Vec::new(), Vec::new());
        for id in 0..size as u32 {
            let token = added.get(&id).map(|token| token.content.clone());
            // A text has an added token as it is written. But one that the model makes out of a text too
            // stands for what the model means by it ("▁▁": two spaces).
            let made = |token: &String| {
                model.token_to_id(token) == Some(id)
                    && matches!(model.tokenize(token).as_deref(), Ok([made]) if made.id == id)
            };
            let as_is = token.as_ref().is_some_and(|token| !made(token));
            match token.or_else(|| model.id_to_token(id)).filter(|t| !t.is_empty()) {
                None => {
                    middle.push(&[]);
                    textless.push(id);
                }
                Some(token) => {
                    let (bytes, gap) = steps.within(&token, as_is);
                    middle.push(&bytes);
                    if gap {
                        gaps.push(id);
                    }
                    if as_is {
                        plain.push(id);
                    }
                }
            }
        }
        Self { steps, middle, gaps, textless, plain }
    }

    /// Whether an id has a token with a text.
    pub fn has_text(&self, id: u32) -> bool {
        (id as usize) < self.middle.len() && self.textless.binary_search(&id).is_err()
    }

    /// What an id adds to a text that something came before.
    pub fn within(&self, id: u32) -> &[u8] {
        self.middle.get(id)
    }

    /// What an id with this token is at the head of a text.
    pub fn first(&self, id: u32, token: Option<String>) -> Vec<u8> {
        match (&self.steps, token) {
            (Steps::Bytes, _) => self.within(id).to_vec(),
            (_, None) => Vec::new(),
            (steps, Some(token)) => steps.first(&token, self.plain.binary_search(&id).is_ok()),
        }
    }

    /// Whether a space follows this id if anything does.
    pub fn ends_word(&self, id: u32) -> bool {
        self.gaps.binary_search(&id).is_ok()
    }
}

/// The steps of a decoder in their order.
fn flatten(decoder: &DecoderWrapper, steps: &mut Vec<DecoderWrapper>) {
    match decoder {
        DecoderWrapper::Sequence(sequence) => {
            sequence.get_decoders().iter().for_each(|decoder| flatten(decoder, steps));
        }
        other => steps.push(other.clone()),
    }
}

impl Steps {
    /// The bytes of a token in the middle of a text, and whether a space follows if anything does.
    fn within(&self, token: &str, as_is: bool) -> (Vec<u8>, bool) {
        match self {
            Self::Bytes => (token.into(), false),
            Self::Spaced => ([" ", token].concat().into(), false),
            Self::Chain(steps) => {
                let followed = run(steps, token, as_is, [true, true]);
                if !steps.iter().any(|step| matches!(step, DecoderWrapper::BPE(_))) {
                    return (followed, false);
                }
                let last = run(steps, token, as_is, [true, false]);
                if followed == [&last[..], b" "].concat() { (last, true) } else { (followed, false) }
            }
        }
    }

    fn first(&self, token: &str, as_is: bool) -> Vec<u8> {
        match self {
            Self::Bytes | Self::Spaced => token.into(),
            Self::Chain(steps) => run(steps, token, as_is, [false, false]),
        }
    }
}

/// What a decoder makes of a token that others come before or after. One that is taken `as_is` has its place
/// among others (a space before it), and nothing in it is replaced.
fn run(steps: &[DecoderWrapper], token: &str, as_is: bool, [before, after]: [bool; 2]) -> Vec<u8> {
    let mut bytes = token.as_bytes().to_vec();
    let mut fused = false;
    for step in steps {
        // What is no text any more has no characters to replace.
        let Ok(text) = std::str::from_utf8(&bytes) else { break };
        let among = || {
            let all: Vec<String> = [before.then_some(OTHER), Some(text), after.then_some(OTHER)]
                .into_iter()
                .flatten()
                .map(Into::into)
                .collect();
            let mut made = step.decode_chain(all).unwrap_or_default();
            let at = usize::from(before);
            if at < made.len() { made.swap_remove(at).into_bytes() } else { Vec::new() }
        };
        let made = match step {
            DecoderWrapper::WordPiece(_) if as_is && before => [" ", text].concat().into_bytes(),
            DecoderWrapper::Fuse(_) => {
                fused = true;
                continue;
            }
            _ if as_is => continue,
            DecoderWrapper::ByteLevel(_) => byte_level::bytes_of(text),
            DecoderWrapper::ByteFallback(_) => byte_of(text).map_or_else(|| text.into(), |b| vec![b]),
            // Of the whole text, that is: at its head. Its end may be continued.
            DecoderWrapper::Strip(_) if fused && before => continue,
            DecoderWrapper::Strip(strip) if fused => {
                let cut = text.chars().take(strip.start).take_while(|c| *c == strip.content);
                text[cut.map(char::len_utf8).sum::<usize>()..].into()
            }
            _ => among(),
        };
        bytes = made;
    }
    bytes
}

/// The byte of a token such as `<0x0A>`.
fn byte_of(token: &str) -> Option<u8> {
    let digits = token.strip_prefix("<0x")?.strip_suffix('>')?;
    (digits.len() == 2).then(|| u8::from_str_radix(digits, 16).ok())?
}

/// The bytes of every id, one after the other.
#[derive(Default)]
struct ByteTable {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl ByteTable {
    fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
        self.ends.push(self.bytes.len());
    }

    fn len(&self) -> usize {
        self.ends.len()
    }

    fn get(&self, id: u32) -> &[u8] {
        let id = id as usize;
        let Some(&end) = self.ends.get(id) else { return &[] };
        &self.bytes[if id == 0 { 0 } else { self.ends[id - 1] }..end]
    }
}
