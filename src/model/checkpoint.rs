//! The weights of a model: one `model.safetensors` or several shards, f32, f16 or bf16 (SPEC §2), or a GGUF file
//! (SPEC §9).

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::Range;

use super::bytes::{Bytes, at_once};
use super::config::ModelConfig;
pub use super::extract::Stored;
use super::extract::{Extract, InFile, bad_weight, type_error};
use super::families::{self, Names};
use super::gguf::blocks::Block;
use super::gguf::{BlockType, Gguf, Metadata};
use super::parameters::ParameterSpec;
pub use super::tensor_file::{Dtype, TensorData, TensorFile as Tensors, safetensors_bytes, write_tensors_to};
use super::tensor_file::{clip, list};
#[cfg(not(target_arch = "wasm32"))]
pub use super::tensor_file::{read_tensors, write_safetensors};
use crate::error::{Error, ErrorKind, Result};
use crate::tensor::Quant;

/// The file of a model in one piece.
pub const SINGLE: &str = "model.safetensors";
/// The index of a model in shards.
pub const INDEX: &str = "model.safetensors.index.json";

/// A file of weights.
#[derive(Debug)]
enum File {
    Tensors(Tensors),
    Gguf(Box<Gguf>),
}

impl File {
    fn label(&self) -> &str {
        match self {
            File::Tensors(file) => file.label(),
            File::Gguf(file) => file.label(),
        }
    }

    fn names(&self) -> Vec<String> {
        match self {
            File::Tensors(file) => file.names(),
            File::Gguf(file) => file.tensors().keys().cloned().collect(),
        }
    }

    fn stored(&self, name: &str) -> Option<Stored> {
        match self {
            File::Tensors(file) => file.dtype(name).map(Stored::Floats),
            File::Gguf(file) => file.tensors().get(name).map(|info| match info.kind {
                BlockType::F32 => Stored::Floats(Dtype::F32),
                BlockType::F16 => Stored::Floats(Dtype::F16),
                BlockType::BF16 => Stored::Floats(Dtype::BF16),
                blocks => Stored::Blocks(blocks),
            }),
        }
    }

    fn shape(&self, name: &str) -> Option<&[usize]> {
        match self {
            File::Tensors(file) => file.shape(name),
            File::Gguf(file) => file.tensors().get(name).map(|info| info.shape.as_slice()),
        }
    }

    /// Where the bytes of a tensor lie in it.
    fn range(&self, name: &str) -> Option<Range<u64>> {
        match self {
            File::Tensors(file) => file.range(name),
            File::Gguf(file) => file.tensors().get(name).map(|info| info.bytes.clone()),
        }
    }

    fn bytes(&self) -> &Bytes {
        match self {
            File::Tensors(file) => file.bytes(),
            File::Gguf(file) => file.bytes(),
        }
    }

    /// A tensor.
    fn tensor(&self, name: &str) -> Option<InFile<'_>> {
        let (stored, shape) = (self.stored(name)?, self.shape(name)?);
        Some(InFile { label: self.label(), stored, shape })
    }
}

/// An open checkpoint. Nothing is read (native: mapped files) until a tensor is asked for.
#[derive(Debug)]
pub struct Checkpoint {
    files: Vec<File>,
    /// Tensor name to index in `files`.
    home: BTreeMap<String, usize>,
    /// Where our tensors lie in them.
    names: Names,
}

