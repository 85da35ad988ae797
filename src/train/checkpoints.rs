//! What a run leaves in its folder: the model as it is now, and the checkpoints it can go on from.
//!
//! ```text
//! OUT/config.json  model.safetensors  tokenizer.json     a model folder like any other
//! OUT/checkpoints/step-000100/                           the same, and optimizer.safetensors, training.json
//! ```
//!
//! A checkpoint is written beside its place and renamed, so it is whole or not there. One run alone writes a
//! folder, and replaces nothing in it that no run wrote.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::corpus::Vocabulary;
use super::learner::NamedTensors;
use super::log::Log;
use super::settings::Settings;
use crate::error::{Error, ErrorKind, Result};
use crate::files::disk::{self, is_temporary};
use crate::files::{
    FolderLock, Whole, atomic_write, check_file, check_room, create_folders, is_standard, read_bytes,
};
use crate::model::checkpoint::{INDEX, SINGLE, TensorData, Tensors, write_tensors_to};
use crate::model::{ModelConfig, ModelSource};
use crate::text::json_bytes;

const CONFIG: &str = "config.json";
const TOKENIZER: &str = "tokenizer.json";
const OPTIMIZER: &str = "optimizer.safetensors";
const TRAINING: &str = "training.json";

/// The drawing of the losses, in the folder of a run.
pub const DRAWING: &str = "loss.svg";

/// What a run writes beside its checkpoints.
const WRITTEN: [&str; 5] = [CONFIG, TOKENIZER, SINGLE, Log::NAME, DRAWING];

/// Version of `training.json`.
const FORMAT: u32 = 1;

/// `training.json`: how far a run is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    /// Version of the file.
    pub format: u32,
    /// Steps done.
    pub step: u64,
    /// Tokens read.
    pub tokens: u64,
    /// Time it took.
    pub seconds: f64,
    /// Loss of the last step.
    pub loss: f64,
    /// Tells the training data from others, hexadecimal.
    pub data_hash: String,
    /// What it was asked to do.
    pub settings: Settings,
}

impl Progress {
    /// After `step` steps.
    pub fn new(step: u64, seconds: f64, loss: f64, data_hash: u64, settings: &Settings) -> Self {
        // A run may go on from another working folder.
        let absolute = |path: &PathBuf| match std::path::absolute(path) {
            Ok(absolute) if !is_standard(path) => absolute,
            _ => path.clone(),
        };
        let data = settings.data.iter().map(absolute).collect();
        let settings =
            Settings { data, eval_data: settings.eval_data.as_ref().map(absolute), ..settings.clone() };
        Self {
            format: FORMAT,
            step,
            tokens: settings.tokens(step),
            seconds,
            loss,
            data_hash: format!("{data_hash:016x}"),
            settings,
        }
    }
}

/// Everything that a checkpoint holds.
#[derive(Debug)]
pub struct Snapshot<'a> {
    /// Configuration.
    pub config: &'a ModelConfig,
    /// Tokenizer.
    pub vocabulary: &'a Vocabulary,
    /// Weights, by their names in a model folder.
    pub weights: &'a NamedTensors,
    /// Moments of the optimiser.
    pub moments: &'a NamedTensors,
    /// How far the run is.
    pub progress: &'a Progress,
}

/// A checkpoint read back.
#[derive(Debug)]
pub struct Resumed {
    /// The model.
    pub source: ModelSource,
    /// Its tokenizer, with its file.
    pub vocabulary: Vocabulary,
    /// Moments of the optimiser.
    pub moments: NamedTensors,
    /// How far the run is.
    pub progress: Progress,
    /// Its folder.
    pub path: PathBuf,
}

/// The folder of a run.
#[derive(Debug)]
pub struct Checkpoints {
    out: PathBuf,
    lock: Option<FolderLock>,
}

impl Checkpoints {
    /// The run in `out`, to be looked at; nothing is touched.
    pub fn of(out: &Path) -> Self {
        Self { out: out.to_path_buf(), lock: None }
    }

