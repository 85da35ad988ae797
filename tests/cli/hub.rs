//! `--model hf:OWNER/NAME` against a server on this machine that breaks off, refuses, redirects and changes.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::Output;
use std::sync::{Arc, Mutex};

use crate::run::*;

/// How the server behaves.
#[derive(Default)]
struct Behaviour {
    files: BTreeMap<String, Vec<u8>>,
    commit: String,
    /// Bytes after which it breaks off an answer with a file's content, once each.
    breaks: Vec<usize>,
    /// Statuses of the next answers, with more headers.
    refusals: Vec<(u16, &'static str)>,
    /// Whether it begins anew, whatever it was asked.
    no_ranges: bool,
    /// Whether contents lie elsewhere.
    redirects: bool,
    /// Whether contents are not what their names promise.
    lies: bool,
    /// What was asked: method and path, the range, whether with a token.
    log: Vec<(String, String, bool)>,
}

struct Hub {
    behaviour: Arc<Mutex<Behaviour>>,
    address: String,
    home: tempfile::TempDir,
}

impl Hub {
    /// A hub with a model of bytes.
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let mut behaviour = Behaviour { commit: "c0ffee".into(), ..Behaviour::default() };
        for name in ["config.json", "model.safetensors", "tokenizer.json"] {
            let bytes = fs::read(repository("assets/novels-2m").join(name)).unwrap();
            behaviour.files.insert(name.into(), bytes);
        }
        let behaviour = Arc::new(Mutex::new(behaviour));
        let shared = behaviour.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let shared = shared.clone();
                std::thread::spawn(move || drop(serve(stream, &shared)));
            }
        });
        Self { behaviour, address, home: tempfile::tempdir().unwrap() }
    }

    fn set(&self, change: impl FnOnce(&mut Behaviour)) {
        change(&mut self.behaviour.lock().unwrap());
    }

    fn asked(&self) -> Vec<(String, String, bool)> {
        std::mem::take(&mut self.behaviour.lock().unwrap().log)
    }

    fn run_at(&self, address: &str, name: &str, environment: &[(&str, &str)]) -> Output {
        let mut command = command(&["inspect", "--backend", "cpu", "--json", "--model", name]);
        for variable in ["HF_TOKEN", "HF_HUB_CACHE", "HF_HUB_OFFLINE", "HF_TOKEN_PATH"] {
            command.env_remove(variable);
        }
        command.env("HF_HOME", self.home.path()).env("HF_ENDPOINT", address).env("NO_PROXY", "127.0.0.1");
        command.envs(environment.iter().copied()).output().unwrap()
    }

    fn run(&self, name: &str) -> Output {
        self.run_at(&self.address, name, &[])
    }

    fn cached(&self, path: &str) -> std::path::PathBuf {
        self.home.path().join("hub/models--o--n").join(path)
    }
}

/// Bytes of a file that is large: the weights.
const LARGE: usize = 1_000_000;

/// The content's name, as the real Hub gives it for large files; a short one for small files.
fn tag(bytes: &[u8]) -> String {
    if bytes.len() < LARGE {
        return format!("{:016x}{:016x}", xxh(bytes), bytes.len());
    }
    use sha2::Digest as _;
    sha2::Sha256::digest(bytes).iter().map(|b| format!("{b:02x}")).collect()
}

fn xxh(bytes: &[u8]) -> u64 {
    bytes.iter().fold(1469598103934665603, |h, b| (h ^ u64::from(*b)).wrapping_mul(1099511628211))
}