impl Checkpoint {
    /// Opens the weights in a model folder: `model.safetensors`, else the shards of
    /// `model.safetensors.index.json`.
    ///
    /// # Errors
    /// `ErrorKind::Io` if a file is missing or cannot be read, `ErrorKind::ModelFormat` if one is damaged.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn open(dir: &std::path::Path) -> Result<Self> {
        let (single, index) = (dir.join(SINGLE), dir.join(INDEX));
        if single.exists() {
            return Self::from_files(vec![Tensors::open(&single)?]);
        }
        if index.exists() {
            return Self::open_shards(dir, &index);
        }
        std::fs::read_dir(dir).map_err(|e| Error::io(dir.display(), &e))?;
        Err(Error::new(ErrorKind::Io, format!("{}: has neither {SINGLE} nor {INDEX}", dir.display()))
            .help("give the folder of a model, with its config.json and weights"))
    }

    #[cfg(not(target_arch = "wasm32"))]
    fn open_shards(dir: &std::path::Path, index: &std::path::Path) -> Result<Self> {
        use crate::files::{Whole, read_bytes};
        let label = index.display().to_string();
        let map = read_index(&read_bytes(index, Whole::Settings)?, &label)?;
        let mut shards: BTreeMap<&str, usize> = BTreeMap::new();
        let mut files = Vec::new();
        let mut home = BTreeMap::new();
        for (name, shard) in &map {
            let at = match shards.get(shard.as_str()) {
                Some(&at) => at,
                None => {
                    let file = Tensors::open(&dir.join(shard)).map_err(|e| {
                        if e.kind() == ErrorKind::Io {
                            Error::new(ErrorKind::Io, format!("{e}"))
                                .help(format!("{label} names this shard; copy it into the folder too"))
                        } else {
                            e
                        }
                    })?;
                    files.push(File::Tensors(file));
                    shards.insert(shard, files.len() - 1);
                    files.len() - 1
                }
            };
            if files[at].stored(name).is_none() {
                return Err(Error::new(
                    ErrorKind::ModelFormat,
                    format!("{label}: says that {shard} holds tensor {}, but it does not", clip(name)),
                )
                .help("the index and the shards are not of the same model; copy them again"));
            }
            home.insert(name.clone(), at);
        }
        Ok(Self { files, home, names: Names::default() })
    }

    /// A checkpoint in memory, in one piece; `label` stands for its path in messages.
    ///
    /// # Errors
    /// `ErrorKind::ModelFormat` if it is damaged.
    pub fn from_bytes(bytes: impl Into<Cow<'static, [u8]>>, label: impl Into<String>) -> Result<Self> {
        Self::from_files(vec![Tensors::from_bytes(bytes, label)?])
    }

    /// A checkpoint of several files.
    ///
    /// # Errors
    /// `ErrorKind::ModelFormat` if two of them hold the same tensor.
    pub fn from_files(files: Vec<Tensors>) -> Result<Self> {
        Self::new(files.into_iter().map(File::Tensors).collect())
    }

    /// The tensors of a GGUF file.
    ///
    /// # Errors
    /// None that a file could cause whose header was read.
    pub fn from_gguf(file: Gguf) -> Result<Self> {
        Self::new(vec![File::Gguf(Box::new(file))])
    }

    /// The key-value list of a GGUF file.
    pub fn metadata(&self) -> Option<&Metadata> {
        self.gguf().map(Gguf::metadata)
    }

    fn gguf(&self) -> Option<&Gguf> {
        match self.files.first() {
            Some(File::Gguf(file)) => Some(file),
            _ => None,
        }
    }

    fn new(files: Vec<File>) -> Result<Self> {
        let mut home = BTreeMap::new();
        for (i, file) in files.iter().enumerate() {
            for name in file.names() {
                let message = format!("{}: tensor {} is also in another file", file.label(), clip(&name));
                if home.insert(name, i).is_some() {
                    return Err(Error::new(ErrorKind::ModelFormat, message).help("give each shard once"));
                }
            }
        }
        Ok(Self { files, home, names: Names::default() })
    }

    /// Puts the tensors of an adapter beside those of the model.
    ///
    /// # Errors
    /// `ErrorKind::ModelFormat` for a tensor that is there already.
    pub fn add(&mut self, file: Tensors) -> Result<()> {
        for name in file.names() {
            if self.has(&name) {
                let text = format!("{}: tensor {} is there already", file.label(), clip(&name));
                return Err(Error::new(ErrorKind::ModelFormat, text).help("give one --adapter"));
            }
            self.home.insert(name, self.files.len());
        }
        self.files.push(File::Tensors(file));
        Ok(())
    }

    /// The weights of a model of this configuration, which learns from them what it does not say itself. From
    /// here on tensors are asked for by our names. Returns warnings too.
    ///
    /// # Errors
    /// As [`Checkpoint::check`].
    pub fn of(mut self, config: &mut ModelConfig) -> Result<(Self, Vec<String>)> {
        families::settle(config, |name| self.has(name));
        self.names = match self.gguf() {
            Some(_) => Names::of_gguf(config),
            None => Names::of(config, |name| self.has(name)),
        };
        let warnings = self.check(&config.parameters())?;
        Ok((self, warnings))
    }

    /// Whether a file holds a tensor of this name.
    pub fn has(&self, name: &str) -> bool {
        self.home.contains_key(name)
    }

    /// Where our tensors lie.
    pub fn layout(&self) -> Names {
        self.names
    }

    /// Names of all tensors, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.home.keys().map(String::as_str)
    }

    /// How a tensor is stored, number by number.
    pub fn dtype(&self, name: &str) -> Option<Dtype> {
        match self.stored(name)? {
            Stored::Floats(dtype) => Some(dtype),
            Stored::Blocks(_) => None,
        }
    }

    /// How a tensor is stored.
    pub fn stored(&self, name: &str) -> Option<Stored> {
        let name = self.names.place(name).name;
        self.file(&name)?.stored(&name)
    }

    /// Bytes of all tensors as they are stored.
    pub fn bytes_total(&self) -> u64 {
        let ranges = self.home.iter().filter_map(|(name, &i)| self.files[i].range(name));
        ranges.map(|range| range.end - range.start).sum()
    }

    /// Compares names, shapes and types with what a configuration expects ([`ModelConfig::parameters`]).
    /// Returns warnings: tensors that nobody asked for.
    ///
    /// # Errors
    /// `ErrorKind::ModelFormat`, naming the first tensors that are missing and how many, or the first one
    /// whose shape or type is wrong, with both.
    pub fn check(&self, specs: &[ParameterSpec]) -> Result<Vec<String>> {
        let places: Vec<String> = specs.iter().map(|s| self.names.place(&s.name).name).collect();
        let missing: std::collections::BTreeSet<&str> =
            places.iter().map(String::as_str).filter(|name| !self.has(name)).collect();
        if !missing.is_empty() {
            let message = format!(
                "{}: {} of {} tensors missing: {}",
                self.label(),
                missing.len(),
                specs.len(),
                list(missing.into_iter(), 3)
            );
            return Err(Error::new(ErrorKind::ModelFormat, message).help(format!(
                "{} describes another model than these weights, or a part is missing",
                self.described_by()
            )));
        }
        for spec in specs {
            self.check_one(spec)?;
        }
        let known: std::collections::HashSet<&str> = places.iter().map(String::as_str).collect();
        let extra = self.names().filter(|name| !known.contains(name) && !self.names.is_idle(name));
        let extra: Vec<&str> = extra.collect();
        if let (true, Some(name)) = (self.names.is_strict(), extra.first()) {
            let text = format!("{}: tensor {} is not understood", self.label(), clip(name));
            return Err(Error::new(ErrorKind::ModelFormat, text)
                .help("this program does not know what it does; use a model of a plain architecture"));
        }
        Ok(match extra.len() {
            0 => Vec::new(),
            1 => vec![format!("{}: unknown tensor {} is ignored", self.label(), clip(extra[0]))],
            n => vec![format!(
                "{}: {n} unknown tensors are ignored: {}",
                self.label(),
                list(extra.into_iter(), 8)
            )],
        })
    }

    fn check_one(&self, spec: &ParameterSpec) -> Result<()> {
        let place = self.names.place(&spec.name);
        let (file, tensor, _) = self.find(&place.name)?;
        if let Stored::Floats(dtype) = tensor.stored
            && !matches!(dtype, Dtype::F32 | Dtype::F16 | Dtype::BF16)
        {
            return Err(type_error(&tensor, &place.name));
        }
        let shape = tensor.shape;
        let want = place.shape_in_file(&spec.shape);
        if shape != want {
            let message = format!(
                "{}: tensor {} has shape {shape:?}, {} makes it {want:?}",
                file.label(),
                clip(&place.name),
                self.described_by(),
            );
            return Err(Error::new(ErrorKind::ModelFormat, message)
                .help(format!("{} and the weights are not of the same model", self.described_by())));
        }
        Ok(())
    }

    /// A tensor as `f32`, of files that are at hand.
    ///
    /// # Errors
    /// As [`Checkpoint::read_f32`].
    pub fn f32(&self, name: &str) -> Result<Vec<f32>> {
        at_once(self.read_f32(name, None))
    }

    /// Elements of a tensor as `f32`, of files that are at hand.
    ///
    /// # Errors
    /// As [`Checkpoint::read_f32`].
    pub fn f32_part(&self, name: &str, elements: Range<usize>) -> Result<Vec<f32>> {
        at_once(self.read_f32(name, Some(elements)))
    }

    /// The blocks of a tensor, by its name in the file, as they are stored; of files that are at hand.
    ///
    /// # Errors
    /// `ErrorKind::ModelFormat` if it is missing, or a scale in it is no number.
    pub fn blocks(&self, name_in_file: &str) -> Result<Cow<'_, [u8]>> {
        let (file, tensor, range) = self.find(name_in_file)?;
        let Stored::Blocks(kind) = tensor.stored else { return Err(type_error(&tensor, name_in_file)) };
        let raw = at_once(file.bytes().read(range))?;
        let mut block = Block::default();
        for (i, raw) in raw.chunks_exact(kind.bytes()).enumerate() {
            kind.open(raw, &mut block);
            if let Some(bad) = block.bad_scale() {
                return Err(bad_weight(&tensor, name_in_file, bad, i * kind.values()));
            }
        }
        Ok(raw)
    }

    /// The error of a number of a tensor that a type of the file to be written does not hold.
    #[cfg(not(target_arch = "wasm32"))]
    pub(super) fn too_large(&self, name: &str, value: f32, kind: BlockType) -> Error {
        let place = self.names.place(name);
        super::extract::too_large(
            self.file(&place.name).map_or(self.label(), File::label),
            &place.name,
            value,
            "",
            kind,
        )
    }

    /// The bits of a tensor as halves, of files that are at hand.
    ///
    /// # Errors
    /// As [`Checkpoint::read_f16`].
    pub fn f16_bits(&self, name: &str) -> Result<Vec<u16>> {
        at_once(self.read_f16(name, None))
    }

    /// Elements of a tensor as `f32`, or all.
    ///
    /// # Errors
    /// `ErrorKind::ModelFormat` if it is missing, of another type than F32, F16 and BF16, or holds a NaN or
    /// an infinity (the message has the first one's index); those of its file.
    pub async fn read_f32(&self, name: &str, elements: Option<Range<usize>>) -> Result<Vec<f32>> {
        let (extract, raw) = self.extract(name, elements).await?;
        extract.f32(&raw)
    }

    /// Their bits as halves: as they are stored, or rounded.
    ///
    /// # Errors
    /// As [`Checkpoint::read_f32`]; `ErrorKind::ModelFormat` also for a number that is too large for a half, with
    /// its index.
    pub async fn read_f16(&self, name: &str, elements: Option<Range<usize>>) -> Result<Vec<u16>> {
        let (extract, raw) = self.extract(name, elements).await?;
        extract.f16_bits(&raw)
    }

    /// Rows of a matrix in few bits, put into zeros: exactly, where it is stored in blocks that these rows hold;
    /// otherwise rounded.
    ///
    /// # Errors
    /// As [`Checkpoint::read_f32`].
    pub async fn read_quantized(
        &self,
        name: &str,
        quant: &Quant,
        rows: Range<usize>,
        words: &mut [u32],
    ) -> Result<()> {
        let elements = rows.start * quant.columns()..rows.end * quant.columns();
        let (extract, raw) = self.extract(name, Some(elements)).await?;
        extract.quantized(&raw, quant, words)
    }

    /// Elements of a tensor of ours, and the bytes they are read from.
    async fn extract(
        &self,
        name: &str,
        elements: Option<Range<usize>>,
    ) -> Result<(Extract<'_>, Cow<'_, [u8]>)> {
        let place = self.names.place(name);
        let (file, tensor, range) = self.find(&place.name)?;
        if let Stored::Floats(dtype) = tensor.stored
            && !matches!(dtype, Dtype::F32 | Dtype::F16 | Dtype::BF16)
        {
            return Err(type_error(&tensor, &place.name));
        }
        let extract = Extract::new(tensor, place, elements)?;
        let bytes = extract.bytes();
        let raw = file.bytes().read(range.start + bytes.start..range.start + bytes.end).await?;
        Ok((extract, raw))
    }

    /// What a tensor of ours is made of in its file: how it is stored, its shape, and its bytes, a few at a time.
    pub(super) fn stretches(&self, name: &str) -> Option<Stretches<'_>> {
        let (file, tensor, range) = self.find(&self.names.place(name).name).ok()?;
        Some(Stretches { tensor, bytes: file.bytes(), range })
    }

    /// What says which model it is.
    fn described_by(&self) -> &'static str {
        if self.gguf().is_some() { "the metadata" } else { "config.json" }
    }

    /// The path or label of its first file.
    pub fn label(&self) -> &str {
        self.files.first().map_or("checkpoint", File::label)
    }

    fn file(&self, name: &str) -> Option<&File> {
        self.home.get(name).map(|&i| &self.files[i])
    }

    fn find(&self, name: &str) -> Result<(&File, InFile<'_>, Range<u64>)> {
        let found = self.file(name).and_then(|file| Some((file, file.tensor(name)?, file.range(name)?)));
        found.ok_or_else(|| {
            Error::new(ErrorKind::ModelFormat, format!("{}: tensor {} is missing", self.label(), clip(name)))
                .help("config.json describes another model than these weights, or a shard is missing")
        })
    }
}

