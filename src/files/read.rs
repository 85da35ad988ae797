//! Reading files, or stdin.

use std::fs::File;
use std::io::{self, Read};
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

/// What a file that is read whole is, which says how large it may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whole {
    /// A configuration, a template, a tokenizer, a list of names: nobody's is larger than this limit.
    Settings,
    /// What people and programs write at length: texts, rows, states. A file on a disk is taken as it is;
    /// of a pipe or a device, whose end nobody knows, as much as a machine has room for.
    Content,
}

impl Whole {
    /// The most bytes that are read of a file on a disk of this size, or of what is none.
    fn limit(self, size: Option<u64>) -> u64 {
        match self {
            Whole::Settings => 256 << 20,
            Whole::Content => size.unwrap_or(0).max(1 << 30),
        }
    }
}

/// Reads a whole file. The limit of `what` holds while it is read: not every file says its size, or has one.
///
/// # Errors
/// `ErrorKind::Io`, naming the path; `ErrorKind::Input` where it is larger than its limit, or stdin was read
/// before.
pub fn read_bytes(path: &Path, what: Whole) -> Result<Vec<u8>> {
    Source::open(path)?.read(what, Vec::new())
}

/// Reads a whole file that begins with some bytes; of one that does not, no more than those: `other` is the
/// error for it.
///
/// # Errors
/// As [`read_bytes`], and `other` of what the file is called.
pub fn read_begun(
    path: &Path,
    what: Whole,
    head: &[u8],
    other: impl FnOnce(&str) -> Error,
) -> Result<Vec<u8>> {
    let mut source = Source::open(path)?;
    let mut bytes = Vec::new();
    let read = source.from.by_ref().take(head.len() as u64).read_to_end(&mut bytes);
    read.map_err(|e| Error::io(&source.name, &e))?;
    if bytes == head { source.read(what, bytes) } else { Err(other(&source.name)) }
}

/// A file that is open, or stdin.
struct Source {
    name: String,
    from: Box<dyn Read>,
    /// Of a file on a disk.
    size: Option<u64>,
}

impl Source {
    fn open(path: &Path) -> Result<Self> {
        static TAKEN: AtomicBool = AtomicBool::new(false);
        let name = source_name(path);
        if is_standard(path) {
            if TAKEN.swap(true, Ordering::Relaxed) {
                let error = Error::new(ErrorKind::Input, "stdin: is to be read twice");
                return Err(error.help("give - only once"));
            }
            return Ok(Self { name, from: Box::new(io::stdin().lock()), size: None });
        }
        let file = File::open(path).map_err(|e| Error::io(&name, &e))?;
        let size = file.metadata().ok().filter(std::fs::Metadata::is_file).map(|meta| meta.len());
        Ok(Self { name, from: Box::new(file), size })
    }

    /// All of it, of which the head was read.
    fn read(self, what: Whole, head: Vec<u8>) -> Result<Vec<u8>> {
        let Self { name, from, size } = self;
        let (limit, begun) = (what.limit(size), head.len() as u64);
        let mut bytes = head;
        if size.is_none_or(|size| size <= limit) {
            let rest = usize::try_from(size.unwrap_or(0).saturating_sub(begun)).unwrap_or(usize::MAX);
            let room = bytes.try_reserve_exact(rest).map_err(|_| io::ErrorKind::OutOfMemory.into());
            // One byte more tells whether it ends there.
            let mut from = from.take((limit + 1).saturating_sub(begun));
            let read = room.and_then(|()| from.read_to_end(&mut bytes));
            read.map_err(|e| Error::io(&name, &e))?;
            if bytes.len() as u64 <= limit {
                return Ok(bytes);
            }
        }
        let help = match what {
            Whole::Settings => "check that it is the right file",
            Whole::Content => "if it has an end, write it to a file on a disk, and give that",
        };
        Err(Error::new(ErrorKind::Input, format!("{name}: has more than {} MiB", limit >> 20)).help(help))
    }
}

/// Reads a whole file as UTF-8 text, without the byte order mark that some editors put before it.
///
/// # Errors
/// As [`read_bytes`]; `ErrorKind::Input` if it holds tensors, or is not UTF-8: UTF-16 by its name, otherwise
/// with the byte offset.
pub fn read_text(path: &Path, what: Whole) -> Result<String> {
    let bytes = read_bytes(path, what)?;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_holds_while_a_file_is_read() {
        let dir = tempfile::tempdir().expect("a folder");
        let at = |name: &str, size: u64| {
            let path = dir.path().join(name);
            File::create(&path).and_then(|file| file.set_len(size)).expect("a file with holes");
            path
        };
        let large = at("large.json", (256 << 20) + 1);
        let error = read_bytes(&large, Whole::Settings).expect_err("refused");
        assert!(
            error.kind() == ErrorKind::Input && error.message().ends_with("more than 256 MiB"),
            "{error}"
        );
        // A file on a disk is taken as large as it is.
        assert_eq!(Whole::Content.limit(Some(5 << 30)), 5 << 30);
        assert_eq!(Whole::Content.limit(None), 1 << 30);
        assert_eq!(read_bytes(&at("small", 3), Whole::Settings).expect("reads"), [0; 3]);
        // One without an end, and one that says it is empty and is not.
        #[cfg(target_os = "linux")]
        {
            let error = read_bytes(Path::new("/dev/zero"), Whole::Settings).expect_err("refused");
            assert!(error.message() == "/dev/zero: has more than 256 MiB", "{error}");
            assert!(!read_text(Path::new("/proc/self/status"), Whole::Content).expect("reads").is_empty());
        }
    }

    #[test]
    fn of_what_begins_otherwise_nothing_more_is_read() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("x");
        std::fs::write(&path, "head and more").expect("writes");
        let read = |path: &Path, head: &[u8]| {
            let other = |name: &str| Error::new(ErrorKind::State, format!("{name}: another"));
            read_begun(path, Whole::Content, head, other)
        };
        assert_eq!(read(&path, b"head").expect("reads"), b"head and more");
        assert_eq!(read(&path, b"head and more").expect("reads"), b"head and more");
        assert_eq!(read(&path, b"hand").expect_err("another").kind(), ErrorKind::State);
        assert_eq!(read(&path, b"head and more!").expect_err("too short").kind(), ErrorKind::State);
        #[cfg(target_os = "linux")]
        assert_eq!(read(Path::new("/dev/zero"), b"head").expect_err("another").kind(), ErrorKind::State);
    }
}
