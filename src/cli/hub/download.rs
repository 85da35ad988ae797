//! One file: begun, or gone on with where an earlier fetch broke off, and checked.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::Path;

use polysketch::{Error, ErrorKind, Result};
use sha2::{Digest, Sha256};

use super::super::options::Common;
use super::super::progress::{Progress, Unit};
use super::cache::Cache;
use super::client::{Answer, Client, header};
use super::name::Name;

/// How often in a row a connection may bring nothing.
const IDLE: u32 = 4;

/// Puts a file of a commit into the cache, where it is not there.
pub fn fetch(
    common: &Common,
    client: &Client,
    cache: &Cache,
    name: &Name,
    commit: &str,
    file: &str,
) -> Result<()> {
    if cache.folder(commit).join(file).is_file() {
        return Ok(());
    }
    // A file that is not what it should be is fetched once more from its beginning.
    let fetch = Fetch { common, client, cache, name, commit, file };
    match fetch.whole() {
        Err(Failure::Damaged(_)) => fetch.whole().map_err(Failure::error),
        result => result.map_err(Failure::error),
    }
}

enum Failure {
    Error(Error),
    /// The content is not the one that was promised; what was fetched is gone.
    Damaged(Error),
}

impl Failure {
    fn error(self) -> Error {
        match self {
            Self::Error(error) | Self::Damaged(error) => error,
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Error(error)
    }
}

struct Fetch<'a> {
    common: &'a Common,
    client: &'a Client,
    cache: &'a Cache,
    name: &'a Name,
    commit: &'a str,
    file: &'a str,
}