    /// The run in `out`, which no other run writes as long as this lives. The folder is made, and goes away
    /// with this if nothing came of it.
    ///
    /// # Errors
    /// [`ErrorKind::Input`] for a file, and for a folder that another run writes; [`ErrorKind::Io`].
    pub fn claim(out: &Path) -> Result<Self> {
        let mut run = Self::of(out);
        run.take()?;
        Ok(run)
    }

    fn take(&mut self) -> Result<()> {
        self.check_folder()?;
        self.lock = Some(FolderLock::take(&self.out)?);
        Ok(())
    }

    fn check_folder(&self) -> Result<()> {
        if self.out.exists() && !self.out.is_dir() {
            let what = format!("{}: is a file, must be a folder", self.out.display());
            return Err(Error::new(ErrorKind::Input, what).help("give another --out"));
        }
        Ok(())
    }

    /// The folder of the run.
    pub fn out(&self) -> &Path {
        &self.out
    }

    fn folder(&self) -> PathBuf {
        self.out.join("checkpoints")
    }

    /// Refuses a folder that holds a run or a model already, or anything else that a new run would replace.
    ///
    /// # Errors
    /// [`ErrorKind::Input`], naming the folder or the file.
    pub fn check_new(&self) -> Result<()> {
        self.check_folder()?;
        let label = self.out.display();
        let refuse = |what: String, help: &str| Err(Error::new(ErrorKind::Input, what).help(help));
        if let Some((_, newest)) = self.list().pop() {
            let newest = newest.file_name().unwrap_or_default().display();
            return refuse(
                format!("{label}: holds a training run already, at {newest}"),
                "continue it with --resume, or give another --out",
            );
        }
        if let Some(name) = [SINGLE, INDEX].iter().find(|name| is_there(&self.out.join(name))) {
            return refuse(format!("{label}: holds a model already, {name}"), "give another --out");
        }
        let mut others: Vec<PathBuf> =
            [CONFIG, TOKENIZER, Log::NAME, DRAWING].iter().map(|name| self.out.join(name)).collect();
        let folder = self.folder();
        match fs::read_dir(&folder) {
            Ok(entries) => others.extend(
                entries.flatten().filter(|e| !is_temporary(&e.file_name())).map(|entry| entry.path()),
            ),
            Err(_) => others.push(folder),
        }
        // A run that was killed before its first step leaves an empty log.
        if let Some(path) = others.iter().find(|path| is_there(path) && !is_empty_log(path)) {
            return refuse(
                format!("{}: is there already, and a new run would replace it", path.display()),
                "move it away, or give another --out",
            );
        }
        Ok(())
    }

    /// Refuses to go on in a folder whose files are not those that the run wrote: they would be replaced.
    ///
    /// # Errors
    /// [`ErrorKind::Input`], naming the file.
    pub fn check_own(&self) -> Result<()> {
        let own = |path: &Path| read_bytes(path, Whole::Settings);
        let saved: Vec<PathBuf> = self.all().into_iter().map(|(_, path)| path).collect();
        for name in [CONFIG, TOKENIZER] {
            let path = self.out.join(name);
            let Ok(content) = own(&path) else { continue };
            if !saved.iter().any(|folder| own(&folder.join(name)).is_ok_and(|own| own == content)) {
                let what = format!("{}: is not what the run wrote, and would be replaced", path.display());
                return Err(Error::new(ErrorKind::Input, what).help("move it away"));
            }
        }
        Ok(())
    }

    /// Claims the folder if need be, tries whether all can be written that a run writes, and removes what a
    /// killed run left half written.
    ///
    /// # Errors
    /// [`ErrorKind::Io`]; as [`Checkpoints::claim`].
    pub fn prepare(&mut self) -> Result<()> {
        if self.lock.is_none() {
            self.take()?;
        }
        let folder = self.folder();
        create_folders(&folder)?;
        disk::clean_all(&folder);
        disk::clean(&self.out, &WRITTEN);
        WRITTEN.iter().try_for_each(|name| check_file(&self.out.join(name)))?;
        [&self.out, &folder].into_iter().try_for_each(|folder| {
            disk::temporary_folder(folder).map(drop).map_err(|e| Error::io(folder.display(), &e))
        })
    }

