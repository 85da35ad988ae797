//! From a name to a path: the files of a model are fetched, unless they are there.

use std::path::{Path, PathBuf};

use super::cache::Folder;
use super::choice::{Choice, choose, ggufs, list};
use super::download::{Listener, bring};
use super::environment::Environment;
use super::failure::Failure;
use super::name::{HubName, is_commit};
use super::request::{Hub, Remote, check_commit};
use crate::error::{Error, ErrorKind, Result};
use crate::files::{Whole, check_room, create_folders, read_bytes};
use crate::model::checkpoint::{INDEX, read_index};

/// What happens while a model is fetched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event<'a> {
    /// So many bytes are there, of so many in all.
    Bytes {
        /// Those that are there.
        done: u64,
        /// All.
        total: u64,
    },
    /// Something that a person should know: what is waited for, what is made do with.
    Note(&'a str),
}

/// The path of a model: its folder in the cache, or its GGUF file. What is missing is fetched first; what was
/// fetched in part is gone on with. Without a connection, or when `HF_HUB_OFFLINE` says so, the cache is
/// taken as it is. Waits for the hub.
///
/// # Errors
/// `ErrorKind::Input` for what the hub does not have or does not give; `ErrorKind::Io` when it cannot be
/// reached, breaks off, or the disk is full.
pub fn fetch(name: &HubName, tell: &mut dyn FnMut(Event<'_>)) -> Result<PathBuf> {
    let environment = Environment::read()?;
    let folder = Folder::new(environment.cache.clone(), name);
    let cached = whole(&folder, name);
    if environment.offline {
        return cached.unwrap_or_else(|| Err(missing(&folder, name)));
    }
    let cached = cached.and_then(Result::ok);
    // A file at a commit stays as it is.
    if let Some(path) = cached.as_ref().filter(|_| name.file.is_some() && is_commit(name.revision())) {
        return Ok(path.clone());
    }
    let mut fetching = Fetching { hub: Hub::new(&environment, cached.is_none())?, folder, name, environment };
    let wanted = match (fetching.wanted(tell), cached) {
        (Err(failure), Some(path)) if failure.is_passing() => {
            let why = failure.explain(name, &fetching.environment);
            tell(Event::Note(&format!("{why}; taking what was fetched before")));
            return Ok(path);
        }
        (wanted, _) => wanted,
    };
    // What was begun is not given up for the cache.
    fetching.hub.patient = true;
    let fetched = wanted.and_then(|wanted| fetching.run(&wanted, tell));
    fetched.map_err(|failure| failure.explain(name, &fetching.environment))
}

/// What the cache has of a model, if that is all of it, or what is wrong with it.
fn whole(folder: &Folder, name: &HubName) -> Option<Result<PathBuf>> {
    let snapshot = folder.snapshot(&folder.commit()?);
    if let Some(file) = &name.file {
        let path = snapshot.join(file);
        return path.is_file().then_some(Ok(path));
    }
    let mut names = Vec::new();
    collect(&snapshot, "", &mut names);
    if names.is_empty() {
        return None;
    }
    match choose(name, &names) {
        Err(error) => (ggufs(&names).len() > 1).then_some(Err(error)),
        Ok(Choice::Gguf(file)) => Some(Ok(snapshot.join(file))),
        Ok(Choice::Folder { sharded: false, .. }) => Some(Ok(snapshot)),
        Ok(Choice::Folder { sharded: true, .. }) => {
            let shards = shards(&snapshot).ok()?;
            shards.iter().all(|shard| snapshot.join(shard).is_file()).then_some(Ok(snapshot))
        }
    }
}

/// The files of a folder and those below it, by their names in the repository.
fn collect(folder: &Path, above: &str, names: &mut Vec<String>) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let Ok(name) = entry.file_name().into_string() else { continue };
        let (path, name) = (entry.path(), format!("{above}{name}"));
        if path.is_file() {
            names.push(name);
        } else if path.is_dir() && !path.is_symlink() {
            collect(&path, &format!("{name}/"), names);
        }
    }
}

fn missing(folder: &Folder, name: &HubName) -> Error {
    let place = folder.path();
    Error::new(ErrorKind::Io, format!("{name}: is not in the cache ({}), or not all of it", place.display()))
        .help("fetch it once with a connection, without HF_HUB_OFFLINE and TRANSFORMERS_OFFLINE")
}

/// The shards that the index in a folder names.
fn shards(folder: &Path) -> Result<Vec<String>> {
    let path = folder.join(INDEX);
    let map = read_index(&read_bytes(&path, Whole::Settings)?, &path.display().to_string())?;
    let mut shards: Vec<String> = map.into_values().collect();
    shards.sort_unstable();
    shards.dedup();
    Ok(shards)
}

/// What makes a model.
struct Wanted {
    commit: String,
    /// In the order in which they are fetched.
    files: Vec<String>,
    sharded: bool,
    /// The one of them that is the model.
    gguf: Option<String>,
}

struct Fetching<'a> {
    hub: Hub,
    folder: Folder,
    name: &'a HubName,
    environment: Environment,
}

