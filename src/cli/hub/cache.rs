//! The cache of Hugging Face's programs: files by their content in `blobs`, links to them in
//! `snapshots/COMMIT`, and in `refs` which commit a branch was at.

use std::path::{Path, PathBuf};

use polysketch::files::{atomic_write, create_folders};
use polysketch::{Error, ErrorKind, Result};

use super::name::{Name, is_plain};

/// What is kept of one model.
#[derive(Debug)]
pub struct Cache {
    root: PathBuf,
}

fn set(name: &str) -> Option<PathBuf> {
    std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from)
}

/// The folder of Hugging Face's programs.
pub fn home() -> Option<PathBuf> {
    set("HF_HOME").or_else(|| {
        let user = || set(if cfg!(windows) { "USERPROFILE" } else { "HOME" }).map(|home| home.join(".cache"));
        Some(set("XDG_CACHE_HOME").or_else(user)?.join("huggingface"))
    })
}

impl Cache {
    /// That of a model; nothing is made yet.
    pub fn open(name: &Name) -> Result<Self> {
        let hub = set("HF_HUB_CACHE").or_else(|| Some(home()?.join("hub")));
        let hub = hub.ok_or_else(|| {
            Error::new(ErrorKind::Io, "there is no home folder to fetch models into")
                .help("set HF_HOME to a folder")
        })?;
        Ok(Self { root: hub.join(format!("models--{}", name.repository.replace('/', "--"))) })
    }

    /// For messages.
    pub fn root(&self) -> impl std::fmt::Display {
        self.root.display()
    }

    /// The files of a commit.
    pub fn folder(&self, commit: &str) -> PathBuf {
        self.root.join("snapshots").join(commit)
    }

    /// The files of a branch, a tag or a commit, as far as they were fetched.
    pub fn snapshot(&self, revision: &str) -> Option<PathBuf> {
        let direct = self.folder(revision);
        if direct.is_dir() {
            return Some(direct);
        }
        let commit = std::fs::read_to_string(self.root.join("refs").join(revision)).ok()?;
        Some(commit.trim())
            .filter(|commit| is_plain(commit))
            .map(|commit| self.folder(commit))
            .filter(|f| f.is_dir())
    }

    /// Remembers which commit a branch or a tag is at.
    pub fn set_revision(&self, revision: &str, commit: &str) -> Result<()> {
        if revision == commit {
            return Ok(());
        }
        let path = self.root.join("refs").join(revision);
        self.make_room(&path)?;
        atomic_write(&path, |w| w.write_all(commit.as_bytes()))
    }

    /// Where the content of this name lies, whole.
    pub fn blob(&self, content: &str) -> PathBuf {
        self.root.join("blobs").join(content)
    }

    /// Where it lies as long as it is not.
    pub fn part(&self, content: &str) -> PathBuf {
        self.root.join("blobs").join(format!("{content}.incomplete"))
    }

    /// Makes the folder of a file.
    pub fn make_room(&self, path: &Path) -> Result<()> {
        let folder = path.parent().unwrap_or(path);
        create_folders(folder)
    }

    /// Gives a content its name in a commit.
    pub fn link(&self, commit: &str, file: &str, content: &str) -> Result<()> {
        let path = self.folder(commit).join(file);
        self.make_room(&path)?;
        let up = "../".repeat(2 + file.matches('/').count());
        let target = PathBuf::from(format!("{up}blobs/{content}"));
        // One that leads to nothing, or elsewhere, is in the way.
        if std::fs::symlink_metadata(&path).is_ok() {
            std::fs::remove_file(&path).map_err(|e| Error::io(path.display(), &e))?;
        }
        place(&target, &self.blob(content), &path).map_err(|e| Error::io(path.display(), &e))
    }
}

#[cfg(unix)]
fn place(target: &Path, _: &Path, path: &Path) -> std::io::Result<()> {
    std::os::unix::fs::symlink(target, path)
}

/// Links are for administrators there.
#[cfg(not(unix))]
fn place(_: &Path, blob: &Path, path: &Path) -> std::io::Result<()> {
    std::fs::hard_link(blob, path).or_else(|_| std::fs::copy(blob, path).map(drop))
}
