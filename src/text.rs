//! Texts and JSON that others wrote: decoded, checked, and made fit to be shown. Everything of this crate that
//! reads a text or JSON from a file goes through here.

use std::fmt::Write as _;

use serde::de::{Error as _, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Number, Value};

use crate::error::{Error, ErrorKind, Result};

/// The mark that some editors put before a text.
const MARK: char = '\u{feff}';

/// A text in UTF-8; a byte order mark before it is no part of it.
///
/// # Errors
/// [`ErrorKind::Input`], naming `label`: for UTF-16 and UTF-32 by their names, otherwise with the byte offset
/// of what is not UTF-8.
pub fn decode(bytes: Vec<u8>, label: &str) -> Result<String> {
    let refused = |what: String| {
        Error::new(ErrorKind::Input, format!("{label}: {what}")).help("convert the file to UTF-8")
    };
    if let Some(name) = wide(&bytes) {
        return Err(refused(format!("is {name}, must be UTF-8")));
    }
    let text = String::from_utf8(bytes)
        .map_err(|e| refused(format!("not UTF-8 text (byte {})", e.utf8_error().valid_up_to())))?;
    Ok(text.strip_prefix(MARK).map(str::to_string).unwrap_or(text))
}

/// The name of an encoding of two or four bytes a letter, by its mark or by the zeros of plain letters.
fn wide(bytes: &[u8]) -> Option<&'static str> {
    let marks: [(&[u8], &str); 4] = [
        (&[0xff, 0xfe, 0, 0], "UTF-32"),
        (&[0, 0, 0xfe, 0xff], "UTF-32"),
        (&[0xff, 0xfe], "UTF-16"),
        (&[0xfe, 0xff], "UTF-16"),
    ];
    if let Some((_, name)) = marks.iter().find(|(mark, _)| bytes.starts_with(mark)) {
        return Some(name);
    }
    let pairs = bytes[..bytes.len().min(64)].as_chunks::<2>().0;
    let plain = |letter: usize| pairs.iter().all(|pair| pair[letter] != 0 && pair[1 - letter] == 0);
    (pairs.len() >= 2 && bytes.len().is_multiple_of(2) && (plain(0) || plain(1))).then_some("UTF-16")
}

/// The bytes of a text in UTF-8 without the mark before it.
pub fn unmarked(bytes: &[u8]) -> &[u8] {
    bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes)
}

/// JSON from the bytes of a file: as [`decode`], then as [`json`].
///
/// # Errors
/// What is wrong, for people, without the name of the file.
pub fn json_bytes(bytes: &[u8]) -> Result<Value, String> {
    if let Some(name) = wide(bytes) {
        return Err(format!("is {name}, must be UTF-8"));
    }
    let text = std::str::from_utf8(bytes)
        .map_err(|e| format!("not valid JSON: not UTF-8 text (byte {})", e.valid_up_to()))?;
    json(text)
}

/// JSON of which every key is there once: of two, nobody could say which one is meant. A byte order mark is
/// no part of it.
///
/// # Errors
/// What is wrong, for people, with line and column.
pub fn json(text: &str) -> Result<Value, String> {
    let text = text.strip_prefix(MARK).unwrap_or(text);
    let Once(value) =
        serde_json::from_str(text).map_err(|e| format!("not valid JSON: {}", printable(&e.to_string())))?;
    Ok(value)
}

/// A value whose objects have no key twice.
struct Once(Value);

impl<'de> Deserialize<'de> for Once {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Values).map(Once)
    }
}

struct Values;

impl<'de> Visitor<'de> for Values {
    type Value = Value;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Number::from_f64(value).map_or(Value::Null, Value::Number))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(Once(item)) = items.next_element()? {
            list.push(item);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut map = Map::new();
        while let Some(key) = entries.next_key::<String>()? {
            if map.contains_key(&key) {
                return Err(A::Error::custom(format!("key \"{}\" is there twice", clip(&key))));
            }
            let Once(value) = entries.next_value()?;
            map.insert(key, value);
        }
        Ok(Value::Object(map))
    }
}

