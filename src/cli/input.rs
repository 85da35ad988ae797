//! Files that commands read, `-` being stdin.

use std::path::Path;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

use polysketch::Result;
use polysketch::files::{self, Whole, is_standard};

use super::failure::tell;
use super::options::Common;

/// Reads a text; `what` it is for.
///
/// # Errors
/// As [`files::read_text`].
pub fn read_text(common: &Common, path: &Path, what: &str) -> Result<String> {
    waiting(common, path, what, || files::read_text(path, Whole::Content))
}

/// Reads something by its path, and tells what is waited for if nobody writes to stdin: a program that waits
/// looks like one that hangs.
pub fn waiting<T>(common: &Common, path: &Path, what: &str, read: impl FnOnce() -> T) -> T {
    if !is_standard(path) || !common.talks() {
        return read();
    }
    let (done, wait) = channel::<()>();
    let what = what.to_string();
    let hint = std::thread::Builder::new().spawn(move || {
        if wait.recv_timeout(Duration::from_secs(2)) == Err(RecvTimeoutError::Timeout) {
            tell(format_args!("reading {what} from stdin (Ctrl-D ends it)"));
        }
    });
    let result = read();
    drop(done);
    if let Ok(hint) = hint {
        let _ = hint.join();
    }
    result
}