    /// Refuses a run whose checkpoints the disk has no room for, after `step` steps.
    ///
    /// # Errors
    /// [`ErrorKind::Io`], with the bytes.
    pub fn check_room(&self, config: &ModelConfig, settings: &Settings, step: u64) -> Result<()> {
        // Configuration, tokenizer, headers of tensors.
        const SMALL: u64 = 16 << 10;
        let parameters = config.parameters();
        let trained = parameters.iter().filter(|p| p.kind.is_trained()).map(|p| p.elements() as u64);
        let (weights, trained) = (config.parameter_count(), trained.sum::<u64>());
        let largest = weights.max(trained.saturating_mul(2)).saturating_mul(4);
        let one = weights.saturating_add(trained.saturating_mul(2)).saturating_mul(4).saturating_add(SMALL);
        let left = settings.steps.saturating_sub(step);
        let saves = left.checked_div(settings.save_every).unwrap_or_default().saturating_add(1);
        // The oldest goes when the newest is there.
        let most = (settings.keep as u64).saturating_add(1);
        let have = self.list().len() as u64;
        let more = most.min(have.saturating_add(saves)).saturating_sub(have).max(1);
        check_room(&self.folder(), largest.saturating_add(SMALL), one)?;
        check_room(&self.folder(), 0, one.saturating_mul(more)).map_err(|e| {
            let what = format!("{}, for {more} checkpoints", e.message());
            Error::new(e.kind(), what)
                .help("free some space, --keep fewer of them, or write to another disk; nothing was written")
        })
    }

    /// The folders of checkpoints, complete or not, oldest first: step and folder.
    fn all(&self) -> Vec<(u64, PathBuf)> {
        let Ok(entries) = fs::read_dir(self.folder()) else { return Vec::new() };
        let step = |path: &Path| path.file_name()?.to_str()?.strip_prefix("step-")?.parse().ok();
        let paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
        let mut list: Vec<(u64, PathBuf)> = paths.filter_map(|path| Some((step(&path)?, path))).collect();
        list.sort_unstable();
        list
    }

    /// The complete checkpoints, oldest first: step and folder.
    pub fn list(&self) -> Vec<(u64, PathBuf)> {
        let mut list = self.all();
        list.retain(|(_, path)| is_complete(path));
        list
    }

    /// Reads the newest complete checkpoint.
    ///
    /// # Errors
    /// [`ErrorKind::Input`] if there is none; otherwise as [`ModelSource::open`].
    pub fn newest(&self) -> Result<Resumed> {
        let Some((_, path)) = self.list().pop() else {
            return Err(Error::new(
                ErrorKind::Input,
                format!("{}: has no checkpoint to continue from", self.out.display()),
            )
            .help(if is_there(&self.out.join(Log::NAME)) {
                "move its train.jsonl away, and start with --config or --model instead of --resume"
            } else {
                "start with --config or --model instead of --resume"
            }));
        };
        let progress = read_progress(&path)?;
        let source = ModelSource::open(&path)?;
        let vocabulary = Vocabulary::open(&path)?;
        let file = Tensors::open(&path.join(OPTIMIZER))?;
        let moment = |name: String| -> Result<_> {
            let (shape, values) = (file.shape(&name).unwrap_or_default().to_vec(), file.f32(&name)?);
            Ok((name, shape, values))
        };
        let moments = file.names().into_iter().map(moment).collect::<Result<_>>()?;
        Ok(Resumed { source, vocabulary, moments, progress, path })
    }

    /// Saves a checkpoint, makes the run's folder a model of the same weights, and removes all but the newest
    /// `keep`.
    ///
    /// # Errors
    /// [`ErrorKind::Io`], naming the checkpoint; the earlier ones are as they were.
    pub fn save(&self, snapshot: &Snapshot<'_>, keep: usize) -> Result<PathBuf> {
        let place = self.folder().join(format!("step-{:06}", snapshot.progress.step));
        // What is there under this name is of no run that could go on: it is replaced, never taken for ours.
        self.write(&place, snapshot).map_err(|e| Error::io(place.display(), &e))?;
        self.publish(&place, snapshot)?;
        let list = self.list();
        for (_, old) in list.iter().rev().skip(keep.max(1)) {
            disk::remove_folder(old).map_err(|e| Error::io(old.display(), &e))?;
        }
        Ok(place)
    }