/// A text with its control characters spelled out, so that a terminal shows them and does not obey them;
/// also the marks that turn the direction of what follows.
pub fn printable(text: &str) -> String {
    spelled(text, |_| false)
}

/// The same for text of several lines: line breaks and tabs stay.
pub fn printable_lines(text: &str) -> String {
    spelled(text, |c| matches!(c, '\n' | '\t'))
}

fn spelled(text: &str, stays: impl Fn(char) -> bool) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        let turns = matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        if (c.is_control() || turns) && !stays(c) {
            // Writing into a string has nothing that could fail.
            let _ = write!(shown, "{}", c.escape_default());
        } else {
            shown.push(c);
        }
    }
    shown
}

/// A foreign name as a message shows it: one line, not a page.
pub fn clip(name: &str) -> String {
    let mut text = printable(&name.chars().take(120).collect::<String>());
    if name.chars().nth(120).is_some() {
        text.push('…');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_of_any_editor_are_read_or_refused_by_name() {
        let read = |bytes: &[u8]| decode(bytes.to_vec(), "a.txt").map_err(|e| e.to_string());
        assert_eq!(read(b"\xef\xbb\xbfOnce\r\n"), Ok("Once\r\n".into()));
        // One mark is the editor's, another one the text's.
        assert_eq!(read("\u{feff}\u{feff}a".as_bytes()), Ok("\u{feff}a".into()));
        assert_eq!(read(b""), Ok(String::new()));
        let utf16 = |text: &str, order: fn(u16) -> [u8; 2]| -> Vec<u8> {
            text.encode_utf16().flat_map(order).collect()
        };
        for bytes in [
            utf16("\u{feff}Once", u16::to_le_bytes),
            utf16("\u{feff}Once", u16::to_be_bytes),
            utf16("Once", u16::to_le_bytes),
            utf16("Once", u16::to_be_bytes),
        ] {
            assert_eq!(read(&bytes), Err("a.txt: is UTF-16, must be UTF-8".into()));
            assert_eq!(json_bytes(&bytes), Err("is UTF-16, must be UTF-8".into()));
        }
        assert!(read(b"\xff\xfe\0\0a\0\0\0").is_err_and(|e| e.contains("UTF-32")));
        assert!(read(b"caf\xe9").is_err_and(|e| e.contains("byte 3")));
        // Zeros alone make no UTF-16.
        assert_eq!(read(b"a\0bc"), Ok("a\0bc".into()));
    }

    #[test]
    fn json_has_every_key_once() {
        let text = r#"{"a": [1, -2, 0.1, "x\ny", null, true], "b": {"a": 18446744073709551615}}"#;
        let same: Value = serde_json::from_str(text).expect("JSON");
        assert_eq!(json(&format!("\u{feff}{}", text.replace(' ', "\r\n"))), Ok(same));
        let error = json("{\"a\": 1,\n \"b\": [{\"kind\": 1, \"kind\": 2}]}").expect_err("twice");
        assert!(error.contains("\"kind\" is there twice") && error.contains("line 2"), "{error}");
        assert!(json("{\n\"a\": }").expect_err("cut").contains("line 2"));
        assert!(json_bytes(b"{\"\xff\": 1}").expect_err("no text").contains("byte 2"));
        let error = json("{\"\\u001b[31m\": 1, \"\\u001b[31m\": 1}").expect_err("twice");
        assert!(!error.contains('\u{1b}'), "{error}");
    }

    #[test]
    fn control_characters_are_spelled_out() {
        assert_eq!(printable("a\u{1b}[31mb\r\n\u{9b}é\u{7f}"), r"a\u{1b}[31mb\r\n\u{9b}é\u{7f}");
        assert_eq!(printable("\u{202e}abc"), r"\u{202e}abc");
        assert_eq!(printable_lines("a\tb\n\u{7}\r"), "a\tb\n\\u{7}\\r");
        assert_eq!(clip(&"x".repeat(500)).chars().count(), 121);
    }
}
