//! One request: redirects, waiting, and what the answers on the way tell of a file.

use std::path::Path;
use std::time::{Duration, SystemTime};

use ureq::http::HeaderMap;
use ureq::tls::{PemItem, RootCerts, TlsConfig, parse_pem};
use ureq::{Agent, Body};
use xxhash_rust::xxh3::xxh3_128;

use super::environment::Environment;
use super::failure::Failure;
use super::name::HubName;
use crate::error::{Error, ErrorKind};
use crate::files::{Whole, read_bytes};

/// Redirects that are followed.
const REDIRECTS: usize = 10;
/// Times that something is asked for.
const TRIES: u32 = 4;
/// The first wait where nobody says how long; it doubles.
const FIRST_WAIT: Duration = Duration::from_millis(500);
/// The longest wait that a hub may ask for.
const MOST_WAIT: Duration = Duration::from_secs(60);
/// Time in which a connection must stand, and in which something must come on it.
const CONNECT: Duration = Duration::from_secs(20);
const SILENCE: Duration = Duration::from_secs(60);

/// The hub.
#[derive(Debug)]
pub struct Hub {
    agent: Agent,
    environment: Environment,
    /// Whether to ask again when there is no answer.
    pub patient: bool,
}

/// An answer; its body is not read yet.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub facts: Facts,
    /// Where its body begins in the file, and the size of the file.
    pub range: Option<(u64, u64)>,
    pub body: Body,
}

/// What the answers to a request told, those on the way included.
#[derive(Debug, Default)]
pub struct Facts {
    commit: Option<String>,
    etag: Option<String>,
    /// Of the file that a redirect leads to: its SHA-256, and its size.
    linked_etag: Option<String>,
    linked_size: Option<u64>,
    code: String,
}

/// A file on the hub.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remote {
    pub file: String,
    pub commit: String,
    /// As a file's name in the cache.
    pub etag: String,
    pub size: u64,
    /// The SHA-256 of its bytes, in hexadecimal, where the hub says it: of large files.
    pub sha256: Option<String>,
}

impl Facts {
    fn add(&mut self, headers: &HeaderMap, own: bool) {
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_string);
        let first = |mine: &mut Option<String>, name: &str| *mine = mine.take().or_else(|| text(name));
        first(&mut self.commit, "x-repo-commit");
        first(&mut self.linked_etag, "x-linked-etag");
        self.linked_size = self.linked_size.or_else(|| text("x-linked-size")?.parse().ok());
        // Another server's tag says nothing of the file's place in the cache.
        if own || self.etag.is_none() {
            self.etag = text("etag").or_else(|| self.etag.take());
        }
        self.code = text("x-error-code").unwrap_or_default();
    }

    /// Whether nothing more is to be learned from where a redirect leads.
    fn are_whole(&self) -> bool {
        self.commit.is_some() && self.linked_etag.is_some() && self.linked_size.is_some()
    }

    /// The `ETag` as a name in the cache: without quotes; one that no path can be by its hash.
    pub fn etag(&self) -> Option<String> {
        let tag = self.linked_etag.as_deref().or(self.etag.as_deref())?;
        let tag = tag.strip_prefix("W/").unwrap_or(tag).trim_matches('"');
        let plain = (1..=128).contains(&tag.len()) && tag.bytes().all(|byte| byte.is_ascii_alphanumeric());
        Some(if plain { tag.into() } else { format!("{:032x}", xxh3_128(tag.as_bytes())) })
    }
}

