//! Names of models on the hub: `hf:OWNER/NAME[@REVISION][:FILE]`.

use std::fmt;

use crate::error::{Error, ErrorKind, Result};

/// A model on the hub.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HubName {
    /// `OWNER/NAME`.
    pub repository: String,
    /// A branch, a tag or a commit; `main` if there is none.
    pub revision: Option<String>,
    /// A GGUF file in it.
    pub file: Option<String>,
}

impl HubName {
    /// How a name begins.
    pub const PREFIX: &str = "hf:";

    /// Reads a name.
    ///
    /// # Errors
    /// `ErrorKind::Input`, with the part that cannot be.
    pub fn parse(text: &str) -> Result<Self> {
        let wrong = |what: String| {
            Error::new(ErrorKind::Input, format!("{text}: {what}")).help(
                "name a model as the hub does: hf:OWNER/NAME, hf:OWNER/NAME@REVISION or \
                 hf:OWNER/NAME:FILE.gguf",
            )
        };
        let rest = text.strip_prefix(Self::PREFIX).ok_or_else(|| wrong("does not begin with hf:".into()))?;
        let (rest, file) = cut(rest, ':');
        let (repository, revision) = cut(rest, '@');
        let parts: Vec<&str> = repository.split('/').collect();
        if parts.len() != 2 || !parts.iter().all(|part| is_label(part)) {
            return Err(wrong(format!("\"{repository}\" is not OWNER/NAME")));
        }
        if let Some(revision) = revision.filter(|revision| !is_revision(revision)) {
            return Err(wrong(format!("\"{revision}\" is no branch, tag or commit")));
        }
        if let Some(file) = file.filter(|file| !is_gguf(file)) {
            return Err(wrong(format!("\"{file}\" is not the name of a .gguf file")));
        }
        let own = |part: Option<&str>| part.map(str::to_string);
        Ok(Self { repository: repository.into(), revision: own(revision), file: own(file) })
    }

    /// The name that a text comes near to: `HF:a/b`, `https://huggingface.co/a/b`, `a/b`.
    pub fn near(text: &str) -> Option<Self> {
        let cut = |text: &str, head: &str| {
            let there = text.get(..head.len()).is_some_and(|found| found.eq_ignore_ascii_case(head));
            there.then(|| text[head.len()..].to_string())
        };
        let bare = ["https://", "http://"].iter().find_map(|head| cut(text, head));
        let place = bare.as_deref().unwrap_or(text);
        let hosts = ["huggingface.co/", "www.huggingface.co/", "hf.co/"];
        let rest = match hosts.iter().find_map(|host| cut(place, host)) {
            // OWNER/NAME, OWNER/NAME/tree/REVISION, OWNER/NAME/blob/REVISION/FILE.gguf?download=true
            Some(path) => {
                let path = path.split(['?', '#']).next()?.trim_end_matches('/');
                let parts: Vec<&str> = path.splitn(5, '/').collect();
                let revision = parts.get(3).filter(|name| **name != "main");
                let revision = revision.map_or(String::new(), |revision| format!("@{revision}"));
                let file = parts.get(4).map_or(String::new(), |file| format!(":{file}"));
                format!("{}/{}{revision}{file}", parts[0], parts.get(1)?)
            }
            None if bare.is_some() => return None,
            None => ["hf://", "hf:", "huggingface:"]
                .iter()
                .find_map(|head| cut(text, head))
                .unwrap_or_else(|| text.to_string()),
        };
        let name = Self::parse(&format!("{}{rest}", Self::PREFIX)).ok()?;
        // A path that looks like a name.
        let is_file = [".gguf", ".safetensors", ".json"].iter().any(|end| text.ends_with(end));
        (rest != text || !is_file).then_some(name)
    }

    /// The revision, `main` unless one was named.
    pub fn revision(&self) -> &str {
        self.revision.as_deref().unwrap_or("main")
    }
}

impl fmt::Display for HubName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", Self::PREFIX, self.repository)?;
        self.revision.as_ref().map_or(Ok(()), |revision| write!(f, "@{revision}"))?;
        self.file.as_ref().map_or(Ok(()), |file| write!(f, ":{file}"))
    }
}

fn cut(text: &str, at: char) -> (&str, Option<&str>) {
    text.split_once(at).map_or((text, None), |(head, tail)| (head, Some(tail)))
}

/// An owner, or a repository: as the hub names them.
fn is_label(text: &str) -> bool {
    let known = |c: char| c.is_ascii_alphanumeric() || "-._".contains(c);
    (1..=96).contains(&text.len())
        && text.chars().all(known)
        && !text.starts_with(['-', '.'])
        && !text.ends_with(['-', '.'])
        && !text.contains("--")
        && !text.contains("..")
}

