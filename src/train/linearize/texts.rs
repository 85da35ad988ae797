//! What teacher and students read.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Deserialize;
use xxhash_rust::xxh3::xxh3_64;

use crate::error::{Error, ErrorKind, Result};
use crate::files::{Whole, read_text};
use crate::model::{EndFiles, Message, ModelSource};
use crate::text::clip;
use crate::train::corpus::{Corpus, Vocabulary};
use crate::train::random::Rng;

/// Texts as tokens, of which a step takes windows: each file is as likely as any other, however long it is.
#[derive(Clone, Debug)]
pub struct Texts {
    files: Vec<Arc<[u32]>>,
}

impl Texts {
    /// Reads files; as [`Corpus::read`]. Of a `.jsonl` file each line is a chat `{"messages": [{"role", "content"}, …]}`,
    /// written as the teacher's template has it.
    ///
    /// # Errors
    /// As there, and [`ErrorKind::Input`] for a file that is shorter than a window of so many tokens, and for a line that
    /// is no chat; [`ErrorKind::Config`] for a teacher without a template.
    pub fn open(
        teacher: &ModelSource,
        fingerprint: u64,
        paths: &[PathBuf],
        window: usize,
        cache: Option<&Path>,
        progress: &mut dyn FnMut(usize, usize),
    ) -> Result<Self> {
        teacher.tokenizer.check_model(teacher.config.vocab_size)?;
        // What is kept of a text is told apart by the model instead of a tokenizer.json.
        let json = Some(fingerprint.to_le_bytes().to_vec());
        let vocabulary = Vocabulary { tokenizer: teacher.tokenizer.clone(), json, ends: EndFiles::default() };
        let mut files = Vec::new();
        for path in paths {
            let tokens = match path.extension().is_some_and(|end| end == "jsonl") {
                true => chats(teacher, path)?.into(),
                false => Corpus::read(std::slice::from_ref(path), &vocabulary, cache, progress)?.tokens,
            };
            if tokens.len() < window {
                let text = format!("{}: has {} tokens, a window {window}", path.display(), tokens.len());
                return Err(
                    Error::new(ErrorKind::Input, text).help("give longer texts, or a smaller --context")
                );
            }
            files.push(tokens);
        }
        Ok(Self { files })
    }

    /// Tells them from others.
    pub fn hash(&self) -> u64 {
        let of_file = |file: &Arc<[u32]>| xxh3_64(bytemuck::cast_slice(file));
        let all: Vec<u64> = self.files.iter().map(of_file).collect();
        xxh3_64(bytemuck::cast_slice(&all))
    }

    /// With texts of the teacher's own of at least a window together, which count as one more file.
    pub fn add(&mut self, samples: &[Vec<u32>]) {
        self.files.push(samples.concat().into());
    }

    /// The texts of a step: a function of the seed and its number.
    pub fn of_step(&self, count: usize, window: usize, seed: u64, step: u64) -> Vec<Vec<u32>> {
        let mut rng = Rng::new(seed, "texts", step);
        let mut one = || {
            let file = &self.files[rng.below(self.files.len())];
            let first = rng.below(file.len() - window + 1);
            file[first..first + window].to_vec()
        };
        (0..count).map(|_| one()).collect()
    }

    /// Windows that lie as far apart as may be, of each file.
    pub fn spread(&self, count: usize, window: usize) -> Vec<Vec<u32>> {
        self.files.iter().flat_map(|file| windows(file, count, window)).collect()
    }
}

/// So many windows of a text that lie as far apart as may be; of a short one, all of it each time.
pub fn windows(text: &[u32], count: usize, window: usize) -> Vec<Vec<u32>> {
    let room = text.len().saturating_sub(window);
    let first = |i: usize| (2 * i + 1) * room / (2 * count);
    (0..count).map(|i| text[first(i)..text.len().min(first(i) + window)].to_vec()).collect()
}

/// A line of a file of chats.
#[derive(Deserialize)]
struct Chat {
    messages: Vec<Message>,
}

/// The tokens of a file of chats, one after the other.
fn chats(teacher: &ModelSource, path: &Path) -> Result<Vec<u32>> {
    let template = teacher.conventions.template()?;
    let mut tokens = Vec::new();
    for (number, line) in read_text(path, Whole::Content)?.lines().enumerate() {
        if line.trim().is_empty() {
            continue;
        }
        let fail = |what: &str| {
            Error::new(ErrorKind::Input, format!("{}: line {}: {what}", path.display(), number + 1))
                .help("a line is {\"messages\": [{\"role\": \"user\", \"content\": \"…\"}, …]}")
        };
        let chat: Chat = serde_json::from_str(line).map_err(|e| fail(&clip(&e.to_string())))?;
        let text = template.render(&chat.messages, false).map_err(|e| fail(e.message()))?;
        tokens.extend(teacher.tokenizer.encode(&text)?);
    }
    Ok(tokens)
}
