//! A hub on this machine, which can break off, refuse, ask for patience, and serve other bytes than before.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Output};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use crate::run::*;

/// The repository that it has.
pub const NAME: &str = "tiny/llama";

/// The SHA-256 of bytes, in hexadecimal.
pub fn sha256(bytes: &[u8]) -> String {
    let digest = ring::digest::digest(&ring::digest::SHA256, bytes);
    digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

type Files = BTreeMap<String, Vec<u8>>;

/// What is done instead of an answer.
#[derive(Clone, Debug)]
pub enum Instead {
    /// This status, with these headers.
    Status(u16, Vec<(&'static str, String)>),
    /// The answer breaks off after so many bytes.
    Break(usize),
    /// So many bytes come, and then for so long nothing.
    Stall(usize, Duration),
    /// The whole file, whatever part was asked for.
    Whole,
    /// Other bytes, under another tag.
    Other(Vec<u8>),
}

/// A request that came.
#[derive(Clone, Debug)]
pub struct Request {
    pub path: String,
    pub range: Option<String>,
    pub token: Option<String>,
}

#[derive(Default)]
struct State {
    commits: BTreeMap<String, Files>,
    revisions: BTreeMap<String, String>,
    /// Large files come from where they are named, and have no SHA-256.
    plain: bool,
    /// For requests of files whose path has this word, so many times.
    rules: Vec<(String, usize, Instead)>,
    log: Vec<Request>,
}

/// The hub.
pub struct Hub {
    /// Where it is, and where it keeps large files: another host.
    ports: [u16; 2],
    state: Arc<Mutex<State>>,
}

impl Hub {
    /// With these files at `main`.
    pub fn new(files: Files) -> Self {
        let listeners = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
        let ports = listeners.each_ref().map(|listener| listener.local_addr().unwrap().port());
        let state = Arc::new(Mutex::new(State::default()));
        for listener in listeners {
            let state = Arc::clone(&state);
            std::thread::spawn(move || {
                for stream in listener.incoming() {
                    let state = Arc::clone(&state);
                    // Whoever asked may be gone.
                    std::thread::spawn(move || drop(answer(&stream.unwrap(), &state, ports[1])));
                }
            });
        }
        let hub = Self { ports, state };
        hub.put("main", files);
        hub
    }

    /// With the files of a folder.
    pub fn of_folder(folder: &str) -> Self {
        Self::new(files(folder))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// Sets a revision; its commit.
    pub fn put(&self, revision: &str, files: Files) -> String {
        let text: Vec<u8> =
            files.iter().flat_map(|(name, bytes)| [name.as_bytes(), bytes].concat()).collect();
        let commit = sha256(&text)[..40].to_string();
        let mut state = self.state();
        state.commits.insert(commit.clone(), files);
        state.revisions.insert(revision.into(), commit.clone());
        commit
    }

    /// The commit of `main`.
    pub fn commit(&self) -> String {
        self.state().revisions["main"].clone()
    }

    /// Serves large files itself, without their SHA-256.
    pub fn plain(self) -> Self {
        self.state().plain = true;
        self
    }

    /// Does something else the next times that a part of a file is asked for, or a path that is none.
    pub fn rule(&self, word: &str, times: usize, instead: Instead) {
        self.state().rules.push((word.into(), times, instead));
    }

    /// Forgets the rules.
    pub fn behave(&self) {
        self.state().rules.clear();
    }

    /// The requests since the last call.
    pub fn log(&self) -> Vec<Request> {
        std::mem::take(&mut self.state().log)
    }

    /// The ranges of a file that were asked for, beyond its first byte.
    pub fn ranges(&self, file: &str) -> Vec<Option<String>> {
        let of = |request: &Request| request.path.ends_with(file) && is_stored(&request.path);
        let log = self.log().into_iter().filter(of).map(|request| request.range);
        log.filter(|range| range.as_deref() != Some("bytes=0-0")).collect()
    }

    /// The program, on this hub with a cache of its own.
    pub fn command(&self, home: &Path, arguments: &[&str]) -> Command {
        on_hub(&format!("http://127.0.0.1:{}", self.ports[0]), home, arguments)
    }

    /// Runs it.
    pub fn run(&self, home: &Path, arguments: &[&str]) -> Output {
        self.command(home, arguments).output().unwrap()
    }

    /// `inspect` of a model on it, which must succeed.
    #[track_caller]
    pub fn inspect(&self, home: &Path, model: &str) -> serde_json::Value {
        let arguments = ["inspect", "--backend", "cpu", "--json", "--model", model];
        serde_json::from_str(&succeeded(&arguments, self.run(home, &arguments))).unwrap()
    }
}

/// The files of a folder of the repository's.
pub fn files(folder: &str) -> Files {
    let folder = repository(folder);
    names(&folder).into_iter().map(|name| (name.clone(), fs::read(folder.join(name)).unwrap())).collect()
}

/// The program, with a hub and a cache, and nothing else of the environment that names either.
pub fn on_hub(endpoint: &str, home: &Path, arguments: &[&str]) -> Command {
    let mut command = command(arguments);
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy().to_ascii_uppercase();
        if ["HF_", "HUGGING", "TRANSFORMERS_", "SSL_CERT_"].iter().any(|head| text.starts_with(head))
            || text.ends_with("_PROXY")
        {
            command.env_remove(name);
        }
    }
    command.env("HF_ENDPOINT", endpoint).env("HF_HOME", home);
    command
}

/// Whether it is where bytes come from, not where one is sent on.
fn is_stored(path: &str) -> bool {
    path.starts_with("/cdn/") || path.starts_with("/api/resolve-cache/") || path.starts_with("/plain/")
}

fn answer(stream: &TcpStream, state: &Mutex<State>, cdn: u16) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream);
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 || line.trim().is_empty() {
            break;
        }
        lines.push(line.trim().to_string());
    }
    let header = |name: &str| {
        let value = |line: &String| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then(|| value.trim().to_string())
        };
        lines.iter().skip(1).find_map(value)
    };
    let path = lines.first().and_then(|line| line.split(' ').nth(1)).unwrap_or_default().to_string();
    let request = Request { path: path.clone(), range: header("range"), token: header("authorization") };
    let range = request.range.clone();
    let (reply, instead) = {
        let mut state = state.lock().unwrap();
        state.log.push(request);
        let look = range.as_deref() == Some("bytes=0-0");
        let rule = state.rules.iter_mut().find(|(word, times, instead)| {
            // What a file is is told as it is, unless that is to be refused.
            let applies = !look && is_stored(&path) || matches!(instead, Instead::Status(..));
            *times > 0 && applies && path.contains(&**word)
        });
        let instead = rule.map(|(_, times, instead)| {
            *times -= 1;
            instead.clone()
        });
        (reply(&state, &path, cdn), instead)
    };
    let (mut status, mut headers, mut body) = reply;
    let mut range = range;
    let mut most = usize::MAX;
    let mut pause = Duration::ZERO;
    match instead {
        None => {}
        Some(Instead::Status(other, more)) => {
            (status, body) = (other, b"{}".to_vec());
            headers = more.into_iter().map(|(key, value)| (key.into(), value)).collect();
        }
        Some(Instead::Break(bytes)) => most = bytes,
        Some(Instead::Stall(bytes, time)) => (most, pause) = (bytes, time),
        Some(Instead::Whole) => range = None,
        Some(Instead::Other(bytes)) => {
            headers.retain(|(key, _)| key != "ETag");
            headers.push(("ETag".into(), format!("\"{}\"", &sha256(&bytes)[..40])));
            body = bytes;
        }
    }
    if let Some(range) = range.filter(|_| status == 200) {
        let (from, to) = range.strip_prefix("bytes=").and_then(|range| range.split_once('-')).unwrap();
        let from: usize = from.parse().unwrap();
        let to = to.parse().map_or(body.len(), |to: usize| (to + 1).min(body.len()));
        let of = body.len();
        if from >= of {
            (status, body) = (416, Vec::new());
            headers.push(("Content-Range".into(), format!("bytes */{of}")));
        } else {
            (status, body) = (206, body[from..to].to_vec());
            headers.push(("Content-Range".into(), format!("bytes {from}-{}/{of}", to - 1)));
        }
    }
    let mut head = format!("HTTP/1.1 {status} X\r\nConnection: close\r\nContent-Length: {}\r\n", body.len());
    headers.iter().for_each(|(key, value)| head += &format!("{key}: {value}\r\n"));
    let mut stream = stream;
    stream.write_all(format!("{head}\r\n").as_bytes())?;
    let (now, later) = body.split_at(most.min(body.len()));
    stream.write_all(now)?;
    if !pause.is_zero() {
        std::thread::sleep(pause);
        stream.write_all(later)?;
    }
    stream.shutdown(Shutdown::Both)
}

