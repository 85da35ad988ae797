//! Text that comes token by token: whole characters only, and nothing of a stop string.

use super::tokenizer::Tokenizer;
use crate::error::{Error, ErrorKind, Result};

/// Turns ids into text one by one, at a cost that does not grow with what came before. All pieces together
/// are [`Tokenizer::decode`] of all ids. What it knows of the text is a [`Seam`]: where that is kept, the text
/// can be cut after any id and continued by another stream, and the pieces are the same.
#[derive(Clone, Debug)]
pub struct TextStream {
    tokenizer: Tokenizer,
    seam: Seam,
}

/// Where a text was cut.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seam {
    /// Whether anything came before.
    pub begun: bool,
    /// The text's last id, where it is known.
    pub last: Option<u32>,
    /// Bytes of the text that were not given out: a character that is not complete, or what may be the
    /// beginning of a stop string.
    pub held: Vec<u8>,
}

impl Tokenizer {
    /// A decoder for the ids of a text from its head, one by one.
    pub fn text_stream(&self) -> TextStream {
        self.text_stream_from(Seam::default())
    }

    /// A decoder that goes on where a text was cut.
    pub fn text_stream_from(&self, seam: Seam) -> TextStream {
        TextStream { tokenizer: self.clone(), seam }
    }
}

impl TextStream {
    /// The text that `id` completes, if any.
    pub fn push(&mut self, id: u32) -> Option<String> {
        if self.tokenizer.has_text(id) {
            let seam = &mut self.seam;
            if seam.last.is_some_and(|before| self.tokenizer.ends_word(before)) {
                seam.held.push(b' ');
            }
            match seam.begun {
                false => seam.held.extend(self.tokenizer.first_bytes(id)),
                true => seam.held.extend_from_slice(self.tokenizer.token_bytes(id)),
            }
            (seam.begun, seam.last) = (true, Some(id));
        }
        self.take()
    }

    /// The text that is complete already.
    pub(super) fn take(&mut self) -> Option<String> {
        let text = take_text(&mut self.seam.held, false);
        (!text.is_empty()).then_some(text)
    }

    /// What was held back, at the end of a text; the stream is ready for another.
    pub fn finish(&mut self) -> Option<String> {
        let text = take_text(&mut self.seam.held, true);
        self.seam = Seam::default();
        (!text.is_empty()).then_some(text)
    }

    /// Where the text stands.
    pub fn into_seam(self) -> Seam {
        self.seam
    }
}

/// Takes the complete characters out of `bytes`; what can never become one turns into U+FFFD, and at the
/// `last` also what has not become one. Agrees with `String::from_utf8_lossy` of the whole.
fn take_text(bytes: &mut Vec<u8>, last: bool) -> String {
    let mut text = String::new();
    let mut used = 0;
    while used < bytes.len() {
        let (valid, bad) = match std::str::from_utf8(&bytes[used..]) {
            Ok(valid) => (valid.len(), Some(0)),
            Err(e) => (e.valid_up_to(), e.error_len()),
        };
        text.push_str(std::str::from_utf8(&bytes[used..used + valid]).unwrap_or_default());
        used += valid;
        match bad {
            Some(0) => {}
            Some(n) => {
                text.push('\u{fffd}');
                used += n;
            }
            None if last => {
                text.push('\u{fffd}');
                used = bytes.len();
            }
            None => break,
        }
    }
    bytes.drain(..used);
    text
}

/// Watches a text that comes in pieces for strings that end it. What might be the beginning of one is held
/// back. The outcome does not depend on how the text is cut: the first stop string to be complete ends it.
#[derive(Clone, Debug, Default)]
pub struct StopStrings {
    stops: Vec<String>,
    held: String,
}

impl StopStrings {
    /// Stops at any of `stops`; an empty list never stops.
    ///
    /// # Errors
    /// `ErrorKind::Input` if one of them is empty.
    pub fn new(stops: impl IntoIterator<Item = impl Into<String>>) -> Result<Self> {
        let stops: Vec<String> = stops.into_iter().map(Into::into).collect();
        if stops.iter().any(String::is_empty) {
            return Err(Error::new(
                ErrorKind::Input,
                "a stop string is empty, must have at least one character",
            ));
        }
        Ok(Self { stops, held: String::new() })
    }

