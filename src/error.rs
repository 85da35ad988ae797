//! One error type for the whole crate: a kind to match on, one line that names the thing and the
//! value, and, where there is something to do, one line of help.

use std::fmt;

/// What went wrong, for callers that react to it rather than print it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// A value in `config.json` (or one of ours) is missing or impossible.
    Config,
    /// A weight file is damaged, or its tensors do not fit the configuration.
    ModelFormat,
    /// The tokenizer is damaged or does not fit the model.
    Tokenizer,
    /// A prompt, token id, text or option that cannot be used.
    Input,
    /// A state file that is damaged or belongs to another model.
    State,
    /// The file system said no.
    Io,
    /// No adapter, or not the one that was asked for.
    Adapter,
    /// The model needs more than this device's limits allow.
    Limit,
    /// The device ran out of memory.
    OutOfMemory,
    /// The device was lost (driver reset, unplugged, destroyed).
    DeviceLost,
    /// The driver or the browser refused something it should accept.
    Device,
    /// Tensors that do not fit an operation of the graph.
    Shape,
    /// A loss or gradient that is not finite.
    Numeric,
    /// The operation was cancelled by the caller.
    Cancelled,
}

/// The error of every fallible function of this crate.
///
/// `Debug` is for people too, as a program prints it whose `main` returns the error: the message, and the way
/// out on a line of its own. `{:#?}` shows the fields.
#[derive(Clone)]
pub struct Error {
    kind: ErrorKind,
    message: String,
    help: Option<String>,
}

/// `Result` with [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// An error of `kind` with a one-line message that names the thing and the value.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        // Names in it may come from files of others, and hold anything.
        let message = message.into().replace(['\n', '\r', '\u{2028}', '\u{2029}'], " ");
        Self { kind, message, help: None }
    }

    /// Adds the way out, one line.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// An I/O error about `what` (usually a path).
    pub fn io(what: impl fmt::Display, error: &std::io::Error) -> Self {
        let e = Self::new(ErrorKind::Io, format!("{what}: {error}"));
        match error.kind() {
            std::io::ErrorKind::NotFound => e.help("check the path"),
            std::io::ErrorKind::FileTooLarge => e.help(
                "raise the limit on the size of a file (ulimit -f), or write to another disk; nothing was left \
                 half written",
            ),
            std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => {
                e.help("free some space, or write to another disk; nothing was left half written")
            }
            std::io::ErrorKind::PermissionDenied | std::io::ErrorKind::ReadOnlyFilesystem => {
                e.help("write to a folder you own; nothing was left half written")
            }
            _ => e,
        }
    }

    /// The kind, to match on.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// The message, one line.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The way out, one line, where there is one.
    pub fn advice(&self) -> Option<&str> {
        self.help.as_deref()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kind, message, help } = self;
        if f.alternate() {
            let mut fields = f.debug_struct("Error");
            return fields.field("kind", kind).field("message", message).field("help", help).finish();
        }
        f.write_str(message)?;
        help.as_ref().map_or(Ok(()), |help| write!(f, "\nhelp: {help}"))
    }
}

impl std::error::Error for Error {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_program_prints_that_returns_it() {
        let error = Error::new(ErrorKind::Io, "x.gguf: not\nthere");
        assert_eq!(format!("{error:?}"), "x.gguf: not there");
        let error = error.help("check the path");
        assert_eq!(format!("{error:?}"), "x.gguf: not there\nhelp: check the path");
        assert!(format!("{error:#?}").contains("kind: Io"), "{error:#?}");
    }
}
