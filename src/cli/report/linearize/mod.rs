//! `report linearize`: what a linearised model is worth beside its teacher.
//!
//! | file | what |
//! |---|---|
//! | `parts.rs` | the parts of the report, and the file that keeps them from run to run |
//! | `measure.rs` | what is not there yet is measured |
//! | `tables.rs` | the parts as text, and the plot |

mod measure;
mod parts;
mod tables;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Instant;

use clap::Args;
use pollster::block_on;
use polysketch::files::{FolderLock, Whole, read_bytes};
use polysketch::model::{ModelConfig, Tokenizer};
use polysketch::report::linearize::{LEAST_APART, PROMPTS};
use polysketch::{Error, ErrorKind, Result};
use xxhash_rust::xxh3::xxh3_64;

use super::folder::Folder;
use crate::cli::failure::{Outcome, catch_interrupt};
use crate::cli::input::read_text;
use crate::cli::model;
use crate::cli::options::{Common, ModelName, count, natural};
use crate::cli::output::{print, print_json};
use measure::Measure;
use parts::{LinearizeReport, NAME, Settings};

/// What `report linearize` takes.
#[derive(Debug, Args)]
pub struct Options {
    #[command(flatten)]
    folder: Folder,
    /// The softmax model; --adapter makes its student
    #[arg(long, value_name = "MODEL")]
    model: ModelName,
    /// Texts that neither was trained on, as NAME=FILE
    #[arg(long, value_name = "NAME=FILE", num_args = 1.., required = true, value_parser = text)]
    data: Vec<(String, PathBuf)>,
    /// Texts of each
    #[arg(long, value_name = "N", default_value = "3", value_parser = count)]
    texts: usize,
    /// Tokens of a text
    #[arg(long, value_name = "N", default_value = "2k", value_parser = count)]
    tokens: usize,
    /// Recall at these distances, in tokens
    #[arg(long, value_name = "N", num_args = 0.., default_values = ["256", "512", "1k", "2k"], value_parser = count)]
    recall: Vec<usize>,
    /// Numbers asked for at each distance
    #[arg(long, value_name = "N", default_value = "20", value_parser = count)]
    trials: usize,
    /// State and speed at these lengths, in tokens
    #[arg(long, value_name = "N", num_args = 0.., default_values = ["1k", "8k"], value_parser = count)]
    lengths: Vec<usize>,
    /// Prompts that both answer, of 20
    #[arg(long, value_name = "N", default_value = "20", value_parser = natural)]
    answers: usize,
}

fn text(given: &str) -> std::result::Result<(String, PathBuf), String> {
    let (name, path) = given.split_once('=').ok_or("must be a name and a file, such as novels=valid.txt")?;
    Ok((name.into(), path.into()))
}

impl Options {
    /// What is measured, but for what tells models, texts and devices apart.
    fn settings(&self, teacher: &ModelConfig) -> Settings {
        // Those that a quick look has no time for are left out.
        let quick = self.folder.quick;
        let few = |all: &[usize]| -> Vec<usize> {
            let mut all: Vec<usize> = all.iter().copied().filter(|n| !quick || *n <= 1024).collect();
            all.sort_unstable();
            all.dedup();
            all
        };
        let (texts, tokens, trials, prompts) = match quick {
            true => (1, self.tokens.min(512), self.trials.min(2), self.answers.min(1)),
            false => (self.texts, self.tokens, self.trials, self.answers.min(PROMPTS.len())),
        };
        let context = teacher.stated_context().and_then(|n| usize::try_from(n).ok());
        Settings {
            teacher: String::new(),
            adapter: String::new(),
            device: String::new(),
            context: context.or(teacher.longest_text()),
            data: Vec::new(),
            texts,
            tokens,
            distances: few(&self.recall),
            trials,
            lengths: few(&self.lengths),
            prompts,
        }
    }

