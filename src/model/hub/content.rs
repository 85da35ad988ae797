//! Whether bytes can be what their name says, for files whose hash the hub does not tell: a proxy, or a page
//! that asks for a password, may answer in its place.

use std::fs::File;
use std::io::{BufReader, Read as _, Seek as _};

use serde::de::IgnoredAny;

/// Bytes of a beginning that are shown.
const SHOWN: usize = 24;

/// What is wrong with a file that was written whole, if it can be told.
pub fn flaw(name: &str, file: &mut File) -> Option<String> {
    let name = name.to_ascii_lowercase();
    let mut head = Vec::new();
    file.rewind().and_then(|()| file.take(64).read_to_end(&mut head)).ok()?;
    let begins = || {
        let head = String::from_utf8_lossy(&head[..head.len().min(SHOWN)]).into_owned();
        format!("it begins with \"{}\"", head.escape_debug())
    };
    let is_page = {
        let text = String::from_utf8_lossy(&head).trim_start().to_ascii_lowercase();
        text.starts_with("<!doctype html") || text.starts_with("<html")
    };
    if is_page {
        return Some(format!("is a web page: {}", begins()));
    }
    if name.ends_with(".json") {
        file.rewind().ok()?;
        let mut from = BufReader::new(file);
        // The mark that some editors put before a text.
        if head.starts_with(b"\xef\xbb\xbf") {
            from.read_exact(&mut [0; 3]).ok()?;
        }
        let read: serde_json::Result<IgnoredAny> = serde_json::from_reader(from);
        return read.err().map(|error| format!("is no JSON ({error}): {}", begins()));
    }
    let is_tensors = || head.get(8) == Some(&b'{');
    let fits = match name.rsplit_once('.').map(|(_, end)| end) {
        Some("gguf") => head.starts_with(b"GGUF"),
        Some("safetensors") => is_tensors(),
        _ => true,
    };
    (!fits).then(|| format!("is no such file: {}", begins()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_what_its_name_says() {
        let flaw = |name: &str, bytes: &[u8]| {
            let mut file = tempfile::tempfile().expect("a file");
            std::io::Write::write_all(&mut file, bytes).expect("writes");
            flaw(name, &mut file)
        };
        let sound: [(&str, &[u8]); 6] = [
            ("config.json", b" {\"a\": [1]}\n"),
            ("tokenizer.json", b"\xef\xbb\xbf{}"),
            ("a.GGUF", b"GGUF\x03\0\0\0"),
            ("m.safetensors", b"\x02\0\0\0\0\0\0\0{}"),
            ("merges.txt", b"a b\n"),
            ("chat_template.jinja", b""),
        ];
        for (name, bytes) in sound {
            assert_eq!(flaw(name, bytes), None, "{name}");
        }
        let page = b"\n<!DOCTYPE html><title>Log in</title>";
        let flawed: [(&str, &[u8], &str); 7] = [
            ("config.json", page, "web page"),
            ("merges.txt", page, "web page"),
            ("config.json", b"", "no JSON"),
            ("config.json", b"{\"a\": ", "no JSON"),
            ("config.json", b"{} {}", "no JSON"),
            ("a.gguf", b"GG", "begins with \"GG\""),
            ("m.safetensors", b"version https://git-lfs.github.com", "version https"),
        ];
        for (name, bytes, word) in flawed {
            let found = flaw(name, bytes).expect(name);
            assert!(found.contains(word), "{name}: {found}");
        }
    }
}
