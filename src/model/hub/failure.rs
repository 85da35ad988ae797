//! What the hub answers when it does not give a file, and what to do then.

use std::time::Duration;

use super::environment::Environment;
use super::name::HubName;
use crate::error::{Error, ErrorKind};

/// Why something was not fetched.
#[derive(Debug)]
pub enum Failure {
    /// There was no answer, or it broke off.
    Unreachable(String),
    /// An answer that says no, and why, as the hub names it (`X-Error-Code`).
    Refused { status: u16, code: String },
    /// An answer that says later, and when.
    Busy { status: u16, wait: Option<Duration> },
    /// Everything else.
    Other(Error),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Other(error)
    }
}

impl Failure {
    /// Whether it may be another time.
    pub fn is_passing(&self) -> bool {
        matches!(self, Self::Unreachable(_) | Self::Busy { .. })
    }

    /// The error: what is wrong with a name.
    pub fn explain(self, name: &HubName, environment: &Environment) -> Error {
        let (host, repository) = (environment.host(), &name.repository);
        let page = format!("{}/{repository}", environment.endpoint);
        let error = |kind, what: String, help: String| Error::new(kind, format!("{name}: {what}")).help(help);
        match self {
            Self::Other(error) => error,
            Self::Unreachable(why) => error(
                ErrorKind::Io,
                format!("{host} cannot be reached: {why}"),
                match why.contains("certificate") {
                    true => "where a proxy reads along, SSL_CERT_FILE names the certificates to trust".into(),
                    false => {
                        "check the connection and run it again: what was fetched is kept, and goes on".into()
                    }
                },
            ),
            Self::Busy { status: 429, wait } => error(
                ErrorKind::Io,
                match wait {
                    Some(wait) => {
                        let seconds = wait.as_secs();
                        format!("{host} allows no more requests for now (429): it asks to wait {seconds} s")
                    }
                    None => format!("{host} allows no more requests for now (429)"),
                },
                match environment.token {
                    Some(_) => "run it again then: what was fetched is kept, and goes on".into(),
                    None => "run it again then; more are allowed with a token, in HF_TOKEN".into(),
                },
            ),
            Self::Busy { status, .. } => error(
                ErrorKind::Io,
                format!("{host} cannot answer now ({status})"),
                "run it again later: what was fetched is kept, and goes on".into(),
            ),
            Self::Refused { status: status @ (401 | 403), code } => {
                let gated = code == "GatedRepo";
                match (&environment.token, gated) {
                    (None, true) => error(
                        ErrorKind::Input,
                        format!("is gated: {host} gives it to whom its owner lets have it ({status})"),
                        format!("ask for it on {page}, and set HF_TOKEN to a token of yours"),
                    ),
                    (None, false) => error(
                        ErrorKind::Input,
                        format!("{host} has no such model, or it is private or gated ({status})"),
                        format!(
                            "check the name; if {page} shows it to you, set HF_TOKEN to a token of yours"
                        ),
                    ),
                    (Some(_), _) => error(
                        ErrorKind::Input,
                        format!("{host} does not give it to the owner of this token ({status})"),
                        format!("ask for it on {page}, or set HF_TOKEN to a token that may read it"),
                    ),
                }
            }
            Self::Refused { status: 404, code } => match (&name.revision, code.as_str()) {
                (Some(revision), "RevisionNotFound") => error(
                    ErrorKind::Input,
                    format!("{repository} has no revision {revision} (404)"),
                    format!("see its branches and tags on {page}"),
                ),
                (Some(revision), code) if code != "RepoNotFound" => error(
                    ErrorKind::Input,
                    format!("{host} has no model {repository}, or not its revision {revision} (404)"),
                    format!("check the name and the revision on {page}"),
                ),
                _ => error(
                    ErrorKind::Input,
                    format!("{host} has no model {repository} (404)"),
                    "check the name: upper and lower case count".into(),
                ),
            },
            Self::Refused { status, .. } => error(
                ErrorKind::Io,
                format!("{host} answers {status}, and no file"),
                "check HF_ENDPOINT and the proxy, if there is one".into(),
            ),
        }
    }
}
