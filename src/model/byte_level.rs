//! Byte-level BPE writes each byte as one visible character, as GPT-2 does: itself where it can be seen, else
//! the next free one from U+0100.

use std::sync::OnceLock;

fn chars() -> &'static [char; 256] {
    static CHARS: OnceLock<[char; 256]> = OnceLock::new();
    CHARS.get_or_init(|| {
        let mut next = '\u{100}'..;
        std::array::from_fn(|b| match b as u8 {
            b @ (b'!'..=b'~' | 0xa1..=0xac | 0xae..=0xff) => char::from(b),
            _ => next.next().unwrap_or_default(),
        })
    })
}

/// The character that stands for a byte.
pub(super) fn char_of(byte: u8) -> char {
    chars()[usize::from(byte)]
}

/// The bytes of a token: of its characters if all of them stand for one, else (an added token) its own.
pub(super) fn bytes_of(token: &str) -> Vec<u8> {
    static BYTES: OnceLock<[Option<u8>; 0x180]> = OnceLock::new();
    let bytes = BYTES.get_or_init(|| {
        let mut bytes = [None; 0x180];
        (0..=255u8).for_each(|b| bytes[char_of(b) as usize] = Some(b));
        bytes
    });
    token
        .chars()
        .map(|c| bytes.get(c as usize).copied().flatten())
        .collect::<Option<_>>()
        .unwrap_or_else(|| token.as_bytes().to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_has_its_own_character() {
        for b in 0..=255u8 {
            assert_eq!(bytes_of(&char_of(b).to_string()), [b]);
        }
        assert_eq!((char_of(b' '), char_of(b'\n'), char_of(b'A'), char_of(0xff)), ('Ġ', 'Ċ', 'A', 'ÿ'));
        assert_eq!(bytes_of("Ġthe"), b" the");
        assert_eq!(bytes_of("a b"), b"a b");
        assert_eq!(bytes_of("日"), "日".as_bytes());
    }
}
