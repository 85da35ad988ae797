//! What is not there yet is measured: a part after the other, each shown as soon as it is whole, and kept as
//! soon as a piece of it is.

use std::ops::ControlFlow;
use std::path::PathBuf;
use std::time::Instant;

use pollster::block_on;
use polysketch::model::{Adapter, Engine, LoadOptions, Model, ModelSource, Session};
use polysketch::report::linearize::{self, ASKING, PROMPTS, Trial};
use polysketch::train::linearize::layer_errors;
use polysketch::train::linearize::texts::windows;
use polysketch::{Error, ErrorKind, Result};

use super::parts::{Answers, LinearizeReport, NAME, Settings, Told};
use super::tables::{of_answers, show};
use crate::cli::failure::{Outcome, interrupted};
use crate::cli::model::{self, Place};
use crate::cli::options::Common;
use crate::cli::progress::{Progress, Unit};
use crate::cli::report::folder::Folder;

/// Most tokens of a text whose layers are compared: the plan takes it at once.
const LAYER_TOKENS: usize = 4096;
/// Texts of each kind whose layers are compared: as many as `linearize` is judged by.
const LAYER_TEXTS: usize = 2;
/// Tokens of an answer.
const ANSWER: usize = 80;
/// Tokens of a prompt, at most.
const PROMPT: usize = 432;
/// What models write at the end of a text whose cost is measured, with room to spare.
const WRITTEN: usize = 256;

/// Teacher, near keys alone, student.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Who {
    Teacher,
    Near,
    Student,
}

/// For what is not counted on the way.
fn go_on(_: usize) -> ControlFlow<()> {
    if interrupted() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
}

const WHO: [Who; 3] = [Who::Teacher, Who::Near, Who::Student];

/// A report that is being measured.
pub struct Measure<'a> {
    pub common: &'a Common,
    pub folder: &'a Folder,
    pub place: Place,
    pub adapter: PathBuf,
    pub engine: Engine,
    /// Tokens of each kind.
    pub texts: Vec<Vec<u32>>,
    pub report: LinearizeReport,
    /// Seconds of earlier runs.
    pub earlier: f64,
    pub began: Instant,
}

