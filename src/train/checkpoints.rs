//! What a run leaves in its folder: the model as it is now, and the checkpoints it can go on from.
//!
//! ```text
//! OUT/config.json  model.safetensors  tokenizer.json     a model folder like any other
//! OUT/checkpoints/step-000100/                           the same, and optimizer.safetensors, training.json
//! ```
//!
//! A checkpoint is written beside its place and renamed, so it is whole or not there.

use std::fs;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::corpus::Vocabulary;
use super::learner::NamedTensors;
use super::settings::Settings;
use crate::error::{Error, ErrorKind, Result};
use crate::model::checkpoint::{INDEX, SINGLE, TensorData, Tensors, write_tensors_to};
use crate::model::files::{atomic_write, is_standard, read_bytes};
use crate::model::{ModelConfig, ModelSource};
use crate::text::json_bytes;

const CONFIG: &str = "config.json";
const TOKENIZER: &str = "tokenizer.json";
const OPTIMIZER: &str = "optimizer.safetensors";
const TRAINING: &str = "training.json";

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
#[derive(Clone, Debug)]
pub struct Checkpoints {
    out: PathBuf,
}

impl Checkpoints {
    /// The run in `out`; nothing is touched.
    pub fn of(out: &Path) -> Self {
        Self { out: out.to_path_buf() }
    }

    /// The folder of the run.
    pub fn out(&self) -> &Path {
        &self.out
    }

    fn folder(&self) -> PathBuf {
        self.out.join("checkpoints")
    }

    /// Refuses a folder that holds a model or a run already.
    ///
    /// # Errors
    /// [`ErrorKind::Input`], naming the folder.
    pub fn check_new(&self) -> Result<()> {
        let label = self.out.display();
        if self.out.exists() && !self.out.is_dir() {
            return Err(Error::new(ErrorKind::Input, format!("{label}: is a file, must be a folder"))
                .help("give another --out"));
        }
        if let Some((_, newest)) = self.list().pop() {
            let newest = newest.file_name().unwrap_or_default().to_string_lossy();
            return Err(Error::new(
                ErrorKind::Input,
                format!("{label}: holds a training run already, at {newest}"),
            )
            .help("continue it with --resume, or give another --out"));
        }
        if [SINGLE, INDEX].iter().any(|name| self.out.join(name).exists()) {
            return Err(Error::new(ErrorKind::Input, format!("{label}: holds a model already"))
                .help("give another --out"));
        }
        Ok(())
    }

    /// Makes the folder, tries whether it can be written to, and removes what a killed run left half written.
    ///
    /// # Errors
    /// [`ErrorKind::Io`].
    pub fn prepare(&self) -> Result<()> {
        let folder = self.folder();
        let prepared = fs::create_dir_all(&folder).and_then(|()| {
            for entry in [&self.out, &folder]
                .into_iter()
                .map(fs::read_dir)
                .collect::<io::Result<Vec<_>>>()?
                .into_iter()
                .flatten()
            {
                let path = entry?.path();
                let name = path.file_name().unwrap_or_default().to_string_lossy();
                if name.starts_with(PREFIX) {
                    // What cannot be removed does no harm.
                    let _ = if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
                }
            }
            temporary().tempfile_in(&folder).map(drop).map_err(|e| e.kind().into())
        });
        prepared.map_err(|e| Error::io(folder.display(), &e))
    }

