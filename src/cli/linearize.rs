//! `linearize`: a softmax model's attention made linear, as an adapter beside its file (SPEC §10).

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::Instant;

use clap::{Args, ValueEnum};
use pollster::block_on;
use polysketch::files::{cache_dir, create_folders};
use polysketch::model::config::{Linearized, RopeWhere};
use polysketch::model::{Adapter, ModelConfig};
use polysketch::train::linearize::run::{Event, Rhythm, Run};
use polysketch::train::linearize::samples::{Wanted, samples};
use polysketch::train::linearize::texts::Texts;
use polysketch::train::linearize::{Beginning, Distance, Learning, LinearizeSettings, Stage};
use polysketch::{Error, ErrorKind, Result};
use serde_json::json;
use xxhash_rust::xxh3::xxh3_64;

use super::failure::{Outcome, catch_interrupt, interrupted, tell};
use super::model;
use super::options::{Again, Common, ModelName, adapter_file, count, natural};
use super::output::{plural, print, print_json, seconds, thousands};
use super::progress::{Progress, Unit};

/// What `linearize` takes. A run that goes on in its folder is given the same options.
#[derive(Debug, Args)]
pub struct Options {
    /// The softmax model: a folder, a .gguf file, or hf:OWNER/NAME[@REVISION][:FILE.gguf]
    #[arg(long, value_name = "MODEL")]
    teacher: ModelName,
    /// Texts to learn from, UTF-8, or .jsonl with the `messages` of a chat a line; each file as often as any other
    #[arg(long, value_name = "FILE", num_args = 1.., required_unless_present = "sample")]
    data: Vec<PathBuf>,
    /// Learn from so many texts, too, that the teacher writes itself before the first step
    #[arg(long, value_name = "TEXTS", value_parser = count)]
    sample: Option<usize>,
    /// Texts to be judged by
    #[arg(long, value_name = "FILE", num_args = 1.., required = true)]
    held_out: Vec<PathBuf>,
    /// Folder to write: adapter.safetensors, train.jsonl, and what the run goes on from
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Begin from the student of this adapter instead of from one text; logits always do
    #[arg(long, value_name = "FILE")]
    begin: Option<PathBuf>,
    /// Learn from the teacher's attention, layer by layer, or from its logits, as a whole
    #[arg(long, value_name = "STAGE", value_enum, default_value = "attention")]
    stage: StageName,
    /// Steps in all; 0: the adapter as it begins
    #[arg(long, value_name = "N", default_value = "100", value_parser = natural)]
    steps: usize,
    /// Texts of a step
    #[arg(long, value_name = "N", default_value = "2", value_parser = count)]
    batch: usize,
    /// Tokens of a text
    #[arg(long, value_name = "N", default_value = "2k", value_parser = count)]
    context: usize,
    /// Largest learning rate [default: 0.01, with --stage logits 0.0005]
    #[arg(long, value_name = "X")]
    lr: Option<f64>,
    /// Decides all that is random
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
    /// Blocks that a query sees exactly, its own among them [default: 2]
    #[arg(long, value_name = "N", value_parser = count, help_heading = "The student")]
    near: Option<usize>,
    /// Layers that see more blocks exactly, as LAYER,LAYER,…=BLOCKS
    #[arg(long, value_name = "LAYERS=BLOCKS", value_parser = long, help_heading = "The student")]
    long: Vec<Long>,
    /// Layers that stay as they are, as LAYER,LAYER,…: with them the memory of a text grows
    #[arg(long, value_name = "LAYERS", value_delimiter = ',', value_parser = natural, help_heading = "The student")]
    keep_softmax: Vec<usize>,
    /// Tokens of a block [default: 128]
    #[arg(long, value_name = "N", value_parser = count, help_heading = "The student")]
    block: Option<usize>,
    /// First tokens of a text that every query sees exactly [default: 4]
    #[arg(long, value_name = "N", value_parser = natural, help_heading = "The student")]
    sinks: Option<usize>,
    /// Tokens from which on the sinks are seen no further away, so that no distance is new to the model; 0: as far as
    /// they are [default: what the teacher was trained on]
    #[arg(long, value_name = "N", value_parser = natural, help_heading = "The student")]
    sink_reach: Option<usize>,
    /// Outputs of a sketch [default: 16]
    #[arg(long, value_name = "R", value_parser = count, help_heading = "The student")]
    sketch: Option<usize>,
    /// Hidden units of a sketch [default: 64]
    #[arg(long, value_name = "N", value_parser = count, help_heading = "The student")]
    hidden: Option<usize>,
    /// With --begin: the logit of every gate; what a far key weighs falls to a half in 0.69 e^X tokens [default: as
    /// they are there]
    #[arg(long, value_name = "X", value_parser = gate, allow_negative_numbers = true, help_heading = "The student")]
    gate: Option<f32>,
    /// With --stage logits: rank of what is added to q, k, v, gates and o [default: that of --begin, or 8]
    #[arg(long, value_name = "R", value_parser = count, help_heading = "The student")]
    rank: Option<usize>,
    /// Steps between evaluations
    #[arg(long, value_name = "N", default_value = "20", value_parser = count, help_heading = "The run")]
    eval_every: usize,
    /// Steps between saved states
    #[arg(long, value_name = "N", default_value = "10", value_parser = count, help_heading = "The run")]
    save_every: usize,
    /// End after so many steps of this part of the run; the next one goes on
    #[arg(long, value_name = "N", value_parser = count, help_heading = "The run")]
    stop_after: Option<usize>,
    #[command(flatten)]
    again: Again,
}