type Reply = (u16, Vec<(String, String)>, Vec<u8>);

fn reply(state: &State, path: &str, cdn: u16) -> Reply {
    let refuse = |code: &str| (404, vec![("X-Error-Code".to_string(), code.to_string())], b"{}".to_vec());
    let files = |revision: &str| {
        let revision = revision.replace("%2F", "/");
        let commit = state.revisions.get(&revision).unwrap_or(&revision).clone();
        state.commits.get(&commit).map(|files| (commit, files))
    };
    if let Some(rest) = path.strip_prefix("/api/models/") {
        let Some(revision) = rest.strip_prefix(&format!("{NAME}/revision/")) else {
            return refuse("RepoNotFound");
        };
        let Some((commit, files)) = files(revision) else { return refuse("RevisionNotFound") };
        let siblings: Vec<_> = files.keys().map(|name| serde_json::json!({ "rfilename": name })).collect();
        let info = serde_json::json!({ "id": NAME, "sha": commit, "siblings": siblings });
        return (200, Vec::new(), info.to_string().into_bytes());
    }
    if is_stored(path) {
        let mut parts = path.rsplitn(2, '/');
        let file = parts.next().unwrap();
        let commit = parts.next().and_then(|rest| rest.rsplit('/').next()).unwrap();
        let bytes = state.commits[commit][file].clone();
        let own = !path.starts_with("/cdn/");
        let mut headers =
            vec![("ETag".to_string(), format!("\"{}\"", &sha256(&bytes)[..if own { 40 } else { 32 }]))];
        headers.extend(own.then(|| ("X-Repo-Commit".to_string(), commit.to_string())));
        return (200, headers, bytes);
    }
    let Some((revision, file)) =
        path.strip_prefix(&format!("/{NAME}/resolve/")).and_then(|rest| rest.split_once('/'))
    else {
        return refuse("RepoNotFound");
    };
    let Some((commit, files)) = files(revision) else { return refuse("RevisionNotFound") };
    let Some(bytes) = files.get(file) else { return refuse("EntryNotFound") };
    let mut headers = vec![("X-Repo-Commit".to_string(), commit.clone())];
    let large = file.ends_with(".safetensors") || file.ends_with(".gguf");
    if large && !state.plain {
        headers.extend([
            ("X-Linked-Etag".to_string(), format!("\"{}\"", sha256(bytes))),
            ("X-Linked-Size".to_string(), bytes.len().to_string()),
            ("Location".to_string(), format!("http://localhost:{cdn}/cdn/{commit}/{file}")),
        ]);
        return (302, headers, Vec::new());
    }
    let place = if state.plain { "/plain" } else { "/api/resolve-cache/models" };
    headers.push(("Location".to_string(), format!("{place}/{NAME}/{commit}/{file}")));
    (307, headers, Vec::new())
}