impl Hub {
    /// A hub; `patient`: it is asked again when it does not answer.
    ///
    /// # Errors
    /// `ErrorKind::Input` for certificates that are none.
    pub fn new(environment: &Environment, patient: bool) -> Result<Self, Error> {
        let trusted = environment.certificates.as_deref().map(certificates).transpose()?;
        let tls = TlsConfig::builder().root_certs(trusted.unwrap_or(RootCerts::WebPki)).build();
        let config = Agent::config_builder()
            // Answers on the way tell what a file is, and a token is for the hub only.
            .max_redirects(0)
            .http_status_as_error(false)
            .tls_config(tls)
            .user_agent(concat!("polysketch/", env!("CARGO_PKG_VERSION")))
            .timeout_connect(Some(CONNECT))
            .timeout_recv_response(Some(SILENCE))
            .timeout_per_read(Some(SILENCE));
        Ok(Self { agent: config.build().into(), environment: environment.clone(), patient })
    }

    fn endpoint(&self) -> &str {
        &self.environment.endpoint
    }

    /// The address of a file.
    pub fn file(&self, name: &HubName, revision: &str, file: &str) -> String {
        let file = file.split('/').map(encode).collect::<Vec<_>>().join("/");
        format!("{}/{}/resolve/{}/{file}", self.endpoint(), name.repository, encode(revision))
    }

    /// The address of what is said of a revision.
    pub fn revision(&self, name: &HubName) -> String {
        format!("{}/api/models/{}/revision/{}", self.endpoint(), name.repository, encode(name.revision()))
    }

    /// What a file is.
    ///
    /// # Errors
    /// [`Failure`].
    pub fn describe(
        &self,
        name: &HubName,
        revision: &str,
        file: &str,
        note: &mut dyn FnMut(&str),
    ) -> Result<Remote, Failure> {
        let answer = self.ask(&self.file(name, revision, file), Some("bytes=0-0"), true, note)?;
        let length = || answer.body.content_length().filter(|_| answer.status == 200);
        let size = answer.facts.linked_size.or(answer.range.map(|(_, size)| size)).or_else(length);
        let (Some(commit), Some(etag), Some(size)) = (answer.facts.commit.clone(), answer.facts.etag(), size)
        else {
            let host = self.environment.host();
            let what = format!("{name}: {host} does not say what {file} is: no X-Repo-Commit, ETag or size");
            return Err(Error::new(ErrorKind::Io, what).help("check HF_ENDPOINT: it is no hub").into());
        };
        check_commit(name, &commit)?;
        let is_hash = |tag: &String| tag.len() == 64 && tag.bytes().all(|byte| byte.is_ascii_hexdigit());
        let sha256 = answer.facts.linked_etag.is_some().then(|| etag.to_ascii_lowercase()).filter(is_hash);
        // The rest of a byte: the connection can be used again.
        if answer.status == 206 {
            let _ = answer.body.into_with_config().limit(1).read_to_vec();
        }
        Ok(Remote { file: file.into(), commit, etag, size, sha256 })
    }

    /// Asks, and asks again when the answer is to be waited for: 200, 206 or 416 comes back; where the
    /// answers on the way are `enough`, the redirect that told all.
    ///
    /// # Errors
    /// [`Failure`].
    pub fn ask(
        &self,
        url: &str,
        range: Option<&str>,
        enough: bool,
        note: &mut dyn FnMut(&str),
    ) -> Result<Answer, Failure> {
        let mut pause = FIRST_WAIT;
        for attempt in 1.. {
            let (failure, wait) = match self.follow(url, range, enough) {
                Ok((answer, asked)) => match answer.status {
                    200 | 206 | 416 => return Ok(answer),
                    300..=399 if enough && answer.facts.are_whole() => return Ok(answer),
                    status @ (408 | 429 | 500..=599) => (Failure::Busy { status, wait: asked }, asked),
                    status => return Err(Failure::Refused { status, code: answer.facts.code }),
                },
                Err(error) => (Failure::Unreachable(reason(&error)), None),
            };
            let wait = wait.unwrap_or(pause);
            if !self.patient || attempt == TRIES || wait > MOST_WAIT {
                return Err(failure);
            }
            if let Failure::Busy { status, .. } = failure {
                let host = self.environment.host();
                note(&format!("{host} asks for patience ({status}): waiting {:.1} s", wait.as_secs_f64()));
            }
            std::thread::sleep(wait);
            pause *= 2;
        }
        unreachable!("a try is the last")
    }