impl Fetching<'_> {
    /// Asks the hub what is to be fetched.
    fn wanted(&self, tell: &mut dyn FnMut(Event<'_>)) -> Result<Wanted, Failure> {
        let note = &mut |text: &str| tell(Event::Note(text));
        if let Some(file) = &self.name.file {
            let remote = match self.hub.describe(self.name, self.name.revision(), file, note) {
                Err(Failure::Refused { status: 404, .. }) => return Err(self.no_file(file, note)),
                remote => remote?,
            };
            let (commit, files) = (remote.commit, vec![file.clone()]);
            return Ok(Wanted { commit, files, sharded: false, gguf: Some(file.clone()) });
        }
        let (commit, names) = self.names(note)?;
        Ok(match choose(self.name, &names)? {
            Choice::Folder { files, sharded } => Wanted { commit, files, sharded, gguf: None },
            Choice::Gguf(file) => {
                Wanted { commit, files: vec![file.clone()], sharded: false, gguf: Some(file) }
            }
        })
    }

    /// The commit of the revision, and its files.
    fn names(&self, note: &mut dyn FnMut(&str)) -> Result<(String, Vec<String>), Failure> {
        #[derive(serde::Deserialize)]
        struct Info {
            sha: String,
            siblings: Vec<Sibling>,
        }
        #[derive(serde::Deserialize)]
        struct Sibling {
            rfilename: String,
        }
        let mut answer = self.hub.ask(&self.hub.revision(self.name), None, false, note)?;
        let bytes = answer.body.read_to_vec().map_err(|e| Failure::Unreachable(e.to_string()))?;
        let info: Info = serde_json::from_slice(&bytes).map_err(|e| {
            let what = format!("{}: {} does not answer as a hub: {e}", self.name, self.environment.host());
            Error::new(ErrorKind::Io, what).help("check HF_ENDPOINT and the proxy, if there is one")
        })?;
        check_commit(self.name, &info.sha)?;
        Ok((info.sha, info.siblings.into_iter().map(|sibling| sibling.rfilename).collect()))
    }

    /// Why a file is not there: the repository is not, or it has others.
    fn no_file(&self, file: &str, note: &mut dyn FnMut(&str)) -> Failure {
        let names = match self.names(note) {
            Ok((_, names)) => names,
            Err(failure) => return failure,
        };
        let files = ggufs(&names);
        let what = format!("{}: has no file {file} (404)", HubName { file: None, ..self.name.clone() });
        let help = match &files[..] {
            [] => format!("it has no .gguf file; without :{file} a model folder is fetched"),
            files => format!("its .gguf files are {}", list(files.iter().copied())),
        };
        Error::new(ErrorKind::Input, what).help(help).into()
    }

    /// Brings what is missing.
    fn run(&self, wanted: &Wanted, tell: &mut dyn FnMut(Event<'_>)) -> Result<PathBuf, Failure> {
        let snapshot = self.folder.snapshot(&wanted.commit);
        self.bring(&wanted.commit, &wanted.files, tell)?;
        if wanted.sharded {
            self.bring(&wanted.commit, &shards(&snapshot)?, tell)?;
        }
        // Only now: until then, whoever is without a connection finds the commit before.
        self.folder.remember(&wanted.commit)?;
        Ok(wanted.gguf.as_ref().map_or(snapshot.clone(), |file| snapshot.join(file)))
    }

    fn bring(&self, commit: &str, files: &[String], tell: &mut dyn FnMut(Event<'_>)) -> Result<(), Failure> {
        let snapshot = self.folder.snapshot(commit);
        // What is at a commit stays as it is.
        let missing = files.iter().filter(|file| !snapshot.join(file).is_file());
        let remotes = missing
            .map(|file| self.hub.describe(self.name, commit, file, &mut |text| tell(Event::Note(text))))
            .collect::<Result<Vec<Remote>, Failure>>()?;
        if let Some(other) = remotes.iter().find(|remote| remote.commit != commit) {
            let what =
                format!("{}: asked for commit {commit}, the hub answers with {}", self.name, other.commit);
            return Err(Error::new(ErrorKind::Io, what).help("check HF_ENDPOINT: it is no hub").into());
        }
        let there = |remote: &Remote| self.folder.there(&remote.etag).min(remote.size);
        let sum = |size: &dyn Fn(&Remote) -> u64| remotes.iter().map(size).fold(0, u64::saturating_add);
        if let Some(largest) = remotes.iter().map(|remote| remote.size).max() {
            let path = self.folder.path();
            create_folders(&path)?;
            check_room(&path, largest, sum(&|remote| remote.size - there(remote)))?;
        }
        let total = sum(&|remote| remote.size);
        let mut telling = Telling { tell, before: 0, total };
        for remote in &remotes {
            bring(&self.hub, &self.folder, self.name, remote, &mut telling)?;
            telling.before = telling.before.saturating_add(remote.size);
        }
        Ok(())
    }
}

/// Tells of a file as of a part of all.
struct Telling<'a> {
    tell: &'a mut dyn FnMut(Event<'_>),
    before: u64,
    total: u64,
}

impl Listener for Telling<'_> {
    fn at(&mut self, bytes: u64) {
        (self.tell)(Event::Bytes { done: self.before.saturating_add(bytes), total: self.total });
    }

    fn note(&mut self, text: &str) {
        (self.tell)(Event::Note(text));
    }
}
