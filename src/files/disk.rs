//! What changes the file system, a function an operation. All saving goes through here, so that tests can let
//! any operation fail (`faults.rs`).

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use tempfile::{NamedTempFile, TempDir};
use xxhash_rust::xxh3::xxh3_64;

#[cfg(test)]
use super::faults::step;

/// Something is about to happen.
#[cfg(not(test))]
fn step() -> io::Result<()> {
    Ok(())
}

/// How names of what is not finished begin.
pub const PREFIX: &str = ".polysketch-";

/// The folder that a path lies in.
pub fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// How temporary names of a file begin: with a number of its own, so that those of one file can be told from
/// those of another.
fn prefix_of(target: &Path) -> String {
    let name = target.file_name().unwrap_or_default();
    format!("{PREFIX}{:08x}-", xxh3_64(name.as_encoded_bytes()) as u32)
}

/// An empty file under a temporary name beside `target`.
///
/// # Errors
/// Without the temporary name, which the caller does not know.
pub fn temporary_file(target: &Path) -> io::Result<NamedTempFile> {
    step()?;
    let prefix = prefix_of(target);
    builder(&prefix, 0o666).tempfile_in(folder_of(target)).map_err(|e| e.kind().into())
}

/// An empty folder under a temporary name in `folder`.
///
/// # Errors
/// As [`temporary_file`].
pub fn temporary_folder(folder: &Path) -> io::Result<TempDir> {
    step()?;
    builder(PREFIX, 0o777).tempdir_in(folder).map_err(|e| e.kind().into())
}

/// Another name of the file `from`, under a temporary name beside `target`.
///
/// # Errors
/// Those of the file system, which need not know links.
pub fn temporary_link(from: &Path, target: &Path) -> io::Result<tempfile::TempPath> {
    step()?;
    let prefix = prefix_of(target);
    let linked = builder(&prefix, 0o666).make_in(folder_of(target), |link| fs::hard_link(from, link));
    linked.map(NamedTempFile::into_temp_path)
}

fn builder<'a>(prefix: &'a str, mode: u32) -> tempfile::Builder<'a, 'a> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(prefix);
    #[cfg(unix)]
    {
        // What a plain `open` or `mkdir` would ask for; the umask takes its part.
        use std::os::unix::fs::PermissionsExt;
        builder.permissions(fs::Permissions::from_mode(mode));
    }
    #[cfg(not(unix))]
    let _ = mode;
    builder
}

/// Creates a file in a folder of one's own.
///
/// # Errors
/// Those of the file system.
pub fn create(path: &Path) -> io::Result<File> {
    step()?;
    File::create(path)
}

/// Writes a file's content and sees to it that it reaches the disk.
///
/// # Errors
/// Those of the file system, or of `write`.
pub fn fill(file: &File, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> io::Result<()> {
    let mut w = BufWriter::with_capacity(1 << 20, Stepped(file));
    write(&mut w)?;
    w.flush()?;
    drop(w);
    step()?;
    file.sync_all()
}

struct Stepped<'a>(&'a File);

impl Write for Stepped<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        step()?;
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// Gives a temporary file its name.
///
/// # Errors
/// Those of the file system.
pub fn persist(file: NamedTempFile, target: &Path) -> io::Result<()> {
    step()?;
    file.persist(target).map(drop).map_err(|e| e.error)
}

/// Gives a temporary link its name.
///
/// # Errors
/// Those of the file system.
pub fn persist_link(link: tempfile::TempPath, target: &Path) -> io::Result<()> {
    step()?;
    let path = link.to_path_buf();
    link.persist(target).map_err(|e| e.error)?;
    // Renaming onto another name of the same file does nothing.
    let _ = fs::remove_file(path);
    Ok(())
}

/// Renames.
///
/// # Errors
/// Those of the file system.
pub fn rename(from: &Path, to: &Path) -> io::Result<()> {
    step()?;
    fs::rename(from, to)
}

/// Makes a folder, and those it lies in.
///
/// # Errors
/// Those of the file system.
pub fn create_folders(folder: &Path) -> io::Result<()> {
    step()?;
    fs::create_dir_all(folder)
}

/// Removes a folder with all that is in it: at once for whoever looks, whatever happens meanwhile.
///
/// # Errors
/// Those of the file system.
pub fn remove_folder(folder: &Path) -> io::Result<()> {
    let aside = temporary_folder(folder_of(folder))?;
    rename(folder, &aside.path().join("removed"))?;
    step()?;
    aside.close()
}

/// Removes what was left half written of `targets`, files of one folder, by a process that was killed. None may
/// be writing them.
pub fn clean(folder: &Path, targets: &[&str]) {
    let prefixes: Vec<String> = targets.iter().map(|name| prefix_of(Path::new(name))).collect();
    remove_named(folder, |name| {
        prefixes.iter().any(|prefix| name.as_encoded_bytes().starts_with(prefix.as_bytes()))
    });
}

/// Removes all that was left half written in a folder. None may be writing there.
pub fn clean_all(folder: &Path) {
    remove_named(folder, is_temporary);
}

/// Whether a name is that of something not finished.
pub fn is_temporary(name: &OsStr) -> bool {
    name.as_encoded_bytes().starts_with(PREFIX.as_bytes())
}

/// What cannot be removed does no harm.
fn remove_named(folder: &Path, which: impl Fn(&OsStr) -> bool) {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    for entry in entries.filter(|entry| which(&entry.file_name())) {
        let path: PathBuf = entry.path();
        let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
        let _ = if is_folder { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
    }
}

/// Names in a folder reach the disk. Some file systems cannot, and then nothing is lost but time.
pub fn sync(folder: &Path) {
    #[cfg(unix)]
    if step().is_ok()
        && let Ok(folder) = File::open(folder)
    {
        let _ = folder.sync_all();
    }
    #[cfg(not(unix))]
    let _ = folder;
}
