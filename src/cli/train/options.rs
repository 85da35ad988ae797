//! What `train` takes: options, settings, where a run starts.

use std::path::{Path, PathBuf};

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{ArgGroup, Args};
use polysketch::files::{Whole, is_standard, read_text, source_name};
use polysketch::graph::Recompute;
use polysketch::model::{ModelConfig, ModelSource};
use polysketch::train::Settings;
use polysketch::train::checkpoints::Checkpoints;
use polysketch::train::corpus::Vocabulary;
use polysketch::train::initial::new_model;
use polysketch::train::run::Start;
use polysketch::train::schedule::Decay;
use polysketch::train::settings::TaskSettings;
use polysketch::train::tasks::TaskKind;
use polysketch::{Error, ErrorKind, Result};
use serde::Serialize;

use crate::cli::failure::warn;
use crate::cli::model;
use crate::cli::options::{Common, Gradients, ModelName, count, natural};

/// What `train` takes. Options are absent unless given, so that a run that goes on keeps its own.
#[derive(Debug, Args)]
#[command(group(ArgGroup::new("start").required(true).args(["config", "model", "resume"])))]
pub struct Options {
    /// A new model of this config.json; -: stdin
    #[arg(long, value_name = "CONFIG.json")]
    config: Option<PathBuf>,
    /// This model: a folder, or hf:OWNER/NAME[@REVISION]
    #[arg(long, value_name = "MODEL")]
    model: Option<ModelName>,
    /// The run in --out, from its newest checkpoint
    #[arg(long)]
    resume: bool,
    /// Folder to write: the model as it is now, checkpoints, train.jsonl, loss.svg
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// Texts to train on, UTF-8; `<|endoftext|>` separates documents; -: stdin
    #[arg(long, value_name = "FILE", num_args = 1.., conflicts_with = "task")]
    #[arg(required_unless_present_any = ["task", "resume"])]
    data: Option<Vec<PathBuf>>,
    /// tokenizer.json, or a folder with one [default: the model's, or plain bytes]
    #[arg(long, value_name = "FILE", conflicts_with_all = ["task", "resume"])]
    tokenizer: Option<PathBuf>,
    #[command(flatten)]
    steps: Steps,
    #[command(flatten)]
    optimiser: Optimiser,
    #[command(flatten)]
    evaluation: EvaluationOptions,
    #[command(flatten)]
    output: OutputOptions,
    #[command(flatten)]
    task: TaskOptions,
    #[command(flatten)]
    gradients: Gradients,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Steps")]
struct Steps {
    /// Steps of the optimiser [default: 1000]
    #[arg(long, value_name = "N", value_parser = count)]
    steps: Option<usize>,
    /// Sequences computed at a time [default: 8]
    #[arg(long, value_name = "N", value_parser = count)]
    batch: Option<usize>,
    /// Times --batch sequences that make a step [default: 1]
    #[arg(long, value_name = "N", value_parser = count)]
    accumulate: Option<usize>,
    /// Tokens of a sequence [default: 256]
    #[arg(long, value_name = "N", value_parser = count)]
    context: Option<usize>,
    /// Seed of new weights and of the order of the data [default: 0]
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Optimiser (AdamW)")]
struct Optimiser {
    /// Largest learning rate [default: 0.001]
    #[arg(long, value_name = "RATE", allow_negative_numbers = true)]
    lr: Option<f64>,
    /// Learning rate of the last step [default: a tenth of --lr]
    #[arg(long, value_name = "RATE", allow_negative_numbers = true)]
    min_lr: Option<f64>,
    /// How it falls after the warm-up [default: cosine]
    #[arg(long, value_name = "CURVE", value_parser = decay())]
    schedule: Option<Decay>,
    /// Steps in which it rises [default: a tenth of the steps, at most 200]
    #[arg(long, value_name = "N", value_parser = natural)]
    warmup: Option<usize>,
    /// Decay of matrices a step, times the learning rate [default: 0.1]
    #[arg(long, value_name = "X", allow_negative_numbers = true)]
    weight_decay: Option<f64>,
    /// Decay of the second moment [default: 0.95]
    #[arg(long, value_name = "X", allow_negative_numbers = true)]
    beta2: Option<f64>,
    /// Largest norm of the gradient, which is scaled down to it; 0: any [default: 1]
    #[arg(long, value_name = "NORM", allow_negative_numbers = true)]
    clip: Option<f64>,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Evaluation")]
struct EvaluationOptions {
    /// Text that is not trained on, UTF-8; -: stdin
    #[arg(long, value_name = "FILE", conflicts_with = "task")]
    eval_data: Option<PathBuf>,
    /// Steps between evaluations; 0: only at the end [default: a tenth of the steps]
    #[arg(long, value_name = "N", value_parser = natural)]
    eval_every: Option<usize>,
    /// Tokens of an evaluation, the same ones each time [default: 16k]
    #[arg(long, value_name = "N", value_parser = count)]
    eval_tokens: Option<usize>,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Output")]
struct OutputOptions {
    /// Steps between checkpoints; 0: only at the end [default: a tenth of the steps]
    #[arg(long, value_name = "N", value_parser = natural)]
    save_every: Option<usize>,
    /// Checkpoints to keep [default: 3]
    #[arg(long, value_name = "N", value_parser = count)]
    keep: Option<usize>,
    /// Steps between lines of train.jsonl [default: 1]
    #[arg(long, value_name = "N", value_parser = count)]
    log_every: Option<usize>,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Synthetic tasks")]
struct TaskOptions {
    /// Train on a task instead of texts: selective copying, induction heads, multi-query associative recall
    #[arg(long, value_name = "TASK", value_parser = task())]
    task: Option<TaskKind>,
    /// Things to remember [default: as in the literature, 16, 1 and 8]
    #[arg(long, value_name = "N", value_parser = count, requires = "task")]
    items: Option<usize>,
    /// Tokens the task uses [default: the model's `vocab_size`]
    #[arg(long, value_name = "N", value_parser = count, requires = "task")]
    task_vocab: Option<usize>,
}

fn decay() -> impl TypedValueParser<Value = Decay> {
    PossibleValuesParser::new(["cosine", "linear", "constant"]).map(|word| match word.as_str() {
        "linear" => Decay::Linear,
        "constant" => Decay::Constant,
        _ => Decay::Cosine,
    })
}

fn task() -> impl TypedValueParser<Value = TaskKind> {
    PossibleValuesParser::new(TaskKind::ALL.map(TaskKind::as_str)).try_map(|word| word.parse::<TaskKind>())
}

/// The settings of the run that goes on, if one does.
#[derive(Clone, Copy)]
struct Recorded<'a>(Option<&'a Settings>);

impl Recorded<'_> {
    /// A setting that may change when a run goes on.
    fn free<T>(self, given: Option<T>, recorded: impl Fn(&Settings) -> T, default: impl FnOnce() -> T) -> T {
        given.or_else(|| self.0.map(recorded)).unwrap_or_else(default)
    }

