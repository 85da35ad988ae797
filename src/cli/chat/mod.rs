//! `chat`: a conversation in the terminal, on one text of a session, of which only new tokens are read.
//!
//! | file | what |
//! |---|---|
//! | `mod.rs` | the options, a turn, what was said |
//! | `command.rs` | what begins with `/` |
//! | `lines.rs` | where lines come from: an editor, or stdin |

mod command;
mod lines;

use std::io::{IsTerminal as _, stdout};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::Instant;

use clap::Args;
use pollster::block_on;
use polysketch::files::{Whole, atomic_write, check_room, is_standard, read_text, source_name};
use polysketch::model::{
    ChatTemplate, Conversation, GenerateOptions, Generated, Generation, Model, Session, StopReason,
    read_state,
};
use polysketch::{Error, ErrorKind, Result};
use serde_json::json;

use self::command::Command;
use self::lines::Lines;
use super::escapes::unescape;
use super::failure::{Outcome, Stop, interrupted, tell, warn};
use super::generate::{reason, start};
use super::input::waiting;
use super::options::{Common, ModelOptions, count};
use super::output::{bytes, check_place, plural, print, print_json, print_text, rate};
use super::progress::{Progress, Unit};
use super::sampling::Sampling;
use super::signals;

/// What `chat` takes.
#[derive(Debug, Args)]
pub struct Options {
    #[command(flatten)]
    model: ModelOptions,
    /// What the model is told before the conversation; \n and the like stand for their characters [default:
    /// what its template says]
    #[arg(long, value_name = "TEXT")]
    system: Option<String>,
    /// Most tokens of an answer
    #[arg(long, short = 'n', value_name = "N", default_value = "4k", value_parser = count)]
    max_tokens: usize,
    /// How the model writes a conversation down, a Jinja template [default: the model's own]
    #[arg(long, value_name = "FILE")]
    chat_template: Option<PathBuf>,
    /// Go on with a conversation that --state-out or /save saved
    #[arg(long, value_name = "FILE")]
    state_in: Option<PathBuf>,
    /// Save the conversation at the end, to be gone on with
    #[arg(long, value_name = "FILE")]
    state_out: Option<PathBuf>,
    #[command(flatten)]
    sampling: Sampling,
}

/// A conversation that is going on.
struct Chat<'a> {
    common: &'a Common,
    session: Session,
    conversation: Conversation,
    /// What the model is told before.
    system: Option<String>,
    sampling: GenerateOptions,
    /// The seed of the first answer.
    seed: u64,
    answers: Vec<serde_json::Value>,
}

/// Runs the command.
pub fn run(common: &Common, options: &Options) -> Outcome {
    options.sampling.check()?;
    let system = options.system.as_deref().map(|text| unescape("--system", text)).transpose()?;
    let template = options.chat_template.as_deref();
    if template.is_some_and(is_standard) {
        return Err(Error::new(ErrorKind::Input, "--chat-template -: stdin is what is said to the model")
            .help("give the name of a file")
            .into());
    }
    let template = template.map(|path| Ok::<_, Error>((read_text(path, Whole::Settings)?, path)));
    let template = template.transpose()?;
    let state_in = options.state_in.as_deref();
    let state_in = state_in.map(|path| Ok::<_, Error>((read_state(path)?, path))).transpose()?;
    if let Some(path) = &options.state_out {
        place(common, "--state-out", path)?;
    }
    let model = super::model::load(common, &options.model)?;
    let template = match template {
        Some((text, path)) => model.conventions().other_template(&text, &source_name(path))?,
        None => own_template(&model)?,
    };
    // A penalty would make the marks of a turn less likely from turn to turn.
    let usual = GenerateOptions {
        max_tokens: options.max_tokens,
        repetition_penalty: Some(1.0),
        ..GenerateOptions::default()
    };
    let sampling = options.sampling.over(&model.conventions().sampling, usual);
    sampling.check()?;
    let session = start(common, &model)?;
    let conversation = Conversation::new(template, system.as_deref());
    let seed = sampling.seed;
    let mut chat =
        Chat { common, session, conversation, system: system.clone(), sampling, seed, answers: Vec::new() };
    if let Some((bytes, path)) = state_in {
        chat.load(&bytes, &source_name(path))?;
        if system.is_some() && chat.conversation.system() != system.as_deref() && common.talks() {
            warn("--system: the conversation goes on with what it began with, until /reset");
        }
    }
    signals::catch_turns();
    let mut lines = Lines::open(common.talks())?;
    if common.talks() {
        tell(opening(&common.named(&options.model), &model, lines.typed));
    }
    let outcome = chat.talk(&mut lines);
    if common.json {
        chat.print(&common.named(&options.model))?;
    }
    if let Some(path) = &options.state_out
        && !chat.conversation.messages().is_empty()
    {
        chat.save(path)?;
        if common.talks() {
            tell(format_args!("saved in {}", path.display()));
        }
    }
    outcome
}

