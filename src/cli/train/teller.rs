//! What is said on stderr while a model is trained.

use std::ops::ControlFlow;
use std::path::Path;
use std::time::{Duration, Instant};

use polysketch::train::Settings;
use polysketch::train::checkpoints::DRAWING;
use polysketch::train::log::{Curves, Log};
use polysketch::train::run::Event;

use super::loss_curve;
use crate::cli::failure::{interrupted, tell, warn};
use crate::cli::options::Common;
use crate::cli::output::{bytes, rate, thousands};
use crate::cli::progress::{Progress, Unit};

/// Shows on stderr what happens, and keeps the drawing up to date.
pub struct Teller<'a> {
    common: &'a Common,
    settings: &'a Settings,
    out: &'a Path,
    name: &'a str,
    /// What is trained on what.
    about: String,
    bar: Progress,
    /// Step and time of the last word, for the speed since.
    spoke: (u64, Instant),
    warned: bool,
}

impl<'a> Teller<'a> {
    pub fn new(
        common: &'a Common,
        settings: &'a Settings,
        out: &'a Path,
        name: &'a str,
        about: String,
        first: u64,
    ) -> Self {
        let bar = Progress::bar(common, "compiling shaders", settings.steps, Unit::Steps);
        bar.begin_at(first);
        Self { common, settings, out, name, about, bar, spoke: (first, Instant::now()), warned: false }
    }

    pub fn tell(&mut self, event: &Event<'_>) -> ControlFlow<()> {
        match event {
            Event::Started(memory) => {
                self.spoke.1 = Instant::now();
                self.bar.begin_at(self.spoke.0);
                self.line(&self.about);
                self.line(&format!(
                    "memory: weights {}, gradients and moments {}, state {}, scratch {}",
                    bytes(memory.weights),
                    bytes(memory.optimizer),
                    bytes(memory.state),
                    bytes(memory.activations)
                ));
            }
            Event::Step(step, _) => self.step(step.step, step.loss),
            Event::Evaluation(step, result) => {
                let accuracy = result
                    .accuracy
                    .map(|part| format!(", {:.1}% of the answers right", 100.0 * part))
                    .unwrap_or_default();
                self.line(&format!("step {}: evaluation {:.4}{accuracy}", thousands(*step), result.loss));
            }
            Event::Saved(path) => {
                log::debug!("saved {}", path.display());
                self.draw();
            }
            _ => {}
        }
        if interrupted() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }

    fn step(&mut self, step: u64, loss: f64) {
        /// Time over which the speed is told.
        const PAUSE: Duration = Duration::from_secs(10);
        self.bar.set(step as usize);
        let (before, at) = self.spoke;
        let passed = at.elapsed();
        let speed = rate(self.settings.tokens(step - before) as usize, passed.as_secs_f64());
        self.bar.say(&format!("loss {loss:.4}, {speed} tokens/s"));
        if passed > PAUSE {
            self.spoke = (step, Instant::now());
        }
    }

    fn line(&self, text: &str) {
        if self.common.talks() {
            self.bar.suspend(|| tell(text));
        }
    }

    pub fn draw(&mut self) {
        let drawn = if self.out.join(Log::NAME).exists() {
            Curves::read(self.out)
                .and_then(|curves| loss_curve::draw(&self.out.join(DRAWING), &curves, self.name))
        } else {
            Ok(())
        };
        // A run need not end for its drawing.
        if let Err(error) = drawn
            && self.common.talks()
            && !self.warned
        {
            self.warned = true;
            self.bar.suspend(|| warn(error.message()));
        }
    }
}
