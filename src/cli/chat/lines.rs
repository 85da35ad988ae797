//! The lines that a person says: from an editor with a history on a terminal, else from stdin as they are.
//!
//! They are read by a thread, so that a program that is told to end does not wait for a line.

use std::io::{BufRead as _, IsTerminal as _, Read as _, Write as _, stdin, stdout};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Duration;

use polysketch::{Error, ErrorKind, Result};
use rustyline::error::ReadlineError;
use rustyline::history::FileHistory;

use super::super::failure::{tell, warn};
use super::super::signals;

/// Lines that the editor remembers.
const REMEMBERED: usize = 1000;
/// The most bytes of a line that nobody types.
const MOST: u64 = 64 << 20;

/// What came instead of a line, or the line.
enum Said {
    Line(String),
    /// Ctrl-C in an empty or half a line.
    Interrupted,
    End,
}

/// Where lines come from.
pub struct Lines {
    ask: Sender<()>,
    said: Receiver<Result<Said>>,
    /// Whether a person types them.
    pub typed: bool,
    terminal: Terminal,
}

impl Lines {
    /// From stdin; `talks`: tells what is odd about the history.
    ///
    /// # Errors
    /// [`ErrorKind::Io`] where the terminal, or a thread, is not to be had.
    pub fn open(talks: bool) -> Result<Self> {
        let typed = stdin().is_terminal() && stdout().is_terminal();
        let terminal = Terminal::remember();
        let (ask, asked) = channel();
        let (say, said) = channel();
        let failed = |error: &std::io::Error| Error::io("stdin", error);
        let mut source = if typed {
            Source::Editor(Box::new(editor(talks).map_err(|e| failed(&std::io::Error::other(e)))?))
        } else {
            Source::Plain(0)
        };
        let reader = std::thread::Builder::new().name("lines".into());
        let reading = reader.spawn(move || while asked.recv().is_ok() && say.send(source.next()).is_ok() {});
        reading.map_err(|e| failed(&e))?;
        Ok(Self { ask, said, typed, terminal })
    }

    /// The next line; none at the end of them, or when the program is told to end.
    ///
    /// # Errors
    /// [`ErrorKind::Io`]; [`ErrorKind::Input`] for a line that is not UTF-8.
    pub fn next(&mut self) -> Result<Option<String>> {
        const LOOK: Duration = Duration::from_millis(50);
        const HINT: &str = "Ctrl-D or /quit ends the conversation";
        let _ = self.ask.send(());
        loop {
            match self.said.recv_timeout(LOOK) {
                Ok(Ok(Said::Line(line))) => return Ok(Some(line)),
                Ok(Ok(Said::End)) | Err(RecvTimeoutError::Disconnected) => return Ok(None),
                Ok(Err(error)) => return Err(error),
                Ok(Ok(Said::Interrupted)) => {
                    tell(HINT);
                    let _ = self.ask.send(());
                }
                Err(RecvTimeoutError::Timeout) if signals::ending() => {
                    if self.typed {
                        self.terminal.restore();
                        // Below the line that was being typed.
                        tell("");
                    }
                    return Ok(None);
                }
                Err(RecvTimeoutError::Timeout) if signals::take_interrupt() => {
                    if !self.typed {
                        return Ok(None);
                    }
                    tell(HINT);
                }
                Err(RecvTimeoutError::Timeout) => {}
            }
        }
    }
}

type Editor = rustyline::Editor<(), FileHistory>;

enum Source {
    Editor(Box<Editor>),
    /// Lines so far.
    Plain(usize),
}

impl Source {
    fn next(&mut self) -> Result<Said> {
        match self {
            Source::Editor(editor) => match typed(editor) {
                Ok(line) => {
                    remember(editor, &line);
                    Ok(Said::Line(line))
                }
                Err(ReadlineError::Interrupted) => Ok(Said::Interrupted),
                Err(ReadlineError::Eof) => Ok(Said::End),
                Err(ReadlineError::Io(error)) => Err(Error::io("stdin", &error)),
                Err(error) => Err(Error::new(ErrorKind::Io, format!("stdin: {error}"))),
            },
            Source::Plain(lines) => {
                let mut line = Vec::new();
                let n = stdin()
                    .lock()
                    .take(MOST + 1)
                    .read_until(b'\n', &mut line)
                    .map_err(|e| Error::io("stdin", &e))?;
                if n == 0 {
                    return Ok(Said::End);
                }
                *lines += 1;
                if n as u64 > MOST {
                    let text = format!("stdin: line {lines} has more than {} MiB", MOST >> 20);
                    return Err(Error::new(ErrorKind::Input, text).help("each line is a question"));
                }
                let text = String::from_utf8(line).map_err(|e| {
                    let at = e.utf8_error().valid_up_to();
                    let text = format!("stdin: line {lines} is not UTF-8, from byte {at}");
                    Error::new(ErrorKind::Input, text).help("convert it to UTF-8")
                })?;
                // The mark that some editors put before a text.
                let text = if *lines == 1 { text.strip_prefix('\u{feff}').unwrap_or(&text) } else { &text };
                Ok(Said::Line(text.trim_end_matches(['\n', '\r']).into()))
            }
        }
    }
}

/// The next line of a person, who goes on after a key that is no character.
fn typed(editor: &mut Editor) -> rustyline::Result<String> {
    loop {
        match editor.readline("> ") {
            Err(ReadlineError::Io(error)) if error.kind() == std::io::ErrorKind::InvalidData => {
                warn("what was typed is not UTF-8, and was not said");
            }
            result => return result,
        }
    }
}

/// A history that cannot be kept costs nobody an answer.
fn remember(editor: &mut Editor, line: &str) {
    let Some(file) = history() else { return };
    let kept = editor.add_history_entry(line).and_then(|new| {
        if new && let Some(folder) = file.parent() {
            std::fs::create_dir_all(folder)?;
            editor.append_history(&file)?;
        }
        Ok(())
    });
    if let Err(error) = kept {
        log::debug!("{}: the history is not kept: {error}", file.display());
    }
}

fn editor(talks: bool) -> rustyline::Result<Editor> {
    let config = rustyline::Config::builder().max_history_size(REMEMBERED)?.auto_add_history(false).build();
    let mut editor = Editor::with_config(config)?;
    if let Some(file) = history().filter(|file| file.exists())
        && let Err(error) = editor.load_history(&file)
        && talks
    {
        warn(&format!("{}: the history is not read: {error}; delete it", file.display()));
    }
    Ok(editor)
}

/// The file that lines are remembered in.
fn history() -> Option<std::path::PathBuf> {
    polysketch::files::cache_dir().map(|dir| dir.join("chat-history"))
}

/// How the terminal was: an editor that is left in the middle of a line does not put it back.
struct Terminal {
    #[cfg(unix)]
    was: Option<rustix::termios::Termios>,
}

#[cfg(unix)]
impl Terminal {
    fn remember() -> Self {
        Self { was: rustix::termios::tcgetattr(stdin()).ok() }
    }

    fn restore(&self) {
        if let Some(was) = &self.was {
            // The editor asked it to mark what is pasted.
            if std::env::var_os("TERM").is_some_and(|term| term != "dumb") {
                let _ = stdout().write_all(b"\x1b[?2004l");
                let _ = stdout().flush();
            }
            let _ = rustix::termios::tcsetattr(stdin(), rustix::termios::OptionalActions::Now, was);
        }
    }
}

#[cfg(not(unix))]
impl Terminal {
    fn remember() -> Self {
        Self {}
    }

    fn restore(&self) {}
}
