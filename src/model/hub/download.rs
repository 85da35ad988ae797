//! One file: resumed where it broke off, checked, never a mixture of two.

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use ring::digest::{Context, SHA256};

use super::cache::Folder;
use super::content;
use super::failure::Failure;
use super::name::HubName;
use super::request::{Hub, Remote};
use crate::error::{Error, ErrorKind, Result};
use crate::files::create_folders;

/// Bytes that are read at a time.
const PIECE: usize = 256 << 10;
/// Times that a connection may break before it has brought [`ENOUGH`] bytes.
const BREAKS: u32 = 5;
const ENOUGH: u64 = 1 << 20;
/// Times that a file may change while it is fetched.
const CHANGES: u32 = 3;
/// The first wait after a break; it doubles.
const FIRST_WAIT: Duration = Duration::from_millis(250);

/// Who hears how far a file is, and what happens.
pub trait Listener {
    /// So many bytes of the file are there.
    fn at(&mut self, bytes: u64);
    /// Something that a person should know.
    fn note(&mut self, text: &str);
}

/// Brings a file into the cache, unless it is there, and gives it its name in its commit.
///
/// # Errors
/// [`Failure`]. What has come stays and is gone on from.
pub fn bring(
    hub: &Hub,
    folder: &Folder,
    name: &HubName,
    remote: &Remote,
    listener: &mut dyn Listener,
) -> Result<(), Failure> {
    let mut remote = remote.clone();
    for _ in 0..CHANGES {
        if folder.has(&remote.commit, &remote.file, &remote.etag) {
            listener.at(remote.size);
            return Ok(());
        }
        create_folders(&folder.path().join("blobs"))?;
        let waits = format!("another process fetches {}: waiting for it", remote.file);
        let _lock = folder.lock(&remote.etag, &mut || listener.note(&waits))?;
        let blob = folder.blob(&remote.etag);
        let whole = blob.metadata().is_ok_and(|blob| blob.len() == remote.size);
        if whole || (Download { hub, folder, name, remote: &remote }).run(&blob, listener)? {
            folder.link(&remote.commit, &remote.file, &remote.etag)?;
            listener.at(remote.size);
            return Ok(());
        }
        listener.note(&format!("{} has changed: starting over", remote.file));
        remote = hub.describe(name, &remote.commit, &remote.file, &mut |text| listener.note(text))?;
    }
    Err(Error::new(ErrorKind::Io, format!("{name}: {} changes while it is fetched", remote.file))
        .help("run it again later, or name a commit: hf:OWNER/NAME@COMMIT")
        .into())
}

/// What a connection came to.
enum End {
    Whole,
    /// It broke, and why.
    Broken(String),
    /// What it brings is not the file that was begun.
    Changed,
}

struct Download<'a> {
    hub: &'a Hub,
    folder: &'a Folder,
    name: &'a HubName,
    remote: &'a Remote,
}

