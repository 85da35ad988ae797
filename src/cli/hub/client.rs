//! Requests to the Hub: who asks, where, how often; what its answers mean.

use std::time::Duration;

use polysketch::{Error, ErrorKind, Result};
use ureq::http::{HeaderMap, Response, StatusCode, Uri};
use ureq::{Agent, Body};

use super::cache;
use super::name::Name;

/// Who asks, and where.
#[derive(Debug)]
pub struct Client {
    agent: Agent,
    endpoint: String,
    token: Option<String>,
}

/// What a revision of a model consists of.
#[derive(Debug)]
pub struct Listing {
    /// The commit.
    pub commit: String,
    /// Paths.
    pub files: Vec<String>,
}

/// An answer, wherever the Hub sent the request to.
#[derive(Debug)]
pub struct Answer {
    /// The answer.
    pub response: Response<Body>,
    /// What names the content of a file: the same name, the same content.
    pub content: Option<String>,
}

/// Most times that a request is sent on.
const HOPS: usize = 8;

/// Most times that a request is made where waiting may help.
const ATTEMPTS: u32 = 4;

/// How long a server may say nothing; a body that takes longer is gone on with by another request.
const PATIENCE: Duration = Duration::from_secs(120);

/// Longest wait that a server may ask for.
const LONGEST_WAIT: u64 = 30;

impl Client {
    /// As the environment says: `HF_ENDPOINT`, `HF_TOKEN`, or the token that `hf auth login` left.
    pub fn from_env() -> Result<Self> {
        let set =
            |name: &str| std::env::var(name).ok().map(|v| v.trim().to_string()).filter(|v| !v.is_empty());
        let endpoint = set("HF_ENDPOINT").unwrap_or_else(|| "https://huggingface.co".into());
        let sound = endpoint.parse::<Uri>().is_ok_and(|uri| uri.host().is_some() && uri.scheme().is_some());
        if !sound {
            return Err(Error::new(ErrorKind::Input, format!("HF_ENDPOINT is {endpoint:?}, no address"))
                .help("set it to something like https://huggingface.co, or not at all"));
        }
        let kept = || {
            let path = set("HF_TOKEN_PATH").map(Into::into).or_else(|| Some(cache::home()?.join("token")))?;
            std::fs::read_to_string(path)
                .ok()
                .map(|text| text.trim().to_string())
                .filter(|text| !text.is_empty())
        };
        let agent = Agent::config_builder()
            .max_redirects(0)
            .max_redirects_will_error(false)
            .http_status_as_error(false)
            .timeout_connect(Some(Duration::from_secs(20)))
            .timeout_recv_response(Some(PATIENCE))
            .timeout_recv_body(Some(PATIENCE))
            .user_agent(concat!("polysketch/", env!("CARGO_PKG_VERSION")))
            .build();
        Ok(Self {
            agent: agent.into(),
            endpoint: endpoint.trim_end_matches('/').into(),
            token: set("HF_TOKEN").or_else(kept),
        })
    }

    /// Which files a model has.
    pub fn listing(&self, name: &Name) -> Result<Listing> {
        let path = format!("api/models/{}/revision/{}", name.repository, escaped(&name.revision, false));
        let mut answer = self.ask(name, None, &path, None)?;
        let text = answer.response.body_mut().with_config().limit(64 << 20).read_to_string();
        let text = text.map_err(|e| self.unreachable(name, &e.to_string()))?;
        let value: serde_json::Value = serde_json::from_str(&text).unwrap_or_default();
        let commit = value["sha"].as_str().filter(|sha| super::name::is_plain(sha));
        let files = value["siblings"].as_array().map(|list| {
            let names = list.iter().filter_map(|file| file["rfilename"].as_str());
            names.filter(|file| super::name::is_plain(file)).map(String::from).collect()
        });
        match (commit, files) {
            (Some(commit), Some(files)) => Ok(Listing { commit: commit.into(), files }),
            _ => Err(Error::new(
                ErrorKind::Io,
                format!("{name}: {} answers with something else than a list of files", self.endpoint),
            )
            .help("check HF_ENDPOINT, and whether a login page of the network is in the way")),
        }
    }

    /// A file from a byte on.
    pub fn file(&self, name: &Name, commit: &str, file: &str, from: u64) -> Result<Answer> {
        let path = format!("{}/resolve/{}/{}", name.repository, escaped(commit, false), escaped(file, true));
        self.ask(name, Some(file), &path, (from > 0).then_some(from))
    }

    /// Asks until there is an answer that is no reason to wait.
    fn ask(&self, name: &Name, file: Option<&str>, path: &str, from: Option<u64>) -> Result<Answer> {
        let mut attempt = 1;
        loop {
            let failure = match self.follow(path, from) {
                Ok(answer) => {
                    let status = answer.response.status();
                    if status.is_success() || status == StatusCode::RANGE_NOT_SATISFIABLE {
                        return Ok(answer);
                    }
                    let wait =
                        header(answer.response.headers(), "retry-after").and_then(|text| text.parse().ok());
                    (self.refused(name, file, status, wait), may_pass(status), wait)
                }
                Err(error) => (self.unreachable(name, &error.to_string()), true, None),
            };
            let (error, may_pass, wait) = failure;
            let wait = wait.unwrap_or(1 << (attempt - 1));
            if !may_pass || attempt == ATTEMPTS || wait > LONGEST_WAIT {
                return Err(error);
            }
            log::info!("{}; again in {wait} s", error.message());
            std::thread::sleep(Duration::from_secs(wait));
            attempt += 1;
        }
    }