    /// One that may not: the result would be that of no run.
    fn fixed<T: PartialEq + Serialize>(
        self,
        name: &str,
        given: Option<T>,
        recorded: impl Fn(&Settings) -> T,
        default: impl FnOnce() -> T,
    ) -> Result<T> {
        let text = |value: &T| serde_json::to_string(value).unwrap_or_default();
        match (given, self.0.map(recorded)) {
            (Some(given), Some(recorded)) if given != recorded => {
                let message =
                    format!("--{name} is {}, the run was started with {}", text(&given), text(&recorded));
                Err(Error::new(ErrorKind::Input, message)
                    .help("leave it out, or start a new run in another folder"))
            }
            (_, Some(recorded)) => Ok(recorded),
            (Some(given), None) => Ok(given),
            (None, None) => Ok(default()),
        }
    }
}

impl Options {
    /// The settings, from what is given, what was recorded and what is usual.
    fn settings(&self, recorded: Recorded<'_>, vocabulary: usize) -> Result<Settings> {
        let (s, o, e, w) = (&self.steps, &self.optimiser, &self.evaluation, &self.output);
        let number = |n: Option<usize>| n.map(|n| n as u64);
        let usual = Settings::default();
        let steps = recorded.free(number(s.steps), |r| r.steps, || usual.steps);
        let tenth = || (steps / 10).max(1);
        let lr = recorded.fixed("lr", o.lr, |r| r.lr, || usual.lr)?;
        Ok(Settings {
            steps,
            batch: recorded.fixed("batch", s.batch, |r| r.batch, || usual.batch)?,
            accumulate: recorded.fixed("accumulate", s.accumulate, |r| r.accumulate, || usual.accumulate)?,
            context: recorded.fixed("context", s.context, |r| r.context, || usual.context)?,
            lr,
            min_lr: recorded.fixed("min-lr", o.min_lr, |r| r.min_lr, || lr / 10.0)?,
            schedule: recorded.fixed("schedule", o.schedule, |r| r.schedule, || usual.schedule)?,
            warmup: recorded.fixed("warmup", number(o.warmup), |r| r.warmup, || (steps / 10).min(200))?,
            weight_decay: recorded.fixed(
                "weight-decay",
                o.weight_decay,
                |r| r.weight_decay,
                || usual.weight_decay,
            )?,
            beta1: recorded.free(None, |r| r.beta1, || usual.beta1),
            beta2: recorded.fixed("beta2", o.beta2, |r| r.beta2, || usual.beta2)?,
            eps: recorded.free(None, |r| r.eps, || usual.eps),
            clip: recorded.fixed("clip", o.clip, |r| r.clip, || usual.clip)?,
            seed: recorded.fixed("seed", s.seed, |r| r.seed, || usual.seed)?,
            segment: self.gradients.segment.or(recorded.0.and_then(|r| r.segment)),
            recompute: recorded.free(
                self.gradients.again.recompute.map(|what| what == Recompute::Sections),
                |r| r.recompute,
                || usual.recompute,
            ),
            data: recorded.free(self.data.clone(), |r| r.data.clone(), Vec::new),
            task: self.task(recorded, vocabulary)?,
            eval_data: e.eval_data.clone().or_else(|| recorded.0.and_then(|r| r.eval_data.clone())),
            eval_every: recorded.free(number(e.eval_every), |r| r.eval_every, tenth),
            eval_tokens: recorded.free(e.eval_tokens, |r| r.eval_tokens, || usual.eval_tokens),
            save_every: recorded.free(number(w.save_every), |r| r.save_every, tenth),
            keep: recorded.free(w.keep, |r| r.keep, || usual.keep),
            log_every: recorded.free(number(w.log_every), |r| r.log_every, || usual.log_every),
        })
    }