fn own_template(model: &Model) -> Result<ChatTemplate> {
    model.conventions().template().cloned().map_err(|error| {
        Error::new(error.kind(), error.message())
            .help("continue texts with generate, or give a template with --chat-template FILE")
    })
}

/// Refuses a path that no conversation can be saved in.
fn place(common: &Common, option: &str, path: &Path) -> Result<()> {
    if is_standard(path) {
        return Err(Error::new(ErrorKind::Input, format!("{option} -: stdout takes the answers"))
            .help("give the name of a file"));
    }
    check_place(common, path)
}

/// What ends a conversation.
enum Bound {
    Cache,
    Positions,
}

/// Most tokens of a conversation, and what has no room for more.
fn bound(model: &Model) -> Option<(usize, Bound)> {
    let positions = model.config().learned_positions;
    let bounds = [(model.blueprint().build.context, Bound::Cache), (positions, Bound::Positions)];
    bounds.into_iter().filter(|(most, _)| *most > 0).min_by_key(|(most, _)| *most)
}

fn opening(name: &str, model: &Model, typed: bool) -> String {
    let length = match bound(model) {
        Some((most, Bound::Cache)) => format!("its key-value cache holds {}", plural(most, "token")),
        Some((most, Bound::Positions)) => format!("it has learned {}", plural(most, "position")),
        None => "its state is the same at any length".into(),
    };
    let help =
        if typed { "\nCtrl-C ends an answer, Ctrl-D the conversation; /help tells more\n" } else { "" };
    format!("{name} on {}; {length}{help}", model.executor().name())
}

