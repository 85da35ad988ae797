//! Texts that a teacher writes itself, so that no others are needed: chats where it has a template (it writes the question
//! too, as in Xu et al. 2024, Magpie), else whatever comes behind the head of a text.

use std::ops::ControlFlow;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::error::{Error, ErrorKind, Result};
use crate::files::{Whole, atomic_write, read_text};
use crate::model::{Engine, GenerateOptions, LoadOptions, Message, ModelSource, Session};

/// The file of a folder with what was written so far.
pub const SAMPLES: &str = "samples.jsonl";
/// Texts that are written side by side: on a CPU more are hardly faster, a GPU has room for these.
const SIDE_BY_SIDE: usize = 16;
/// What stands where a user writes, to find the place.
const QUESTION: &str = "\u{2042}";

/// The first line of the file: what its texts were written from.
#[derive(PartialEq, Serialize, Deserialize)]
struct Head {
    /// The teacher's fingerprint.
    teacher: String,
    tokens: usize,
    seed: u64,
}

/// A further line.
#[derive(Serialize, Deserialize)]
struct Sample {
    text: String,
    ids: Vec<u32>,
}

/// What to write.
#[derive(Clone, Copy, Debug)]
pub struct Wanted {
    /// Fingerprint of the teacher.
    pub teacher: u64,
    /// Texts.
    pub texts: usize,
    /// Tokens of each.
    pub tokens: usize,
    /// Decides what is drawn.
    pub seed: u64,
}

/// The texts of a folder, after those that are missing have been written; `tell` is told tokens written and in all, and
/// may stop it: then what is whole stays for the next time.
///
/// # Errors
/// [`ErrorKind::ModelFormat`] for a damaged file; [`ErrorKind::Input`] for one of another teacher, length or seed, and for
/// texts no longer than what each begins with; [`ErrorKind::Cancelled`]; those of the model and of files.
pub async fn samples(
    engine: &Engine,
    teacher: impl Fn() -> Result<ModelSource>,
    folder: &Path,
    wanted: Wanted,
    tell: &mut dyn FnMut(usize, usize) -> ControlFlow<()>,
) -> Result<Vec<Vec<u32>>> {
    let path = folder.join(SAMPLES);
    let own = Head { teacher: format!("{:016x}", wanted.teacher), tokens: wanted.tokens, seed: wanted.seed };
    let mut samples = if path.exists() { read(&path, &own)? } else { Vec::new() };
    if samples.len() < wanted.texts {
        let teacher = teacher()?;
        let head = head(&teacher)?;
        if head.len() >= wanted.tokens {
            let text = format!("texts of {} tokens, each begins with {}", wanted.tokens, head.len());
            return Err(Error::new(ErrorKind::Input, text).help("use a longer --context"));
        }
        let slots = SIDE_BY_SIDE.min(wanted.texts);
        let options = LoadOptions { slots, max_context: wanted.tokens, ..LoadOptions::default() };
        let model = engine.load(teacher, &options, &mut |_, _| {}).await?;
        let mut session = Session::new(&model).await?;
        while samples.len() < wanted.texts {
            let first = samples.len();
            let count = slots.min(wanted.texts - first);
            // A number of its own for each text: what is written does not depend on where a run stopped.
            let options = |text: usize| GenerateOptions {
                temperature: 1.0,
                top_k: 0,
                top_p: 1.0,
                min_p: 0.02,
                repetition_penalty: Some(1.0),
                seed: wanted.seed.wrapping_mul(1_000_003).wrapping_add(text as u64),
                ..GenerateOptions::default()
            };
            let options: Vec<GenerateOptions> = (first..first + count).map(options).collect();
            let options: Vec<&GenerateOptions> = options.iter().collect();
            let texts: Vec<usize> = (0..count).collect();
            let mut written = vec![head.clone(); count];
            for &slot in &texts {
                session.reset(slot);
                session.prefill(slot, &head, &mut |_| ControlFlow::Continue(())).await?;
            }
            while written[0].len() < wanted.tokens {
                let new = session.decode(&texts, &options, wanted.tokens - written[0].len()).await?;
                for (text, new) in written.iter_mut().zip(new) {
                    text.extend(new);
                }
                let done = (first * wanted.tokens) + written.iter().map(Vec::len).sum::<usize>();
                if tell(done, wanted.texts * wanted.tokens).is_break() {
                    let help = format!("the same command goes on behind {} whole texts", samples.len());
                    return Err(Error::new(ErrorKind::Cancelled, "interrupted").help(help));
                }
            }
            if written.iter().any(|text| text.len() != wanted.tokens) {
                let text = "the teacher's logits are no numbers at some token";
                return Err(Error::new(ErrorKind::Numeric, text).help("give texts as --data instead"));
            }
            let tokenizer = model.tokenizer()?;
            samples.extend(written.into_iter().map(|ids| Sample { text: tokenizer.decode(&ids), ids }));
            atomic_write(&path, |w| {
                serde_json::to_writer(&mut *w, &own)?;
                w.write_all(b"\n")?;
                for sample in &samples {
                    serde_json::to_writer(&mut *w, sample)?;
                    w.write_all(b"\n")?;
                }
                Ok(())
            })?;
        }
    }
    Ok(samples.into_iter().take(wanted.texts).map(|sample| sample.ids).collect())
}

fn read(path: &Path, own: &Head) -> Result<Vec<Sample>> {
    let text = read_text(path, Whole::Content)?;
    let damaged = |line: usize| {
        Error::new(ErrorKind::ModelFormat, format!("{}: line {line} is no sample", path.display()))
            .help("remove the file: it is written again")
    };
    let mut lines = text.lines();
    let head: Head =
        lines.next().and_then(|line| serde_json::from_str(line).ok()).ok_or_else(|| damaged(1))?;
    if head != *own {
        let Head { teacher, tokens, seed } = head;
        let text =
            format!("{}: has texts of {tokens} tokens of the model {teacher}, seed {seed}", path.display());
        return Err(Error::new(ErrorKind::Input, text)
            .help("give the same --teacher, --context and --seed, or another --out"));
    }
    let sample = |(number, line): (usize, &str)| {
        let sample = serde_json::from_str::<Sample>(line).ok();
        sample.filter(|sample| sample.ids.len() == own.tokens).ok_or_else(|| damaged(number + 2))
    };
    lines.enumerate().map(sample).collect()
}

/// What each text begins with: a chat up to where its user writes, or what the model's texts begin with.
fn head(teacher: &ModelSource) -> Result<Vec<u32>> {
    let tokenizer = &teacher.tokenizer;
    if teacher.conventions.template.is_some() {
        let template = teacher.conventions.template()?;
        let chat = template.render(&[Message::new("user", QUESTION)], false)?;
        if let Some((head, _)) = chat.split_once(QUESTION).filter(|(head, _)| !head.is_empty()) {
            return tokenizer.encode(head);
        }
    }
    let begin = tokenizer.begin();
    let one = tokenizer.end_of_text().unwrap_or_default();
    Ok(if begin.is_empty() { vec![one] } else { begin.to_vec() })
}
