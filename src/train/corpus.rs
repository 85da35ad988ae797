//! Texts to token ids, once: the ids are kept in a cache folder.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use xxhash_rust::xxh3::{Xxh3, xxh3_64};

use crate::error::{Error, ErrorKind, Result};
use crate::files::{Whole, create_folders, is_standard, read_bytes, read_text, source_name};
use crate::model::tensor_file::{Dtype, TensorData, TensorFile, write_safetensors};
use crate::model::tokenizer::END_OF_TEXT;
use crate::model::{EncodeOptions, EndFiles, ModelConfig, Tokenizer};

/// A tokenizer and the file it came from, which goes into every checkpoint.
#[derive(Clone, Debug)]
pub struct Vocabulary {
    /// The tokenizer.
    pub tokenizer: Tokenizer,
    /// Its `tokenizer.json`; none: bytes.
    pub json: Option<Vec<u8>>,
    /// What the files beside it say of ends.
    pub ends: EndFiles,
}

impl Vocabulary {
    /// The tokenizer of a file, or of a model folder (bytes if it has none).
    ///
    /// # Errors
    /// As [`Tokenizer::open`].
    pub fn open(path: &Path) -> Result<Self> {
        let file = if path.is_dir() { path.join("tokenizer.json") } else { path.to_path_buf() };
        let ends = file.parent().map(EndFiles::open).unwrap_or_default();
        if path.is_dir() && !file.exists() {
            return Ok(Self { ends, ..Self::bytes() });
        }
        let json = read_bytes(&file, Whole::Settings)?;
        Ok(Self {
            tokenizer: Tokenizer::from_json_bytes(&json, &source_name(&file))?,
            json: Some(json),
            ends,
        })
    }

    /// Gives the tokenizer the ends that the files of this model name; where those are not the tokenizer's
    /// own, the configuration names them from now on. Returns what is odd about them.
    pub fn settle_ends(&mut self, config: &mut ModelConfig) -> Vec<String> {
        let (tokenizer, odd) = self.ends.resolve(&config.eos_token_id, &self.tokenizer, config.vocab_size);
        if tokenizer.ends() != self.tokenizer.ends() && tokenizer.vocab_size() <= config.vocab_size {
            config.eos_token_id = tokenizer.ends().to_vec();
        }
        self.tokenizer = tokenizer;
        odd
    }

    /// Plain bytes.
    pub fn bytes() -> Self {
        Self { tokenizer: Tokenizer::bytes(), json: None, ends: EndFiles::default() }
    }

    fn hash(&self) -> u64 {
        let own = xxh3_64(self.json.as_deref().unwrap_or_default());
        let begin = self.tokenizer.begin();
        if self.separator().is_none() && begin.is_empty() {
            return own;
        }
        let more = bytemuck::cast_slice(begin);
        let end = self.separator().unwrap_or(u32::MAX).to_le_bytes();
        xxh3_64(&[own.to_le_bytes().as_slice(), &end, more].concat())
    }

    /// What stands for `<|endoftext|>` in a text where the tokenizer has no such token.
    fn separator(&self) -> Option<u32> {
        let own = self.tokenizer.token_to_id(END_OF_TEXT);
        self.tokenizer.end_of_text().filter(|end| own != Some(*end))
    }
}

/// The token ids of some texts, one after the other.
#[derive(Clone, Debug)]
pub struct Corpus {
    /// Token ids; what ends a text for the tokenizer, if there is such a token, between documents, and before
    /// each what a text begins with (BOS), where the model's files say so.
    pub tokens: Arc<[u32]>,
    /// Tells it from others.
    pub hash: u64,
}

impl Corpus {
    /// Reads texts. The ids of each are kept in the folder `cache`, if there is one; what is kept is used only
    /// if it is of the same text and tokenizer. `progress` is told bytes done and bytes in
    /// all of the text that is being cut into tokens.
    ///
    /// # Errors
    /// [`ErrorKind::Io`] for a file that cannot be read; [`ErrorKind::Input`] for one that is empty, holds
    /// tensors, or is not UTF-8 (with the byte offset).
    pub fn read(
        paths: &[PathBuf],
        vocabulary: &Vocabulary,
        cache: Option<&Path>,
        progress: &mut dyn FnMut(usize, usize),
    ) -> Result<Self> {
        let mut tokens: Vec<u32> = Vec::new();
        for path in paths {
            let next = read_one(path, vocabulary, cache, progress)?;
            if let (Some(end), Some(last)) = (vocabulary.tokenizer.end_of_text(), tokens.last())
                && *last != end
            {
                tokens.push(end);
            }
            tokens.extend(next);
        }
        Ok(Self { hash: xxh3_64(bytemuck::cast_slice(&tokens)), tokens: tokens.into() })
    }
}

