//! How a run ends: exit code 0, or 1 with one line `error: …` and, where there is something to do, `help: …`.
//! (2, usage, is clap's.)

use std::io::{Write as _, stderr};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::sync::{Mutex, PoisonError};

use polysketch::text::{printable, printable_lines};
use polysketch::{Error, ErrorKind};

pub use super::signals::{catch_interrupt, interrupted};
use super::terminal;

/// Why a command ended early.
#[derive(Debug)]
pub enum Stop {
    /// Whoever read stdout has seen enough (`| head`): no failure.
    Closed,
    /// It failed.
    Failed(Error),
}

/// What a command returns.
pub type Outcome<T = ()> = Result<T, Stop>;

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Stop::Failed(error)
    }
}

/// The message of the first panic: the last net, nothing should ever end up here.
static PANIC: Mutex<Option<String>> = Mutex::new(None);

/// Runs a command and reports how it ended.
pub fn guard(command: impl FnOnce() -> Outcome) -> ExitCode {
    std::panic::set_hook(Box::new(|info| {
        let text = info
            .payload()
            .downcast_ref::<String>()
            .cloned()
            .or_else(|| info.payload().downcast_ref::<&str>().map(|s| s.to_string()));
        let place = info.location().map(|l| format!(" ({}:{})", l.file(), l.line())).unwrap_or_default();
        let mut first = PANIC.lock().unwrap_or_else(PoisonError::into_inner);
        first.get_or_insert(text.unwrap_or_default() + &place);
    }));
    super::signals::watch(|line| tell(line));
    polysketch::gpu::hush_driver_panics();
    let stop = match catch_unwind(AssertUnwindSafe(command)) {
        Ok(Ok(()) | Err(Stop::Closed)) => return ExitCode::SUCCESS,
        Ok(Err(Stop::Failed(error))) => error,
        Err(_) => {
            let message = PANIC.lock().unwrap_or_else(PoisonError::into_inner).take().unwrap_or_default();
            Error::new(ErrorKind::Device, format!("internal fault: {message}"))
                .help("this is a bug of polysketch; please report it with the command")
        }
    };
    report(&stop);
    ExitCode::FAILURE
}

/// Prints an error: two lines at most, whatever the message holds.
fn report(error: &Error) {
    say("error:", "\x1b[1;31m", error.message());
    if let Some(help) = error.advice() {
        say("help:", "\x1b[1;36m", help);
    }
}

/// Prints a warning.
pub fn warn(text: &str) {
    say("warning:", "\x1b[1;33m", text);
}

/// Writes a line to stderr, its control characters spelled out. One that cannot be written to (closed, or a file on a full disk) leaves nothing
/// to tell, and ends nothing.
pub fn tell(line: impl std::fmt::Display) {
    let _ = writeln!(stderr(), "{}", printable_lines(&line.to_string()));
}

fn say(label: &str, color: &str, text: &str) {
    let (on, off) = if terminal::has_colors() { (color, "\x1b[0m") } else { ("", "") };
    let line = printable(&text.split_whitespace().collect::<Vec<_>>().join(" "));
    let _ = writeln!(stderr(), "{on}{label}{off} {line}");
}
