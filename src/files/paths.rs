//! Paths in JSON: as text, or, where a path is no text, as the numbers it consists of. For `serde(with)`.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// A path as it is stored.
#[derive(Debug, Serialize, Deserialize)]
#[serde(untagged)]
enum Stored {
    Text(String),
    /// Bytes, or 16-bit units on Windows.
    Numbers(Vec<u16>),
}

impl From<&PathBuf> for Stored {
    fn from(path: &PathBuf) -> Self {
        match path.to_str() {
            Some(text) => Self::Text(text.to_string()),
            None => Self::Numbers(numbers(path)),
        }
    }
}

impl From<Stored> for PathBuf {
    fn from(stored: Stored) -> Self {
        match stored {
            Stored::Text(text) => text.into(),
            Stored::Numbers(numbers) => path(&numbers),
        }
    }
}

#[cfg(unix)]
fn numbers(path: &std::path::Path) -> Vec<u16> {
    use std::os::unix::ffi::OsStrExt as _;
    path.as_os_str().as_bytes().iter().map(|byte| u16::from(*byte)).collect()
}

#[cfg(unix)]
fn path(numbers: &[u16]) -> PathBuf {
    use std::os::unix::ffi::OsStringExt as _;
    std::ffi::OsString::from_vec(numbers.iter().map(|n| *n as u8).collect()).into()
}

#[cfg(windows)]
fn numbers(path: &std::path::Path) -> Vec<u16> {
    use std::os::windows::ffi::OsStrExt as _;
    path.as_os_str().encode_wide().collect()
}

#[cfg(windows)]
fn path(numbers: &[u16]) -> PathBuf {
    use std::os::windows::ffi::OsStringExt as _;
    std::ffi::OsString::from_wide(numbers).into()
}

// A browser has no paths.
#[cfg(not(any(unix, windows)))]
fn numbers(path: &std::path::Path) -> Vec<u16> {
    path.to_string_lossy().bytes().map(u16::from).collect()
}

#[cfg(not(any(unix, windows)))]
fn path(numbers: &[u16]) -> PathBuf {
    String::from_utf16_lossy(numbers).into()
}

/// For a list of paths.
pub mod list {
    use super::{Deserialize as _, PathBuf, Serialize as _, Stored};

    #[allow(missing_docs, reason = "what `serde(with)` asks for")]
    pub fn serialize<S: serde::Serializer>(paths: &[PathBuf], s: S) -> Result<S::Ok, S::Error> {
        paths.iter().map(Stored::from).collect::<Vec<_>>().serialize(s)
    }

    #[allow(missing_docs, reason = "what `serde(with)` asks for")]
    pub fn deserialize<'de, D: serde::Deserializer<'de>>(d: D) -> Result<Vec<PathBuf>, D::Error> {
        Ok(Vec::<Stored>::deserialize(d)?.into_iter().map(PathBuf::from).collect())
    }
}

/// For a path that may be missing.
pub mod optional {
    use super::{Deserialize as _, PathBuf, Serialize as _, Stored};

    #[allow(missing_docs, reason = "what `serde(with)` asks for")]
    pub fn serialize<S: serde::Serializer>(path: &Option<PathBuf>, s: S) -> Result<S::Ok, S::Error> {
        path.as_ref().map(Stored::from).serialize(s)
    }

    #[allow(missing_docs, reason = "what `serde(with)` asks for")]
    pub fn deserialize<'de, D: serde::Deserializer<'de>>(d: D) -> Result<Option<PathBuf>, D::Error> {
        Ok(Option::<Stored>::deserialize(d)?.map(PathBuf::from))
    }
}