    /// What need not wait until models are open.
    fn check(&self) -> Result<()> {
        if self.tokens < 2 {
            return Err(Error::new(ErrorKind::Input, "--tokens 1: the first token is not predicted")
                .help("use at least 2"));
        }
        let names: BTreeSet<&str> = self.data.iter().map(|(name, _)| name.as_str()).collect();
        if names.len() < self.data.len() || names.contains("") {
            return Err(Error::new(ErrorKind::Input, "--data: two texts of one name, or one without a name")
                .help("name each, as NAME=FILE"));
        }
        let mut lengths = self.lengths.clone();
        lengths.sort_unstable();
        lengths.dedup();
        if let Some(pair) = lengths.windows(2).find(|pair| pair[1] - pair[0] < LEAST_APART) {
            let text = format!("--lengths {} and {}: texts are written on between them", pair[0], pair[1]);
            return Err(Error::new(ErrorKind::Input, text)
                .help(format!("give lengths that grow by at least {LEAST_APART}")));
        }
        Ok(())
    }

    /// The tokens of the texts; the first one is long enough for recall and speed.
    fn read(&self, common: &Common, tokenizer: &Tokenizer, settings: &Settings) -> Result<Vec<Vec<u32>>> {
        let longest = settings.lengths.iter().chain(&settings.distances).copied().max().unwrap_or(0);
        let mut all = Vec::new();
        for (i, (_, path)) in self.data.iter().enumerate() {
            let ids = tokenizer.encode(&read_text(common, path, "text")?)?;
            let what =
                |needed: usize| format!("{}: has {} tokens, {needed} are needed", path.display(), ids.len());
            if ids.len() < settings.tokens {
                let text = what(settings.tokens);
                return Err(Error::new(ErrorKind::Input, text).help("use fewer --tokens"));
            }
            if i == 0 && ids.len() < longest {
                return Err(Error::new(ErrorKind::Input, what(longest))
                    .help("put a longer text first, or use smaller --lengths and --recall"));
            }
            all.push(ids);
        }
        Ok(all)
    }
}

/// Runs the command.
pub fn run(common: &Common, options: &Options) -> Outcome {
    let (folder, began) = (&options.folder, Instant::now());
    let place = model::place(common, Some(&options.model))?;
    let Some(adapter) = place.adapter.clone() else {
        let given = if common.adapter.is_empty() { "" } else { ", and no --adapter is a file" };
        let text = format!("report linearize compares a model with its student{given}");
        return Err(Error::new(ErrorKind::Input, text)
            .help("give what makes it linear: --adapter FILE")
            .into());
    };
    options.check()?;
    let student = model::open(&place)?;
    let teacher = model::open(&model::Place { adapter: None, ..place.clone() })?;
    let engine = model::engine(common)?;
    let mut settings = options.settings(&teacher.config);
    let texts = options.read(common, &student.tokenizer, &settings)?;
    let hash = |bytes: &[u8]| format!("{:016x}", xxh3_64(bytes));
    settings.teacher = format!("{:016x}", block_on(teacher.fingerprint())?);
    settings.adapter = hash(&read_bytes(&adapter, Whole::Content)?);
    settings.device = engine.name();
    let of_text =
        |((name, _), ids): (&(String, PathBuf), &Vec<u32>)| (name.clone(), hash(bytemuck::cast_slice(ids)));
    settings.data = options.data.iter().zip(&texts).map(of_text).collect();
    folder.prepare(common, NAME)?;
    let kept = folder.numbers(NAME);
    let _alone = kept.as_deref().and_then(Path::parent).map(FolderLock::take).transpose()?;
    let before = kept.as_deref().map(|path| LinearizeReport::found(path, &settings)).transpose()?.flatten();
    let names = [options.model.name(), adapter.display().to_string()];
    let kept = student.config.adapted().map(|l| l.kept()).unwrap_or_default();
    let report = before.unwrap_or_else(|| LinearizeReport::begin(names, kept, settings));
    let earlier = report.seconds;
    catch_interrupt();
    let mut measure = Measure { common, folder, place, adapter, engine, texts, report, earlier, began };
    measure.all()?;
    let report = measure.report;
    folder.write(common, NAME, &report, |path| report.draw(path))?;
    if common.json {
        return print_json(&report);
    }
    print(&(report.verdict().join("\n") + "\n"))
}
