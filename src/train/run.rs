//! A whole run: trains, evaluates, logs and saves, from the first step or from a checkpoint. Prints nothing.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::Instant;

use super::batches::{FixedWindows, Sequences, Windows};
use super::checkpoints::{Checkpoints, Progress, Resumed, Snapshot};
use super::corpus::{Corpus, Vocabulary};
use super::evaluation::{Evaluation, EvaluationSet, evaluate};
use super::learner::Learner;
use super::log::{EvaluationLine, Log, StepLine};
use super::plan::LearnerMemory;
use super::settings::Settings;
use super::trainer::{Step, Trainer, diverged};
use crate::error::{Error, ErrorKind, Result};
use crate::exec::check_memory;
use crate::model::{Engine, ModelSource};

/// What a run trains on and measures itself by.
#[derive(Debug)]
pub struct Data {
    training: Box<dyn Sequences>,
    evaluation: Option<EvaluationSet>,
    hash: u64,
    /// Tokens of the texts to train on; none for a task.
    pub tokens: Option<usize>,
}

/// Where a run starts.
#[derive(Debug)]
pub struct Start {
    /// The model.
    pub source: ModelSource,
    /// Its tokenizer, with its file.
    pub vocabulary: Vocabulary,
    /// What the optimiser and the log need to go on.
    pub resumed: Option<(super::learner::NamedTensors, Progress)>,
}