    /// Takes the next piece; returns the text that is safe to print, and whether a stop string was found. It
    /// and what follows are never returned.
    pub fn push(&mut self, text: &str) -> (String, bool) {
        let mut all = std::mem::take(&mut self.held);
        all.push_str(text);
        let found = self
            .stops
            .iter()
            .filter_map(|stop| all.find(stop.as_str()).map(|at| (at + stop.len(), at)))
            .min();
        if let Some((_, at)) = found {
            all.truncate(at);
            return (all, true);
        }
        let longest = self.stops.iter().map(String::len).max().unwrap_or(0);
        let from = all.len().saturating_sub(longest.saturating_sub(1));
        let begins = |i: usize| {
            all.is_char_boundary(i)
                && self.stops.iter().any(|stop| stop.as_bytes().starts_with(&all.as_bytes()[i..]))
        };
        if let Some(at) = (from..all.len()).find(|&i| begins(i)) {
            self.held = all.split_off(at);
        }
        (all, false)
    }

    /// What is still held back, at the end of the text.
    pub fn finish(&mut self) -> String {
        std::mem::take(&mut self.held)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stops(stops: &[&str], pieces: &[&str]) -> (String, bool) {
        let mut watch = StopStrings::new(stops.iter().copied()).expect("none is empty");
        let mut out = String::new();
        for piece in pieces {
            let (text, stopped) = watch.push(piece);
            out.push_str(&text);
            if stopped {
                return (out, true);
            }
        }
        (out + &watch.finish(), false)
    }

    #[test]
    fn stop_strings_do_not_depend_on_the_cuts() {
        let texts = ["one END two", "xabcabd", "aaab", "日本語の終わり。続き", "almost EN", "no", ""];
        let sets: [&[&str]; 6] =
            [&["END"], &["abd", "cab"], &["aab"], &["終わり", "り。続"], &["xabc", "ab"], &[]];
        for text in texts {
            for set in sets {
                let whole = stops(set, &[text]);
                let chars: Vec<String> = text.chars().map(String::from).collect();
                assert_eq!(
                    stops(set, &chars.iter().map(String::as_str).collect::<Vec<_>>()),
                    whole,
                    "{text} {set:?}"
                );
                for (cut, _) in text.char_indices() {
                    assert_eq!(stops(set, &[&text[..cut], &text[cut..]]), whole, "{text} {set:?} {cut}");
                }
            }
        }
        assert_eq!(stops(&["END"], &["one E", "N", "D two"]), ("one ".into(), true));
        assert_eq!(stops(&["END"], &["one E", "N", "d two"]), ("one ENd two".into(), false));
        assert!(StopStrings::new(["a", ""]).is_err());
    }

    #[test]
    fn only_what_may_begin_a_stop_string_is_held_back() {
        let mut watch = StopStrings::new(["<end>"]).expect("not empty");
        assert_eq!(watch.push("a<e"), ("a".into(), false));
        assert_eq!(watch.push("x"), ("<ex".into(), false));
        assert_eq!(watch.push("<<en"), ("<".into(), false));
        assert_eq!(watch.finish(), "<en");
    }

    #[test]
    fn broken_utf8_becomes_what_the_whole_would() {
        let mut state = 1u32;
        for _ in 0..2000 {
            let all: Vec<u8> = (0..12)
                .map(|_| {
                    state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    [b'a', 0xe6, 0x97, 0xa5, 0xf0, 0x9f, 0x98, 0x80, 0xc3, 0xff, 0xed, 0xa0]
                        [(state >> 16) as usize % 12]
                })
                .collect();
            let (mut pending, mut text) = (Vec::new(), String::new());
            for &byte in &all {
                pending.push(byte);
                text += &take_text(&mut pending, false);
                assert!(pending.len() < 4);
            }
            text += &take_text(&mut pending, true);
            assert_eq!(text, String::from_utf8_lossy(&all));
        }
    }
}