impl Chat<'_> {
    /// Takes lines until there are no more.
    fn talk(&mut self, lines: &mut Lines) -> Outcome {
        while let Some(line) = lines.next()? {
            let done = match Command::of(&line) {
                None if line.trim().is_empty() => Ok(()),
                None => self.turn(line.strip_prefix('/').filter(|l| l.starts_with('/')).unwrap_or(&line)),
                Some(Ok(Command::Quit)) => break,
                Some(command) => command.and_then(|command| self.command(&command)).map_err(Stop::from),
            };
            // A person says it in another way; a program is to learn that something is missing.
            match done {
                Err(Stop::Failed(error)) if lines.typed && mendable(&error) => complain(&error),
                done => done?,
            }
            signals::take_interrupt();
            if signals::ending() {
                break;
            }
        }
        Ok(())
    }

    /// What was said, as JSON.
    fn print(&self, model: &str) -> Outcome {
        print_json(&json!({
            "model": model,
            "device": self.session.model().executor().name(),
            "messages": self.conversation.messages(),
            "answers": self.answers,
            "seed": self.seed,
            "position": self.session.position(0),
            "state_bytes": self.session.state_bytes(),
        }))
    }

    fn command(&mut self, command: &Command) -> Result<()> {
        let told = match command {
            Command::Help => command::HELP.to_string(),
            Command::Reset => {
                self.session.reset(0);
                let kept = self.conversation.system().map(String::from);
                self.conversation.reset(self.system.clone().or(kept).as_deref());
                "a new conversation".into()
            }
            Command::Save(path) => {
                place(self.common, "/save", path)?;
                format!("saved in {}: {}", path.display(), bytes(self.save(path)?))
            }
            Command::Load(path) => {
                let file = waiting(self.common, path, "the conversation", || read_state(path))?;
                self.load(&file, &source_name(path))?;
                let n = self.conversation.messages().len();
                format!("{}, {}", plural(n, "message"), plural(self.session.position(0), "token"))
            }
            Command::Quit => String::new(),
        };
        if self.common.talks() {
            tell(told);
        }
        Ok(())
    }

    fn save(&mut self, path: &Path) -> Result<u64> {
        let size = self.session.saved_bytes(self.session.position(0)) as u64;
        check_room(path, size, size)?;
        let bytes = block_on(self.conversation.save(&mut self.session, 0))?;
        atomic_write(path, |w| w.write_all(&bytes))?;
        Ok(bytes.len() as u64)
    }

    fn load(&mut self, bytes: &[u8], label: &str) -> Result<()> {
        block_on(self.conversation.load(&mut self.session, 0, bytes, label))
    }

    /// A question and its answer.
    fn turn(&mut self, question: &str) -> Outcome {
        let began = Instant::now();
        let read = match self.read(question) {
            Ok(read) => read,
            Err(error) if error.kind() == ErrorKind::Cancelled => return Ok(()),
            Err(error) => return Err(self.with_help(&error).into()),
        };
        let first = began.elapsed().as_secs_f64();
        let (mut done, outcome) = self.answer();
        let took = began.elapsed().as_secs_f64() - first;
        let rest = self.conversation.answered(&mut self.session, 0, &mut done)?;
        if !self.common.json {
            print_text(&rest)?;
            print("\n")?;
        }
        outcome?;
        let n = done.ids.len();
        if self.common.talks() {
            let why = match done.reason {
                StopReason::MaxTokens if self.session.room(0) == Some(0) => {
                    match bound(self.session.model()) {
                        Some((_, Bound::Positions)) => {
                            "; that is all that the model can read: /reset begins anew"
                        }
                        _ => {
                            "; the key-value cache is full: /reset begins anew, --max-context makes it larger"
                        }
                    }
                }
                StopReason::MaxTokens => "; --max-tokens reached",
                StopReason::Cancelled => "; interrupted",
                _ => "",
            };
            let position = plural(self.session.position(0), "token");
            let (reading, writing) = (rate(read, first), rate(n, took));
            tell(format_args!(
                "[read {read} at {reading} tokens/s, wrote {n} at {writing}; {position} so far{why}]"
            ));
        }
        self.answers.push(json!({
            "ids": done.ids,
            "stop_reason": reason(done.reason),
            "prompt_tokens": read,
            "prefill_seconds": first,
            "decode_seconds": took,
        }));
        Ok(())
    }

    /// The errors of a long conversation, with the way out of it.
    fn with_help(&self, error: &Error) -> Error {
        let text = Error::new(error.kind(), error.message());
        match (error.kind(), error.advice()) {
            (ErrorKind::Limit, _) => text.help(match bound(self.session.model()) {
                Some((_, Bound::Positions)) => "/reset begins a new conversation",
                _ => "/reset begins a new conversation; --max-context makes the cache larger",
            }),
            (_, Some(advice)) => text.help(advice),
            _ => text,
        }
    }

    /// Reads a question; returns its tokens, with what is read again.
    fn read(&mut self, question: &str) -> Result<usize> {
        let reading = self.conversation.ask(&mut self.session, 0, question)?;
        if reading.afresh && self.common.talks() {
            tell("the template writes the conversation differently by now: all of it is read again");
        }
        let n = reading.ids.len();
        let bar = Progress::bar(self.common, "reading", n as u64, Unit::Tokens);
        let go_on = |done| {
            bar.set(done);
            if interrupted() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        let mut go_on = go_on;
        let read = block_on(self.session.prefill(0, &reading.ids, &mut go_on));
        if read.is_err() {
            self.conversation.take_back();
        }
        read.map(|()| n)
    }

    /// Writes the answer and streams it.
    fn answer(&mut self) -> (Generated, Outcome) {
        let room = self.session.room(0).unwrap_or(usize::MAX);
        let options =
            GenerateOptions { max_tokens: self.sampling.max_tokens.min(room), ..self.sampling.clone() };
        // The next answer draws other numbers.
        self.sampling.seed = self.sampling.seed.wrapping_add(1);
        let none = || Generated { text: String::new(), ids: Vec::new(), reason: StopReason::Cancelled };
        let mut generation = match Generation::new(self.session.model(), 0, &options) {
            Ok(generation) => generation,
            Err(error) => return (none(), Err(error.into())),
        };
        let bar = (!stdout().is_terminal()).then(|| Progress::spinner(self.common, "writing"));
        let mut outcome = Ok(());
        let ran = block_on(generation.run(&mut self.session, &mut |piece| {
            if !self.common.json {
                outcome = print_text(piece);
            }
            if outcome.is_err() || interrupted() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        }));
        drop(bar);
        (generation.finish(), ran.map_err(Stop::from).and(outcome))
    }
}

/// Whether a conversation can go on after an error.
fn mendable(error: &Error) -> bool {
    use ErrorKind::{Config, Input, Io, Limit, ModelFormat, State};
    matches!(error.kind(), Input | Limit | Io | State | Config | ModelFormat)
}

/// Tells what went wrong, and goes on.
fn complain(error: &Error) {
    warn(&match error.advice() {
        Some(help) => format!("{}; {help}", error.message()),
        None => error.message().to_string(),
    });
}
