//! What the environment says of the hub, by the names that Hugging Face's own programs know.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use crate::error::{Error, ErrorKind, Result};
use crate::files::{Whole, read_text};

/// Where the hub is, where its cache is, and who asks.
#[derive(Clone, PartialEq, Eq)]
pub struct Environment {
    /// Without a slash at its end.
    pub endpoint: String,
    pub cache: PathBuf,
    pub token: Option<String>,
    /// Nothing is to be asked.
    pub offline: bool,
    /// Whom to trust, in place of the usual authorities: a company's proxy, say.
    pub certificates: Option<PathBuf>,
}

impl std::fmt::Debug for Environment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // A token is a secret.
        f.debug_struct("Environment").field("endpoint", &self.endpoint).finish_non_exhaustive()
    }
}

impl Environment {
    /// That of this process.
    ///
    /// # Errors
    /// `ErrorKind::Input` for a value that cannot be used.
    pub fn read() -> Result<Self> {
        Self::of(&|name| std::env::var_os(name), std::env::home_dir())
    }

    fn of(variable: &dyn Fn(&str) -> Option<OsString>, user: Option<PathBuf>) -> Result<Self> {
        let set = |name: &str| variable(name).filter(|value| !value.is_empty());
        let text = |name: &str| {
            let Some(value) = set(name) else { return Ok(None) };
            let value = value.into_string().map_err(|_| wrong(name, "is no text"))?;
            Ok(Some(value.trim().to_string()).filter(|value| !value.is_empty()))
        };
        let path = |name: &str| set(name).map(PathBuf::from);
        let endpoint = text("HF_ENDPOINT")?.unwrap_or_else(|| "https://huggingface.co".into());
        if !(endpoint.starts_with("https://") || endpoint.starts_with("http://")) {
            return Err(wrong("HF_ENDPOINT", &format!("\"{endpoint}\" is no address")));
        }
        let home = path("HF_HOME")
            .or_else(|| path("XDG_CACHE_HOME").map(|cache| cache.join("huggingface")))
            .or_else(|| user.map(|user| user.join(".cache/huggingface")));
        let cache = path("HF_HUB_CACHE")
            .or_else(|| path("HUGGINGFACE_HUB_CACHE"))
            .or_else(|| home.as_ref().map(|home| home.join("hub")))
            .ok_or_else(|| wrong("HF_HOME", "is not set, and this user has no home folder"))?;
        let kept = path("HF_TOKEN_PATH").or_else(|| home.map(|home| home.join("token")));
        let given =
            text("HF_TOKEN")?.map_or_else(|| text("HUGGING_FACE_HUB_TOKEN"), |token| Ok(Some(token)))?;
        let token = given.or_else(|| kept.and_then(|file| token_in(&file)));
        if token.as_ref().is_some_and(|token| !token.bytes().all(|byte| byte.is_ascii_graphic())) {
            return Err(wrong("HF_TOKEN", "has characters that no token has"));
        }
        let offline = |name: &str| -> Result<bool> {
            Ok(text(name)?.is_some_and(|value| {
                ["1", "on", "yes", "true"].contains(&value.to_ascii_lowercase().as_str())
            }))
        };
        Ok(Self {
            endpoint: endpoint.trim_end_matches('/').into(),
            cache,
            token,
            offline: offline("HF_HUB_OFFLINE")? || offline("TRANSFORMERS_OFFLINE")?,
            certificates: path("SSL_CERT_FILE"),
        })
    }

    /// The hub's name for people.
    pub fn host(&self) -> &str {
        self.endpoint.split_once("://").map_or(&self.endpoint, |(_, host)| host)
    }
}

fn wrong(name: &str, what: &str) -> Error {
    Error::new(ErrorKind::Input, format!("{name}: {what}")).help("set this variable of the environment anew")
}

/// What `hf auth login` left.
fn token_in(path: &Path) -> Option<String> {
    let text = read_text(path, Whole::Settings).ok()?;
    Some(text.trim().to_string()).filter(|token| !token.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_variables_say() {
        let of = |list: &[(&str, &str)]| {
            let find = |name: &str| {
                list.iter().find(|(own, _)| *own == name).map(|(_, value)| OsString::from(value))
            };
            Environment::of(&find, Some("/home/me".into()))
        };
        let plain = of(&[("HF_TOKEN", "")]).expect("nothing is set");
        assert_eq!(plain.endpoint, "https://huggingface.co");
        assert_eq!(plain.cache, Path::new("/home/me/.cache/huggingface/hub"));
        assert!(!plain.offline && plain.host() == "huggingface.co");
        let folders = [("HF_HUB_CACHE", "/c"), ("HF_HOME", "/h"), ("XDG_CACHE_HOME", "/x")];
        for (left, wanted) in ["/c", "/h/hub", "/x/huggingface/hub"].into_iter().enumerate() {
            assert_eq!(of(&folders[left..]).expect("a cache").cache, Path::new(wanted));
        }
        let dir = tempfile::tempdir().expect("a folder");
        std::fs::write(dir.path().join("token"), "from_file\n").expect("writes");
        let home = ("HF_HOME", dir.path().to_str().expect("text"));
        assert_eq!(of(&[home]).expect("a token").token.as_deref(), Some("from_file"));
        assert_eq!(of(&[home, ("HF_TOKEN", " given ")]).expect("a token").token.as_deref(), Some("given"));
        let odd = of(&[("HF_ENDPOINT", "http://localhost:1/"), ("HF_HUB_OFFLINE", "True")]).expect("set");
        assert!(odd.offline && odd.endpoint == "http://localhost:1" && odd.host() == "localhost:1");
        assert!(!of(&[("HF_HUB_OFFLINE", "0")]).expect("set").offline);
        for bad in [("HF_ENDPOINT", "huggingface.co"), ("HF_TOKEN", "a b")] {
            let error = of(&[bad]).expect_err("refused");
            assert!(error.message().starts_with(bad.0), "{error}");
            assert!(!format!("{error:?}").contains("a b"), "a token is never shown");
        }
    }
}
