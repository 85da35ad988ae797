//! Reading files, and writing them whole or not at all. Everything of this crate that writes a file goes
//! through [`atomic_write`]. `-` is stdin where a file is read, and stdout where one is written; a file of
//! this name is `./-`.

#![cfg(not(target_arch = "wasm32"))]

use std::io::{self, BufWriter, Read as _, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use crate::error::{Error, ErrorKind, Result};

/// Whether a path is `-`: stdin or stdout.
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
/// As [`read_bytes`]; `ErrorKind::Input` if it is not UTF-8: UTF-16 by its name, otherwise with the byte
/// offset.
pub fn read_text(path: &Path) -> Result<String> {
    crate::text::decode(read_bytes(path)?, &source_name(path))
}

/// Writes a file through `write` into a temporary neighbour, flushes it to the disk and renames it into
/// place: a reader sees the old file or the new one, never a part, and after an error nothing is left behind.
/// A link is followed. Devices and pipes (`/dev/stdout`) are written to directly, and so is stdout (`-`).
///
/// # Errors
/// `ErrorKind::Io`, naming `path`: folder missing or read-only, file read-only, disk full, or what `write`
/// reports.
pub fn atomic_write(path: &Path, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<()> {
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

enum Place {
    File(PathBuf),
    Stream,
    Stdout,
}

fn place(path: &Path) -> io::Result<Place> {
    if is_standard(path) {
        return Ok(Place::Stdout);
    }
    let meta = match std::fs::metadata(path) {
        Ok(meta) => meta,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Place::File(path.to_path_buf())),
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
    let folder = target.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut builder = tempfile::Builder::new();
    builder.prefix(".polysketch-").suffix(".tmp");
    #[cfg(unix)]
    {
        // What a plain `open` would ask for; the umask takes its part.
        use std::os::unix::fs::PermissionsExt;
        builder.permissions(std::fs::Permissions::from_mode(0o666));
    }
    // `tempfile` puts the temporary file's path into its errors; the caller knows only `target`.
    let file = builder.tempfile_in(folder).map_err(|e| io::Error::from(e.kind()))?;
    let mut w = BufWriter::with_capacity(1 << 20, file.as_file());
    write(&mut w)?;
    w.flush()?;
    drop(w);
    file.as_file().sync_all()?;
    file.persist(target).map_err(|e| e.error)?;
    #[cfg(unix)]
    if let Ok(folder) = std::fs::File::open(folder) {
        // The rename itself; some file systems cannot, and the data is safe already.
        let _ = folder.sync_all();
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

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
            assert_eq!(read_text(&path).unwrap(), text);
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
        assert_eq!(read_text(&path).unwrap(), "old");
        assert_eq!(names(folder.path()), ["a.bin"]);
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
        assert_eq!(read_text(&path).unwrap(), "old");
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
        assert_eq!(read_text(&path).unwrap(), "new");
        assert!(std::fs::symlink_metadata(&link).unwrap().is_symlink());
        let (plain, ours) = (folder.path().join("plain"), folder.path().join("ours"));
        std::fs::write(&plain, "").unwrap();
        atomic_write(&ours, |_| Ok(())).unwrap();
        let mode = |p: &Path| std::fs::metadata(p).unwrap().permissions().mode();
        assert_eq!(mode(&ours), mode(&plain));
        atomic_write(Path::new("/dev/null"), |w| w.write_all(b"gone")).unwrap();
        assert!(!std::fs::metadata("/dev/null").unwrap().is_file());
    }
}
