//! `linearize`: a softmax model's attention made linear, as an adapter beside its file (SPEC §10).

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::Instant;

use clap::Args;
use pollster::block_on;
use polysketch::files::{cache_dir, create_folders};
use polysketch::model::Adapter;
use polysketch::model::adapter::ADAPTER;
use polysketch::model::config::Linearized;
use polysketch::train::linearize::run::{Event, Rhythm, Run};
use polysketch::train::linearize::texts::Texts;
use polysketch::train::linearize::{Transfer, TransferSettings};
use polysketch::{Error, ErrorKind, Result};
use serde_json::json;

use super::failure::{Outcome, catch_interrupt, interrupted, tell};
use super::model;
use super::options::{Common, ModelName, count, natural};
use super::output::{plural, print, print_json, seconds, thousands};
use super::progress::{Progress, Unit};

/// What `linearize` takes. A run that goes on in its folder is given the same options.
#[derive(Debug, Args)]
pub struct Options {
    /// The softmax model: a folder, a .gguf file, or hf:OWNER/NAME[@REVISION][:FILE.gguf]
    #[arg(long, value_name = "MODEL")]
    teacher: ModelName,
    /// Texts to learn from, UTF-8, each file as often as any other
    #[arg(long, value_name = "FILE", num_args = 1.., required = true)]
    data: Vec<PathBuf>,
    /// Texts to be judged by
    #[arg(long, value_name = "FILE", num_args = 1.., required = true)]
    held_out: Vec<PathBuf>,
    /// Folder to write: adapter.safetensors, train.jsonl, and what the run goes on from
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Begin from the students of this adapter, near blocks apart, instead of from one text
    #[arg(long, value_name = "FILE")]
    begin: Option<PathBuf>,
    /// Steps in all; 0: the adapter as it begins
    #[arg(long, value_name = "N", default_value = "100", value_parser = natural)]
    steps: usize,
    /// Texts of a step
    #[arg(long, value_name = "N", default_value = "2", value_parser = count)]
    batch: usize,
    /// Tokens of a text
    #[arg(long, value_name = "N", default_value = "2k", value_parser = count)]
    context: usize,
    /// Largest learning rate
    #[arg(long, value_name = "X", default_value_t = 0.01)]
    lr: f64,
    /// Decides all that is random
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
    /// Blocks that a query sees exactly, its own among them
    #[arg(long, value_name = "N", default_value = "2", value_parser = count, help_heading = "The student")]
    near: usize,
    /// Layers that see more blocks exactly, as LAYER,LAYER,…=BLOCKS
    #[arg(long, value_name = "LAYERS=BLOCKS", value_parser = long, help_heading = "The student")]
    long: Vec<Long>,
    /// Tokens of a block
    #[arg(long, value_name = "N", default_value = "128", value_parser = count, help_heading = "The student")]
    block: usize,
    /// First tokens of a text that every query sees exactly
    #[arg(long, value_name = "N", default_value = "4", value_parser = natural, help_heading = "The student")]
    sinks: usize,
    /// Outputs of a sketch
    #[arg(long, value_name = "R", default_value = "16", value_parser = count, help_heading = "The student")]
    sketch: usize,
    /// Hidden units of a sketch
    #[arg(long, value_name = "N", default_value = "64", value_parser = count, help_heading = "The student")]
    hidden: usize,
    /// Steps between evaluations
    #[arg(long, value_name = "N", default_value = "20", value_parser = count, help_heading = "The run")]
    eval_every: usize,
    /// Steps between saved states
    #[arg(long, value_name = "N", default_value = "10", value_parser = count, help_heading = "The run")]
    save_every: usize,
    /// End after so many steps of this part of the run; the next one goes on
    #[arg(long, value_name = "N", value_parser = count, help_heading = "The run")]
    stop_after: Option<usize>,
}

/// Layers and their near blocks.
#[derive(Clone, Debug)]
struct Long(Vec<usize>, usize);

fn long(text: &str) -> std::result::Result<Long, String> {
    let wrong = || "must be layers and blocks, such as 7,18=16".to_string();
    let (layers, blocks) = text.split_once('=').ok_or_else(wrong)?;
    let layers: std::result::Result<Vec<usize>, _> = layers.split(',').map(str::parse).collect();
    Ok(Long(layers.map_err(|_| wrong())?, count(blocks)?))
}

impl Options {
    fn settings(&self, layers: usize) -> Result<TransferSettings> {
        let mut near = vec![self.near; layers];
        for Long(which, blocks) in &self.long {
            for &layer in which {
                let Some(near) = near.get_mut(layer) else {
                    let text =
                        format!("--long names layer {layer} of a model of {}", plural(layers, "layer"));
                    return Err(Error::new(ErrorKind::Input, text).help("layers are counted from 0"));
                };
                *near = *blocks;
            }
        }
        let linearized = Linearized {
            block_size: self.block,
            near,
            sinks: self.sinks,
            sketch: self.sketch,
            hidden: self.hidden,
            ..Linearized::usual(layers)
        };
        let steps = self.steps as u64;
        let (context, batch, lr, seed) = (self.context, self.batch, self.lr, self.seed);
        Ok(TransferSettings { linearized, context, batch, steps, lr, warmup: 10, seed })
    }
}