impl Fetch<'_> {
    fn ask(&self, from: u64) -> Result<(Answer, String)> {
        let answer = self.client.file(self.name, self.commit, self.file, from)?;
        // Where nobody names the content, the file of the commit does.
        let unnamed = || format!("{}-{}", self.commit, self.file.replace('/', "--"));
        let content = answer.content.clone().unwrap_or_else(unnamed);
        Ok((answer, content))
    }

    fn whole(&self) -> Result<(), Failure> {
        let (mut answer, mut content) = self.ask(0)?;
        let (mut idle, mut from) = (0, 0);
        loop {
            let blob = self.cache.blob(&content);
            let path = self.cache.part(&content);
            if blob.is_file() {
                // Another commit has it too.
                break;
            }
            self.cache.make_room(&path)?;
            let mut part = open(&path)?;
            if blob.is_file() {
                // Another process had the lock.
                break;
            }
            let have = part.seek(SeekFrom::End(0)).map_err(|e| Error::io(path.display(), &e))?;
            if from == 0 && have > 0 && idle == 0 {
                let (again, now) = self.ask(have)?;
                from = have;
                if now != content {
                    // It changed in between.
                    (answer, content, from) = (self.ask(0)?.0, now, 0);
                    continue;
                }
                answer = again;
            }
            match self.go_on(&mut part, &path, answer, from) {
                Ok(()) => {
                    self.check(&mut part, &path, &content)?;
                    drop(part);
                    std::fs::rename(&path, &blob).map_err(|e| Error::io(blob.display(), &e))?;
                    break;
                }
                Err(Broken { error, fatal: true, .. }) => return Err(error.into()),
                Err(Broken { error, brought, .. }) => {
                    idle = if brought > 0 { 1 } else { idle + 1 };
                    if idle > IDLE {
                        return Err(error.into());
                    }
                    log::info!("{}; going on", error.message());
                    std::thread::sleep(std::time::Duration::from_millis(100 << idle));
                    let have = part.metadata().map_or(0, |m| m.len());
                    let (again, now) = self.ask(have)?;
                    (answer, from) = (again, have);
                    if now != content {
                        (answer, content) = self.ask(0)?;
                        from = 0;
                    }
                }
            }
        }
        Ok(self.cache.link(self.commit, self.file, &content)?)
    }

    /// Adds what an answer brings to a part that has `from` bytes.
    fn go_on(&self, part: &mut File, path: &Path, mut answer: Answer, from: u64) -> Result<(), Broken> {
        let disk =
            |e: std::io::Error| Broken { error: Error::io(path.display(), &e), brought: 0, fatal: true };
        let response = &mut answer.response;
        let status = response.status().as_u16();
        let range = header(response.headers(), "content-range").map(String::from);
        let total = |text: &str| text.rsplit('/').next().and_then(|n| n.parse::<u64>().ok());
        let mut at = from;
        let length = match status {
            206 => {
                let first = range
                    .as_deref()
                    .and_then(|text| text.trim_start_matches("bytes ").split('-').next()?.parse().ok());
                if first != Some(from) {
                    // All of it is needed.
                    part.set_len(0).map_err(disk)?;
                    return Err(self.broken("the server goes on elsewhere than asked", 0, None, 0));
                }
                range.as_deref().and_then(total)
            }
            416 if range.as_deref().and_then(total) == Some(from) => return Ok(()),
            416 => {
                part.set_len(0).map_err(disk)?;
                return Err(self.broken("more was kept than the file has", 0, None, 0));
            }
            _ => {
                // The server begins anew, whatever it was asked.
                at = 0;
                header(response.headers(), "content-length").and_then(|text| text.parse().ok())
            }
        };
        part.set_len(at).and_then(|()| part.seek(SeekFrom::Start(at))).map_err(disk)?;
        let bar =
            Progress::bar(self.common, &format!("fetching {}", self.file), length.unwrap_or(0), Unit::Bytes);
        let mut body = response.body_mut().as_reader();
        let mut buffer = vec![0; 1 << 18];
        let began = at;
        loop {
            bar.set(at as usize);
            match body.read(&mut buffer) {
                Ok(0) => break,
                Ok(n) => {
                    part.write_all(&buffer[..n]).map_err(disk)?;
                    at += n as u64;
                }
                Err(e) => return Err(self.broken(&e.to_string(), at, length, at - began)),
            }
        }
        match length {
            Some(length) if at < length => {
                Err(self.broken("the connection ended", at, Some(length), at - began))
            }
            Some(length) if at > length => {
                part.set_len(0).map_err(disk)?;
                Err(self.broken("more came than the file has", 0, None, 0))
            }
            _ => Ok(()),
        }
    }

    fn broken(&self, why: &str, at: u64, length: Option<u64>, brought: u64) -> Broken {
        let of = length.map(|n| format!(" of {n}")).unwrap_or_default();
        let text = format!("{}: {} broke off after {at}{of} bytes: {why}", self.name, self.file);
        let error =
            Error::new(ErrorKind::Io, text).help("run the command again: it goes on where it stopped");
        Broken { error, brought, fatal: false }
    }

    /// Large files are named by their SHA-256.
    fn check(&self, part: &mut File, path: &Path, content: &str) -> Result<(), Failure> {
        let disk = |e: std::io::Error| Error::io(path.display(), &e);
        part.sync_all().map_err(disk)?;
        if content.len() != 64 || !content.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Ok(());
        }
        part.seek(SeekFrom::Start(0)).map_err(disk)?;
        let (mut hash, mut buffer) = (Sha256::new(), vec![0; 1 << 20]);
        loop {
            match part.read(&mut buffer).map_err(disk)? {
                0 => break,
                n => hash.update(&buffer[..n]),
            }
        }
        let found: String = hash.finalize().iter().map(|b| format!("{b:02x}")).collect();
        if found == content.to_ascii_lowercase() {
            return Ok(());
        }
        part.set_len(0).map_err(disk)?;
        let text = format!(
            "{}: {} is not what the Hub promises: its SHA-256 is {found}, must be {content}",
            self.name, self.file
        );
        Err(Failure::Damaged(
            Error::new(ErrorKind::Io, text)
                .help("it was changed on the way, or while it was fetched: run the command again"),
        ))
    }
}

/// A transfer that ended too early.
struct Broken {
    error: Error,
    /// Bytes that came.
    brought: u64,
    /// Whether to go on is of no use.
    fatal: bool,
}

/// Opens what was fetched so far; no other process writes it as long as it is open.
fn open(path: &Path) -> Result<File> {
    let file = File::options().read(true).write(true).create(true).truncate(false).open(path);
    let file = file.map_err(|e| Error::io(path.display(), &e))?;
    // Some file systems lock nothing; then two processes that fetch the same at once may both begin anew.
    if let Err(e) = file.lock() {
        log::debug!("{}: cannot be locked: {e}", path.display());
    }
    Ok(file)
}
