//! `hf:OWNER/NAME[@REVISION][:FILE]`.

use std::fmt;

use polysketch::{Error, ErrorKind, Result};

/// What such names begin with.
pub const PREFIX: &str = "hf:";

/// A model on the Hub.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Name {
    /// `OWNER/NAME`.
    pub repository: String,
    /// A branch, a tag or a commit.
    pub revision: String,
    /// One file of it.
    pub file: Option<String>,
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PREFIX}{}", self.repository)?;
        if self.revision != "main" {
            write!(f, "@{}", self.revision)?;
        }
        Ok(())
    }
}

impl Name {
    /// Reads one.
    ///
    /// # Errors
    /// [`ErrorKind::Input`] for what is none.
    pub fn parse(text: &str) -> Result<Self> {
        let rest = text.strip_prefix(PREFIX).unwrap_or(text);
        let (rest, file) = match rest.split_once(':') {
            Some((rest, file)) => (rest, Some(file)),
            None => (rest, None),
        };
        let (repository, revision) = rest.split_once('@').unwrap_or((rest, "main"));
        let parts: Vec<&str> = repository.split('/').collect();
        let named = parts.len() == 2 && parts.iter().all(|part| is_name(part));
        let revised = is_plain(revision);
        let packed = file.is_none_or(|file| is_plain(file) && file.to_ascii_lowercase().ends_with(".gguf"));
        if !(named && revised && packed) {
            return Err(Error::new(
                ErrorKind::Input,
                format!("{text:?} is no name of a model on the Hugging Face Hub"),
            )
            .help("write hf:OWNER/NAME, hf:OWNER/NAME@REVISION or hf:OWNER/NAME:FILE.gguf"));
        }
        Ok(Self { repository: repository.into(), revision: revision.into(), file: file.map(Into::into) })
    }

    /// Whether the revision is a commit, which never changes.
    pub fn is_fixed(&self) -> bool {
        self.revision.len() == 40 && self.revision.bytes().all(|b| b.is_ascii_hexdigit())
    }
}

fn is_name(part: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    !part.is_empty() && part.len() <= 96 && part.bytes().all(plain) && !part.starts_with('.')
}

/// Whether a path stays below where it begins, on every system.
pub fn is_plain(path: &str) -> bool {
    let part = |part: &str| !part.is_empty() && !part.chars().all(|c| c == '.');
    !path.is_empty() && path.split('/').all(part) && !path.contains(['\\', ':', '?', '#', '\0', '\n', '\r'])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        let name = |text: &str| Name::parse(text).map(|n| (n.repository, n.revision, n.file)).ok();
        let some = |r: &str, v: &str, f: Option<&str>| Some((r.into(), v.into(), f.map(Into::into)));
        assert_eq!(name("hf:a/b"), some("a/b", "main", None));
        assert_eq!(name("hf:a/b.c-d@refs/pr/1"), some("a/b.c-d", "refs/pr/1", None));
        assert_eq!(name("hf:a/b@v1:x/y.Q4.gguf"), some("a/b", "v1", Some("x/y.Q4.gguf")));
        for bad in [
            "hf:",
            "hf:a",
            "hf:a/b/c",
            "hf:/b",
            "hf:a/",
            "hf:a/b@",
            "hf:a/b:",
            "hf:../b",
            "hf:a/..",
            "hf:a/b@../c",
            "hf:a/b:../x.gguf",
            "hf:a/b:/x.gguf",
            "hf:a/b:x.bin",
            "hf:a b/c",
            "hf:a/b:x\\..\\y.gguf",
            "hf:a/b?c",
        ] {
            assert!(name(bad).is_none(), "{bad}");
        }
        assert!(Name::parse(&format!("hf:a/b@{}", "0f".repeat(20))).is_ok_and(|n| n.is_fixed()));
    }
}
