//! Replacing files: whole or not at all.

use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::{PoisonError, RwLock, TryLockError};
use std::time::{Duration, Instant};

use super::disk;
use super::read::is_standard;
use crate::error::{Error, Result};

/// Held while a file is being written.
static WRITING: RwLock<()> = RwLock::new(());

/// Waits until no file is being written, at most so long, and does something before another one can be.
pub fn until_idle<T>(most: Duration, something: impl FnOnce() -> T) -> T {
    let began = Instant::now();
    let _alone = loop {
        match WRITING.try_write() {
            Ok(guard) => break Some(guard),
            Err(TryLockError::Poisoned(guard)) => break Some(guard.into_inner()),
            Err(TryLockError::WouldBlock) if began.elapsed() > most => break None,
            Err(TryLockError::WouldBlock) => std::thread::sleep(Duration::from_millis(2)),
        }
    };
    something()
}

/// Makes a folder, and those it lies in.
///
/// # Errors
/// `ErrorKind::Io`, naming the folder.
pub fn create_folders(folder: &Path) -> Result<()> {
    disk::create_folders(folder).map_err(|e| Error::io(folder.display(), &e))
}

/// Refuses what is there and cannot be replaced by a file: a folder, a file that is read-only.
///
/// # Errors
/// `ErrorKind::Io`, naming `path`.
pub fn check_file(path: &Path) -> Result<()> {
    place(path).map(drop).map_err(|e| Error::io(path.display(), &e))
}

/// Writes a file through `write` into a temporary neighbour, flushes it to the disk and renames it into
/// place: a reader sees the old file or the new one, never a part, and after an error nothing is left behind.
/// A link is followed. Devices and pipes (`/dev/stdout`) are written to directly, and so is stdout (`-`).
///
/// # Errors
/// `ErrorKind::Io`, naming `path`: folder missing or read-only, file read-only, disk full, or what `write`
/// reports.
pub fn atomic_write(path: &Path, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<()> {
    let _writing = WRITING.read().unwrap_or_else(PoisonError::into_inner);
    place(path)
        .and_then(|place| match place {
            Place::File(target) => replace(&target, write),
            Place::Stdout => {
                let mut w = BufWriter::new(io::stdout().lock());
                write(&mut w)?;
                w.flush()
            }
            Place::Stream => {
                let mut w = BufWriter::new(std::fs::OpenOptions::new().write(true).open(path)?);
                write(&mut w)?;
                w.flush()
            }
        })
        .map_err(|e| {
            let name = if is_standard(path) { "stdout".into() } else { path.display().to_string() };
            Error::io(name, &e)
        })
}

/// What a path is the name of.
pub(super) enum Place {
    /// A file, or one that can be made; links are followed.
    File(PathBuf),
    /// A device or a pipe.
    Stream,
    /// What `-` stands for.
    Stdout,
}

pub(super) fn place(path: &Path) -> io::Result<Place> {
    /// As many links one after the other as Linux follows.
    const LINKS: usize = 40;
    if is_standard(path) {
        return Ok(Place::Stdout);
    }
    let meta = match std::fs::metadata(path) {
        Ok(meta) => meta,
        Err(e) if e.kind() == io::ErrorKind::NotFound => {
            // A link to what is not there yet stays a link.
            let mut target = path.to_path_buf();
            for _ in 0..LINKS {
                let Ok(next) = std::fs::read_link(&target) else { break };
                target = disk::folder_of(&target).join(next);
            }
            return Ok(Place::File(target));
        }
        Err(e) => return Err(e),
    };
    if meta.is_dir() {
        return Err(io::Error::new(io::ErrorKind::IsADirectory, "is a folder, must be a file"));
    }
    if !meta.is_file() {
        return Ok(Place::Stream);
    }
    if meta.permissions().readonly() {
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, "the file is read-only"));
    }
    Ok(Place::File(path.canonicalize()?))
}

