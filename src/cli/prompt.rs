//! Where a prompt comes from: an option, a file, stdin, or a default.

use std::io::{IsTerminal as _, stdin};
use std::path::{Path, PathBuf};

use clap::Args;
use polysketch::files::source_name;
use polysketch::model::EncodeOptions;
use polysketch::{Error, ErrorKind, Result};

use super::escapes::unescape;
use super::input::read_text;
use super::options::Common;

/// The opening that the built-in model continues when nobody gives one.
pub const OPENING: &str =
    "CHAPTER I.\n\nIt was late in the autumn of the year when the stranger first came to the village; and";

/// The options that name a prompt.
#[derive(Debug, Args)]
pub struct Options {
    /// Text to continue; \n, \t, \" and the like stand for their characters [default: stdin, or the opening of
    /// a novel]
    #[arg(long, short, value_name = "TEXT", conflicts_with = "prompt_file")]
    pub prompt: Option<String>,
    /// File with the text to continue, UTF-8, taken as it is; -: stdin
    #[arg(long, short = 'f', value_name = "FILE")]
    pub prompt_file: Option<PathBuf>,
    /// Take backslashes in --prompt and --stop as they are
    #[arg(long)]
    pub no_escape: bool,
    #[command(flatten)]
    pub special: Special,
}

impl Options {
    /// The value of an option, with or without its backslash escapes.
    ///
    /// # Errors
    /// As [`unescape`].
    pub fn unescape(&self, option: &str, value: &str) -> Result<String> {
        if self.no_escape { Ok(value.into()) } else { unescape(option, value) }
    }
}

/// What special tokens in a text are.
#[derive(Clone, Copy, Debug, Args)]
pub struct Special {
    /// Take special tokens in the text (<|endoftext|>) as text like any other [default: they are tokens]
    #[arg(long)]
    pub special_as_text: bool,
}

impl Special {
    /// How a text is encoded.
    pub fn how(self) -> EncodeOptions {
        EncodeOptions { special_as_text: self.special_as_text, ..EncodeOptions::default() }
    }

    /// How a text is encoded that begins what the model reads.
    pub fn whole(self) -> EncodeOptions {
        EncodeOptions { begins: true, ..self.how() }
    }
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
        (Some(text), _) => (options.unescape("--prompt", text)?, "--prompt".to_string()),
        (None, Some(path)) => (read_text(common, path, "the prompt")?, source_name(path)),
        (None, None) if stdin().is_terminal() => return Ok(Prompt::None),
        (None, None) => {
            let text = read_text(common, Path::new("-"), "the prompt (or give --prompt)")?;
            return Ok(if text.is_empty() { Prompt::None } else { Prompt::Given(text) });
        }
    };
    if text.is_empty() {
        return Err(Error::new(ErrorKind::Input, format!("{source}: the prompt is empty"))
            .help("give at least one character"));
    }
    Ok(Prompt::Given(text))
}