impl Measure<'_> {
    /// All parts.
    pub fn all(&mut self) -> Outcome {
        show(self.common, |_| self.report.title())?;
        self.layers()?;
        for kind in 0..self.report.kinds.len() {
            self.kind(kind)?;
        }
        if !self.report.settings.distances.is_empty() {
            self.recall()?;
        }
        if !self.report.settings.lengths.is_empty() {
            self.costs()?;
        }
        self.answers()
    }

    fn settings(&self) -> &Settings {
        &self.report.settings
    }

    /// Writes what there is to the file.
    fn keep(&mut self) -> Result<()> {
        self.report.seconds = self.earlier + self.began.elapsed().as_secs_f64();
        self.folder.keep(NAME, &self.report)
    }

    /// The end of a run that was stopped.
    fn stopped(&self) -> Error {
        let error = Error::new(ErrorKind::Cancelled, "interrupted");
        match self.folder.numbers(NAME) {
            Some(path) => {
                error.help(format!("{} has what was measured; the same command goes on", path.display()))
            }
            None => error.help("with --out DIR what was measured would be kept"),
        }
    }

    /// An error, or the end of a run that was stopped.
    fn of_stop(&self, e: Error) -> Error {
        if e.kind() == ErrorKind::Cancelled { self.stopped() } else { e }
    }

    fn source(&self, who: Who) -> Result<ModelSource> {
        let teacher = || model::open(&Place { adapter: None, ..self.place.clone() });
        match who {
            Who::Teacher => teacher(),
            Who::Student => model::open(&self.place),
            Who::Near => {
                let adapter = Adapter::open(&self.adapter)?;
                let silent = Adapter::silent(&adapter.linearized, adapter.base, &teacher()?)?;
                block_on(teacher()?.adapt(silent))
            }
        }
    }

    /// A model, for texts of so many tokens.
    fn load(&self, who: Who, max_context: usize) -> Result<Model> {
        let _spinner = Progress::spinner(self.common, "loading");
        let options = LoadOptions { max_context, ..LoadOptions::default() };
        block_on(self.engine.load(self.source(who)?, &options, &mut |_, _| {}))
    }

    fn layers(&mut self) -> Outcome {
        let settings = self.settings();
        let (tokens, count) = (settings.tokens.min(LAYER_TOKENS), settings.texts.min(LAYER_TEXTS));
        if self.report.layers.is_none() {
            let _spinner = Progress::spinner(self.common, "layers");
            let texts: Vec<Vec<u32>> =
                self.texts.iter().flat_map(|ids| windows(ids, count, tokens)).collect();
            let (teacher, adapter) = (self.source(Who::Teacher)?, Adapter::open(&self.adapter)?);
            let mut tell = go_on;
            let errors = layer_errors(&self.engine, teacher, &adapter, &texts, &mut tell);
            self.report.layers = Some(block_on(errors).map_err(|e| self.of_stop(e))?);
            self.keep()?;
        }
        let report = &self.report;
        let layers = report.layers.as_deref().unwrap_or_default();
        show(self.common, |columns| report.of_layers(layers, tokens, columns))
    }

    fn kind(&mut self, at: usize) -> Outcome {
        let (count, tokens, context) =
            (self.settings().texts, self.settings().tokens, self.settings().context);
        let context = context.unwrap_or(usize::MAX);
        let first = self.report.kinds[at].texts;
        if first < count {
            let mut models = Vec::new();
            for who in WHO {
                models.push(self.load(who, if who == Who::Teacher { tokens.min(context) } else { tokens })?);
            }
            let models: Vec<&Model> = models.iter().collect();
            let parts = windows(&self.texts[at], count, tokens);
            let bar = self.bar(&self.report.kinds[at].name, [first * tokens, count * tokens]);
            for (i, part) in parts.iter().enumerate().skip(first) {
                let kind = &mut self.report.kinds[at];
                let mut tell = |done: usize| {
                    bar.set(i * tokens + done);
                    go_on(done)
                };
                let read = linearize::predictions(&models, part, context, &mut kind.positions, &mut tell);
                block_on(read).map_err(|e| self.of_stop(e))?;
                self.report.kinds[at].texts = i + 1;
                self.keep()?;
            }
        }
        let report = &self.report;
        show(self.common, |columns| report.of_kind(&report.kinds[at], columns))
    }

    /// A bar from what is done already.
    fn bar(&self, what: &str, [done, all]: [usize; 2]) -> Progress {
        let bar = Progress::bar(self.common, what, all as u64, Unit::Tokens);
        bar.begin_at(done as u64);
        bar
    }

    fn recall(&mut self) -> Outcome {
        let of = self.settings().trials;
        let longest = |told: &Told| told.recall.last().map_or(0, |recall| recall.distance);
        let tokens = self.report.recall.iter().map(|told| [told.trials, of].map(|n| n * longest(told)));
        let mut done = tokens.clone().map(|[done, _]| done).sum::<usize>();
        let bar = self.bar("recall", [done, tokens.map(|[_, all]| all).sum()]);
        for (at, who) in WHO.into_iter().enumerate() {
            let (first, longest) = (self.report.recall[at].trials, longest(&self.report.recall[at]));
            if longest == 0 || first >= of {
                continue;
            }
            let model = self.load(who, longest + ASKING)?;
            let mut session = block_on(Session::new(&model))?;
            for number in first..of {
                if interrupted() {
                    return Err(self.stopped().into());
                }
                // A trial counts as a whole or not at all.
                let mut told = self.report.recall[at].recall.clone();
                let trial = Trial { number, of };
                block_on(linearize::recall(&mut session, &self.texts[0], trial, &mut told))?;
                let kept = &mut self.report.recall[at];
                (kept.recall, kept.trials) = (told, number + 1);
                self.keep()?;
                done += longest;
                bar.set(done);
            }
        }
        drop(bar);
        let report = &self.report;
        show(self.common, |columns| report.of_recall(columns))
    }

    fn costs(&mut self) -> Outcome {
        let lengths = self.settings().lengths.clone();
        let longest = lengths.last().copied().unwrap_or(0);
        for (at, who) in [Who::Teacher, Who::Student].into_iter().enumerate() {
            if self.report.costs[at].is_some() {
                continue;
            }
            let model = self.load(who, longest + WRITTEN)?;
            let _spinner = Progress::spinner(self.common, "state and speed");
            let mut tell = go_on;
            let costs = linearize::costs(&model, &self.texts[0], &lengths, &mut tell);
            self.report.costs[at] = Some(block_on(costs).map_err(|e| self.of_stop(e))?);
            self.keep()?;
        }
        let report = &self.report;
        show(self.common, |columns| report.of_costs(columns))
    }

    fn answers(&mut self) -> Outcome {
        let prompts = self.settings().prompts;
        for answers in self.report.answers.iter().take(prompts) {
            show(self.common, |columns| of_answers(answers, columns))?;
        }
        if self.report.answers.len() >= prompts {
            return Ok(());
        }
        let mut sessions = Vec::new();
        for who in [Who::Teacher, Who::Student] {
            sessions.push(block_on(Session::new(&self.load(who, PROMPT + ANSWER)?))?);
        }
        for prompt in PROMPTS.iter().take(prompts).skip(self.report.answers.len()) {
            let _spinner = Progress::spinner(self.common, "answers");
            let mut answers = [String::new(), String::new()];
            for (session, answer) in sessions.iter_mut().zip(&mut answers) {
                *answer = block_on(linearize::answer(session, prompt, ANSWER))?;
            }
            if interrupted() {
                return Err(self.stopped().into());
            }
            self.report.answers.push(Answers { prompt: (*prompt).into(), answers });
            self.keep()?;
            if let Some(answers) = self.report.answers.last() {
                show(self.common, |columns| of_answers(answers, columns))?;
            }
        }
        Ok(())
    }
}
