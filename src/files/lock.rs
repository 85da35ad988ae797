//! A folder that one process alone writes.

use std::fs::{self, File, TryLockError};
use std::io::{Read as _, Seek as _, Write as _};
use std::path::{Path, PathBuf};

use super::disk;
use crate::error::{Error, ErrorKind, Result};

/// A folder that no other process writes as long as this lives. The lock is the operating system's: it ends
/// with the process, however that ends, and a file that is left means nothing.
#[derive(Debug)]
pub struct FolderLock {
    /// Held open: closing it is what unlocks.
    file: Option<File>,
    path: PathBuf,
    /// Folders that were made for it, the innermost first.
    made: Vec<PathBuf>,
}

impl FolderLock {
    /// The file that is locked, in the folder.
    pub const NAME: &str = ".polysketch.lock";

    /// Takes a folder, which is made if it is not there.
    ///
    /// # Errors
    /// `ErrorKind::Input` if another process has it; `ErrorKind::Io`.
    pub fn take(folder: &Path) -> Result<Self> {
        let missing = |path: &&Path| !path.as_os_str().is_empty() && !path.exists();
        let made = folder.ancestors().take_while(missing).map(Path::to_path_buf).collect();
        let mut lock = Self { file: None, path: folder.join(Self::NAME), made };
        disk::create_folders(folder).map_err(|e| Error::io(folder.display(), &e))?;
        // A file that its owner has just removed locks nothing.
        for _ in 0..100 {
            if let Some(file) = lock.open(folder)? {
                lock.file = Some(file);
                return Ok(lock);
            }
        }
        Err(taken(folder, ""))
    }

    /// The file, locked; none if it is no longer the one of its name.
    fn open(&self, folder: &Path) -> Result<Option<File>> {
        let fail = |e: std::io::Error| Error::io(folder.display(), &e);
        let mut file = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&self.path)
            .map_err(|e| fail(e.kind().into()))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut owner = String::new();
                // Some systems let nobody read what is locked.
                let _ = file.read_to_string(&mut owner);
                let owner = owner.trim().parse::<u32>().map(|id| format!(" (process {id})"));
                return Err(taken(folder, &owner.unwrap_or_default()));
            }
            // Better one run that could have a rival than none at all.
            Err(TryLockError::Error(e)) => log::warn!("{}: cannot be locked: {e}", self.path.display()),
        }
        if !is_at(&file, &self.path) {
            return Ok(None);
        }
        // For people.
        let told = file.set_len(0).and_then(|()| file.rewind()).and_then(|()| {
            let id = std::process::id();
            writeln!(file, "{id}")
        });
        if let Err(e) = told {
            log::debug!("{}: {e}", self.path.display());
        }
        Ok(Some(file))
    }
}

fn taken(folder: &Path, owner: &str) -> Error {
    let what = format!("{}: another run writes here{owner}", folder.display());
    Error::new(ErrorKind::Input, what).help("wait for its end, or give another --out")
}

/// Whether an open file is the one of this name.
fn is_at(file: &File, path: &Path) -> bool {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt as _;
        let id = |m: fs::Metadata| (m.dev(), m.ino());
        matches!((file.metadata().map(id), fs::metadata(path).map(id)), (Ok(a), Ok(b)) if a == b)
    }
    #[cfg(not(unix))]
    {
        // Nobody removes it.
        let _ = (file, path);
        true
    }
}

impl Drop for FolderLock {
    fn drop(&mut self) {
        #[cfg(unix)]
        if self.file.is_some() {
            let _ = fs::remove_file(&self.path);
        }
        self.file = None;
        // Those that are still empty: nothing came of the run.
        self.made.iter().for_each(|folder| drop(fs::remove_dir(folder)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_has_one_owner() {
        let dir = tempfile::tempdir().expect("a folder");
        let folder = dir.path().join("new/run");
        let lock = FolderLock::take(&folder).expect("free");
        let error = FolderLock::take(&folder).expect_err("taken");
        let id = std::process::id().to_string();
        assert!(error.message().contains("another run") && error.message().contains(&id), "{error}");
        drop(lock);
        assert!(!dir.path().join("new").exists(), "nothing came of it");
        // What a killed process leaves is no obstacle; what is there stays.
        fs::create_dir_all(&folder).expect("makes");
        fs::write(folder.join(FolderLock::NAME), "12345678\nand more").expect("writes");
        drop(FolderLock::take(&folder).expect("free"));
        assert!(folder.exists() && !folder.join(FolderLock::NAME).exists());
        // A name that cannot be locked.
        fs::create_dir(folder.join(FolderLock::NAME)).expect("makes");
        let error = FolderLock::take(&folder).expect_err("a folder");
        assert!(error.kind() == ErrorKind::Io && error.message().contains("run"), "{error}");
    }
}