fn read_one(
    path: &Path,
    vocabulary: &Vocabulary,
    cache: Option<&Path>,
    progress: &mut dyn FnMut(usize, usize),
) -> Result<Vec<u32>> {
    let text = read_text(path, Whole::Content)?;
    if text.is_empty() {
        return Err(
            Error::new(ErrorKind::Input, format!("{}: is empty", source_name(path))).help("give a text")
        );
    }
    // What came through a pipe is not asked for again.
    let cache = cache.filter(|_| !is_standard(path));
    let key = Key { text: xxh3_64(text.as_bytes()), tokenizer: vocabulary.hash() };
    let kept = cache.map(|folder| folder.join(key.name(path)));
    if let Some(tokens) = kept.as_deref().and_then(|kept| key.load(kept)) {
        return Ok(tokens);
    }
    let tokens = encode(&text, vocabulary, &mut |done| progress(done, text.len()))?;
    progress(text.len(), text.len());
    // It only saves time.
    if let (Some(folder), Some(kept)) = (cache, kept)
        && let Err(error) = create_folders(folder).and_then(|()| key.store(&kept, &tokens))
    {
        log::warn!("the tokens are not kept: {error}");
    }
    if let Some(folder) = cache {
        forget_old(folder);
    }
    Ok(tokens)
}

/// Texts whose tokens are kept.
const KEPT: usize = 64;
/// How names of kept tokens end.
const END: &str = "tokens";

/// Removes the tokens of all texts but the latest.
fn forget_old(folder: &Path) {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let ours = entries.map(|entry| entry.path()).filter(|path| path.extension().is_some_and(|e| e == END));
    let mut aged: Vec<_> =
        ours.filter_map(|path| Some((path.metadata().ok()?.modified().ok()?, path))).collect();
    aged.sort_unstable();
    // Another run may have removed it.
    aged.iter().rev().skip(KEPT).for_each(|(_, path)| drop(std::fs::remove_file(path)));
}

fn encode(text: &str, vocabulary: &Vocabulary, progress: &mut dyn FnMut(usize)) -> Result<Vec<u32>> {
    let tokenizer = &vocabulary.tokenizer;
    let (end, begins) = (tokenizer.end_of_text(), !tokenizer.begin().is_empty());
    if !begins && vocabulary.separator().is_none() && end.is_some() {
        return tokenizer.encode_with(text, progress);
    }
    // Its name is no part of a text, whether or not another token stands for it.
    let (mut tokens, mut before) = (Vec::new(), 0);
    for (i, document) in text.split(END_OF_TEXT).enumerate() {
        tokens.extend(end.filter(|_| i > 0));
        let how = EncodeOptions { begins: !document.is_empty(), ..EncodeOptions::default() };
        tokens.extend(tokenizer.encode_as(document, how, &mut |done| progress(before + done))?);
        before += document.len() + END_OF_TEXT.len();
    }
    Ok(tokens)
}

/// What kept tokens must be of.
#[derive(Clone, Copy)]
struct Key {
    text: u64,
    tokenizer: u64,
}

