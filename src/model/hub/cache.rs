//! A model's folder in the cache, as Hugging Face's own programs lay it out and lock it: `blobs` has the
//! files by their `ETag`, `snapshots` links to them by commit and name, `refs` says which commit a branch is
//! at.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use hf_hub::{Cache, Repo, RepoType};

use super::name::{HubName, is_commit};
use crate::error::{Error, Result};
use crate::files::{atomic_write, create_folders};

/// Time between looks at a lock that another process has.
const LOOK: Duration = Duration::from_millis(100);

/// The folder of a repository.
#[derive(Debug)]
pub struct Folder {
    cache: Cache,
    repository: String,
    /// Its name in the cache.
    name: String,
    revision: String,
}

/// Held while a file is written; the operating system's, so it ends with the process.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

impl Folder {
    /// The folder of a model; it need not be there.
    pub fn new(cache: PathBuf, name: &HubName) -> Self {
        let repo = Repo::new(name.repository.clone(), RepoType::Model);
        Self {
            cache: Cache::new(cache),
            repository: name.repository.clone(),
            name: repo.folder_name(),
            revision: name.revision().into(),
        }
    }

    /// Where it is.
    pub fn path(&self) -> PathBuf {
        self.cache.path().join(&self.name)
    }

    /// The commit that the revision is, or was when it was last fetched.
    pub fn commit(&self) -> Option<String> {
        if is_commit(&self.revision) {
            return Some(self.revision.clone());
        }
        let text = fs::read_to_string(self.reference()).ok()?;
        Some(text.trim().to_string()).filter(|commit| !commit.is_empty())
    }

    fn reference(&self) -> PathBuf {
        self.path().join("refs").join(&self.revision)
    }

    /// Writes down what commit the revision is.
    ///
    /// # Errors
    /// `ErrorKind::Io`.
    pub fn remember(&self, commit: &str) -> Result<()> {
        if self.commit().as_deref() == Some(commit) || is_commit(&self.revision) {
            return Ok(());
        }
        let path = self.reference();
        path.parent().map_or(Ok(()), create_folders)?;
        atomic_write(&path, |w| w.write_all(commit.as_bytes()))
    }

    /// The files of a commit, under their own names.
    pub fn snapshot(&self, commit: &str) -> PathBuf {
        self.cache.model(self.repository.clone()).pointer_path(commit)
    }

    /// Where the bytes of a file are.
    pub fn blob(&self, etag: &str) -> PathBuf {
        self.path().join("blobs").join(etag)
    }

    /// Bytes of a file that are there already, of the whole or of a part of it.
    pub fn there(&self, etag: &str) -> u64 {
        let length = |path: PathBuf| path.metadata().map_or(0, |meta| meta.len());
        length(self.blob(etag)).max(length(self.part(etag)))
    }

    /// Where the bytes of a file are while some are missing.
    pub fn part(&self, etag: &str) -> PathBuf {
        self.blob(&format!("{etag}.incomplete"))
    }

    /// Waits until nobody else writes a file; `wait` is called once if somebody does.
    ///
    /// # Errors
    /// `ErrorKind::Io`.
    pub fn lock(&self, etag: &str, wait: &mut dyn FnMut()) -> Result<Lock> {
        let folder = self.cache.path().join(".locks").join(&self.name);
        create_folders(&folder)?;
        let path = folder.join(format!("{etag}.lock"));
        let fail = |e: io::Error| Error::io(path.display(), &e);
        let file =
            File::options().read(true).write(true).create(true).truncate(false).open(&path).map_err(fail)?;
        let mut told = false;
        loop {
            match file.try_lock() {
                Ok(()) => break,
                Err(TryLockError::WouldBlock) => {
                    if !std::mem::replace(&mut told, true) {
                        wait();
                    }
                    std::thread::sleep(LOOK);
                }
                // Some file systems lock nothing. What is fetched is checked all the same.
                Err(TryLockError::Error(e)) => {
                    log::warn!("{}: cannot be locked: {e}", path.display());
                    break;
                }
            }
        }
        Ok(Lock { _file: file })
    }