/// What git takes as a name, and every file system as a path.
fn is_revision(text: &str) -> bool {
    let known = |c: char| c.is_ascii_alphanumeric() || "-._+#/".contains(c);
    (1..=200).contains(&text.len()) && text.chars().all(known) && is_path(text)
}

/// Whether this names a GGUF file within a repository.
pub(super) fn is_gguf(file: &str) -> bool {
    let ends = file.len() > 5 && file.to_ascii_lowercase().ends_with(".gguf");
    ends && is_path(file) && !file.contains(['\\', ':']) && !file.contains(char::is_control)
}

/// A path that leads nowhere else.
fn is_path(text: &str) -> bool {
    text.split('/').all(|part| !matches!(part, "" | "." | ".."))
}

/// Whether a revision is a commit: what is at it never changes.
pub(super) fn is_commit(revision: &str) -> bool {
    revision.len() == 40
        && revision.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        let name = |repository: &str, revision: Option<&str>, file: Option<&str>| HubName {
            repository: repository.into(),
            revision: revision.map(Into::into),
            file: file.map(Into::into),
        };
        for (text, wanted) in [
            ("hf:a/b", name("a/b", None, None)),
            ("hf:Qwen/Qwen2.5-0.5B_x", name("Qwen/Qwen2.5-0.5B_x", None, None)),
            ("hf:a/b@v1.0", name("a/b", Some("v1.0"), None)),
            ("hf:a/b@refs/pr/1:sub/x-Q4_K.gguf", name("a/b", Some("refs/pr/1"), Some("sub/x-Q4_K.gguf"))),
            ("hf:a/b:X.GGUF", name("a/b", None, Some("X.GGUF"))),
        ] {
            let read = HubName::parse(text).expect(text);
            assert_eq!((&read, read.to_string().as_str()), (&wanted, text));
        }
        assert_eq!(name("a/b", None, None).revision(), "main");
        for (text, word) in [
            ("a/b", "begin with hf:"),
            ("hf:", "\"\" is not OWNER/NAME"),
            ("hf:gpt2", "\"gpt2\" is not OWNER/NAME"),
            ("hf:a/b/c", "OWNER/NAME"),
            ("hf:a/", "OWNER/NAME"),
            ("hf:../b", "OWNER/NAME"),
            ("hf:a/b c", "OWNER/NAME"),
            ("hf:a/b--c", "OWNER/NAME"),
            ("hf:https://huggingface.co/a/b", "OWNER/NAME"),
            ("hf:a/b@", "\"\" is no branch"),
            ("hf:a/b@../x", "no branch"),
            ("hf:a/b@x y", "no branch"),
            ("hf:a/b:", "\"\" is not the name of a .gguf"),
            ("hf:a/b:x.bin", "\"x.bin\""),
            ("hf:a/b:../x.gguf", "\"../x.gguf\""),
            ("hf:a/b:/x.gguf", "/x.gguf"),
            ("hf:a/b:.gguf", ".gguf"),
        ] {
            let error = HubName::parse(text).expect_err(text);
            assert!(error.message().starts_with(text) && error.message().contains(word), "{error}");
            assert!(error.kind() == ErrorKind::Input && error.advice().is_some(), "{error}");
        }
        for (text, near) in [
            ("HF:a/b", Some("hf:a/b")),
            ("hf://a/b", Some("hf:a/b")),
            ("Hf:a/b@v1:x.gguf", Some("hf:a/b@v1:x.gguf")),
            ("a/b", Some("hf:a/b")),
            ("https://huggingface.co/a/b", Some("hf:a/b")),
            ("HTTPS://HuggingFace.co/a/b/", Some("hf:a/b")),
            ("huggingface.co/a/b/tree/main", Some("hf:a/b")),
            ("https://hf.co/a/b/blob/v1/sub/x.gguf?download=true", Some("hf:a/b@v1:sub/x.gguf")),
            ("https://huggingface.co/a/b/resolve/main/x.gguf", Some("hf:a/b:x.gguf")),
            ("https://huggingface.co/a", None),
            ("https://example.com/a/b", None),
            ("models/x.gguf", None),
            ("./a/b", None),
            ("ä", None),
            ("hä", None),
            ("x", None),
        ] {
            assert_eq!(HubName::near(text).map(|name| name.to_string()).as_deref(), near, "{text}");
        }
        assert!(is_commit(&"0a".repeat(20)) && !is_commit("main") && !is_commit(&"0A".repeat(20)));
    }
}
