//! Where a prompt comes from: an option, a file, stdin, or a default.

use std::io::{IsTerminal as _, Read as _, stdin};
use std::path::PathBuf;
use std::sync::mpsc::channel;
use std::time::Duration;

use clap::Args;
use polysketch::files::read_text;
use polysketch::{Error, ErrorKind, Result};

use super::failure::tell;
use super::options::Common;

/// The opening that the built-in model continues when nobody gives one.
pub const OPENING: &str =
    "CHAPTER I.\n\nIt was late in the autumn of the year when the stranger first came to the village; and";

/// The options that name a prompt.
#[derive(Debug, Args)]
pub struct Options {
    /// Text to continue [default: stdin, or the opening of a novel]
    #[arg(long, short, value_name = "TEXT", conflicts_with = "prompt_file")]
    pub prompt: Option<String>,
    /// File with the text to continue, UTF-8
    #[arg(long, short = 'f', value_name = "FILE")]
    pub prompt_file: Option<PathBuf>,
}

/// A prompt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Prompt {
    /// From the user.
    Given(String),
    /// Nothing was given.
    None,
}

/// Reads the prompt.
///
/// # Errors
/// [`ErrorKind::Io`]; [`ErrorKind::Input`] for one that is empty (an empty stdin is none) or not UTF-8, with
/// the byte offset.
pub fn read(common: &Common, options: &Options) -> Result<Prompt> {
    let (text, source) = match (&options.prompt, &options.prompt_file) {
        (Some(text), _) => (text.clone(), "--prompt".to_string()),
        (None, Some(path)) => (read_text(path)?, path.display().to_string()),
        (None, None) if stdin().is_terminal() => return Ok(Prompt::None),
        (None, None) => {
            let text = read_stdin(common)?;
            return Ok(if text.is_empty() { Prompt::None } else { Prompt::Given(text) });
        }
    };
    if text.is_empty() {
        return Err(Error::new(ErrorKind::Input, format!("{source}: the prompt is empty"))
            .help("give at least one character"));
    }
    Ok(Prompt::Given(text))
}

fn read_stdin(common: &Common) -> Result<String> {
    let (done, wait) = channel::<()>();
    let talks = common.talks();
    // A pipe that nobody writes to looks like a program that hangs.
    let hint = std::thread::Builder::new().spawn(move || {
        if wait.recv_timeout(Duration::from_secs(2)) == Err(std::sync::mpsc::RecvTimeoutError::Timeout)
            && talks
        {
            tell("reading the prompt from stdin (end it with Ctrl-D, or use --prompt)");
        }
    });
    let mut bytes = Vec::new();
    let read = stdin().lock().read_to_end(&mut bytes);
    drop(done);
    if let Ok(hint) = hint {
        let _ = hint.join();
    }
    read.map_err(|e| Error::io("stdin", &e))?;
    String::from_utf8(bytes).map_err(|e| {
        let at = e.utf8_error().valid_up_to();
        Error::new(ErrorKind::Input, format!("stdin: not UTF-8 text (byte {at})"))
            .help("convert the text to UTF-8")
    })
}
