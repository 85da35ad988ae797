//! Reading files, or stdin.

use std::io::{self, Read as _};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::error::{Error, ErrorKind, Result};
use crate::text::decode;

/// Whether a path is `-`: stdin where a file is read, stdout where one is written. A file of this name is
/// `./-`.
pub fn is_standard(path: &Path) -> bool {
    path.as_os_str() == "-"
}

/// What a file that is read is called in messages.
pub fn source_name(path: &Path) -> String {
    if is_standard(path) { "stdin".into() } else { path.display().to_string() }
}

/// Reads a whole file.
///
/// # Errors
/// `ErrorKind::Io`, naming the path; `ErrorKind::Input` where stdin was read before.
pub fn read_bytes(path: &Path) -> Result<Vec<u8>> {
    static TAKEN: AtomicBool = AtomicBool::new(false);
    let read = if is_standard(path) {
        if TAKEN.swap(true, Ordering::Relaxed) {
            return Err(Error::new(ErrorKind::Input, "stdin: is to be read twice").help("give - only once"));
        }
        let mut bytes = Vec::new();
        io::stdin().lock().read_to_end(&mut bytes).map(|_| bytes)
    } else {
        std::fs::read(path)
    };
    read.map_err(|e| Error::io(source_name(path), &e))
}

/// Reads a whole file as UTF-8 text, without the byte order mark that some editors put before it.
///
/// # Errors
/// As [`read_bytes`]; `ErrorKind::Input` if it holds tensors, or is not UTF-8: UTF-16 by its name, otherwise
/// with the byte offset.
pub fn read_text(path: &Path) -> Result<String> {
    let bytes = read_bytes(path)?;
    // Small token ids are UTF-8, as numbers go.
    if holds_tensors(&bytes) {
        let kept = path.extension().is_some_and(|end| end == "tokens");
        let what = if kept { "keeps the tokens of a text for an earlier version" } else { "holds tensors" };
        return Err(Error::new(ErrorKind::Input, format!("{}: {what}, and is no text", source_name(path)))
            .help(if kept { "leave it out; it can be removed" } else { "give a text" }));
    }
    decode(bytes, &source_name(path))
}

/// Whether these are the bytes of a `.safetensors` file.
fn holds_tensors(bytes: &[u8]) -> bool {
    let Some((length, rest)) = bytes.split_first_chunk::<8>() else { return false };
    let header = usize::try_from(u64::from_le_bytes(*length)).ok().and_then(|n| rest.get(..n));
    header.is_some_and(|header| header.starts_with(b"{") && header.trim_ascii_end().ends_with(b"}"))
}
