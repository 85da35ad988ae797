//! What teacher and students read.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::error::{Error, ErrorKind, Result};
use crate::model::{EndFiles, ModelSource};
use crate::train::corpus::{Corpus, Vocabulary};
use crate::train::random::Rng;

/// Texts as tokens, of which a step takes windows: each file is as likely as any other, however long it is.
#[derive(Clone, Debug)]
pub struct Texts {
    files: Vec<Arc<[u32]>>,
}

impl Texts {
    /// Reads files; as [`Corpus::read`].
    ///
    /// # Errors
    /// As there, and [`ErrorKind::Input`] for a file that is shorter than a window of so many tokens.
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
            let tokens = Corpus::read(std::slice::from_ref(path), &vocabulary, cache, progress)?.tokens;
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
        let of_file = |file: &Arc<[u32]>| -> Vec<Vec<u32>> {
            let room = file.len().saturating_sub(window);
            let first = |i: usize| (2 * i + 1) * room / (2 * count);
            (0..count).map(|i| file[first(i)..file.len().min(first(i) + window)].to_vec()).collect()
        };
        self.files.iter().flat_map(of_file).collect()
    }
}
