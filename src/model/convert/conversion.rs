//! What is asked for, and how it is written.

use std::collections::BTreeMap;
use std::io::Write;
use std::ops::ControlFlow;
use std::path::Path;

use super::bake::own;
use super::folder::{check_free, whole};
use super::header::header;
use super::stream::{Stop, bytes};
use super::targets::{Content, Format, Target, targets};
use super::texts::texts;
use crate::error::{Error, ErrorKind, Result};
use crate::files::{atomic_write, check_place, check_room, disk, is_standard};
use crate::model::checkpoint::{Checkpoint, Dtype, SINGLE};
use crate::model::config::{Family, ModelConfig};
use crate::model::ends::EndFiles;
use crate::model::engine::ModelSource;
use crate::model::families::gguf_keys;
use crate::model::gguf::BlockType;
use crate::model::tensor_file;
use crate::model::weights::WeightType;

/// A model that becomes other files.
#[derive(Debug)]
pub struct Conversion<'a> {
    /// The model.
    pub source: &'a ModelSource,
    /// Its name, for the metadata of a GGUF file.
    pub name: &'a str,
    /// The folder it comes from, whose files of the tokenizer go along; none: a file, or no folder at all.
    pub folder: Option<&'a Path>,
    /// Type of the large matrices; none: f16, and blocks of a GGUF file stay as they are in another one.
    pub weights: Option<WeightType>,
}

/// What was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// Whose files they are.
    pub family: Family,
    /// Names of files in a folder, or nothing but the file itself; with their bytes.
    pub files: Vec<(String, u64)>,
    /// Tensors by their types.
    pub types: BTreeMap<&'static str, usize>,
    /// Tensors of blocks that are those of the file that was read, bit by bit.
    pub copied: usize,
    /// What is not as one might think.
    pub notes: Vec<String>,
}

impl Written {
    /// Bytes of all files.
    pub fn bytes(&self) -> u64 {
        self.files.iter().map(|(_, bytes)| bytes).sum()
    }
}

/// Told bytes done and bytes in all; says whether to go on.
type Progress<'a> = &'a mut dyn FnMut(u64, u64) -> ControlFlow<()>;

