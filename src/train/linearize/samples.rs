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

/// A line of the file.
#[derive(Serialize, Deserialize)]
struct Sample {
    text: String,
    ids: Vec<u32>,
}

/// What to write.
#[derive(Clone, Copy, Debug)]
pub struct Wanted {
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
/// [`ErrorKind::ModelFormat`] for a damaged file; [`ErrorKind::Cancelled`]; those of the model and of files.
pub async fn samples(
    engine: &Engine,
    teacher: impl Fn() -> Result<ModelSource>,
    folder: &Path,
    wanted: Wanted,
    tell: &mut dyn FnMut(usize, usize) -> ControlFlow<()>,
) -> Result<Vec<Vec<u32>>> {
    let path = folder.join(SAMPLES);
    let mut samples = if path.exists() { read(&path)? } else { Vec::new() };
    if samples.len() < wanted.texts {
        let teacher = teacher()?;
        let head = head(&teacher)?;
        let slots = SIDE_BY_SIDE.min(wanted.texts);
        let options =
            LoadOptions { slots, max_context: wanted.tokens.max(head.len() + 1), ..LoadOptions::default() };
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
                    return Err(Error::new(ErrorKind::Cancelled, "interrupted")
                        .help("the same command goes on from the texts that are whole"));
                }
            }
            let tokenizer = model.tokenizer()?;
            samples.extend(written.into_iter().map(|ids| Sample { text: tokenizer.decode(&ids), ids }));
            atomic_write(&path, |w| {
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

fn read(path: &Path) -> Result<Vec<Sample>> {
    let text = read_text(path, Whole::Content)?;
    let sample = |(number, line): (usize, &str)| {
        serde_json::from_str(line).map_err(|_| {
            let text = format!("{}: line {} is no sample", path.display(), number + 1);
            Error::new(ErrorKind::ModelFormat, text).help("remove the file: it is written again")
        })
    };
    text.lines().enumerate().map(sample).collect()
}

/// What each text begins with: a chat up to where its user writes, or what the model's texts begin with.
fn head(teacher: &ModelSource) -> Result<Vec<u32>> {
    let tokenizer = &teacher.tokenizer;
    if teacher.conventions.template.is_some() {
        let template = teacher.conventions.template()?;
        let chat = template.render(&[Message::new("user", QUESTION)], false)?;
        if let Some((head, _)) = chat.split_once(QUESTION) {
            return tokenizer.encode(head);
        }
    }
    let begin = tokenizer.begin();
    let one = tokenizer.end_of_text().unwrap_or_default();
    Ok(if begin.is_empty() { vec![one] } else { begin.to_vec() })
}