impl Key {
    /// The file of a text's tokens. One for each tokenizer; those of an older text of the same path are
    /// replaced.
    fn name(self, path: &Path) -> String {
        let path = std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf());
        let path = xxh3_64(path.as_os_str().as_encoded_bytes());
        format!("{path:016x}.{:016x}.{END}", self.tokenizer)
    }

    fn notes(self, tokens: &[u32]) -> [(&'static str, String); 3] {
        let mut hash = Xxh3::new();
        hash.update(bytemuck::cast_slice(tokens));
        [("text", self.text), ("tokenizer", self.tokenizer), ("tokens", hash.digest())]
            .map(|(key, hash)| (key, format!("{hash:016x}")))
    }

    /// None for a file that is missing, damaged, or of something else.
    fn load(self, path: &Path) -> Option<Vec<u32>> {
        let file = TensorFile::open(path).ok()?;
        let raw = file.raw("tokens").filter(|_| file.dtype("tokens") == Some(Dtype::U32))?;
        let tokens: Vec<u32> = raw.as_chunks::<4>().0.iter().map(|b| u32::from_le_bytes(*b)).collect();
        let notes = file.notes();
        self.notes(&tokens).iter().all(|(key, value)| notes.get(*key) == Some(value)).then_some(tokens)
    }

    fn store(self, path: &Path, tokens: &[u32]) -> Result<()> {
        let notes = self.notes(tokens);
        let notes = notes.each_ref().map(|(key, value)| (*key, value.as_str()));
        write_safetensors(path, &[TensorData::new("tokens", Dtype::U32, &[tokens.len()], tokens)], &notes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::faults;
    use crate::model::tokenizer_train::train;

    fn read(paths: &[PathBuf], vocabulary: &Vocabulary, cache: &Path) -> (Result<Corpus>, bool) {
        let mut encoded = false;
        let corpus = Corpus::read(paths, vocabulary, Some(cache), &mut |_, _| encoded = true);
        (corpus, encoded)
    }

    /// 300 tokens, and its file.
    fn small() -> Vocabulary {
        let json = train(&["the letter it said that the letter<|endoftext|>"], 300, &mut |_| {})
            .expect("trains")
            .json
            .into_bytes();
        Vocabulary {
            tokenizer: Tokenizer::from_json_bytes(&json, "small").expect("loads"),
            json: Some(json),
            ends: EndFiles::default(),
        }
    }

    fn names(folder: &Path) -> usize {
        std::fs::read_dir(folder).expect("lists").count()
    }

    #[test]
    fn tokens_are_kept_and_only_used_for_the_same_text_and_tokenizer() {
        let (dir, cache) = (tempfile::tempdir().expect("folder"), tempfile::tempdir().expect("folder"));
        let cache = cache.path().join("not there yet");
        let path = dir.path().join("a.txt");
        std::fs::write(&path, "the letter<|endoftext|>it said").expect("writes");
        let (paths, vocabulary) = ([path.clone()], small());
        let want = vocabulary.tokenizer.encode("the letter<|endoftext|>it said").expect("encodes");
        let (first, encoded) = read(&paths, &vocabulary, &cache);
        let first = first.expect("reads");
        assert!(encoded && first.tokens[..] == want[..]);
        let (again, encoded) = read(&paths, &vocabulary, &cache);
        assert!(!encoded && again.expect("reads").hash == first.hash);
        assert_eq!((names(dir.path()), names(&cache)), (1, 1), "nothing beside the text");

        // Another tokenizer has its own; another text replaces what was kept.
        assert!(read(&paths, &Vocabulary::bytes(), &cache).1);
        assert_eq!(names(&cache), 2);
        std::fs::write(&path, "the letter<|endoftext|>it said that").expect("writes");
        let (changed, encoded) = read(&paths, &vocabulary, &cache);
        assert!(encoded && changed.expect("reads").hash != first.hash);
        assert_eq!((names(dir.path()), names(&cache)), (1, 2));

        // Damage is found wherever it is.
        let kept = kept(&path, &vocabulary, &cache);
        let good = std::fs::read(&kept).expect("reads");
        for damage in [0, 20, good.len() - 1] {
            let mut bad = good.clone();
            bad[damage] ^= 1;
            std::fs::write(&kept, &bad).expect("writes");
            assert!(read(&paths, &vocabulary, &cache).1, "byte {damage}");
            assert_eq!(std::fs::read(&kept).expect("reads"), good);
        }
        std::fs::write(&kept, &good[..good.len() - 4]).expect("writes");
        assert!(read(&paths, &vocabulary, &cache).1);
    }

    fn kept(path: &Path, vocabulary: &Vocabulary, cache: &Path) -> PathBuf {
        cache.join(Key { text: 0, tokenizer: vocabulary.hash() }.name(path))
    }

    #[test]
    fn whatever_fails_the_tokens_are_right() {
        let (dir, cache) = (tempfile::tempdir().expect("folder"), tempfile::tempdir().expect("folder"));
        let paths = [dir.path().join("a.txt")];
        let vocabulary = Vocabulary::bytes();
        let kept = kept(&paths[0], &vocabulary, cache.path());
        faults::every(|k, fault| {
            std::fs::write(&paths[0], "old").expect("writes");
            read(&paths, &vocabulary, cache.path()).0.expect("reads");
            let old = std::fs::read(&kept).expect("reads");
            std::fs::write(&paths[0], "new text").expect("writes");
            let (done, hit) = faults::with(k, fault, || read(&paths, &vocabulary, cache.path()).0);
            let tokens = done.expect("a cache only saves time").tokens;
            assert_eq!(tokens.len(), 8, "{k}");
            // What is kept is the old or the new, whole, and never taken for the other.
            let now = std::fs::read(&kept).expect("reads");
            assert!(now == old || !read(&paths, &vocabulary, cache.path()).1, "{k}");
            assert_eq!(read(&paths, &vocabulary, cache.path()).0.expect("reads").tokens, tokens);
            assert_eq!(names(cache.path()), 1, "nothing is left half written");
            hit
        });
    }

    #[test]
    fn a_cache_does_not_grow_for_ever() {
        let (dir, cache) = (tempfile::tempdir().expect("folder"), tempfile::tempdir().expect("folder"));
        std::fs::write(cache.path().join("a pipeline"), "of another kind").expect("writes");
        for i in 0..KEPT + 5 {
            let path = dir.path().join(i.to_string());
            std::fs::write(&path, "text").expect("writes");
            read(&[path], &Vocabulary::bytes(), cache.path()).0.expect("reads");
        }
        assert_eq!(names(cache.path()), KEPT + 1);
        assert!(!read(&[dir.path().join((KEPT + 4).to_string())], &Vocabulary::bytes(), cache.path()).1);
    }

    #[test]
    fn texts_are_joined_by_the_end_of_text() {
        let dir = tempfile::tempdir().expect("folder");
        let paths = ["a", "b", "c"].map(|name| dir.path().join(name));
        for (path, text) in paths.iter().zip(["xy", "z<|endoftext|>", "<|endoftext|>w"]) {
            std::fs::write(path, text).expect("writes");
        }
        let ids = |text: &str| {
            text.bytes().map(|b| if b == b'|' { 256 } else { u32::from(b) }).collect::<Vec<u32>>()
        };
        assert_eq!(
            read(&paths, &Vocabulary::bytes(), dir.path()).0.expect("reads").tokens[..],
            ids("xy|z||w")
        );
        // A tokenizer without that token never sees it.
        let json = br#"{"version":"1.0","added_tokens":[],"pre_tokenizer":null,"decoder":null,"normalizer":null,"post_processor":null,
            "model":{"type":"BPE","vocab":{"x":0,"y":1,"z":2,"w":3},"merges":[]}}"#;
        let plain = Vocabulary {
            tokenizer: Tokenizer::from_json_bytes(json, "plain").expect("loads"),
            json: Some(json.to_vec()),
            ends: EndFiles::default(),
        };
        assert_eq!(read(&paths, &plain, dir.path()).0.expect("reads").tokens[..], [0, 1, 2, 3]);
    }

    /// As `tokenizer(text)` of Hugging Face's, document by document.
    #[test]
    fn where_texts_begin_with_a_token_documents_do() {
        let dir = tempfile::tempdir().expect("folder");
        let paths = ["a", "b"].map(|name| dir.path().join(name));
        std::fs::write(&paths[0], "xy<|endoftext|>z<|endoftext|>").expect("writes");
        std::fs::write(&paths[1], "w").expect("writes");
        let ids = |text: &str| -> Vec<u32> {
            let id = |c: char| match c {
                '|' => 256,
                '^' => 94,
                c => c as u32,
            };
            text.chars().map(id).collect()
        };
        let mut vocabulary = Vocabulary::bytes();
        let cache = dir.path().join("cache");
        assert_eq!(read(&paths, &vocabulary, &cache).0.expect("reads").tokens[..], ids("xy|z|w"));
        vocabulary.tokenizer = vocabulary.tokenizer.with_begin(Some(94));
        // What was kept without it is not taken.
        assert_eq!(read(&paths, &vocabulary, &cache).0.expect("reads").tokens[..], ids("^xy|^z|^w"));
        // With another end; and where a text has it already.
        vocabulary.tokenizer = vocabulary.tokenizer.with_ends(&[1]);
        std::fs::write(&paths[1], "^w").expect("writes");
        let want: Vec<u32> = ids("^xy|^z|^w").into_iter().map(|id| if id == 256 { 1 } else { id }).collect();
        assert_eq!(read(&paths, &vocabulary, &cache).0.expect("reads").tokens[..], want);
    }

    #[test]
    fn what_cannot_be_read() {
        let dir = tempfile::tempdir().expect("folder");
        let path = dir.path().join("text");
        let error = |text: Option<&[u8]>| {
            if let Some(text) = text {
                std::fs::write(&path, text).expect("writes");
            }
            let error = read(std::slice::from_ref(&path), &Vocabulary::bytes(), dir.path())
                .0
                .expect_err("unreadable");
            assert!(error.message().contains("text") && error.advice().is_some(), "{error}");
            error.message().to_string()
        };
        error(None);
        assert!(error(Some(b"")).contains("empty"));
        assert!(error(Some(b"good\xff")).contains("byte 4"));
    }

    #[test]
    fn a_cache_that_cannot_be_written_to_is_no_failure() {
        let dir = tempfile::tempdir().expect("folder");
        let path = dir.path().join("a.txt");
        std::fs::write(&path, "text").expect("writes");
        let (paths, nowhere) = ([path.clone()], path.join("nowhere"));
        assert_eq!(read(&paths, &Vocabulary::bytes(), &nowhere).0.expect("reads").tokens.len(), 4);
        let without = Corpus::read(&paths, &Vocabulary::bytes(), None, &mut |_, _| ());
        assert_eq!(without.expect("reads").tokens.len(), 4);
    }
}