    /// One request and where it leads; also how long the answer asks to wait.
    fn follow(
        &self,
        url: &str,
        range: Option<&str>,
        enough: bool,
    ) -> Result<(Answer, Option<Duration>), ureq::Error> {
        let mut url = url.to_string();
        let mut facts = Facts::default();
        for _ in 0..REDIRECTS {
            let own = origin(&url) == origin(self.endpoint());
            let mut request = self.agent.get(&url).header("accept-encoding", "identity");
            if let Some(token) = self.environment.token.as_deref().filter(|_| own) {
                request = request.header("authorization", format!("Bearer {token}"));
            }
            if let Some(range) = range {
                request = request.header("range", range);
            }
            let response = request.call()?;
            let (head, body) = response.into_parts();
            facts.add(&head.headers, own);
            let text = |name: &str| head.headers.get(name).and_then(|value| value.to_str().ok());
            let status = head.status.as_u16();
            let next = text("location").filter(|_| matches!(status, 301 | 302 | 303 | 307 | 308));
            if let Some(next) = next.filter(|_| !(enough && facts.are_whole())) {
                url = join(&url, next).ok_or_else(|| ureq::Error::BadUri(next.into()))?;
                continue;
            }
            let range = text("content-range").and_then(content_range);
            let wait = asked(text("retry-after"), text("ratelimit"));
            return Ok((Answer { status, facts, range, body }, wait));
        }
        Err(ureq::Error::TooManyRedirects)
    }
}

/// Refuses a commit that could not be the name of a folder.
///
/// # Errors
/// `ErrorKind::Io`.
pub fn check_commit(name: &HubName, commit: &str) -> Result<(), Error> {
    if (1..=64).contains(&commit.len()) && commit.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return Ok(());
    }
    let what = format!("{name}: the hub names a commit that is none: {}", commit.escape_debug());
    Err(Error::new(ErrorKind::Io, what).help("check HF_ENDPOINT: it is no hub"))
}

/// The certificates of a file.
fn certificates(path: &Path) -> Result<RootCerts, Error> {
    let wrong = |what: String| {
        Error::new(ErrorKind::Input, format!("SSL_CERT_FILE: {}: {what}", path.display()))
            .help("give a file of certificates (PEM), or unset the variable")
    };
    let bytes = read_bytes(path, Whole::Settings).map_err(|e| wrong(e.to_string()))?;
    let mut list = Vec::new();
    for item in parse_pem(&bytes) {
        if let PemItem::Certificate(certificate) = item.map_err(|e| wrong(e.to_string()))? {
            list.push(certificate);
        }
    }
    if list.is_empty() {
        Err(wrong("has no certificate".into()))
    } else {
        Ok(RootCerts::new_with_certs(&list))
    }
}

/// Why there was no answer, for people.
fn reason(error: &ureq::Error) -> String {
    if let ureq::Error::Io(inner) = error { inner.to_string() } else { error.to_string() }
}

/// Scheme and host of an address.
fn origin(url: &str) -> &str {
    let host = url.find("://").map_or(0, |at| at + 3);
    url[host..].find('/').map_or(url, |end| &url[..host + end])
}

/// Where a redirect leads; nowhere if it would leave TLS.
fn join(url: &str, next: &str) -> Option<String> {
    let origin = origin(url);
    let scheme = origin.split("//").next()?;
    let path = url.split(['?', '#']).next()?;
    let joined = if next.contains("://") {
        next.to_string()
    } else if next.starts_with("//") {
        format!("{scheme}{next}")
    } else if next.starts_with('/') {
        format!("{origin}{next}")
    } else {
        format!("{}{next}", &path[..=path.rfind('/')?])
    };
    (joined.starts_with("https://") || scheme == "http:").then_some(joined)
}

