//! What a person says to the program and not to the model: lines that begin with `/`.

use std::path::PathBuf;

use polysketch::{Error, ErrorKind, Result};

/// What there is.
pub const HELP: &str = "\
/reset      begin a new conversation
/save FILE  save this one; /load FILE goes on with it
/quit       end (or Ctrl-D)
/help       this
A line that begins with // is said with one /. Ctrl-C ends an answer; a second time, if it does not, the program.";

/// A line that begins with `/`.
#[derive(Debug, PartialEq, Eq)]
pub enum Command {
    Help,
    Reset,
    Quit,
    Save(PathBuf),
    Load(PathBuf),
}

impl Command {
    /// The command of a line; none for what is said to the model.
    pub fn of(line: &str) -> Option<Result<Self>> {
        let line = line.trim().strip_prefix('/').filter(|rest| !rest.starts_with('/'))?;
        let (name, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
        Some(Self::parse(name, rest.trim()))
    }

    fn parse(name: &str, rest: &str) -> Result<Self> {
        let refuse = |text: String, help: &str| Err(Error::new(ErrorKind::Input, text).help(help));
        let file = |make: fn(PathBuf) -> Self| match rest {
            "" => refuse(format!("/{name} wants the name of a file"), "such as /save talk.state"),
            file => Ok(make(PathBuf::from(file))),
        };
        match name {
            "save" => file(Self::Save),
            "load" => file(Self::Load),
            "reset" | "quit" | "exit" | "help" if !rest.is_empty() => {
                refuse(format!("/{name} takes nothing, it was given {rest:?}"), "leave that out")
            }
            "reset" => Ok(Self::Reset),
            "quit" | "exit" => Ok(Self::Quit),
            "help" | "?" => Ok(Self::Help),
            _ => refuse(
                format!("there is no command /{name}"),
                "there are /reset, /save FILE, /load FILE, /quit and /help; begin the line with // to say it to the model",
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands() {
        let of = |line: &str| Command::of(line).map(|command| command.map_err(|e| e.to_string()));
        assert_eq!(of("what is /tmp?"), None);
        assert_eq!(of("//etc"), None);
        assert_eq!(of(" /reset "), Some(Ok(Command::Reset)));
        assert_eq!(of("/save  a file "), Some(Ok(Command::Save("a file".into()))));
        for (line, words) in
            [("/save", "name of a file"), ("/reset x", "\"x\""), ("/", "no command /"), ("/tmp/x", "/tmp/x")]
        {
            let error = Command::of(line).expect(line).expect_err(line);
            assert!(error.message().contains(words) && error.advice().is_some(), "{error}");
        }
    }
}
