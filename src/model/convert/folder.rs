//! A folder that appears whole or not at all.

use std::fs;
use std::io;
use std::path::Path;

use super::stream::Stop;
use crate::error::{Error, ErrorKind, Result};
use crate::files::disk;

/// Refuses a place where something is that would be replaced.
///
/// # Errors
/// [`ErrorKind::Input`], naming it; [`ErrorKind::Io`] for a folder that cannot be read.
pub(super) fn check_free(out: &Path, folder: bool) -> Result<()> {
    let refuse = |what: &str, help: &str| {
        Err(Error::new(ErrorKind::Input, format!("{}: {what}", out.display())).help(help))
    };
    match (folder, out.symlink_metadata().is_ok(), out.is_dir()) {
        (_, false, _) => Ok(()),
        (false, _, true) => refuse("is a folder, must be a file", "give another name"),
        (false, ..) => refuse("is there already", "move it away, or give another name"),
        (true, _, false) => {
            refuse("is a file, must be a folder", "give another name, or one that ends with .gguf")
        }
        (true, ..) => match first_name(out).map_err(|e| Error::io(out.display(), &e))? {
            None => Ok(()),
            Some(name) => refuse(
                &format!("is not empty: it holds {}", name.display()),
                "give a folder that is new or empty",
            ),
        },
    }
}

/// A name in a folder, but for what a killed process left half written.
fn first_name(folder: &Path) -> io::Result<Option<std::ffi::OsString>> {
    for entry in fs::read_dir(folder)? {
        let name = entry?.file_name();
        if !disk::is_temporary(&name) {
            return Ok(Some(name));
        }
    }
    Ok(None)
}

/// Makes a folder of what `fill` puts into it. One that is there and empty gets the files.
///
/// # Errors
/// Those of `fill`, or of the file system; then nothing is left.
pub(super) fn whole(out: &Path, fill: impl FnOnce(&Path) -> Result<(), Stop>) -> Result<(), Stop> {
    let is_there = out.is_dir();
    let beside = if is_there { out } else { disk::folder_of(out) };
    let temporary = disk::temporary_folder(beside)?;
    fill(temporary.path())?;
    disk::sync(temporary.path());
    if is_there {
        let mut moved = Vec::new();
        if let Err(error) = move_files(temporary.path(), out, &mut moved) {
            moved.iter().for_each(|path| _ = fs::remove_file(path));
            return Err(error.into());
        }
    } else {
        disk::rename(temporary.path(), out)?;
        // It has its name now, and stays.
        let _ = temporary.keep();
    }
    disk::sync(beside);
    Ok(())
}

/// The configuration comes last: without it, a folder is no model.
fn move_files(from: &Path, to: &Path, moved: &mut Vec<std::path::PathBuf>) -> io::Result<()> {
    let mut names =
        fs::read_dir(from)?.map(|entry| Ok(entry?.file_name())).collect::<io::Result<Vec<_>>>()?;
    names.sort_by_key(|name| (name == "config.json", name.clone()));
    for name in names {
        let place = to.join(&name);
        disk::rename(&from.join(&name), &place)?;
        moved.push(place);
    }
    Ok(())
}