    /// The complete checkpoints, oldest first: step and folder.
    pub fn list(&self) -> Vec<(u64, PathBuf)> {
        let Ok(entries) = fs::read_dir(self.folder()) else { return Vec::new() };
        let step = |path: &Path| path.file_name()?.to_str()?.strip_prefix("step-")?.parse().ok();
        let paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
        let mut list: Vec<(u64, PathBuf)> = paths
            .filter_map(|path| Some((step(&path)?, path)))
            .filter(|(_, path)| is_complete(path))
            .collect();
        list.sort_unstable();
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
            .help("start with --config or --model instead of --resume"));
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
        if !is_complete(&place) {
            self.write(&place, snapshot).map_err(|e| Error::io(place.display(), &e))?;
        }
        self.publish(&place, snapshot)?;
        let list = self.list();
        for (_, old) in list.iter().rev().skip(keep.max(1)) {
            fs::remove_dir_all(old).map_err(|e| Error::io(old.display(), &e))?;
        }
        Ok(place)
    }

    fn write(&self, place: &Path, snapshot: &Snapshot<'_>) -> io::Result<()> {
        // Its own temporary path is no use in a message.
        let folder = temporary().tempdir_in(self.folder()).map_err(|e| io::Error::from(e.kind()))?;
        let file = |name: &str, write: &dyn Fn(&mut dyn Write) -> io::Result<()>| -> io::Result<()> {
            let file = fs::File::create(folder.path().join(name))?;
            let mut w = BufWriter::with_capacity(1 << 20, &file);
            write(&mut w)?;
            w.flush()?;
            file.sync_all()
        };
        file(CONFIG, &|w| w.write_all(snapshot.config.to_json().as_bytes()))?;
        if let Some(json) = &snapshot.vocabulary.json {
            file(TOKENIZER, &|w| w.write_all(json))?;
        }
        file(SINGLE, &|w| write_tensors_to(w, &tensors(snapshot.weights), &[]))?;
        file(OPTIMIZER, &|w| write_tensors_to(w, &tensors(snapshot.moments), &[]))?;
        file(TRAINING, &|w| serde_json::to_writer_pretty(w, snapshot.progress).map_err(Into::into))?;
        sync(folder.path());
        if place.exists() {
            // Incomplete, or it would not be written again.
            fs::remove_dir_all(place)?;
        }
        fs::rename(folder.path(), place)?;
        // It has its name now, and stays.
        let _ = folder.keep();
        sync(&self.folder());
        Ok(())
    }

    /// The weights of a checkpoint become those of the run's folder, without a second copy where the file
    /// system knows links.
    fn publish(&self, place: &Path, snapshot: &Snapshot<'_>) -> Result<()> {
        let text = |name: &str, bytes: &[u8]| {
            let path = self.out.join(name);
            let same = fs::read(&path).is_ok_and(|old| old == bytes);
            if same { Ok(()) } else { atomic_write(&path, |w| w.write_all(bytes)) }
        };
        text(CONFIG, snapshot.config.to_json().as_bytes())?;
        if let Some(json) = &snapshot.vocabulary.json {
            text(TOKENIZER, json)?;
        }
        let (from, to) = (place.join(SINGLE), self.out.join(SINGLE));
        let linked = temporary()
            .make_in(&self.out, |link| fs::hard_link(&from, link))
            .map(tempfile::NamedTempFile::into_temp_path);
        match linked.map(|link| (link.to_path_buf(), link.persist(&to))) {
            Ok((link, Ok(()))) => {
                // Renaming onto another name of the same file does nothing.
                let _ = fs::remove_file(link);
                Ok(())
            }
            _ => atomic_write(&to, |w| io::copy(&mut fs::File::open(&from)?, w).map(drop)),
        }
    }
}

/// Names of what is not finished.
const PREFIX: &str = ".polysketch-";

fn temporary() -> tempfile::Builder<'static, 'static> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(PREFIX);
    #[cfg(unix)]
    {
        // What a plain `mkdir` would ask for; the umask takes its part.
        use std::os::unix::fs::PermissionsExt;
        builder.permissions(fs::Permissions::from_mode(0o777));
    }
    builder
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
    let value = json_bytes(&read_bytes(&path)?).map_err(damaged)?;
    if value["format"] != FORMAT {
        return Err(damaged(format!("has format {}, this version reads {FORMAT}", value["format"])));
    }
    serde_json::from_value(value).map_err(|e| damaged(e.to_string()))
}

/// Whether nothing is missing or cut off. (A rename can reach the disk before what it renames on some file
/// systems.)
fn is_complete(folder: &Path) -> bool {
    let json = |name: &str| fs::read(folder.join(name)).is_ok_and(|bytes| json_bytes(&bytes).is_ok());
    json(CONFIG)
        && json(TRAINING)
        && [SINGLE, OPTIMIZER].iter().all(|name| Tensors::open(&folder.join(name)).is_ok())
}