/// What happens in a run.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event<'a> {
    /// The device is ready.
    Started(LearnerMemory),
    /// A step was done, so many seconds after the run began.
    Step(Step, f64),
    /// An evaluation after a step.
    Evaluation(u64, &'a Evaluation),
    /// A checkpoint was saved.
    Saved(&'a Path),
}

/// How a run ended.
#[derive(Debug)]
pub struct Finished {
    /// The last step.
    pub last: Option<Step>,
    /// The last evaluation.
    pub evaluation: Option<Evaluation>,
    /// The last checkpoint.
    pub checkpoint: Option<PathBuf>,
    /// Whether the caller ended it early.
    pub interrupted: bool,
    /// Time since the first step, over all its parts.
    pub seconds: f64,
}

impl Data {
    /// Reads the texts of a run, or prepares its task, for a model. `cache` is as for [`Corpus::read`].
    /// `progress` is told bytes done and bytes in all of the text that is being cut into tokens.
    ///
    /// # Errors
    /// [`ErrorKind::Tokenizer`] if the tokenizer does not fit the model; as [`Corpus::read`],
    /// [`Windows::new`] and [`Settings::tasks`].
    pub fn open(
        settings: &Settings,
        start: &Start,
        cache: Option<&Path>,
        progress: &mut dyn FnMut(usize, usize),
    ) -> Result<Self> {
        let vocabulary = start.source.config.vocab_size;
        if let Some([training, held_out]) = settings.tasks(vocabulary)? {
            let count = (settings.eval_tokens / settings.context).max(1);
            let evaluation = Some(EvaluationSet { data: Box::new(held_out), count, answers: true });
            return Ok(Self { training: Box::new(training), evaluation, hash: 0, tokens: None });
        }
        start.vocabulary.tokenizer.check_model(vocabulary)?;
        let corpus = Corpus::read(&settings.data, &start.vocabulary, cache, progress)?;
        let training = Windows::new(corpus.tokens.clone(), settings.context, settings.seed)
            .map_err(|e| in_files(e, &settings.data))?;
        let evaluation = settings.eval_data.as_ref().map(|path| -> Result<_> {
            let paths = [path.clone()];
            let corpus = Corpus::read(&paths, &start.vocabulary, cache, progress)?;
            let windows = FixedWindows::new(corpus.tokens, settings.context, settings.eval_tokens)
                .map_err(|e| in_files(e, &paths))?;
            Ok(EvaluationSet { count: windows.count(), data: Box::new(windows), answers: false })
        });
        let tokens = Some(corpus.tokens.len());
        Ok(Self {
            training: Box::new(training),
            evaluation: evaluation.transpose()?,
            hash: corpus.hash,
            tokens,
        })
    }
}

/// Whether something that happens every so many steps (0: never) happens now.
fn due(step: u64, every: u64) -> bool {
    every > 0 && step.is_multiple_of(every)
}

fn in_files(error: Error, paths: &[PathBuf]) -> Error {
    let names: Vec<String> = paths.iter().map(|path| path.display().to_string()).collect();
    let message = format!("{}: {}", names.join(", "), error.message());
    let named = Error::new(error.kind(), message);
    error.advice().map_or(named.clone(), |help| named.help(help))
}

impl From<Resumed> for Start {
    fn from(resumed: Resumed) -> Self {
        let Resumed { mut source, mut vocabulary, .. } = resumed;
        // What is odd about them was told when the run began.
        vocabulary.settle_ends(&mut source.config);
        Self { source, vocabulary, resumed: Some((resumed.moments, resumed.progress)) }
    }
}

/// Runs until the last step, or until `tell` says to stop after a step; then saves. The folder is claimed for
/// the run where the caller did not do so ([`Checkpoints::claim`]).
///
/// # Errors
/// [`ErrorKind::Numeric`] if training diverges, [`ErrorKind::Input`] if a run goes on with other data;
/// [`ErrorKind::Io`] if something cannot be written; those of the device. The message names the last checkpoint.
pub async fn run(
    engine: &Engine,
    settings: &Settings,
    start: Start,
    data: Data,
    mut checkpoints: Checkpoints,
    tell: &mut dyn FnMut(Event<'_>) -> ControlFlow<()>,
) -> Result<Finished> {
    settings.check()?;
    let Start { source, vocabulary, resumed } = start;
    let before = resumed.as_ref().map(|(_, progress)| progress);
    if before.is_some_and(|before| before.data_hash != format!("{:016x}", data.hash)) {
        return Err(Error::new(ErrorKind::Input, "the texts are not those that the run was started with")
            .help("give them with --data, or train from this model with --model and another --out"));
    }
    let (steps, earlier) = before.map_or((0, 0.0), |before| (before.step, before.seconds));
    if steps >= settings.steps {
        return Err(Error::new(
            ErrorKind::Input,
            format!("{}: is at step {steps} of {} already", checkpoints.out().display(), settings.steps),
        )
        .help("give a larger --steps to train on"));
    }
    // Tokens and targets of all that a step adds up.
    check_memory(
        &format!("a step of {} tokens", settings.tokens(1)),
        settings.tokens(1).saturating_mul(8),
        "use a smaller --batch, --accumulate or --context",
    )?;
    let mut learner = Learner::new(engine, &source, &settings.learner()).await?;
    checkpoints.prepare()?;
    checkpoints.check_room(&source.config, settings, steps)?;
    if let Some((moments, _)) = resumed {
        learner.restore_moments(moments).await?;
    }
    let mut run = Run {
        log: Log::open(checkpoints.out(), steps)?,
        // A checkpoint that there is already is the last good one until there is another.
        saved: checkpoints.list().pop().map(|(_, path)| path),
        checkpoints,
        settings,
        source: &source,
        vocabulary: &vocabulary,
        evaluation: data.evaluation,
        hash: data.hash,
        began: Instant::now(),
        earlier,
        result: None,
    };
    let _ = tell(Event::Started(learner.memory()));
    let mut trainer = Trainer::new(learner, settings.clone(), data.training, steps);
    let looped = run.steps(&mut trainer, tell).await;
    let (last, interrupted) = looped.map_err(|e| run.with_checkpoint(e))?;
    Ok(Finished {
        last,
        evaluation: run.result.take(),
        interrupted,
        seconds: run.seconds(),
        checkpoint: run.saved,
    })
}

struct Run<'a> {
    checkpoints: Checkpoints,
    log: Log,
    settings: &'a Settings,
    source: &'a ModelSource,
    vocabulary: &'a Vocabulary,
    evaluation: Option<EvaluationSet>,
    hash: u64,
    began: Instant,
    /// Seconds of the parts of the run before this one.
    earlier: f64,
    saved: Option<PathBuf>,
    result: Option<Evaluation>,
}

impl Run<'_> {
    fn seconds(&self) -> f64 {
        self.earlier + self.began.elapsed().as_secs_f64()
    }

    async fn steps(
        &mut self,
        trainer: &mut Trainer,
        tell: &mut dyn FnMut(Event<'_>) -> ControlFlow<()>,
    ) -> Result<(Option<Step>, bool)> {
        let settings = self.settings;
        let (mut last, mut interrupted) = (None, false);
        while trainer.steps() < settings.steps && !interrupted {
            let began = Instant::now();
            let done = trainer.step().await?;
            let step = done.step;
            let mut logged = Ok(());
            if due(step, settings.log_every) || step == settings.steps {
                logged = self.log.write(&StepLine {
                    step,
                    loss: done.loss,
                    lr: done.lr,
                    gradient_norm: done.gradient_norm,
                    tokens: settings.tokens(step),
                    tokens_per_second: settings.tokens(1) as f64 / began.elapsed().as_secs_f64().max(1e-9),
                    seconds: self.seconds(),
                });
            }
            if logged.is_err() {
                // What was learned need not be lost with its log.
                self.save(trainer, &done, tell).await?;
            }
            logged?;
            last = Some(done);
            interrupted = tell(Event::Step(done, self.seconds())).is_break() && step < settings.steps;
            if due(step, settings.eval_every) || step == settings.steps {
                self.evaluate(trainer, tell).await?;
            }
            if due(step, settings.save_every) || step == settings.steps || interrupted {
                self.save(trainer, &done, tell).await?;
            }
        }
        Ok((last, interrupted))
    }

    async fn evaluate(
        &mut self,
        trainer: &mut Trainer,
        tell: &mut dyn FnMut(Event<'_>) -> ControlFlow<()>,
    ) -> Result<()> {
        let Some(set) = &mut self.evaluation else { return Ok(()) };
        let result = evaluate(trainer.learner(), set, self.settings.batch).await?;
        let (step, seconds) = (trainer.steps(), self.seconds());
        let line = EvaluationLine {
            step,
            eval_loss: result.loss,
            eval_scored: result.scored,
            eval_accuracy: result.accuracy,
            seconds,
        };
        self.log.write(&line)?;
        let _ = tell(Event::Evaluation(step, &result));
        self.result = Some(result);
        Ok(())
    }

    async fn save(
        &mut self,
        trainer: &mut Trainer,
        last: &Step,
        tell: &mut dyn FnMut(Event<'_>) -> ControlFlow<()>,
    ) -> Result<()> {
        let learner = trainer.learner();
        let weights = learner.weights().await?;
        let bad = |(_, _, values): &&(String, Vec<usize>, Vec<f32>)| values.iter().any(|x| !x.is_finite());
        if let Some((name, ..)) = weights.iter().find(bad) {
            return Err(diverged(last.step, last.loss, &format!("{name} is no longer finite")));
        }
        let progress = Progress::new(last.step, self.seconds(), last.loss, self.hash, self.settings);
        let moments = learner.moments().await?;
        let (config, vocabulary) = (&self.source.config, self.vocabulary);
        let snapshot =
            Snapshot { config, vocabulary, weights: &weights, moments: &moments, progress: &progress };
        let path = self.checkpoints.save(&snapshot, self.settings.keep)?;
        let _ = tell(Event::Saved(&path));
        self.saved = Some(path);
        Ok(())
    }

    /// Whoever reads of a failure wants to know what is left.
    fn with_checkpoint(&self, error: Error) -> Error {
        let Some(path) = &self.saved else { return error };
        let named = Error::new(
            error.kind(),
            format!("{}; the last good checkpoint is {}", error.message(), path.display()),
        );
        match error.advice() {
            Some(help) => named.help(help),
            None => named.help("continue from it with --resume"),
        }
    }
}