    /// Whether a commit has a file, with these bytes.
    pub fn has(&self, commit: &str, file: &str, etag: &str) -> bool {
        let pointer = self.snapshot(commit).join(file);
        // Where there are no links, the file itself lies there.
        let same = fs::read_link(&pointer).map_or(true, |target| target.file_name() == Some(etag.as_ref()));
        same && pointer.is_file()
    }

    /// Gives a blob its name in a commit.
    ///
    /// # Errors
    /// `ErrorKind::Io`.
    pub fn link(&self, commit: &str, file: &str, etag: &str) -> Result<()> {
        if self.has(commit, file, etag) {
            return Ok(());
        }
        let pointer = self.snapshot(commit).join(file);
        pointer.parent().map_or(Ok(()), create_folders)?;
        let up = "../".repeat(2 + file.matches('/').count());
        let target = PathBuf::from(format!("{up}blobs/{etag}"));
        // What is there leads nowhere, or to other bytes.
        if pointer.symlink_metadata().is_ok() {
            fs::remove_file(&pointer).map_err(|e| Error::io(pointer.display(), &e))?;
        }
        match symlink(&target, &pointer) {
            Ok(()) => Ok(()),
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            // Not every system lets everybody make links.
            Err(_) => fs::rename(self.blob(etag), &pointer).map_err(|e| Error::io(pointer.display(), &e)),
        }
    }
}

#[cfg(unix)]
fn symlink(target: &Path, link: &Path) -> io::Result<()> {
    std::os::unix::fs::symlink(target, link)
}

#[cfg(windows)]
fn symlink(target: &Path, link: &Path) -> io::Result<()> {
    std::os::windows::fs::symlink_file(target, link)
}

#[cfg(not(any(unix, windows)))]
fn symlink(_: &Path, _: &Path) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_lie_where_others_look_for_them() {
        let dir = tempfile::tempdir().expect("a folder");
        let name = HubName::parse("hf:a/b@refs/pr/1").expect("a name");
        let folder = Folder::new(dir.path().into(), &name);
        assert_eq!(folder.commit(), None);
        folder.remember("c1").expect("writes");
        folder.remember("c2").expect("writes");
        assert_eq!(folder.commit().as_deref(), Some("c2"));
        let at = dir.path().join("models--a--b");
        assert_eq!(fs::read_to_string(at.join("refs/refs/pr/1")).expect("reads"), "c2");
        for etag in ["e1", "e2"] {
            create_folders(&at.join("blobs")).expect("makes");
            fs::write(folder.blob(etag), etag).expect("writes");
            assert!(!folder.has("c2", "sub/x.gguf", etag));
            folder.link("c2", "sub/x.gguf", etag).expect("links");
            assert!(folder.has("c2", "sub/x.gguf", etag));
            assert_eq!(fs::read_to_string(at.join("snapshots/c2/sub/x.gguf")).expect("reads"), etag);
        }
        // A blob that somebody removed.
        fs::remove_file(folder.blob("e2")).expect("removes");
        assert!(!folder.has("c2", "sub/x.gguf", "e2"));
        folder.link("c2", "sub/x.gguf", "e1").expect("links");
        assert_eq!(fs::read_to_string(at.join("snapshots/c2/sub/x.gguf")).expect("reads"), "e1");
    }

    #[test]
    fn one_writes_and_the_others_wait() {
        let dir = tempfile::tempdir().expect("a folder");
        let folder = Folder::new(dir.path().into(), &HubName::parse("hf:a/b").expect("a name"));
        let lock = folder.lock("e", &mut || panic!("nobody has it")).expect("free");
        let mut waited = false;
        let (told, waits) = std::sync::mpsc::channel();
        std::thread::scope(|scope| {
            let other = scope.spawn(|| {
                let _lock = folder.lock("e", &mut || told.send(()).expect("heard")).expect("free then");
            });
            waits.recv().expect("it waits");
            waited = !other.is_finished();
            drop(lock);
        });
        assert!(waited);
        assert!(dir.path().join(".locks/models--a--b/e.lock").exists());
    }
}
