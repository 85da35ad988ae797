//! What a line means: a message, or a command that begins with `/`.

use std::path::PathBuf;

use polysketch::{Error, ErrorKind, Result};

/// What a line means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Something for the model.
    Say(String),
    /// Nothing.
    Nothing,
    /// The conversation begins anew.
    Reset,
    /// It begins anew, and the model is told this before; nothing: no such thing.
    System(Option<String>),
    /// It is written to a file.
    Save(PathBuf),
    /// Another goes on.
    Load(PathBuf),
    /// The commands are listed.
    Help,
    /// The program ends.
    Quit,
}

/// The commands, for people.
pub const HELP: &str = "\
/reset          begin anew
/system [TEXT]  begin anew, and tell the model this before
/save FILE      write the conversation and its state to a file
/load FILE      go on with a conversation that was saved
/quit           end, as Ctrl-D does
//TEXT          a message that begins with a slash
Ctrl-C ends an answer. A line that ends in \\ goes on in the next.";

impl Command {
    /// Reads a line.
    ///
    /// # Errors
    /// [`ErrorKind::Input`] for a command that is not known, or lacks something.
    pub fn parse(line: &str) -> Result<Self> {
        if line.trim().is_empty() {
            return Ok(Self::Nothing);
        }
        let Some(rest) = line.strip_prefix('/') else { return Ok(Self::Say(line.into())) };
        if rest.starts_with('/') {
            return Ok(Self::Say(rest.into()));
        }
        let (name, argument) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
        let argument = argument.trim();
        let file =
            || match argument {
                "" => Err(Error::new(ErrorKind::Input, format!("/{name} needs a file"))
                    .help(format!("/{name} FILE"))),
                path => Ok(PathBuf::from(path)),
            };
        Ok(match name {
            "reset" => Self::Reset,
            "system" => Self::System((!argument.is_empty()).then(|| argument.into())),
            "save" => Self::Save(file()?),
            "load" => Self::Load(file()?),
            "help" | "?" => Self::Help,
            "quit" | "exit" | "bye" => Self::Quit,
            _ => {
                return Err(Error::new(ErrorKind::Input, format!("there is no command /{name}"))
                    .help("/help lists the commands; a message that begins with a slash begins with two"));
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines() {
        let read = |line: &str| Command::parse(line).ok();
        assert_eq!(read("hello /x"), Some(Command::Say("hello /x".into())));
        assert_eq!(read("  indented"), Some(Command::Say("  indented".into())));
        assert_eq!(read("//etc"), Some(Command::Say("/etc".into())));
        assert_eq!((read(""), read(" \t")), (Some(Command::Nothing), Some(Command::Nothing)));
        assert_eq!(read("/save a b"), Some(Command::Save("a b".into())));
        assert_eq!(read("/system"), Some(Command::System(None)));
        assert_eq!(read("/system  Be brief. "), Some(Command::System(Some("Be brief.".into()))));
        assert_eq!((read("/reset"), read("/exit")), (Some(Command::Reset), Some(Command::Quit)));
        assert_eq!((read("/save"), read("/fly")), (None, None));
    }
}