fn serve(stream: TcpStream, shared: &Mutex<Behaviour>) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut out = stream;
    loop {
        let mut first = String::new();
        if reader.read_line(&mut first)? == 0 {
            return Ok(());
        }
        let (mut range, mut token) = (String::new(), false);
        loop {
            let mut line = String::new();
            reader.read_line(&mut line)?;
            let line = line.trim().to_string();
            if line.is_empty() {
                break;
            }
            let (name, value) = line.split_once(": ").unwrap_or((&line, ""));
            match name.to_ascii_lowercase().as_str() {
                "range" => range = value.into(),
                "authorization" => token = true,
                _ => {}
            }
        }
        let path = first.split(' ').nth(1).unwrap_or("/").to_string();
        let mut hub = shared.lock().unwrap();
        hub.log.push((path.clone(), range.clone(), token));
        if !hub.refusals.is_empty() {
            let (status, more) = hub.refusals.remove(0);
            write!(out, "HTTP/1.1 {status} No\r\n{more}Content-Length: 2\r\n\r\nno")?;
            continue;
        }
        if path == "/api/models/o/n/revision/main" {
            let files: Vec<_> =
                hub.files.keys().map(|name| serde_json::json!({ "rfilename": name })).collect();
            let body = serde_json::json!({ "sha": hub.commit, "siblings": files }).to_string();
            write!(out, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len())?;
            continue;
        }
        let resolve = format!("/o/n/resolve/{}/", hub.commit);
        let stored = path.strip_prefix("/store/");
        let Some(name) = path.strip_prefix(&resolve).or(stored) else {
            write!(out, "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")?;
            continue;
        };
        let Some(mut bytes) = hub.files.get(name).cloned() else {
            write!(out, "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")?;
            continue;
        };
        let tag = tag(&bytes);
        if hub.redirects && stored.is_none() {
            // The same machine by another name.
            let port = out.local_addr()?.port();
            write!(
                out,
                "HTTP/1.1 302 Found\r\nX-Linked-Etag: \"{tag}\"\r\nETag: \"other\"\r\nLocation: http://localhost:{port}/store/{name}\r\nContent-Length: 0\r\n\r\n"
            )?;
            continue;
        }
        if hub.lies {
            let at = bytes.len() / 2;
            bytes[at] ^= 1;
        }
        let from = range.strip_prefix("bytes=").and_then(|r| r.trim_end_matches('-').parse::<usize>().ok());
        let from = from.filter(|_| !hub.no_ranges).unwrap_or(0);
        let etag = if stored.is_some() { "\"elsewhere\"".into() } else { format!("\"{tag}\"") };
        let (status, content_range) = match from {
            0 => ("200 OK", String::new()),
            from => (
                "206 Partial Content",
                format!("Content-Range: bytes {from}-{}/{}\r\n", bytes.len() - 1, bytes.len()),
            ),
        };
        let body = &bytes[from.min(bytes.len())..];
        write!(
            out,
            "HTTP/1.1 {status}\r\nETag: {etag}\r\n{content_range}Content-Length: {}\r\n\r\n",
            body.len()
        )?;
        if bytes.len() >= LARGE && !hub.breaks.is_empty() {
            let at = hub.breaks.remove(0);
            drop(hub);
            out.write_all(&body[..at.min(body.len())])?;
            out.shutdown(std::net::Shutdown::Both)?;
            return Ok(());
        }
        drop(hub);
        out.write_all(body)?;
    }
}

fn whole(hub: &Hub, commit: &str) {
    for (name, bytes) in &hub.behaviour.lock().unwrap().files {
        assert_eq!(&fs::read(hub.cached("snapshots").join(commit).join(name)).unwrap(), bytes, "{name}");
    }
    let left: Vec<_> = fs::read_dir(hub.cached("blobs")).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert!(left.iter().all(|name| !name.to_string_lossy().contains("incomplete")), "{left:?}");
    assert_eq!(fs::read_to_string(hub.cached("refs/main")).unwrap(), commit);
}

#[test]
fn a_model_is_fetched_once_and_used_offline() {
    let hub = Hub::start();
    succeeded(&[], hub.run("hf:o/n"));
    whole(&hub, "c0ffee");
    let asked = hub.asked();
    assert!(asked.iter().all(|(_, _, token)| !token), "{asked:?}");
    succeeded(&[], hub.run("hf:o/n"));
    assert_eq!(hub.asked().len(), 1, "only whether it has changed is asked");
    // Without the Hub.
    let gone = "http://127.0.0.1:9";
    succeeded(&[], hub.run_at(gone, "hf:o/n", &[("HF_HUB_OFFLINE", "1")]));
    fails(hub.run_at(gone, "hf:o/other", &[("HF_HUB_OFFLINE", "1")]), &["HF_HUB_OFFLINE"], true);
    assert!(hub.asked().is_empty());
    hub.set(|h| h.refusals = vec![(404, "")]);
    succeeded(&[], hub.run("hf:o/n"));
}

#[test]
fn a_fetch_that_breaks_off_goes_on() {
    let hub = Hub::start();
    hub.set(|h| h.breaks = vec![1_000_000, 0, 500_000]);
    succeeded(&[], hub.run("hf:o/n"));
    whole(&hub, "c0ffee");
    let ranges: Vec<String> =
        hub.asked().into_iter().map(|(_, range, _)| range).filter(|r| !r.is_empty()).collect();
    assert_eq!(ranges, ["bytes=1000000-", "bytes=1000000-", "bytes=1500000-"]);
}

#[test]
fn a_fetch_that_fails_goes_on_in_the_next_run() {
    let hub = Hub::start();
    hub.set(|h| h.breaks = vec![1_000_000, 0, 0, 0, 0, 0, 0]);
    fails(hub.run("hf:o/n"), &["model.safetensors", "broke off after 1000000"], true);
    hub.set(|h| h.breaks.clear());
    hub.asked();
    succeeded(&[], hub.run("hf:o/n"));
    whole(&hub, "c0ffee");
    assert!(hub.asked().iter().any(|(_, range, _)| range == "bytes=1000000-"));
}

