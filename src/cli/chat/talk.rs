//! The conversation: questions, answers, files.

use std::io::{IsTerminal as _, stdout};
use std::ops::ControlFlow;
use std::path::Path;
use std::time::Instant;

use pollster::block_on;
use polysketch::files::{atomic_write, read_bytes};
use polysketch::model::{ChatTemplate, Conversation, GenerateOptions, Generated, Generation, Model, Session};
use polysketch::{ErrorKind, Result};
use serde_json::{Value, json};

use super::super::failure::{Outcome, tell};
use super::super::generate::{reason, why};
use super::super::options::Common;
use super::super::output::{bytes, plural, print, rate, seconds};
use super::super::progress::{Progress, Unit};
use super::super::signals::{catch_interrupt, interrupted, release_interrupt};

/// A conversation on a session.
pub struct Talk<'a> {
    common: &'a Common,
    model: &'a Model,
    session: Session,
    conversation: Conversation,
    /// What the model is told before, as the user wants it.
    system: Option<String>,
    sampling: GenerateOptions,
    /// The answers, for `--json`.
    answers: Vec<Value>,
}

impl<'a> Talk<'a> {
    /// Nothing is said yet.
    pub fn new(
        common: &'a Common,
        model: &'a Model,
        template: ChatTemplate,
        system: Option<&str>,
        sampling: GenerateOptions,
    ) -> Result<Self> {
        // Refused now, not when somebody has typed something.
        model.tokenizer()?;
        let _spinner = Progress::spinner(common, "compiling shaders");
        Ok(Self {
            common,
            model,
            session: block_on(Session::new(model))?,
            conversation: Conversation::new(template, system),
            system: system.map(Into::into),
            sampling,
            answers: Vec::new(),
        })
    }

    /// Whether anything was said.
    pub fn has_begun(&self) -> bool {
        self.conversation.messages().iter().any(|message| message.role == "assistant")
    }

    /// A question, and its answer as it comes. Ctrl-C ends the answer.
    pub fn say(&mut self, question: &str) -> Outcome {
        let reading = self.conversation.ask(&mut self.session, 0, question)?;
        if reading.afresh && self.common.talks() {
            tell("(the model's template writes what was said before otherwise: it is read again)");
        }
        catch_interrupt();
        let outcome = self.answer(&reading.ids);
        release_interrupt();
        outcome
    }

    fn answer(&mut self, ids: &[u32]) -> Outcome {
        let began = Instant::now();
        let bar = Progress::bar(self.common, "reading", ids.len() as u64, Unit::Tokens);
        let read = block_on(self.session.prefill(0, ids, &mut |done| {
            bar.set(done);
            if interrupted() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        }));
        drop(bar);
        if let Err(error) = read {
            self.conversation.take_back();
            if error.kind() == ErrorKind::Cancelled && interrupted() {
                if self.common.talks() {
                    tell("(interrupted; the message is taken back)");
                }
                return Ok(());
            }
            return Err(error.into());
        }
        let prefill = began.elapsed().as_secs_f64();
        let began = Instant::now();
        let mut outcome: Outcome = Ok(());
        let silent = self.common.json;
        let mut generation = Generation::new(self.model, 0, &self.sampling)?;
        let run = block_on(generation.run(&mut self.session, &mut |piece| {
            if !silent {
                outcome = print(piece);
            }
            if outcome.is_err() || interrupted() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        }));
        let decode = began.elapsed().as_secs_f64();
        // What was said before a fault was said.
        let mut done = generation.finish();
        if let Err(error) = &run
            && done.ids.is_empty()
        {
            self.conversation.take_back();
            return Err(error.clone().into());
        }
        let rest = self.conversation.answered(&mut self.session, 0, &mut done)?;
        if !silent && outcome.is_ok() {
            outcome = print(&(rest + "\n"));
        }
        outcome?;
        run?;
        self.tell_of(&done, ids.len(), prefill, decode);
        Ok(())
    }

    fn tell_of(&mut self, done: &Generated, read: usize, prefill: f64, decode: f64) {
        let (position, state) = (self.session.position(0), self.session.state_bytes());
        let written = done.ids.len();
        if self.common.json {
            self.answers.push(json!({
                "text": done.text,
                "ids": done.ids,
                "stop_reason": reason(done.reason),
                "prompt_tokens": read,
                "generated_tokens": written,
                "prefill_seconds": prefill,
                "decode_seconds": decode,
                "position": position,
            }));
        }
        if self.common.talks() {
            let gap = if stdout().is_terminal() { "\n" } else { "" };
            let growth = if self.model.attention().has_cache() { "" } else { ", the same at any length" };
            tell(format_args!(
                "({} read, {} tokens/s; {} written in {}, {} tokens/s; {}; state {} after {}{growth}){gap}",
                plural(read, "token"),
                rate(read, prefill),
                written,
                seconds(decode),
                rate(written, decode),
                why(done.reason),
                bytes(state as u64),
                plural(position, "token"),
            ));
        }
    }

    /// Begins anew.
    pub fn reset(&mut self) {
        self.conversation.reset(self.system.as_deref());
        self.note("a new conversation");
    }

    /// Begins anew with something else before.
    pub fn set_system(&mut self, system: Option<&str>) {
        self.system = system.map(Into::into);
        self.reset();
    }

    fn note(&self, what: &str) {
        if self.common.talks() {
            tell(format_args!("({what})"));
        }
    }

    /// Writes the conversation and its state to a file.
    pub fn save(&mut self, path: &Path) -> Result<()> {
        let bytes = block_on(self.conversation.save(&mut self.session, 0))?;
        atomic_write(path, |w| w.write_all(&bytes))?;
        self.note(&format!("saved in {}", path.display()));
        Ok(())
    }

    /// Goes on with a conversation that was saved.
    pub fn load(&mut self, path: &Path) -> Result<()> {
        let bytes = read_bytes(path)?;
        block_on(self.conversation.load(&mut self.session, 0, &bytes, &path.display().to_string()))?;
        self.system = self.conversation.system().map(Into::into);
        self.note(&format!("a conversation of {}", plural(self.conversation.messages().len(), "message")));
        Ok(())
    }

    /// All that was said.
    pub fn as_json(&self, name: &str) -> Value {
        json!({
            "model": name,
            "device": self.model.executor().name(),
            "seed": self.sampling.seed,
            "messages": self.conversation.messages(),
            "answers": self.answers,
        })
    }
}