    fn task(&self, recorded: Recorded<'_>, vocabulary: usize) -> Result<Option<TaskSettings>> {
        let options = &self.task;
        let given = |kind| TaskSettings {
            kind,
            items: options.items.unwrap_or(kind.usual_items()),
            vocabulary: options.task_vocab.unwrap_or(vocabulary),
        };
        recorded.fixed("task", options.task.map(|kind| Some(given(kind))), |r| r.task, || None)
    }

    /// Where the run starts, and with which settings, in a folder that is now its own.
    pub fn start(&self, common: &Common) -> Result<(Start, Settings, Checkpoints)> {
        if is_standard(&self.out) {
            return Err(Error::new(ErrorKind::Input, "--out -: a run writes a folder, not stdout")
                .help("give the name of a folder"));
        }
        // What takes long comes first: it needs no folder.
        let place = model::place(common, self.model.as_ref())?;
        if let Some(adapter) = &place.adapter {
            let what =
                format!("--adapter {}: training begins from a model without one", source_name(adapter));
            return Err(Error::new(ErrorKind::Input, what).help("leave it out"));
        }
        let place = place.model;
        if let Some(file) = place.as_deref().filter(|place| place.is_file()) {
            let what = format!("{}: is a file, training starts from a model folder", source_name(file));
            return Err(Error::new(ErrorKind::Input, what)
                .help("give the folder that a GGUF file was made from: config.json, model.safetensors"));
        }
        let folder = Checkpoints::claim(&self.out)?;
        if self.resume {
            let start = Start::from(folder.newest()?);
            folder.check_own()?;
            let recorded = start.resumed.as_ref().map(|(_, progress)| &progress.settings);
            let settings = self.settings(Recorded(recorded), start.source.config.vocab_size)?;
            settings.check()?;
            if self.data.is_none() {
                settings.data.iter().try_for_each(|path| still_there(path, "--data"))?;
            }
            if self.evaluation.eval_data.is_none() {
                settings.eval_data.iter().try_for_each(|path| still_there(path, "--eval-data"))?;
            }
            return Ok((start, settings, folder));
        }
        folder.check_new()?;
        let given = self.tokenizer.as_deref().map(Vocabulary::open).transpose()?;
        let new = Recorded(None);
        let (source, vocabulary, settings) = if let Some(dir) = &place {
            let source = ModelSource::open(dir)?;
            let settings = self.settings(new, source.config.vocab_size)?;
            (source, given.map_or_else(|| Vocabulary::open(dir), Ok)?, settings)
        } else {
            let path = self.config.as_deref().unwrap_or(Path::new("config.json"));
            let (config, warnings) =
                ModelConfig::from_json(&read_text(path, Whole::Settings)?, &source_name(path))?;
            let settings = self.settings(new, config.vocab_size)?;
            settings.check()?;
            let vocabulary = given.unwrap_or_else(Vocabulary::bytes);
            let source = new_model(config, vocabulary.tokenizer.clone(), settings.seed)?;
            (ModelSource { warnings, ..source }, vocabulary, settings)
        };
        settings.check()?;
        let (mut source, mut vocabulary) = (source, vocabulary);
        for odd in vocabulary.settle_ends(&mut source.config) {
            if settings.task.is_none() && !source.warnings.contains(&odd) {
                source.warnings.push(odd);
            }
        }
        if common.talks() {
            source.warnings.iter().for_each(|text| warn(text));
        }
        Ok((Start { source, vocabulary, resumed: None }, settings, folder))
    }
}

/// Refuses a text of an earlier part of a run that cannot be read again: it is gone, or it came from a pipe.
fn still_there(path: &Path, option: &str) -> Result<()> {
    let why = match path.metadata() {
        _ if is_standard(path) => "it can be read only once".to_string(),
        Ok(m) if m.is_file() => return Ok(()),
        Ok(_) => "is no file that can be read again".to_string(),
        Err(e) => e.to_string(),
    };
    let what = format!("{}: the run was started with this text: {why}", source_name(path));
    Err(Error::new(ErrorKind::Input, what).help(format!("give it with {option}")))
}