/// Layers and their near blocks.
#[derive(Clone, Debug)]
struct Long(Vec<usize>, usize);

fn gate(text: &str) -> std::result::Result<f32, String> {
    let wrong = || "must be a number from -15 to 15".to_string();
    text.parse().ok().filter(|x: &f32| x.abs() <= 15.0).ok_or_else(wrong)
}

fn long(text: &str) -> std::result::Result<Long, String> {
    let wrong = || "must be layers and blocks, such as 7,18=16".to_string();
    let (layers, blocks) = text.split_once('=').ok_or_else(wrong)?;
    let layers: std::result::Result<Vec<usize>, _> = layers.split(',').map(str::parse).collect();
    Ok(Long(layers.map_err(|_| wrong())?, count(blocks)?))
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum StageName {
    /// Relative L2 of each layer's output
    Attention,
    /// KL to its predictions
    Logits,
}

impl Options {
    /// `begin`: an adapter, and what tells its file from others.
    fn settings(&self, teacher: &ModelConfig, begin: Option<&(Adapter, u64)>) -> Result<LinearizeSettings> {
        let (stage, lr) = match self.stage {
            StageName::Attention => (Stage::Attention, self.lr.unwrap_or(0.01)),
            StageName::Logits => (Stage::Logits, self.lr.unwrap_or(0.0005)),
        };
        let linearized = match (stage, begin) {
            (Stage::Attention, _) => self.student(teacher)?,
            (Stage::Logits, Some((begin, _))) => self.same_student(begin)?,
            (Stage::Logits, None) => {
                let text = "--stage logits needs a student to begin from";
                return Err(Error::new(ErrorKind::Input, text)
                    .help("give --begin FILE, an adapter of --stage attention"));
            }
        };
        let steps = self.steps as u64;
        let (context, batch, seed) = (self.context, self.batch, self.seed);
        let begin = begin.map(|(_, adapter)| Beginning { adapter: *adapter, gate: self.gate });
        let (warmup, data) = (10, 0);
        Ok(LinearizeSettings { stage, linearized, context, batch, steps, lr, warmup, seed, data, begin })
    }

    /// The student that is asked for.
    fn student(&self, teacher: &ModelConfig) -> Result<Linearized> {
        let layers = teacher.num_hidden_layers;
        if self.rank.is_some() {
            let text = "--rank: stage attention adds nothing to projections";
            return Err(Error::new(ErrorKind::Input, text).help("leave it out, or learn with --stage logits"));
        }
        let usual = Linearized::usual(layers);
        let mut near = match self.near {
            Some(near) => vec![near; layers],
            None => usual.near,
        };
        let both = |layer: &&usize| self.long.iter().any(|Long(which, _)| which.contains(*layer));
        if let Some(layer) = self.keep_softmax.iter().find(both) {
            let text = format!("layer {layer}: --long and --keep-softmax");
            return Err(Error::new(ErrorKind::Input, text).help("a layer is one or the other"));
        }
        let long = self.long.iter().map(|Long(which, blocks)| ("--long", which, *blocks));
        for (option, which, blocks) in long.chain([("--keep-softmax", &self.keep_softmax, 0)]) {
            for &layer in which {
                let Some(near) = near.get_mut(layer) else {
                    let text =
                        format!("{option} names layer {layer} of a model of {}", plural(layers, "layer"));
                    return Err(Error::new(ErrorKind::Input, text).help("layers are counted from 0"));
                };
                *near = blocks;
            }
        }
        let mut student = Linearized {
            block_size: self.block.unwrap_or(usual.block_size),
            near,
            sinks: self.sinks.unwrap_or(usual.sinks),
            sink_reach: usual.sink_reach,
            sketch: self.sketch.unwrap_or(usual.sketch),
            hidden: self.hidden.unwrap_or(usual.hidden),
            turned: usual.turned,
            rank: 0,
        };
        let trained = teacher.stated_context().filter(|_| teacher.rope.where_ != RopeWhere::None);
        let usual = trained.map(|tokens| student.usual_reach(tokens));
        student.sink_reach = self.sink_reach.or(usual).unwrap_or(student.sink_reach);
        Ok(student)
    }

    /// The student of an adapter, with what is added to projections.
    fn same_student(&self, begin: &Adapter) -> Result<Linearized> {
        let given = [
            ("--near", self.near.is_some()),
            ("--long", !self.long.is_empty()),
            ("--keep-softmax", !self.keep_softmax.is_empty()),
            ("--block", self.block.is_some()),
            ("--sinks", self.sinks.is_some()),
            ("--sketch", self.sketch.is_some()),
            ("--hidden", self.hidden.is_some()),
        ];
        if let Some((name, _)) = given.iter().find(|(_, given)| *given) {
            let text = format!("{name}: with --stage logits the student is that of --begin");
            return Err(Error::new(ErrorKind::Input, text).help(
                "leave it out; --stage attention --steps 0 makes another student of the same sketches",
            ));
        }
        let before = begin.linearized.rank;
        let rank = match self.rank {
            Some(rank) if before > 0 && rank != before => {
                let text = format!("--rank {rank}: {} has rank {before}", begin.tensors.label());
                return Err(Error::new(ErrorKind::Input, text).help("leave it out"));
            }
            Some(rank) => rank,
            None if before > 0 => before,
            None => 8,
        };
        let sink_reach = self.sink_reach.unwrap_or(begin.linearized.sink_reach);
        Ok(Linearized { rank, sink_reach, ..begin.linearized.clone() })
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
    if options.gate.is_some() && options.begin.is_none() {
        let text = "--gate is of the student to begin from";
        return Err(Error::new(ErrorKind::Input, text).help("give --begin FILE, or leave it out").into());
    }
    let begin = options.begin.clone().map(|path| opened(&adapter_file(path))).transpose()?;
    let teacher = model::open(&place)?;
    teacher.check_softmax()?;
    let mut settings = options.settings(&teacher.config, begin.as_ref())?;
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
    let (mut training, held_out) = (texts(&options.data, settings.context)?, texts(&options.held_out, 2)?);
    create_folders(&options.out)?;
    let engine = model::engine(common)?;
    let name = options.teacher.name();
    catch_interrupt();
    if let Some(texts) = options.sample {
        // What can be refused is refused before hours of writing.
        if let Some((begin, _)) = &begin {
            begin.check_base(fingerprint, "the teacher", "begin from an adapter of this teacher")?;
        }
        if let Some((before, ..)) = &found {
            Run::check_same(&options.out, &LinearizeSettings { data: 0, ..before.clone() }, &settings)?;
        }
        let (tokens, seed) = (settings.context, settings.seed);
        let wanted = Wanted { teacher: fingerprint, texts, tokens, seed };
        let bar = Progress::bar(common, "the teacher writes", 0, Unit::Tokens);
        let mut tell = |done, all| {
            bar.total(all as u64);
            bar.set(done);
            if interrupted() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        let teacher = || model::open(&place);
        training.add(&block_on(samples(&engine, teacher, &options.out, wanted, &mut tell))?);
    }
    settings.data = training.hash();
    let layers = teacher.config.num_hidden_layers;
    if common.talks() {
        let tokens = thousands(settings.tokens(settings.steps));
        tell(format!("{name}: {layers} layers learn from themselves, {tokens} tokens, on {}", engine.name()));
    }
    let mut learning = {
        let _spinner = Progress::spinner(common, "loading the teacher");
        block_on(Learning::new(&engine, teacher, &settings, options.again.recompute.unwrap_or_default()))?
    };
    let command = command();
    let run = Run { out: options.out.clone(), settings, command, begin: begin.map(|(begin, _)| begin) };
    let rhythm = Rhythm { evaluate: options.eval_every as u64, save: options.save_every as u64 };
    let began = Instant::now();
    let last = options.stop_after.map_or(u64::MAX, |steps| first + steps as u64);
    let mut result = None;
    let step = block_on(run.run(&mut learning, [&training, &held_out], rhythm, &mut |event| {
        match event {
            Event::Step(step, distance, _) => {
                if common.talks() {
                    tell(format!("step {step}: {}", described(distance)));
                }
                if interrupted() || step >= last {
                    return ControlFlow::Break(());
                }
            }
            Event::Evaluation(step, distance) => {
                result = Some(distance.clone());
                if common.talks() {
                    tell(format!("step {step}: held out, {}", described(distance)));
                }
            }
            Event::Saved(_) => {}
        }
        ControlFlow::Continue(())
    }))?;
    let stopped = interrupted() && step < run.settings.steps;
    let tokens = run.settings.tokens(step - first);
    let time = began.elapsed().as_secs_f64();
    if common.json {
        let speed = tokens as f64 / time;
        let mut line = json!({ "step": step, "steps": run.settings.steps, "interrupted": stopped,
            "tokens_per_second": speed,
            "out": options.out.display().to_string() });
        match &result {
            Some(Distance::Layers(layers)) => line["held_out_layers"] = json!(layers),
            Some(Distance::Kl(kl)) => line["held_out_kl"] = json!(kl),
            None => {}
        }
        return print_json(&line);
    }
    let out = options.out.display();
    if tokens == 0 {
        return print(&format!(
            "step {step} of {}: nothing is left to do; {out} has its adapter\n",
            run.settings.steps
        ));
    }
    print(&format!(
        "step {step} of {}, {} tokens in {}, {:.0} tokens/s\n",
        run.settings.steps,
        thousands(tokens),
        seconds(time),
        tokens as f64 / time
    ))?;
    if common.talks() {
        match stopped {
            true => tell(format!("interrupted, saved in {out}; the same command goes on")),
            false => tell(format!("saved in {out}; try: polysketch chat --model {name} --adapter {out}")),
        }
    }
    Ok(())
}

/// An adapter, and what tells its file from others.
fn opened(path: &Path) -> Result<(Adapter, u64)> {
    let adapter = Adapter::open(path)?;
    let bytes = std::fs::read(path).map_err(|e| Error::io(path.display(), &e))?;
    Ok((adapter, xxh3_64(&bytes)))
}

/// Mean and worst relative L2, or KL.
fn described(distance: &Distance) -> String {
    let mean = distance.mean();
    let Some(layers) = distance.layers() else { return format!("KL {mean:.4}") };
    let worst = (0..layers.len()).max_by(|a, b| layers[*a].total_cmp(&layers[*b])).unwrap_or(0);
    format!("error {mean:.4}, worst {:.3} in layer {worst}", layers.get(worst).copied().unwrap_or(0.0))
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