/// Names in a folder reach the disk. Some file systems cannot, and then nothing is lost but time.
fn sync(folder: &Path) {
    if let Ok(folder) = fs::File::open(folder) {
        let _ = folder.sync_all();
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
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

    fn save(run: &Checkpoints, step: u64, keep: usize) -> Result<PathBuf> {
        let json = r#"{"vocab_size":257,"hidden_size":4,"num_hidden_layers":1,"num_attention_heads":1,"intermediate_size":4,
            "rope":{"where":"none"},"attention":{"kind":"softmax"}}"#;
        let source = new_model(
            ModelConfig::from_json(json, "c").expect("good").0,
            crate::model::Tokenizer::bytes(),
            step,
        )
        .expect("makes");
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
        let run = Checkpoints::of(&dir.path().join("new/run"));
        run.check_new().expect("nothing there");
        assert!(run.newest().is_err());
        run.prepare().expect("makes");
        run.check_new().expect("still nothing");
        for step in [1, 2, 100, 1_000_000] {
            save(&run, step, 2).expect("saves");
        }
        assert_eq!(steps(&run), [100, 1_000_000]);
        assert_eq!(names(run.out()), ["checkpoints", "config.json", "model.safetensors"]);
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
        // The same once more changes nothing.
        save(&run, 1_000_000, 2).expect("saves");
        assert_eq!((steps(&run), names(run.out()).len()), (vec![100, 1_000_000], 3));
    }

    #[test]
    fn what_is_incomplete_is_ignored_and_replaced() {
        let dir = tempfile::tempdir().expect("folder");
        let run = Checkpoints::of(dir.path());
        run.prepare().expect("makes");
        (1..=4).for_each(|step| drop(save(&run, step, 9).expect("saves")));
        let at = |step: u64, name: &str| run.folder().join(format!("step-{step:06}")).join(name);
        fs::remove_file(at(4, TRAINING)).expect("removes");
        let optimizer = fs::read(at(3, OPTIMIZER)).expect("reads");
        fs::write(at(3, OPTIMIZER), &optimizer[..optimizer.len() - 1]).expect("writes");
        fs::create_dir(run.folder().join("step-000009")).expect("makes");
        fs::create_dir(run.folder().join("other")).expect("makes");
        fs::create_dir(run.folder().join(".polysketch-abc")).expect("makes");
        fs::write(run.out().join(".polysketch-def"), "half").expect("writes");
        assert_eq!(steps(&run), [1, 2]);
        assert_eq!(run.newest().expect("reads").progress.step, 2);
        run.prepare().expect("cleans");
        assert!(
            !run.folder().join(".polysketch-abc").exists() && !run.out().join(".polysketch-def").exists()
        );
        save(&run, 3, 9).expect("saves");
        assert_eq!(steps(&run), [1, 2, 3]);
        fs::write(at(3, TRAINING), r#"{"format":2}"#).expect("writes");
        assert!(run.newest().expect_err("too new").message().contains("format 2"));
    }

    #[test]
    fn a_failed_save_leaves_what_was_there() {
        let dir = tempfile::tempdir().expect("folder");
        let run = Checkpoints::of(dir.path());
        run.prepare().expect("makes");
        save(&run, 1, 2).expect("saves");
        // A file in the way of the folder.
        fs::write(run.folder().join("step-000002"), "").expect("writes");
        let error = save(&run, 2, 2).expect_err("in the way");
        assert!(error.kind() == ErrorKind::Io && error.message().contains("step-000002"), "{error}");
        assert_eq!((steps(&run), names(&run.folder()).len()), (vec![1], 2));
        fs::remove_dir_all(run.folder()).expect("removes");
        let error = save(&run, 2, 2).expect_err("no folder");
        assert!(error.message().contains("step-000002") && !error.message().contains(PREFIX), "{error}");
        let file = dir.path().join("file");
        fs::write(&file, "").expect("writes");
        assert!(Checkpoints::of(&file).check_new().is_err() && Checkpoints::of(&file).prepare().is_err());
    }
}