    fn write(&self, place: &Path, snapshot: &Snapshot<'_>) -> io::Result<()> {
        let folder = disk::temporary_folder(&self.folder())?;
        let file = |name: &str, write: &dyn Fn(&mut dyn Write) -> io::Result<()>| -> io::Result<()> {
            disk::fill(&disk::create(&folder.path().join(name))?, write)
        };
        file(CONFIG, &|w| w.write_all(snapshot.config.to_json().as_bytes()))?;
        if let Some(json) = &snapshot.vocabulary.json {
            file(TOKENIZER, &|w| w.write_all(json))?;
        }
        file(SINGLE, &|w| write_tensors_to(w, &tensors(snapshot.weights), &[]))?;
        file(OPTIMIZER, &|w| write_tensors_to(w, &tensors(snapshot.moments), &[]))?;
        file(TRAINING, &|w| serde_json::to_writer_pretty(w, snapshot.progress).map_err(Into::into))?;
        disk::sync(folder.path());
        if place.is_dir() {
            disk::remove_folder(place)?;
        }
        disk::rename(folder.path(), place)?;
        // It has its name now, and stays.
        let _ = folder.keep();
        disk::sync(&self.folder());
        Ok(())
    }

    /// The weights of a checkpoint become those of the run's folder, without a second copy where the file
    /// system knows links.
    fn publish(&self, place: &Path, snapshot: &Snapshot<'_>) -> Result<()> {
        let text = |name: &str, bytes: &[u8]| {
            let path = self.out.join(name);
            let same = read_bytes(&path, Whole::Settings).is_ok_and(|old| old == bytes);
            if same { Ok(()) } else { atomic_write(&path, |w| w.write_all(bytes)) }
        };
        text(CONFIG, snapshot.config.to_json().as_bytes())?;
        if let Some(json) = &snapshot.vocabulary.json {
            text(TOKENIZER, json)?;
        }
        let (from, to) = (place.join(SINGLE), self.out.join(SINGLE));
        // A link that the user made to another place is followed, by a copy.
        let linked = if to.is_symlink() {
            Err(io::ErrorKind::Unsupported.into())
        } else {
            disk::temporary_link(&from, &to).and_then(|link| disk::persist_link(link, &to))
        };
        match linked {
            Ok(()) => {
                disk::sync(&self.out);
                Ok(())
            }
            Err(_) => atomic_write(&to, |w| io::copy(&mut fs::File::open(&from)?, w).map(drop)),
        }
    }
}

impl Drop for Checkpoints {
    fn drop(&mut self) {
        if self.lock.is_some() {
            // Nothing came of a run without a step.
            let log = self.out.join(Log::NAME);
            if is_empty_log(&log) {
                let _ = fs::remove_file(log);
            }
            let _ = fs::remove_dir(self.folder());
        }
    }
}

fn is_empty_log(path: &Path) -> bool {
    path.ends_with(Log::NAME) && path.metadata().is_ok_and(|m| m.is_file() && m.len() == 0)
}

/// Whether something has this name, a link to nothing included.
fn is_there(path: &Path) -> bool {
    path.symlink_metadata().is_ok()
}

fn tensors(list: &NamedTensors) -> Vec<TensorData<'_>> {
    list.iter().map(|(name, shape, values)| TensorData::f32(name, shape, values)).collect()
}

fn read_progress(folder: &Path) -> Result<Progress> {
    let path = folder.join(TRAINING);
    let damaged = |what: String| {
        Error::new(ErrorKind::Input, format!("{}: {what}", path.display()))
            .help("remove this checkpoint to use an earlier one")
    };
    let value = json_bytes(&read_bytes(&path, Whole::Settings)?).map_err(damaged)?;
    if value["format"] != FORMAT {
        return Err(damaged(format!("has format {}, this version reads {FORMAT}", value["format"])));
    }
    serde_json::from_value(value).map_err(|e| damaged(e.to_string()))
}

