//! A continuation, one submission after the other. [`Session::generate`] runs it to its end; a caller with
//! other things to do in between (a page) runs it step by step.

use std::ops::ControlFlow;

use super::engine::Model;
use super::sampling::{GenerateOptions, Generated, StopReason};
use super::session::{Session, Unsaid};
use super::text_stream::{Seam, StopStrings, TextStream};
use super::tokenizer::Tokenizer;
use crate::error::Result;
use crate::exec::Executor;

/// A continuation of one text of a session.
#[derive(Debug)]
pub struct Generation {
    slot: usize,
    options: GenerateOptions,
    tokenizer: Tokenizer,
    stops: StopStrings,
    done: Generated,
    ended: bool,
    /// Tokens of the next submission, and of the largest.
    steps: [usize; 2],
}

impl Session {
    /// Continues a text. `on_text` gets the text piece by piece, always whole characters, and may stop it.
    /// The state then holds every token up to the one that ended generation. What the last tokens began, a
    /// character or a stop string, comes first when the text is continued, or from [`Session::finish_text`].
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
            tokenizer: tokenizer.clone(),
            stops: StopStrings::new(&options.stop)?,
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
        // The text stands in the session, not here: another generation goes on where this one ends.
        let Unsaid { last, held, owed } =
            session.slots.get(self.slot).map(|s| s.text.clone()).unwrap_or_default();
        let mut watch = Watch {
            stream: self.tokenizer.text_stream_from(Seam { begun: true, last, held }),
            stops: self.stops.clone(),
        };
        let mut out = Out { done: &mut self.done, on_text };
        let mut end = out.say(&owed);
        if end.is_none() {
            end = watch.text(None, &mut out);
        }
        if end.is_none() {
            let [steps, most] = self.steps;
            let steps = steps.min(self.options.max_tokens - out.done.ids.len());
            let ids = match session.decode(&[self.slot], &[&self.options], steps).await {
                Ok(mut ids) => ids.swap_remove(0),
                Err(error) => {
                    // What was said is not said again.
                    watch.leave(session, self.slot);
                    return Err(error);
                }
            };
            self.steps[0] = (self.steps[0] * 2).min(most);
            let mut kept = 0;
            while kept < ids.len() && end.is_none() {
                let id = ids[kept];
                kept += 1;
                out.done.ids.push(id);
                end = if self.tokenizer.ends().contains(&id) {
                    watch.end(&mut out);
                    Some(StopReason::EndOfText)
                } else {
                    watch.text(Some(id), &mut out)
                };
            }
            session.rewind(self.slot, ids.len() - kept)?;
        }
        watch.leave(session, self.slot);
        if let Some(reason) = end {
            (self.ended, self.done.reason) = (true, reason);
        }
        self.ended |= self.done.ids.len() >= self.options.max_tokens;
        Ok(())
    }
}

/// Where text goes.
struct Out<'a> {
    done: &'a mut Generated,
    on_text: &'a mut dyn FnMut(&str) -> ControlFlow<()>,
}

impl Out<'_> {
    fn say(&mut self, text: &str) -> Option<StopReason> {
        self.done.text.push_str(text);
        (!text.is_empty() && (self.on_text)(text).is_break()).then_some(StopReason::Cancelled)
    }
}

/// What stands between ids and text that is said.
struct Watch {
    stream: TextStream,
    stops: StopStrings,
}

impl Watch {
    /// Says what the next id completes, or what was complete before; tells why that was the last.
    fn text(&mut self, id: Option<u32>, out: &mut Out<'_>) -> Option<StopReason> {
        let text = match id {
            Some(id) => self.stream.push(id),
            None => self.stream.take(),
        };
        let (text, stopped) = self.stops.push(&text.unwrap_or_default());
        let end = out.say(&text);
        if stopped { Some(StopReason::StopString) } else { end }
    }

    /// Says everything: the text is at its end.
    fn end(&mut self, out: &mut Out<'_>) {
        let (text, stopped) = self.stops.push(&self.stream.finish().unwrap_or_default());
        let rest = if stopped { text } else { text + &self.stops.finish() };
        out.say(&rest);
    }

    /// Leaves what was held back in the session.
    fn leave(mut self, session: &mut Session, slot: usize) {
        if let Some(s) = session.slots.get_mut(slot) {
            let mut held = self.stops.finish().into_bytes();
            held.extend(self.stream.into_seam().held);
            (s.text.held, s.text.owed) = (held, String::new());
        }
    }
}