/// The bytes of a tensor in its file, a few at a time.
#[derive(Debug)]
pub(super) struct Stretches<'a> {
    pub tensor: InFile<'a>,
    bytes: &'a Bytes,
    range: Range<u64>,
}

impl<'a> Stretches<'a> {
    /// The next bytes; none after the last.
    pub async fn next(&mut self) -> Result<Option<Cow<'a, [u8]>>> {
        /// Bytes at a time.
        const MOST: u64 = 8 << 20;
        let from = self.range.start;
        let to = self.range.end.min(from + MOST);
        self.range.start = to;
        if from == to { Ok(None) } else { self.bytes.read(from..to).await.map(Some) }
    }
}

/// `weight_map` of an index file: tensor name to file name in the same folder.
#[cfg(not(target_arch = "wasm32"))]
pub(super) fn read_index(bytes: &[u8], label: &str) -> Result<BTreeMap<String, String>> {
    #[derive(serde::Deserialize)]
    struct Index {
        weight_map: BTreeMap<String, String>,
    }
    let damaged = |what: String| {
        Error::new(ErrorKind::ModelFormat, format!("{label}: {what}"))
            .help("the index is damaged; copy it again")
    };
    let index = crate::text::json_bytes(bytes).map_err(&damaged)?;
    let index: Index = serde_json::from_value(index)
        .map_err(|e| damaged(format!("not a valid index: {}", clip(&e.to_string()))))?;
    if index.weight_map.is_empty() {
        return Err(damaged("weight_map is empty".into()));
    }
    for (name, file) in &index.weight_map {
        let path = std::path::Path::new(file);
        if path.file_name() != Some(path.as_os_str()) || file.contains(['/', '\\', '\0']) {
            return Err(damaged(format!(
                "tensor {} is said to be in \"{}\", must be a file of the same folder",
                clip(name),
                clip(file)
            )));
        }
    }
    Ok(index.weight_map)
}