/// Whether nothing is missing or cut off. (A rename can reach the disk before what it renames on some file
/// systems.)
fn is_complete(folder: &Path) -> bool {
    let json = |name: &str| {
        read_bytes(&folder.join(name), Whole::Settings).is_ok_and(|bytes| json_bytes(&bytes).is_ok())
    };
    json(CONFIG)
        && json(TRAINING)
        && [SINGLE, OPTIMIZER].iter().all(|name| Tensors::open(&folder.join(name)).is_ok())
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::files::faults;
    use crate::train::initial::new_model;
    use crate::train::schedule::Decay;

    pub(in crate::train) fn settings() -> Settings {
        Settings {
            steps: 10,
            batch: 2,
            context: 8,
            lr: 0.1 + 0.2,
            min_lr: 3e-4 * 0.1,
            schedule: Decay::Linear,
            warmup: 1,
            seed: u64::MAX,
            data: vec!["a".into()],
            eval_every: 0,
            eval_tokens: 1,
            save_every: 1,
            ..Settings::default()
        }
    }

    /// A model of its own for every seed.
    fn new(seed: u64) -> ModelSource {
        let json = r#"{"vocab_size":257,"hidden_size":4,"num_hidden_layers":1,"num_attention_heads":1,"intermediate_size":4,
            "rope":{"where":"none"},"attention":{"kind":"softmax"}}"#;
        let config = ModelConfig::from_json(json, "c").expect("good").0;
        new_model(config, crate::model::Tokenizer::bytes(), seed).expect("makes")
    }

    fn save(run: &Checkpoints, step: u64, keep: usize) -> Result<PathBuf> {
        save_of(run, step, keep, step)
    }

    fn save_of(run: &Checkpoints, step: u64, keep: usize, seed: u64) -> Result<PathBuf> {
        let source = new(seed);
        let names = source.config.parameters();
        let weights = names
            .iter()
            .map(|s| (s.name.clone(), s.shape.clone(), source.checkpoint.f32(&s.name).expect("is there")))
            .collect();
        let moments = vec![("m.a".to_string(), vec![2], vec![step as f32, 0.1])];
        let progress = Progress::new(step, 0.1 + 0.7, 1.0 / 3.0, 5, &settings());
        let vocabulary = Vocabulary::bytes();
        run.save(
            &Snapshot {
                config: &source.config,
                vocabulary: &vocabulary,
                weights: &weights,
                moments: &moments,
                progress: &progress,
            },
            keep,
        )
    }

    fn steps(run: &Checkpoints) -> Vec<u64> {
        run.list().into_iter().map(|(step, _)| step).collect()
    }

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(folder)
            .expect("lists")
            .map(|e| e.expect("lists").file_name().into_string().expect("text"))
            .collect();
        names.sort();
        names
    }

    #[test]
    fn a_checkpoint_is_read_back_exactly_and_the_folder_is_a_model() {
        let dir = tempfile::tempdir().expect("folder");
        let mut run = Checkpoints::of(&dir.path().join("new/run"));
        run.check_new().expect("nothing there");
        assert!(run.newest().is_err());
        run.prepare().expect("makes");
        run.check_new().expect("still nothing");
        for step in [1, 2, 100, 1_000_000] {
            save(&run, step, 2).expect("saves");
        }
        assert_eq!(steps(&run), [100, 1_000_000]);
        assert_eq!(names(run.out()), [FolderLock::NAME, "checkpoints", "config.json", "model.safetensors"]);
        assert_eq!(names(&run.folder()), ["step-000100", "step-1000000"]);
        let resumed = run.newest().expect("reads");
        assert_eq!(resumed.progress, Progress::new(1_000_000, 0.1 + 0.7, 1.0 / 3.0, 5, &settings()));
        assert_eq!(resumed.moments, [("m.a".to_string(), vec![2], vec![1e6, 0.1])]);
        let published = ModelSource::open(run.out()).expect("a model");
        let name = "model.embed_tokens.weight";
        assert_eq!(
            published.checkpoint.f32(name).expect("reads"),
            resumed.source.checkpoint.f32(name).expect("reads")
        );
        assert!(run.check_new().expect_err("taken").message().contains("step-1000000"));
        // What lies at a checkpoint's place is replaced by the run's own.
        save_of(&run, 1_000_000, 2, 7).expect("saves");
        assert_eq!((steps(&run), names(run.out()).len()), (vec![100, 1_000_000], 4));
        let own = new(7).checkpoint.f32(name).expect("reads");
        for folder in [run.out(), &run.folder().join("step-1000000")] {
            let source = ModelSource::open(folder).expect("a model");
            assert_eq!(source.checkpoint.f32(name).expect("reads"), own);
        }
        let folder = run.out().to_path_buf();
        drop(run);
        assert_eq!(names(&folder), ["checkpoints", "config.json", "model.safetensors"]);
    }

    #[test]
    fn what_is_incomplete_is_ignored_and_replaced() {
        let dir = tempfile::tempdir().expect("folder");
        let mut run = Checkpoints::of(dir.path());
        run.prepare().expect("makes");
        (1..=4).for_each(|step| drop(save(&run, step, 9).expect("saves")));
        let folder = run.folder();
        let at = |step: u64, name: &str| folder.join(format!("step-{step:06}")).join(name);
        fs::remove_file(at(4, TRAINING)).expect("removes");
        let optimizer = fs::read(at(3, OPTIMIZER)).expect("reads");
        fs::write(at(3, OPTIMIZER), &optimizer[..optimizer.len() - 1]).expect("writes");
        fs::create_dir(run.folder().join("step-000009")).expect("makes");
        fs::create_dir(run.folder().join("other")).expect("makes");
        let half = |target: &Path| disk::temporary_file(target).expect("makes").keep().expect("stays").1;
        let (ours, other) = (half(&run.out().join(SINGLE)), half(&run.out().join("a.state")));
        fs::create_dir(run.folder().join(".polysketch-abc")).expect("makes");
        assert_eq!(steps(&run), [1, 2]);
        assert_eq!(run.newest().expect("reads").progress.step, 2);
        run.prepare().expect("cleans");
        assert!(!run.folder().join(".polysketch-abc").exists() && !ours.exists());
        assert!(other.exists(), "another program may be writing it");
        save(&run, 3, 9).expect("saves");
        assert_eq!(steps(&run), [1, 2, 3]);
        fs::write(at(3, TRAINING), r#"{"format":2}"#).expect("writes");
        assert!(run.newest().expect_err("too new").message().contains("format 2"));
    }

    #[test]
    fn a_failed_save_leaves_what_was_there() {
        let dir = tempfile::tempdir().expect("folder");
        let mut run = Checkpoints::of(dir.path());
        run.prepare().expect("makes");
        save(&run, 1, 2).expect("saves");
        // A file in the way of the folder.
        fs::write(run.folder().join("step-000002"), "").expect("writes");
        let error = save(&run, 2, 2).expect_err("in the way");
        assert!(error.kind() == ErrorKind::Io && error.message().contains("step-000002"), "{error}");
        assert_eq!((steps(&run), names(&run.folder()).len()), (vec![1], 2));
        fs::remove_dir_all(run.folder()).expect("removes");
        let error = save(&run, 2, 2).expect_err("no folder");
        assert!(
            error.message().contains("step-000002") && !error.message().contains(disk::PREFIX),
            "{error}"
        );
        let file = dir.path().join("file");
        fs::write(&file, "").expect("writes");
        assert!(Checkpoints::of(&file).check_new().is_err() && Checkpoints::of(&file).prepare().is_err());
    }

    /// Whatever fails while a checkpoint is saved: the run's folder is the model of one step, the run goes on
    /// from one that is whole, and an error names the place.
    #[test]
    fn any_operation_may_fail() {
        let name = "model.embed_tokens.weight";
        let weights = |step: u64| new(step).checkpoint.f32(name).expect("reads");
        faults::every(|k, fault| {
            let dir = tempfile::tempdir().expect("folder");
            let mut run = Checkpoints::of(dir.path());
            run.prepare().expect("makes");
            (1..=2).for_each(|step| drop(save(&run, step, 2).expect("saves")));
            let (saved, hit) = faults::with(k, fault, || save(&run, 3, 2));
            if let Err(error) = &saved {
                let place = dir.path().display().to_string();
                assert!(error.kind() == ErrorKind::Io && error.message().contains(&place), "{k}: {error}");
                assert!(!error.message().contains(disk::PREFIX), "{k}: {error}");
            }
            let resumed = run.newest().expect("goes on");
            let step = resumed.progress.step;
            assert!(step == 3 || (step == 2 && saved.is_err()), "{k}: {step} {saved:?}");
            assert_eq!(resumed.source.checkpoint.f32(name).expect("reads"), weights(step), "{k}");
            let published = ModelSource::open(dir.path()).expect("a model").checkpoint.f32(name);
            let published = published.expect("reads");
            assert!(published == weights(3) || (published == weights(2) && saved.is_err()), "{k}: {saved:?}");
            drop(run);
            let mut again = Checkpoints::claim(dir.path()).expect("free");
            again.check_own().expect("its own");
            again.prepare().expect("goes on");
            (step + 1..=5).for_each(|step| drop(save(&again, step, 2).expect("saves")));
            drop(again);
            assert_eq!(steps(&Checkpoints::of(dir.path())), [4, 5]);
            let all = [names(dir.path()), names(&dir.path().join("checkpoints"))].concat();
            assert!(all.iter().all(|name| !name.starts_with('.')), "{k}: {all:?}");
            hit
        });
    }

    #[test]
    fn nothing_that_no_run_wrote_is_replaced() {
        for name in [CONFIG, TOKENIZER, SINGLE, INDEX, Log::NAME, DRAWING, "checkpoints/mine", "checkpoints"]
        {
            let dir = tempfile::tempdir().expect("folder");
            let path = dir.path().join(name);
            fs::create_dir_all(path.parent().expect("has one")).expect("makes");
            fs::write(&path, "mine").expect("writes");
            let run = Checkpoints::claim(dir.path()).expect("free");
            let error = run.check_new().expect_err("refused");
            assert!(error.kind() == ErrorKind::Input && error.message().contains(name), "{name}: {error}");
            drop(run);
            assert_eq!(fs::read(&path).expect("reads"), b"mine", "{name}");
        }
        let dir = tempfile::tempdir().expect("folder");
        let mut run = Checkpoints::claim(dir.path()).expect("free");
        for (name, content) in [("README", "mine"), (Log::NAME, "")] {
            fs::write(dir.path().join(name), content).expect("writes");
        }
        run.check_new().expect("nothing would be replaced");
        run.prepare().expect("makes");
        save(&run, 1, 2).expect("saves");
        run.check_own().expect("its own");
        fs::write(dir.path().join(CONFIG), "mine").expect("writes");
        let error = run.check_own().expect_err("not its own");
        assert!(error.message().contains(CONFIG) && error.advice().is_some(), "{error}");
    }

    #[test]
    fn a_disk_without_room_is_told_before_the_first_step() {
        let dir = tempfile::tempdir().expect("folder");
        let mut run = Checkpoints::of(dir.path());
        run.prepare().expect("makes");
        let config = new(1).config;
        run.check_room(&config, &settings(), 0).expect("has room");
        let huge = ModelConfig { vocab_size: 1 << 40, hidden_size: 1 << 20, ..config };
        let error = run.check_room(&huge, &settings(), 0).expect_err("no room");
        assert!(error.kind() == ErrorKind::Io && error.advice().is_some(), "{error}");
    }

    #[cfg(unix)]
    #[test]
    fn names_need_not_be_text() {
        use std::os::unix::ffi::OsStrExt as _;
        let dir = tempfile::tempdir().expect("folder");
        let odd = Path::new(std::ffi::OsStr::from_bytes(b"/tmp/n\xffme"));
        let asked =
            Settings { data: vec![odd.into(), "/plain".into()], eval_data: Some(odd.into()), ..settings() };
        let progress = Progress::new(1, 0.0, 0.0, 5, &asked);
        let json = serde_json::to_string(&progress).expect("any path is stored");
        assert!(json.contains("\"/plain\""), "{json}");
        assert_eq!(serde_json::from_str::<Progress>(&json).expect("reads"), progress);
        let mut run = Checkpoints::of(&dir.path().join(odd.file_name().expect("has one")));
        run.prepare().expect("makes");
        save(&run, 1, 2).expect("saves");
        assert_eq!(run.newest().expect("reads").progress.step, 1);
        assert!(FolderLock::take(run.out()).is_err());
    }
}
