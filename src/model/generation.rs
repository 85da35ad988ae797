//! A continuation, one submission after the other. [`Session::generate`] runs it to its end; a caller with
//! other things to do in between (a page) runs it step by step.

use std::ops::ControlFlow;

use super::engine::Model;
use super::sampling::{GenerateOptions, Generated, StopReason};
use super::session::Session;
use super::text_stream::{StopStrings, TextStream};
use crate::error::Result;
use crate::exec::Executor;

/// A continuation of one text of a session.
#[derive(Debug)]
pub struct Generation {
    slot: usize,
    options: GenerateOptions,
    stream: TextStream,
    stops: StopStrings,
    end_of_text: Option<u32>,
    done: Generated,
    ended: bool,
    /// Tokens of the next submission, and of the largest.
    steps: [usize; 2],
}

impl Session {
    /// Continues a text. `on_text` gets the text piece by piece, always whole characters, and may stop it.
    /// The state then holds every token up to the one that ended generation.
    ///
    /// # Errors
    /// As [`Generation::new`] and [`Session::decode`].
    pub async fn generate(
        &mut self,
        slot: usize,
        options: &GenerateOptions,
        on_text: &mut dyn FnMut(&str) -> ControlFlow<()>,
    ) -> Result<Generated> {
        let mut generation = Generation::new(&self.model, slot, options)?;
        generation.run(self, on_text).await?;
        Ok(generation.finish())
    }
}

impl Generation {
    /// Nothing runs yet.
    ///
    /// # Errors
    /// [`ErrorKind::Input`](crate::ErrorKind::Input) for options outside their range;
    /// [`ErrorKind::Tokenizer`](crate::ErrorKind::Tokenizer).
    pub fn new(model: &Model, slot: usize, options: &GenerateOptions) -> Result<Self> {
        options.check()?;
        let tokenizer = model.tokenizer()?;
        // The first submissions are short so that text appears at once; on the CPU there is nothing to wait
        // for.
        let most = if matches!(model.executor(), Executor::Gpu(_)) { 16 } else { 1 };
        Ok(Self {
            slot,
            options: options.clone(),
            stream: tokenizer.text_stream(),
            stops: StopStrings::new(&options.stop)?,
            end_of_text: tokenizer.end_of_text(),
            done: Generated { text: String::new(), ids: Vec::new(), reason: StopReason::MaxTokens },
            ended: options.max_tokens == 0,
            steps: [1, most],
        })
    }

    /// Whether it has ended.
    pub fn ended(&self) -> bool {
        self.ended
    }

    /// The result so far.
    pub fn done(&self) -> &Generated {
        &self.done
    }

    /// The result.
    pub fn finish(self) -> Generated {
        self.done
    }

    /// Runs submissions until it ends. `on_text` gets the text piece by piece, always whole characters, and
    /// may stop it.
    ///
    /// # Errors
    /// As [`Session::decode`].
    pub async fn run(
        &mut self,
        session: &mut Session,
        on_text: &mut dyn FnMut(&str) -> ControlFlow<()>,
    ) -> Result<()> {
        while !self.ended {
            self.advance(session, on_text).await?;
        }
        Ok(())
    }

    /// Runs one submission. `on_text` gets the text piece by piece, always whole characters, and may stop it.
    /// The session then holds every token up to the one that ended generation.
    ///
    /// # Errors
    /// As [`Session::decode`].
    pub async fn advance(
        &mut self,
        session: &mut Session,
        on_text: &mut dyn FnMut(&str) -> ControlFlow<()>,
    ) -> Result<()> {
        if self.ended {
            return Ok(());
        }
        let [steps, most] = self.steps;
        let steps = steps.min(self.options.max_tokens - self.done.ids.len());
        let ids = session.decode(&[self.slot], &[&self.options], steps).await?.swap_remove(0);
        self.steps[0] = (self.steps[0] * 2).min(most);
        let kept =
            ids.iter().position(|id| self.take(*id, on_text).is_break()).map_or(ids.len(), |last| last + 1);
        session.rewind(self.slot, ids.len() - kept)?;
        if self.done.ids.len() >= self.options.max_tokens {
            self.ended = true;
        }
        if self.ended && !matches!(self.done.reason, StopReason::StopString | StopReason::Cancelled) {
            let (text, stopped) = self.stops.push(&self.stream.finish().unwrap_or_default());
            let rest = if stopped { text } else { text + &self.stops.finish() };
            if !rest.is_empty() {
                self.done.text.push_str(&rest);
                let _ = on_text(&rest);
            }
        }
        Ok(())
    }

    /// The next token; a break if it is the last.
    fn take(&mut self, id: u32, on_text: &mut dyn FnMut(&str) -> ControlFlow<()>) -> ControlFlow<()> {
        let mut end = |reason| (self.ended, self.done.reason) = (true, reason);
        self.done.ids.push(id);
        if Some(id) == self.end_of_text {
            end(StopReason::EndOfText);
            return ControlFlow::Break(());
        }
        let (text, stopped) = self.stops.push(&self.stream.push(id).unwrap_or_default());
        self.done.text.push_str(&text);
        if stopped {
            end(StopReason::StopString);
        }
        if !text.is_empty() && on_text(&text).is_break() {
            end(StopReason::Cancelled);
        }
        if self.ended { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }
}
