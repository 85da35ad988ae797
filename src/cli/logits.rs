//! `logits`: the logits of given token ids, in a file.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Instant;

use clap::Args;
use pollster::block_on;
use polysketch::files::{atomic_write, check_room};
use polysketch::model::tensor_file::read_tensors;
use polysketch::model::{Model, Session};
use polysketch::{Error, ErrorKind, Result};
use serde_json::json;

use super::failure::{Outcome, catch_interrupt, interrupted, tell};
use super::input::waiting;
use super::options::{Common, ModelOptions};
use super::output::{bytes, check_place, plural, print_json, rate, seconds};
use super::progress::{Progress, Unit};

/// What `logits` takes.
#[derive(Debug, Args)]
pub struct Options {
    #[command(flatten)]
    model: ModelOptions,
    /// File with the tensor `tokens`, i32 [B, n]; -: stdin
    #[arg(long, value_name = "FILE.safetensors")]
    tokens: PathBuf,
    /// File to write, with the tensor `logits`, f32 [B, n, V]; -: stdout
    #[arg(long, value_name = "FILE.safetensors")]
    out: PathBuf,
}

/// Numbers of the result that are in memory at a time.
const MOST_AT_ONCE: usize = 4 << 20;

/// Runs the command.
pub fn run(common: &Common, options: &Options) -> Outcome {
    let tokens = Tokens::read(common, &options.tokens)?;
    check_place(common, &options.out)?;
    let model = super::model::load(common, &options.model)?;
    let v = model.config().vocab_size;
    tokens.check(v)?;
    let Tokens { ids, batch, n, .. } = tokens;
    let size = (ids.len() as u64).saturating_mul(v as u64).saturating_mul(4);
    check_room(&options.out, size, size)?;
    catch_interrupt();
    let mut session = super::generate::start(common, &model)?;
    let bar = Progress::bar(common, "computing", ids.len() as u64, Unit::Tokens);
    let began = Instant::now();
    // Errors of the model travel beside those of the file.
    let mut failed = None;
    let written = atomic_write(&options.out, |w| {
        header(w, [batch, n, v])?;
        rows(&model, &mut session, &ids, n, &mut |done, logits| {
            bar.set(done);
            w.write_all(bytemuck::cast_slice(logits))
        })
        .map_err(|e| match e {
            Failed::Write(e) => e,
            Failed::Model(e) => {
                failed = Some(e);
                io::Error::other("the model failed")
            }
        })
    });
    drop(bar);
    if let Some(error) = failed {
        return Err(error.into());
    }
    written?;
    let took = began.elapsed().as_secs_f64();
    if common.json {
        return print_json(&json!({
            "device": model.executor().name(), "out": options.out.display().to_string(), "shape": [batch, n, v], "bytes": size,
            "seconds": took,
        }));
    }
    if common.talks() {
        tell(format_args!("{}: logits f32 [{batch}, {n}, {v}], {}", options.out.display(), bytes(size)));
        tell(format_args!(
            "{} in {}, {} tokens/s on {}",
            plural(ids.len(), "token"),
            seconds(took),
            rate(ids.len(), took),
            model.executor().name()
        ));
    }
    Ok(())
}

/// The tensor `tokens` of a file.
pub struct Tokens {
    label: String,
    /// [B, n]
    pub ids: Vec<u32>,
    /// B.
    pub batch: usize,
    /// n.
    pub n: usize,
}

impl Tokens {
    /// Reads it.
    pub fn read(common: &Common, path: &Path) -> Result<Self> {
        let file = waiting(common, path, "tokens", || read_tensors(path))?;
        let label = file.label().to_string();
        // Names what is missing, or of another type.
        let ids = file.i64("tokens")?;
        match file.shape("tokens") {
            Some(&[batch, n]) if !ids.is_empty() => Ok(Self { ids: file.u32("tokens")?, batch, n, label }),
            other => Err(Error::new(
                ErrorKind::Input,
                format!("{label}: tensor tokens has shape {:?}", other.unwrap_or_default()),
            )
            .help("it must be [B, n], with at least one sequence of at least one token")),
        }
    }

    /// Refuses ids that a vocabulary of `v` does not have.
    pub fn check(&self, v: usize) -> Result<()> {
        let Some(i) = self.ids.iter().position(|id| *id as usize >= v) else { return Ok(()) };
        let message = format!(
            "{}: token {} of sequence {} has id {}, the vocabulary has {v}",
            self.label,
            i % self.n,
            i / self.n,
            self.ids[i]
        );
        Err(Error::new(ErrorKind::Input, message).help("use ids of this model's own tokenizer"))
    }
}

enum Failed {
    Model(Error),
    Write(io::Error),
}

/// Hands out the logits of all tokens in order, a part of a sequence at a time.
fn rows(
    model: &Model,
    session: &mut Session,
    ids: &[u32],
    n: usize,
    write: &mut dyn FnMut(usize, &[f32]) -> io::Result<()>,
) -> Result<(), Failed> {
    let part = model.blueprint().capacity.tokens.min(MOST_AT_ONCE / model.config().vocab_size).max(1);
    let (mut done, total) = (0, ids.len());
    for sequence in ids.chunks(n) {
        session.reset(0);
        for ids in sequence.chunks(part) {
            if interrupted() {
                return Err(Failed::Model(Error::new(
                    ErrorKind::Cancelled,
                    format!("interrupted after {done} of {total} tokens; nothing was written"),
                )));
            }
            let (logits, _) = block_on(session.forward(&[0], &[ids], false)).map_err(Failed::Model)?;
            done += ids.len();
            write(done, &logits).map_err(Failed::Write)?;
        }
    }
    Ok(())
}

/// The head of a `.safetensors` file with one tensor; its numbers follow, so that they need not all be in
/// memory.
fn header(w: &mut dyn Write, shape: [usize; 3]) -> io::Result<()> {
    let size = 4 * shape.iter().product::<usize>();
    let mut text =
        json!({ "logits": { "dtype": "F32", "shape": shape, "data_offsets": [0, size] } }).to_string();
    while !text.len().is_multiple_of(8) {
        text.push(' ');
    }
    w.write_all(&(text.len() as u64).to_le_bytes())?;
    w.write_all(text.as_bytes())
}