impl Download<'_> {
    /// Whether it came whole; otherwise it has changed.
    fn run(&self, blob: &Path, listener: &mut dyn Listener) -> Result<bool, Failure> {
        let Remote { file, size, sha256, .. } = self.remote;
        let mut part = Part::open(self.folder.part(&self.remote.etag), self.remote)?;
        let mut old = part.length > 0;
        loop {
            if !self.fill(&mut part, listener)? {
                part.clear()?;
                return Ok(false);
            }
            let found = part.sha256();
            if sha256.is_none()
                && let Some(flaw) = content::flaw(file, &mut part.file)
            {
                part.clear()?;
                let what = format!("{}: {file} {flaw}; it was not kept", self.name);
                return Err(Error::new(ErrorKind::Io, what)
                    .help(
                        "see the file on the hub; if it is sound there, something on the way answers for it: \
                         check HF_ENDPOINT and the proxy",
                    )
                    .into());
            }
            if sha256.is_none() || sha256 == &found {
                part.finish(blob)?;
                return Ok(true);
            }
            part.clear()?;
            if !std::mem::take(&mut old) {
                let found = found.unwrap_or_default();
                let what =
                    format!("{}: {file} came damaged: its {size} bytes have SHA-256 {found}", self.name);
                return Err(Error::new(ErrorKind::Io, what)
                    .help("run it again; if it stays so, a proxy on the way changes files")
                    .into());
            }
            listener.note(&format!("what was there of {file} is damaged: starting over"));
        }
    }

    /// Adds what is missing. Whether that is of the same file.
    fn fill(&self, part: &mut Part, listener: &mut dyn Listener) -> Result<bool, Failure> {
        let (mut breaks, mut pause, mut before) = (0, FIRST_WAIT, part.length);
        listener.at(part.length);
        while part.length < self.remote.size {
            let why = match self.connect(part, listener)? {
                End::Whole => break,
                End::Changed => return Ok(false),
                End::Broken(why) => why,
            };
            if part.length >= before.saturating_add(ENOUGH) {
                (breaks, pause, before) = (0, FIRST_WAIT, part.length);
            }
            breaks += 1;
            if breaks == BREAKS {
                let Remote { file, size, .. } = self.remote;
                let what =
                    format!("{}: {file} broke off at {} of {size} bytes: {why}", self.name, part.length);
                return Err(Error::new(ErrorKind::Io, what)
                    .help("run it again: it goes on where it broke off")
                    .into());
            }
            std::thread::sleep(pause);
            pause *= 2;
        }
        Ok(true)
    }

    /// One connection.
    fn connect(&self, part: &mut Part, listener: &mut dyn Listener) -> Result<End, Failure> {
        let Remote { file, commit, etag, size, .. } = self.remote;
        let range = (part.length > 0).then(|| format!("bytes={}-", part.length));
        let url = self.hub.file(self.name, commit, file);
        let mut answer = self.hub.ask(&url, range.as_deref(), false, &mut |text| listener.note(text))?;
        if answer.facts.etag().is_some_and(|tag| tag != *etag) {
            return Ok(End::Changed);
        }
        match (answer.status, answer.range) {
            // The server knows no ranges, or none of this file.
            (200, _) => part.clear()?,
            (206, Some((at, all))) if at == part.length && all == *size => {}
            _ => return Ok(End::Changed),
        }
        if answer.body.content_length().is_some_and(|length| part.length.saturating_add(length) != *size) {
            return Ok(End::Changed);
        }
        let mut reader = answer.body.as_reader();
        let mut piece = vec![0; PIECE];
        loop {
            let n = match reader.read(&mut piece) {
                Ok(0) if part.length == *size => return Ok(End::Whole),
                Ok(0) => return Ok(End::Broken("the connection was closed".into())),
                Ok(n) => n,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
                Err(error) => return Ok(End::Broken(error.to_string())),
            };
            if n as u64 > size - part.length {
                return Ok(End::Changed);
            }
            part.add(&piece[..n])?;
            listener.at(part.length);
        }
    }
}

/// The part of a file that is there. It lies where Hugging Face's programs keep theirs.
struct Part {
    path: PathBuf,
    file: File,
    length: u64,
    /// Of what is there, where the whole is to be compared.
    hash: Option<Context>,
}

impl Part {
    fn open(path: PathBuf, remote: &Remote) -> Result<Self> {
        let file = File::options().read(true).write(true).create(true).truncate(false).open(&path);
        let file = file.map_err(|e| Error::io(path.display(), &e))?;
        let mut part = Self { path, file, length: 0, hash: None };
        part.hash = remote.sha256.is_some().then(|| Context::new(&SHA256));
        part.read(remote.size)?;
        Ok(part)
    }

    /// Reads what is there; more than there should be is no part of it.
    fn read(&mut self, size: u64) -> Result<()> {
        let length = self.file.metadata().map_err(|e| self.error(&e))?.len();
        if length > size {
            return self.clear();
        }
        if let Some(hash) = &mut self.hash {
            let mut piece = vec![0; PIECE];
            let mut left = length;
            while left > 0 {
                let n = PIECE.min(usize::try_from(left).unwrap_or(PIECE));
                self.file.read_exact(&mut piece[..n]).map_err(|e| Error::io(self.path.display(), &e))?;
                hash.update(&piece[..n]);
                left -= n as u64;
            }
        }
        self.file.seek(SeekFrom::Start(length)).map_err(|e| self.error(&e))?;
        self.length = length;
        Ok(())
    }

    fn add(&mut self, bytes: &[u8]) -> Result<()> {
        if let Err(error) = self.file.write_all(bytes) {
            // A piece that was written in part is no harm: the file is as long as its good bytes.
            let _ = self.file.set_len(self.length);
            return Err(self.error(&error));
        }
        if let Some(hash) = &mut self.hash {
            hash.update(bytes);
        }
        self.length += bytes.len() as u64;
        Ok(())
    }

    fn clear(&mut self) -> Result<()> {
        let emptied = self.file.set_len(0).and_then(|()| self.file.rewind());
        emptied.map_err(|e| self.error(&e))?;
        self.length = 0;
        self.hash = self.hash.is_some().then(|| Context::new(&SHA256));
        Ok(())
    }

    fn sha256(&self) -> Option<String> {
        let digest = self.hash.clone()?.finish();
        Some(digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect())
    }

    fn finish(self, blob: &Path) -> Result<()> {
        self.file.sync_all().map_err(|e| self.error(&e))?;
        std::fs::rename(&self.path, blob).map_err(|e| self.error(&e))
    }

    fn error(&self, error: &std::io::Error) -> Error {
        let told = Error::io(self.path.display(), error);
        match error.kind() {
            std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => told.help(
                "free some space, or set HF_HOME to a folder of another disk; run it again, and it goes on",
            ),
            _ => told,
        }
    }
}
