//! Whether a file can be written, before work is put into it.

use std::path::Path;

use super::disk::{folder_of, temporary_file};
use super::write::{Place, place};
use crate::error::{Error, ErrorKind, Result};

/// Refuses a path that [`atomic_write`](super::atomic_write) could not write to. Nothing is left there.
///
/// # Errors
/// `ErrorKind::Io`, naming the path.
pub fn check_place(path: &Path) -> Result<()> {
    let tried = place(path).and_then(|place| match place {
        Place::Stream | Place::Stdout => Ok(()),
        // The only honest test: file systems have more reasons to say no than permissions show.
        Place::File(target) => temporary_file(&target).map(drop),
    });
    tried.map_err(|e| Error::io(path.display(), &e))
}

/// Refuses files that cannot be as large as they will be: the disk of `path` must have room for `all` bytes in
/// all, and the limit on the size of a file, where there is one, must allow `largest`.
///
/// # Errors
/// `ErrorKind::Io`, naming the path and both numbers.
pub fn check_room(path: &Path, largest: u64, all: u64) -> Result<()> {
    if matches!(place(path), Ok(Place::Stream | Place::Stdout)) {
        return Ok(());
    }
    let refuse = |what: String, help: &str| {
        Err(Error::new(ErrorKind::Io, format!("{}: {what}", path.display())).help(help))
    };
    if let Some(limit) = file_size_limit().filter(|limit| largest > *limit) {
        let what = format!("a file of {largest} bytes will be written, the limit (ulimit -f) is {limit}");
        return refuse(what, "raise the limit; nothing was written");
    }
    // A link to a file is followed, so the disk is that of the file; where nobody can tell, it may do.
    let target = path.canonicalize().unwrap_or_else(|_| path.to_path_buf());
    let folder = if target.is_dir() { &target } else { folder_of(&target) };
    // Some file systems of programs say nothing of their size.
    if let Ok(disk) = fs4::statvfs(folder)
        && disk.total_space() > 0
        && all > disk.available_space()
    {
        let free = disk.available_space();
        let what = format!("{all} bytes will be written, the disk has {free} free");
        return refuse(what, "free some space, or write to another disk; nothing was written");
    }
    Ok(())
}

/// The most bytes that a file of this process may have.
fn file_size_limit() -> Option<u64> {
    #[cfg(unix)]
    let limit = rustix::process::getrlimit(rustix::process::Resource::Fsize).current;
    #[cfg(not(unix))]
    let limit = None;
    limit
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_no_disk_holds_is_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("large");
        check_room(&path, 1 << 10, 1 << 10).expect("fits");
        for place in [&path, folder.path()] {
            let error = check_room(place, 1 << 10, u64::MAX / 2).expect_err("does not fit");
            assert!(error.message().contains("free") && error.advice().is_some(), "{error}");
        }
        check_room(Path::new("/dev/null"), u64::MAX, u64::MAX).expect("takes all");
    }
}
