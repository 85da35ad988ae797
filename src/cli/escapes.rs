//! Backslash escapes in the values of `--prompt` and `--stop`, which a shell hands on as they are typed.

use polysketch::{Error, ErrorKind, Result};

/// A value with `\n`, `\r`, `\t`, `\\`, `\'`, `\"` and `\xHH` (a byte) replaced by what they stand for;
/// any other backslash stays.
///
/// # Errors
/// [`ErrorKind::Input`] if bytes given by `\xHH` make no UTF-8.
pub fn unescape(option: &str, value: &str) -> Result<String> {
    let mut bytes = Vec::with_capacity(value.len());
    let mut rest = value.as_bytes();
    while let [first, after @ ..] = rest {
        let (byte, used) = match rest {
            [b'\\', b'n', ..] => (b'\n', 2),
            [b'\\', b'r', ..] => (b'\r', 2),
            [b'\\', b't', ..] => (b'\t', 2),
            [b'\\', c @ (b'\\' | b'\'' | b'"'), ..] => (*c, 2),
            [b'\\', b'x', high, low, ..] => match (digit(*high), digit(*low)) {
                (Some(high), Some(low)) => (high << 4 | low, 4),
                _ => (*first, 1),
            },
            _ => (*first, rest.len() - after.len()),
        };
        bytes.push(byte);
        rest = &rest[used..];
    }
    String::from_utf8(bytes).map_err(|e| {
        let at = e.utf8_error().valid_up_to();
        Error::new(ErrorKind::Input, format!("{option}: its bytes \\x… are not UTF-8 text (byte {at})"))
            .help("give whole characters, or --no-escape to take backslashes as they are")
    })
}

fn digit(c: u8) -> Option<u8> {
    char::from(c).to_digit(16).and_then(|digit| digit.try_into().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_stand_for_characters() {
        let plain = |value: &str| unescape("--stop", value).map_err(|e| e.to_string());
        assert_eq!(plain(r#"a\n\r\t\\n\'\"é"#), Ok("a\n\r\t\\n'\"é".into()));
        assert_eq!(plain(r"\x41\xc3\xa9\x4"), Ok(r"Aé\x4".into()));
        assert_eq!(plain(r"\d \xzz \"), Ok(r"\d \xzz \".into()));
        assert!(plain(r"\xff").is_err_and(|e| e.contains("--stop") && e.contains("byte 0")));
    }
}