impl Conversion<'_> {
    /// Whether a path is that of a GGUF file, else of a folder.
    pub fn is_gguf(out: &Path) -> bool {
        out.extension().is_some_and(|end| end.eq_ignore_ascii_case("gguf"))
    }

    /// Refuses a place that is not free, or weights that a folder cannot have; for before the model is read.
    ///
    /// # Errors
    /// [`ErrorKind::Input`], [`ErrorKind::Io`].
    pub fn check(out: &Path, weights: Option<WeightType>) -> Result<()> {
        if is_standard(out) {
            let text = "a model is written to a folder or a .gguf file, not to stdout";
            return Err(Error::new(ErrorKind::Input, text).help("give a name"));
        }
        if Self::is_gguf(out) {
            check_free(out, false)?;
            return check_place(out);
        }
        if let Some(weights @ (WeightType::Q8 | WeightType::Q4)) = weights {
            let text = format!("{}: a folder has no weights of {}", out.display(), weights.name());
            return Err(Error::new(ErrorKind::Input, text)
                .help("give a name that ends with .gguf, or the weights f16 or f32"));
        }
        check_free(out, true)
    }

    /// Refuses a file that a model with an adapter cannot become; for before the model is read.
    ///
    /// # Errors
    /// [`ErrorKind::Input`].
    pub fn check_adapted(out: &Path) -> Result<()> {
        if !Self::is_gguf(out) {
            return Ok(());
        }
        let text =
            format!("{}: GGUF files have no linearised attention, which --adapter makes", out.display());
        Err(Error::new(ErrorKind::Input, text)
            .help("give the name of a folder, or leave out --adapter and give it to the other commands"))
    }

    /// Writes a GGUF file where the name ends with `.gguf`, else a folder; of a model with an adapter one
    /// that has linearised attention of its own.
    ///
    /// # Errors
    /// As [`Conversion::check`]; [`ErrorKind::Input`] for a family without GGUF files;
    /// [`ErrorKind::Config`] or [`ErrorKind::Tokenizer`] for what such a file cannot say;
    /// [`ErrorKind::ModelFormat`] for weights that are no numbers, or too large for their type;
    /// [`ErrorKind::Io`]; [`ErrorKind::Cancelled`]. Nothing is left then.
    pub fn write(&self, out: &Path, progress: Progress<'_>) -> Result<Written> {
        Self::check(out, self.weights)?;
        let gguf = Self::is_gguf(out);
        let own = own(&self.source.config)?;
        if own.is_some() {
            Self::check_adapted(out)?;
        }
        let family = match &own {
            Some(own) => own.family,
            None if gguf => gguf_keys::family(&self.source.config)?,
            None => self.source.config.family,
        };
        let format = if gguf { Format::Gguf(family) } else { Format::Folder };
        let (mut targets, mut notes) = targets(self.source, own.as_ref(), format, self.weights);
        let files = match gguf {
            true => self.write_gguf(out, &targets, &mut notes, progress)?,
            false => self.write_folder(out, own.as_ref(), &mut targets, &mut notes, progress)?,
        };
        let mut types = BTreeMap::new();
        targets.iter().for_each(|target| *types.entry(target.kind.name()).or_insert(0) += 1);
        let copied = targets.iter().filter(|target| matches!(target.content, Content::Blocks)).count();
        Ok(Written { family, files, types, copied, notes })
    }

    fn write_gguf(
        &self,
        out: &Path,
        targets: &[Target],
        notes: &mut Vec<String>,
        progress: Progress<'_>,
    ) -> Result<Vec<(String, u64)>> {
        let ends = self.folder.map(EndFiles::open).unwrap_or_default();
        let header = header(self.source, targets, self.name, &ends, notes)?;
        let (start, length) = (header.bytes()?, header.file_length()?);
        check_room(out, length, length)?;
        let mut tensors = Tensors { checkpoint: &self.source.checkpoint, at: 0, length, progress };
        let mut failed = None;
        let written = atomic_write(out, |w| {
            let mut all = || -> Result<(), Stop> {
                tensors.give(w, &start)?;
                for target in targets {
                    tensors.pad(w, header.tensors.get(&target.name).map_or(0, |info| info.bytes.start))?;
                    tensors.write(w, target)?;
                }
                tensors.pad(w, length)
            };
            all().map_err(|stop| match stop {
                Stop::Write(error) => error,
                Stop::Failed(error) => {
                    failed = Some(error);
                    std::io::Error::other("the model failed")
                }
            })
        });
        match failed {
            Some(error) => Err(error),
            None => written.map(|()| vec![(String::new(), length)]),
        }
    }

    fn write_folder(
        &self,
        out: &Path,
        own: Option<&ModelConfig>,
        targets: &mut [Target],
        notes: &mut Vec<String>,
        progress: Progress<'_>,
    ) -> Result<Vec<(String, u64)>> {
        let float = if self.weights == Some(WeightType::F32) { "float32" } else { "float16" };
        let texts = texts(self.source, own, self.folder, float, notes)?;
        let dtype = |target: &Target| if target.kind == BlockType::F16 { Dtype::F16 } else { Dtype::F32 };
        targets.sort_by(|a, b| tensor_file::order((dtype(a), &a.name), (dtype(b), &b.name)));
        let list = targets.iter().map(|t| (t.name.as_str(), dtype(t), t.shape.as_slice()));
        // Without this note transformers does not read the file.
        let start = tensor_file::head(list, &[("format", "pt")]).map_err(|e| Error::io(out.display(), &e))?;
        let length = start.len() as u64 + targets.iter().map(Target::bytes).sum::<u64>();
        let mut files: Vec<(String, u64)> =
            texts.iter().map(|(name, text)| (name.clone(), text.len() as u64)).collect();
        files.push((SINGLE.into(), length));
        check_room(out, length, files.iter().map(|(_, bytes)| bytes).sum())?;
        let mut tensors = Tensors { checkpoint: &self.source.checkpoint, at: 0, length, progress };
        let written = whole(out, |folder| {
            for (name, text) in &texts {
                disk::fill(&disk::create(&folder.join(name))?, |w| w.write_all(text))?;
            }
            let mut failed = None;
            let written = disk::fill(&disk::create(&folder.join(SINGLE))?, |w| {
                let mut all = || -> Result<(), Stop> {
                    tensors.give(w, &start)?;
                    targets.iter().try_for_each(|target| tensors.write(w, target))
                };
                all().map_err(|stop| match stop {
                    Stop::Write(error) => error,
                    Stop::Failed(error) => {
                        failed = Some(error);
                        std::io::Error::other("the model failed")
                    }
                })
            });
            failed.map_or(written.map_err(Stop::Write), |error| Err(Stop::Failed(error)))
        });
        match written {
            Ok(()) => Ok(files),
            Err(Stop::Write(error)) => Err(Error::io(out.display(), &error)),
            Err(Stop::Failed(error)) => Err(error),
        }
    }
}

/// The tensors of a file on their way to it.
struct Tensors<'a> {
    checkpoint: &'a Checkpoint,
    /// Bytes written.
    at: u64,
    /// Bytes of the file.
    length: u64,
    progress: Progress<'a>,
}

impl Tensors<'_> {
    fn give(&mut self, w: &mut dyn Write, bytes: &[u8]) -> Result<(), Stop> {
        w.write_all(bytes)?;
        self.at += bytes.len() as u64;
        if (self.progress)(self.at, self.length).is_break() {
            let text = format!("interrupted after {} of {} bytes; nothing was written", self.at, self.length);
            return Err(Error::new(ErrorKind::Cancelled, text).into());
        }
        Ok(())
    }

    fn pad(&mut self, w: &mut dyn Write, place: u64) -> Result<(), Stop> {
        let zeros = vec![0; place.saturating_sub(self.at) as usize];
        self.give(w, &zeros)
    }

    fn write(&mut self, w: &mut dyn Write, target: &Target) -> Result<(), Stop> {
        let checkpoint = self.checkpoint;
        bytes(target, checkpoint, &mut |piece| self.give(w, piece))
    }
}
