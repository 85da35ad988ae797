//! Lines that a person writes: on a terminal with editing and history, else one after the other from stdin.

use std::io::{BufRead as _, IsTerminal as _, stdin, stdout};

use polysketch::files::as_text;
use polysketch::{Error, ErrorKind, Result};
use rustyline::error::ReadlineError;
use rustyline::{Config, DefaultEditor};

/// What came.
#[derive(Debug, PartialEq, Eq)]
pub enum Line {
    /// A line.
    Text(String),
    /// Ctrl-C.
    Interrupt,
    /// Nothing more comes.
    End,
}

/// Where lines come from.
pub enum Input {
    /// A terminal.
    Terminal(Box<DefaultEditor>),
    /// Anything else; lines so far.
    Pipe(usize),
}

impl Input {
    /// A terminal if there is one on both sides.
    pub fn open() -> Result<Self> {
        if !(stdin().is_terminal() && stdout().is_terminal()) {
            return Ok(Self::Pipe(0));
        }
        let config = Config::builder().auto_add_history(true).build();
        let editor = DefaultEditor::with_config(config).map_err(|e| failed(&e))?;
        Ok(Self::Terminal(Box::new(editor)))
    }

    /// Whether a person sees what is printed.
    pub fn is_terminal(&self) -> bool {
        matches!(self, Self::Terminal(_))
    }

    /// The next line. On a terminal one that ends in a backslash goes on in the next.
    pub fn next(&mut self) -> Result<Line> {
        match self {
            Self::Pipe(count) => {
                let mut bytes = Vec::new();
                let n = stdin().lock().read_until(b'\n', &mut bytes).map_err(|e| Error::io("stdin", &e))?;
                if n == 0 {
                    return Ok(Line::End);
                }
                *count += 1;
                let text = as_text(bytes, &format_args!("stdin, line {count}"))?;
                Ok(Line::Text(text.trim_end_matches(['\n', '\r']).into()))
            }
            Self::Terminal(editor) => {
                let mut text = String::new();
                loop {
                    match editor.readline(if text.is_empty() { "> " } else { "… " }) {
                        Ok(line) => match line.strip_suffix('\\') {
                            Some(begun) => text = text + begun + "\n",
                            None => return Ok(Line::Text(text + &line)),
                        },
                        Err(ReadlineError::Interrupted) => return Ok(Line::Interrupt),
                        Err(ReadlineError::Eof) => return Ok(Line::End),
                        Err(e) => return Err(failed(&e)),
                    }
                }
            }
        }
    }
}

fn failed(error: &ReadlineError) -> Error {
    Error::new(ErrorKind::Io, format!("the terminal: {error}")).help("give the messages on stdin, one a line")
}