#[test]
fn a_server_without_ranges_and_one_that_sends_elsewhere() {
    let hub = Hub::start();
    hub.set(|h| (h.breaks, h.no_ranges) = (vec![700_000], true));
    succeeded(&[], hub.run("hf:o/n"));
    whole(&hub, "c0ffee");
    let hub = Hub::start();
    hub.set(|h| (h.breaks, h.redirects) = (vec![700_000], true));
    succeeded(&[], hub.run_at(&hub.address, "hf:o/n", &[("HF_TOKEN", "secret")]));
    whole(&hub, "c0ffee");
    for (path, _, token) in hub.asked() {
        assert_eq!(token, !path.starts_with("/store/"), "the token is for the Hub alone: {path}");
    }
}

#[test]
fn a_changed_model_is_fetched_again_and_a_false_one_refused() {
    let hub = Hub::start();
    succeeded(&[], hub.run("hf:o/n"));
    hub.asked();
    hub.set(|h| {
        h.commit = "decade".into();
        let config = String::from_utf8(h.files["config.json"].clone()).unwrap();
        h.files.insert("config.json".into(), (config + "\n").into_bytes());
    });
    succeeded(&[], hub.run("hf:o/n"));
    whole(&hub, "decade");
    let weights = |asked: &(String, String, bool)| asked.0.ends_with("model.safetensors");
    assert!(hub.asked().iter().filter(|a| weights(a)).count() <= 1, "what did not change is not read again");
    let hub = Hub::start();
    hub.set(|h| h.lies = true);
    let output = hub.run("hf:o/n");
    fails(output, &["model.safetensors", "SHA-256"], true);
    assert!(!hub.cached("refs/main").exists());
}

#[test]
fn a_file_that_changes_while_it_is_fetched_is_fetched_whole() {
    let hub = Hub::start();
    hub.set(|h| h.breaks = vec![1_000_000, 0, 0, 0, 0, 0, 0]);
    fails(hub.run("hf:o/n"), &["broke off"], true);
    hub.set(|h| {
        h.breaks.clear();
        // The last byte of the weights: a small change.
        let weights = h.files.get_mut("model.safetensors").unwrap();
        *weights.last_mut().unwrap() ^= 1;
    });
    succeeded(&[], hub.run("hf:o/n"));
    let kept = fs::read(hub.cached("snapshots/c0ffee/model.safetensors")).unwrap();
    assert_eq!(kept, hub.behaviour.lock().unwrap().files["model.safetensors"]);
}

#[test]
fn refusals_are_a_line_with_a_way_out() {
    let hub = Hub::start();
    let refused = |refusals: Vec<(u16, &'static str)>, name: &str, token: bool, words: &[&str]| {
        hub.set(|h| h.refusals = refusals);
        let token: &[(&str, &str)] = if token { &[("HF_TOKEN", "t")] } else { &[] };
        let output = hub.run_at(&hub.address, name, token);
        hub.set(|h| h.refusals.clear());
        fails(output, words, true);
    };
    refused(vec![(401, "")], "hf:o/n", false, &["hf:o/n", "401", "private"]);
    refused(vec![(401, "")], "hf:o/n", true, &["hf:o/n", "token"]);
    refused(vec![(403, "")], "hf:o/n", true, &["hf:o/n", "403"]);
    refused(vec![], "hf:o/other@v2", false, &["hf:o/other@v2", "404"]);
    refused(vec![(429, "Retry-After: 1000\r\n")], "hf:o/n", false, &["asked too often", "429"]);
    refused(vec![], "hf:o/n:no.gguf", false, &["no.gguf"]);
    refused(vec![], "hf:o", false, &["hf:o"]);
    fails(hub.run_at("http://127.0.0.1:9", "hf:o/n", &[]), &["127.0.0.1:9", "reached"], true);
    fails(hub.run_at("nonsense", "hf:o/n", &[]), &["HF_ENDPOINT"], true);
    // What passes is waited for.
    hub.set(|h| h.refusals = vec![(429, "Retry-After: 0\r\n"), (503, "Retry-After: 0\r\n")]);
    succeeded(&[], hub.run("hf:o/n"));
    hub.set(|h| h.files.retain(|name, _| name == "tokenizer.json"));
    hub.set(|h| h.commit = "empty".into());
    fails(hub.run("hf:o/n"), &["config.json"], true);
    let two = |h: &mut Behaviour| {
        ["a.gguf", "b.gguf"].into_iter().for_each(|n| drop(h.files.insert(n.into(), vec![1])))
    };
    hub.set(two);
    fails(hub.run("hf:o/n"), &["2 GGUF files"], true);
    assert!(Path::new(&hub.cached("refs/main")).exists());
}
