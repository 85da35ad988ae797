//! `tokenizer train`: a byte-level BPE from texts.

use std::path::PathBuf;
use std::time::Instant;

use clap::{Args, Subcommand};
use polysketch::files::atomic_write;
use polysketch::model::Tokenizer;
use polysketch::model::tokenizer_train::{TrainProgress, train};
use polysketch::{Error, ErrorKind, Result};
use serde_json::json;

use super::failure::{Outcome, catch_interrupt, tell, warn};
use super::input::read_text;
use super::options::{Common, count};
use super::output::{bytes, check_place, print_json, seconds, thousands};
use super::progress::{Progress, Unit};

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Train a byte-level BPE tokenizer
    Train(Train),
}

/// What `tokenizer train` takes.
#[derive(Debug, Args)]
pub struct Train {
    /// Text, UTF-8; `<|endoftext|>` separates documents. May be given several times; -: stdin
    #[arg(long, value_name = "FILE", required = true, num_args = 1..)]
    data: Vec<PathBuf>,
    /// Tokens, the 256 bytes and `<|endoftext|>` included
    #[arg(long, value_name = "N", value_parser = count)]
    vocab_size: usize,
    /// File to write; -: stdout
    #[arg(long, value_name = "tokenizer.json")]
    out: PathBuf,
}

/// Runs the command.
pub fn run(common: &Common, command: &Command) -> Outcome {
    let Command::Train(options) = command;
    check_place(common, &options.out)?;
    let texts =
        options.data.iter().map(|path| read_text(common, path, "a text")).collect::<Result<Vec<String>>>()?;
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let total: usize = texts.iter().map(|text| text.len()).sum();
    let began = Instant::now();
    let mut bar = Some(Progress::bar(common, "reading", total as u64, Unit::Bytes));
    let trained = train(&texts, options.vocab_size, &mut |progress| match (progress, &bar) {
        (TrainProgress::Reading { done, .. }, Some(bar)) => bar.set(done),
        // One bar ends before the next begins.
        (TrainProgress::Merging, _) => {
            bar = None;
            bar = Some(Progress::spinner(common, "choosing tokens"));
        }
        _ => {}
    })?;
    drop(bar);
    let rate = bytes_per_token(&trained.json, &texts)?;
    // From here on the file is written.
    catch_interrupt();
    atomic_write(&options.out, |w| w.write_all(trained.json.as_bytes()))?;
    let took = began.elapsed().as_secs_f64();
    if common.json {
        return print_json(&json!({
            "out": options.out.display().to_string(), "vocab_size": trained.vocab_size, "bytes_read": total,
            "bytes_per_token": rate,
            "warnings": trained.warnings, "seconds": took,
        }));
    }
    if common.talks() {
        trained.warnings.iter().for_each(|text| warn(text));
        let size = thousands(trained.vocab_size as u64);
        tell(format_args!(
            "{}: {size} tokens from {} of text in {}, {rate:.2} bytes a token",
            options.out.display(),
            bytes(total as u64),
            seconds(took)
        ));
    }
    Ok(())
}

/// How much text a token stands for, on the first mebibyte.
fn bytes_per_token(json: &str, texts: &[&str]) -> Result<f64> {
    let tokenizer = Tokenizer::from_json_bytes(json.as_bytes(), "the new tokenizer")?;
    let text = texts.iter().find(|text| !text.is_empty()).copied().unwrap_or_default();
    let end = (0..=text.len().min(1 << 20)).rev().find(|&at| text.is_char_boundary(at)).unwrap_or(0);
    let text = &text[..end];
    match tokenizer.encode(text)?.len() {
        0 => Err(Error::new(ErrorKind::Tokenizer, "the new tokenizer gives no tokens")),
        tokens => Ok(text.len() as f64 / tokens as f64),
    }
}