    /// Goes where the Hub sends a request. The token goes only to the Hub.
    fn follow(&self, path: &str, from: Option<u64>) -> Result<Answer, ureq::Error> {
        let mut address = format!("{}/{path}", self.endpoint);
        let mut content = None;
        for _ in 0..HOPS {
            let mut request = self.agent.get(&address).header("accept-encoding", "identity");
            if let Some(from) = from {
                request = request.header("range", format!("bytes={from}-"));
            }
            let home = address.strip_prefix(&self.endpoint).is_some_and(|rest| rest.starts_with('/'));
            if let Some(token) = self.token.as_ref().filter(|_| home) {
                request = request.header("authorization", format!("Bearer {token}"));
            }
            let response = request.call()?;
            let headers = response.headers();
            // The Hub's own name of a content counts more than what a server of files has for it.
            let named = header(headers, "x-linked-etag").or_else(|| header(headers, "etag"));
            content = content.or_else(|| named.and_then(tag));
            let location = header(headers, "location").map(String::from);
            match location.filter(|_| response.status().is_redirection()) {
                Some(location) => address = joined(&address, &location),
                None => return Ok(Answer { response, content }),
            }
        }
        Err(ureq::Error::TooManyRedirects)
    }

    fn unreachable(&self, name: &Name, why: &str) -> Error {
        Error::new(ErrorKind::Io, format!("{name}: {} cannot be reached: {why}", self.endpoint))
            .help("check the network and HF_ENDPOINT, and run the command again")
    }

    fn refused(&self, name: &Name, file: Option<&str>, status: StatusCode, wait: Option<u64>) -> Error {
        let what = file.map(|file| format!("{name}: {file}")).unwrap_or_else(|| name.to_string());
        let says = |text: String, help: String| Error::new(ErrorKind::Io, text).help(help);
        let page = format!("{}/{}", self.endpoint, name.repository);
        match (status.as_u16(), &self.token) {
            (401, None) => says(
                format!("{what}: not for everybody (401): there is no such model, or it is private"),
                "check the name; for a private model set HF_TOKEN to a token of an account that may read it"
                    .into(),
            ),
            (401, Some(_)) => says(
                format!("{what}: the Hub does not take the token (401), or there is no such model"),
                "check the name; make a new token in the account's settings and set HF_TOKEN to it".into(),
            ),
            (403, _) => says(
                format!("{what}: the Hub does not give this to the account (403)"),
                format!("accept the model's terms at {page}, and set HF_TOKEN to a token of that account"),
            ),
            (404, _) if file.is_some() => says(
                format!("{what}: there is no such file (404)"),
                "the model was changed while it was fetched: run the command again".into(),
            ),
            (404, _) => says(
                format!("{what}: there is no such model or revision (404)"),
                format!("look for it at {page}"),
            ),
            (429, _) => says(
                format!("{what}: the Hub was asked too often (429)"),
                format!(
                    "wait {}, and set HF_TOKEN: who is known may ask more often",
                    wait.map_or("some minutes".into(), |seconds| format!("{seconds} seconds"))
                ),
            ),
            (code, _) => says(
                format!("{what}: {} answers with status {code}", self.endpoint),
                "try again later; what was fetched so far is kept".into(),
            ),
        }
    }
}

/// Whether waiting may help.
fn may_pass(status: StatusCode) -> bool {
    status.is_server_error() || matches!(status.as_u16(), 408 | 429)
}

/// A header's text.
pub fn header<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    headers.get(name)?.to_str().ok().map(str::trim)
}

/// A content's name that can be a file's; none for what is no good as one.
fn tag(text: &str) -> Option<String> {
    let text = text.strip_prefix("W/").unwrap_or(text).trim_matches('"');
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
    (!text.is_empty() && text.len() <= 128 && text.bytes().all(plain)).then(|| text.to_string())
}

/// A part of an address, with what would mean something else there written by its bytes.
fn escaped(text: &str, slashes: bool) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        match byte {
            b'-' | b'_' | b'.' | b'~' => out.push(byte as char),
            b'/' if slashes => out.push('/'),
            byte if byte.is_ascii_alphanumeric() => out.push(byte as char),
            byte => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

/// Where a redirection leads.
fn joined(address: &str, location: &str) -> String {
    if location.contains("://") {
        return location.into();
    }
    let root = address.find("://").and_then(|at| address[at + 3..].find('/').map(|end| at + 3 + end));
    let root = &address[..root.unwrap_or(address.len())];
    match location.strip_prefix("//") {
        Some(rest) => format!("{}://{rest}", address.split("://").next().unwrap_or("https")),
        None if location.starts_with('/') => format!("{root}{location}"),
        None => format!("{}/{location}", address.rsplit_once('/').map_or(root, |(folder, _)| folder)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        assert_eq!(escaped("a b/c+é", true), "a%20b/c%2B%C3%A9");
        assert_eq!(escaped("refs/pr/1", false), "refs%2Fpr%2F1");
        for (location, whole) in [
            ("https://x/y", "https://x/y"),
            ("//x/y", "http://x/y"),
            ("/y?z", "http://h:1/y?z"),
            ("y", "http://h:1/a/y"),
        ] {
            assert_eq!(joined("http://h:1/a/b", location), whole);
        }
        assert_eq!(tag("W/\"ab-1\"").as_deref(), Some("ab-1"));
        assert_eq!((tag("\"../x\""), tag("")), (None, None));
    }
}