/// A part of a path, for an address.
fn encode(text: &str) -> String {
    let mut all = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            all.push(byte.into());
        } else {
            all += &format!("%{byte:02X}");
        }
    }
    all
}

/// `bytes 5-9/10`: where it begins, and the size of the whole; `bytes */10` begins nowhere, so at the end.
fn content_range(text: &str) -> Option<(u64, u64)> {
    let (part, size) = text.strip_prefix("bytes ")?.split_once('/')?;
    let size = size.trim().parse().ok()?;
    Some((if part == "*" { size } else { part.split('-').next()?.parse().ok()? }, size))
}

/// How long an answer asks to wait: `Retry-After`, as seconds or a date, or the hub's own
/// `RateLimit: "api";r=0;t=55`.
fn asked(retry_after: Option<&str>, rate_limit: Option<&str>) -> Option<Duration> {
    let seconds = |text: &str| text.trim().parse().ok().map(Duration::from_secs);
    let until = |text: &str| {
        let date = jiff::fmt::rfc2822::parse(text.trim()).ok()?;
        let now = jiff::Timestamp::try_from(SystemTime::now()).ok()?;
        Some(Duration::from_secs(u64::try_from(date.timestamp().as_second() - now.as_second()).unwrap_or(0)))
    };
    let left = |text: &str| text.split(';').find_map(|part| seconds(part.trim().strip_prefix("t=")?));
    retry_after.and_then(|text| seconds(text).or_else(|| until(text))).or_else(|| rate_limit.and_then(left))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        let at = "https://h.co:1/a/b?x=/y";
        assert_eq!(origin(at), "https://h.co:1");
        assert_eq!(origin("https://h.co"), "https://h.co");
        for (next, wanted) in [
            ("https://cdn.co/x", Some("https://cdn.co/x")),
            ("//cdn.co/x", Some("https://cdn.co/x")),
            ("/x?y=1", Some("https://h.co:1/x?y=1")),
            ("c", Some("https://h.co:1/a/c")),
            ("http://h.co/x", None),
            ("file:///etc/passwd", None),
        ] {
            assert_eq!(join(at, next).as_deref(), wanted, "{next}");
        }
        assert_eq!(encode("refs/pr 1#ä"), "refs%2Fpr%201%23%C3%A4");
    }

    #[test]
    fn headers() {
        assert_eq!(content_range("bytes 5-9/10"), Some((5, 10)));
        assert_eq!(content_range("bytes */10"), Some((10, 10)));
        assert_eq!(content_range("bytes 5-9/*"), None);
        let seconds = |n| Some(Duration::from_secs(n));
        assert_eq!(asked(Some(" 7 "), Some("t=9")), seconds(7));
        assert_eq!(asked(None, Some("\"api\";r=0;t=55")), seconds(55));
        assert_eq!(asked(Some("Sun, 06 Nov 1994 08:49:37 GMT"), None), seconds(0));
        assert!(asked(Some("Fri, 31 Dec 2100 23:59:59 GMT"), None) > seconds(1 << 30));
        assert_eq!(asked(Some("soon"), None), None);
        let tag = |linked: Option<&str>, own: &str| {
            let (linked_etag, etag) = (linked.map(Into::into), Some(own.into()));
            Facts { linked_etag, etag, ..Facts::default() }.etag().expect("a tag")
        };
        assert_eq!(tag(Some("\"abc1\""), "\"other\""), "abc1");
        assert_eq!(tag(None, "W/\"abc2\""), "abc2");
        assert!(tag(None, "\"../../x\"").bytes().all(|byte| byte.is_ascii_hexdigit()));
        assert_ne!(tag(None, "a/b"), tag(None, "a/c"));
        let name = HubName::parse("hf:a/b").expect("a name");
        assert!(check_commit(&name, "0a1b").is_ok());
        for bad in ["", "..", "a/b", "../x"] {
            assert!(check_commit(&name, bad).is_err(), "{bad}");
        }
    }
}