/// Runs the command.
pub fn run(common: &Common, options: &Options) -> Outcome {
    let place = model::place(common, Some(&options.teacher))?;
    if let Some(path) = &place.adapter {
        let text = format!("--adapter {}: the teacher is a model without one", path.display());
        return Err(Error::new(ErrorKind::Input, text)
            .help("leave it out; --begin FILE goes on from one")
            .into());
    }
    let begin = options.begin.as_deref().map(|path| match path.is_dir() {
        true => Adapter::open(&path.join(ADAPTER)),
        false => Adapter::open(path),
    });
    let begin = begin.transpose()?;
    let teacher = model::open(&place)?;
    let settings = options.settings(teacher.config.num_hidden_layers)?;
    settings.check()?;
    settings.check_student(&teacher.config)?;
    if options.out.is_file() {
        let text = format!("--out {}: is a file", options.out.display());
        return Err(Error::new(ErrorKind::Input, text).help("give the name of a folder").into());
    }
    let found = Run::found(&options.out)?;
    let first = found.as_ref().map_or(0, |(_, step, _)| *step);
    let fingerprint = block_on(teacher.fingerprint())?;
    let texts = |paths: &[PathBuf], window: usize| {
        let bar = Progress::bar(common, "cutting into tokens", 0, Unit::Bytes);
        let cache = cache_dir().map(|folder| folder.join("tokens"));
        Texts::open(&teacher, fingerprint, paths, window, cache.as_deref(), &mut |done, total| {
            bar.total(total as u64);
            bar.set(done);
        })
    };
    let (training, held_out) = (texts(&options.data, settings.context)?, texts(&options.held_out, 2)?);
    create_folders(&options.out)?;
    let engine = model::engine(common)?;
    let name = options.teacher.name();
    let layers = teacher.config.num_hidden_layers;
    if common.talks() {
        let tokens = thousands(settings.tokens(settings.steps));
        tell(format!("{name}: {layers} layers learn from themselves, {tokens} tokens, on {}", engine.name()));
    }
    let mut transfer = {
        let _spinner = Progress::spinner(common, "loading the teacher");
        block_on(Transfer::new(&engine, teacher, &settings))?
    };
    catch_interrupt();
    let command = command();
    let run = Run { out: options.out.clone(), settings, command, begin };
    let rhythm = Rhythm { evaluate: options.eval_every as u64, save: options.save_every as u64 };
    let began = Instant::now();
    let last = options.stop_after.map_or(u64::MAX, |steps| first + steps as u64);
    let mut result = Vec::new();
    let step = block_on(run.run(&mut transfer, [&training, &held_out], rhythm, &mut |event| {
        match event {
            Event::Step(step, layers, _) => {
                if common.talks() {
                    tell(format!("step {step}: error {}", described(layers)));
                }
                if interrupted() || step >= last {
                    return ControlFlow::Break(());
                }
            }
            Event::Evaluation(step, layers) => {
                result = layers.to_vec();
                if common.talks() {
                    tell(format!("step {step}: held out {}", described(layers)));
                }
            }
            Event::Saved(_) => {}
        }
        ControlFlow::Continue(())
    }))?;
    let tokens = run.settings.tokens(step - first);
    let time = began.elapsed().as_secs_f64();
    if common.json {
        let speed = tokens as f64 / time;
        return print_json(&json!({ "step": step, "steps": run.settings.steps, "held_out_layers": result,
            "tokens_per_second": speed, "out": options.out.display().to_string() }));
    }
    print(&format!(
        "step {step} of {}, {} tokens in {}, {:.0} tokens/s\n",
        run.settings.steps,
        thousands(tokens),
        seconds(time),
        tokens as f64 / time
    ))
}

/// Mean and worst relative L2.
fn described(layers: &[f64]) -> String {
    let mean = layers.iter().sum::<f64>() / layers.len().max(1) as f64;
    let worst = (0..layers.len()).max_by(|a, b| layers[*a].total_cmp(&layers[*b])).unwrap_or(0);
    format!("{mean:.4}, worst {:.3} in layer {worst}", layers.get(worst).copied().unwrap_or(0.0))
}

/// The command as it was given, with the program's own name, and files without their folders: an adapter goes
/// elsewhere.
fn command() -> String {
    let given = std::env::args_os().skip(1).map(|text| {
        let name = Path::new(&text).file_name().unwrap_or(&text).to_string_lossy().into_owned();
        if name.contains(' ') { format!("'{name}'") } else { name }
    });
    std::iter::once("polysketch".to_string()).chain(given).collect::<Vec<_>>().join(" ")
}
