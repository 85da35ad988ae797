//! `chat`: a conversation in the terminal, or line by line.
//!
//! | file | what |
//! |---|---|
//! | `input` | lines that a person writes |
//! | `command` | what a line means |
//! | `talk` | the conversation: questions, answers, files |

mod command;
mod input;
mod talk;

use std::path::PathBuf;

use clap::Args;
use polysketch::ErrorKind;
use polysketch::files::{check_place, read_text};
use polysketch::model::GenerateOptions;

use super::failure::{Outcome, Stop, report, tell};
use super::options::{Common, ModelOptions, natural};
use super::output::print_json;
use super::sampling::Sampling;
use super::signals::catch_interrupt;
use command::{Command, HELP};
use input::{Input, Line};
use talk::Talk;

/// What `chat` takes.
#[derive(Debug, Args)]
pub struct Options {
    #[command(flatten)]
    model: ModelOptions,
    /// What the model is told before the conversation [default: what its template says]
    #[arg(long, value_name = "TEXT")]
    system: Option<String>,
    /// Chat template, Jinja as in Hugging Face's files [default: the model's]
    #[arg(long, value_name = "FILE")]
    template: Option<PathBuf>,
    /// Most tokens of an answer
    #[arg(long, short = 'n', value_name = "N", default_value = "1k", value_parser = natural)]
    max_tokens: usize,
    /// Go on with a conversation that /save or --state-out saved
    #[arg(long, value_name = "FILE", conflicts_with = "system")]
    state_in: Option<PathBuf>,
    /// Save the conversation and its state at the end
    #[arg(long, value_name = "FILE")]
    state_out: Option<PathBuf>,
    #[command(flatten)]
    sampling: Sampling,
}

/// Runs the command.
pub fn run(common: &Common, options: &Options) -> Outcome {
    options.sampling.check()?;
    let template =
        options.template.as_deref().map(|path| Ok::<_, polysketch::Error>((read_text(path)?, path)));
    let template = template.transpose()?;
    options.state_out.as_deref().map(check_place).transpose()?;
    let model = super::model::load(common, &options.model)?;
    let conventions = model.conventions();
    let template = match template {
        Some((source, path)) => conventions.other_template(&source, &path.display().to_string())?,
        None => conventions.template()?.clone(),
    };
    // A chat ends its answers by tokens that occur in every one of them.
    let usual = GenerateOptions {
        max_tokens: options.max_tokens,
        repetition_penalty: Some(1.0),
        ..GenerateOptions::default()
    };
    let sampling = options.sampling.options(&conventions.sampling, usual)?;
    let mut talk = Talk::new(common, &model, template, options.system.as_deref(), sampling)?;
    if let Some(path) = &options.state_in {
        talk.load(path)?;
    }
    let mut input = Input::open()?;
    if input.is_terminal() && common.talks() {
        tell(format_args!(
            "{} on {}. /help lists commands, Ctrl-D ends.",
            options.model.name(),
            model.executor().name()
        ));
    }
    let outcome = converse(common, &mut input, &mut talk);
    // Whatever happened, what was said so far is worth keeping.
    if let Some(path) = options.state_out.as_deref().filter(|_| talk.has_begun()) {
        catch_interrupt();
        talk.save(path)?;
    }
    outcome?;
    if common.json { print_json(&talk.as_json(&options.model.name())) } else { Ok(()) }
}

/// Line by line, to the end. On a terminal what fails is told, and the conversation goes on.
fn converse(common: &Common, input: &mut Input, talk: &mut Talk<'_>) -> Outcome {
    loop {
        let line = match input.next()? {
            Line::Text(line) => line,
            Line::Interrupt => {
                if common.talks() {
                    tell("(/quit or Ctrl-D ends)");
                }
                continue;
            }
            Line::End => return Ok(()),
        };
        match Command::parse(&line).map_err(Stop::from).and_then(|command| act(command, talk)) {
            Ok(true) => {}
            Ok(false) => return Ok(()),
            Err(Stop::Failed(error)) if input.is_terminal() && error.kind() != ErrorKind::DeviceLost => {
                report(&error)
            }
            Err(stop) => return Err(stop),
        }
    }
}

/// Does what a line means; tells whether more lines are wanted.
fn act(command: Command, talk: &mut Talk<'_>) -> Outcome<bool> {
    match command {
        Command::Nothing => {}
        Command::Quit => return Ok(false),
        Command::Help => tell(HELP),
        Command::Say(text) => talk.say(&text)?,
        Command::Reset => talk.reset(),
        Command::System(text) => talk.set_system(text.as_deref()),
        Command::Save(path) => talk.save(&path)?,
        Command::Load(path) => talk.load(&path)?,
    }
    Ok(true)
}