fn replace(target: &Path, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> io::Result<()> {
    let file = disk::temporary_file(target)?;
    disk::fill(file.as_file(), write)?;
    disk::persist(file, target)?;
    // The rename itself.
    disk::sync(disk::folder_of(target));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;
    use crate::files::{Whole, faults, read_text};

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<String> = std::fs::read_dir(folder)
            .unwrap()
            .map(|e| e.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn writes_whole_files_and_replaces_them() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.bin");
        for text in ["one", "a longer two", "3"] {
            atomic_write(&path, |w| w.write_all(text.as_bytes())).unwrap();
            assert_eq!(read_text(&path, Whole::Content).unwrap(), text);
        }
        assert_eq!(names(folder.path()), ["a.bin"]);
    }

    #[test]
    fn a_failed_write_leaves_the_old_file_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.bin");
        atomic_write(&path, |w| w.write_all(b"old")).unwrap();
        let error = atomic_write(&path, |w| {
            w.write_all(b"half")?;
            Err(io::Error::from(io::ErrorKind::StorageFull))
        })
        .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Io);
        assert!(error.message().contains("a.bin") && error.advice().is_some(), "{error}");
        assert_eq!(read_text(&path, Whole::Content).unwrap(), "old");
        assert_eq!(names(folder.path()), ["a.bin"]);
    }

    /// Whatever fails: a reader finds the old file or the new one, and an error names it.
    #[test]
    fn any_operation_may_fail() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.bin");
        faults::every(|k, fault| {
            std::fs::write(&path, "old").unwrap();
            let (written, hit) = faults::with(k, fault, || {
                atomic_write(&path, |w| {
                    // More than is written at once.
                    (0..3).try_for_each(|_| w.write_all(&vec![b'n'; 1 << 20]))
                })
            });
            let found = read_text(&path, Whole::Content).unwrap();
            match written {
                Ok(()) => assert_eq!(found.len(), 3 << 20, "{k}"),
                Err(error) => {
                    assert_eq!(found, "old", "{k}");
                    assert!(error.kind() == ErrorKind::Io && error.message().contains("a.bin"), "{error}");
                }
            }
            assert_eq!(names(folder.path()), ["a.bin"]);
            hit
        });
    }

    #[test]
    fn tensors_are_no_text() {
        let folder = tempfile::tempdir().unwrap();
        let mut bytes = 64u64.to_le_bytes().to_vec();
        bytes.extend(
            format!("{:<64}", r#"{"tokens":{"dtype":"U32","shape":[2],"data_offsets":[0,8]}}"#).bytes(),
        );
        bytes.extend([7, 0, 0, 0, 9, 0, 0, 0]);
        assert!(std::str::from_utf8(&bytes).is_ok(), "as a text it could be taken");
        for (name, words) in [("1.txt.38d394c2.tokens", "earlier version"), ("w.safetensors", "tensors")] {
            let path = folder.path().join(name);
            std::fs::write(&path, &bytes).unwrap();
            let error = read_text(&path, Whole::Content).unwrap_err();
            assert!(error.message().contains(name) && error.message().contains(words), "{error}");
            assert!(error.kind() == ErrorKind::Input && error.advice().is_some(), "{error}");
        }
        let text = folder.path().join("text.tokens");
        std::fs::write(&text, "a text of that name").unwrap();
        assert!(read_text(&text, Whole::Content).is_ok());
    }

    #[test]
    fn refuses_folders_missing_folders_and_read_only_files() {
        let folder = tempfile::tempdir().unwrap();
        let error = atomic_write(folder.path(), |_| Ok(())).unwrap_err();
        assert!(error.message().contains("is a folder"), "{error}");
        let error = atomic_write(&folder.path().join("no/such/file"), |_| Ok(())).unwrap_err();
        assert!(error.kind() == ErrorKind::Io && error.message().contains("no/such/file"), "{error}");
        assert!(!error.message().contains(".polysketch-"), "{error}");
        let path = folder.path().join("fixed");
        std::fs::write(&path, "old").unwrap();
        let mut permissions = std::fs::metadata(&path).unwrap().permissions();
        permissions.set_readonly(true);
        std::fs::set_permissions(&path, permissions).unwrap();
        let error = atomic_write(&path, |w| w.write_all(b"new")).unwrap_err();
        assert!(error.message().contains("read-only") && error.advice().is_some(), "{error}");
        assert_eq!(read_text(&path, Whole::Content).unwrap(), "old");
    }

    #[cfg(unix)]
    #[test]
    fn follows_links_writes_to_devices_and_respects_the_umask() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let (path, link) = (folder.path().join("a"), folder.path().join("link"));
        std::fs::write(&path, "old").unwrap();
        std::os::unix::fs::symlink(&path, &link).unwrap();
        atomic_write(&link, |w| w.write_all(b"new")).unwrap();
        assert_eq!(read_text(&path, Whole::Content).unwrap(), "new");
        assert!(std::fs::symlink_metadata(&link).unwrap().is_symlink());
        let (new, dangling) = (folder.path().join("new"), folder.path().join("dangling"));
        std::os::unix::fs::symlink("new", &dangling).unwrap();
        atomic_write(&dangling, |w| w.write_all(b"text")).unwrap();
        assert_eq!(read_text(&new, Whole::Content).unwrap(), "text");
        assert!(std::fs::symlink_metadata(&dangling).unwrap().is_symlink());
        let (plain, ours) = (folder.path().join("plain"), folder.path().join("ours"));
        std::fs::write(&plain, "").unwrap();
        atomic_write(&ours, |_| Ok(())).unwrap();
        let mode = |p: &Path| std::fs::metadata(p).unwrap().permissions().mode();
        assert_eq!(mode(&ours), mode(&plain));
        atomic_write(Path::new("/dev/null"), |w| w.write_all(b"gone")).unwrap();
        assert!(!std::fs::metadata("/dev/null").unwrap().is_file());
    }
}
