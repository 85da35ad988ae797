//! The weights of a model: one `model.safetensors` or several shards, f32, f16 or bf16 (SPEC §2), or a GGUF file
//! (SPEC §9).

use std::borrow::Cow;
use std::collections::BTreeMap;

use super::config::ModelConfig;
use super::families::{self, Names};
use super::gguf::blocks::Block;
use super::gguf::{BlockType, Gguf, Metadata};
use super::parameters::ParameterSpec;
pub use super::tensor_file::{Dtype, TensorData, TensorFile as Tensors, safetensors_bytes, write_tensors_to};
use super::tensor_file::{clip, floats, list};
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

    fn raw(&self, name: &str) -> Option<&[u8]> {
        match self {
            File::Tensors(file) => file.raw(name),
            File::Gguf(file) => file.raw(name),
        }
    }
}

/// How a tensor is stored in its file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stored {
    /// Number by number.
    Floats(Dtype),
    /// In blocks of integers.
    Blocks(BlockType),
}

impl std::fmt::Display for Stored {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Stored::Floats(dtype) => write!(f, "{dtype:?}"),
            Stored::Blocks(blocks) => f.write_str(blocks.name()),
        }
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
        let label = index.display().to_string();
        let map = read_index(&crate::files::read_bytes(index)?, &label)?;
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
        self.home.iter().filter_map(|(name, &i)| self.files[i].raw(name)).map(|raw| raw.len() as u64).sum()
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
        let (file, stored, _) = self.find(&place.name)?;
        if let Stored::Floats(dtype) = stored
            && !matches!(dtype, Dtype::F32 | Dtype::F16 | Dtype::BF16)
        {
            return Err(type_error(file, &place.name, stored));
        }
        let shape = file.shape(&place.name).unwrap_or_default();
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

    /// A tensor as `f32`.
    ///
    /// # Errors
    /// `ErrorKind::ModelFormat` if it is missing, of another type than F32, F16 and BF16, or holds a NaN or
    /// an infinity (the message has the first one's index).
    pub fn f32(&self, name: &str) -> Result<Vec<f32>> {
        let place = self.names.place(name);
        let (file, stored, raw) = self.find(&place.name)?;
        let values = match stored {
            Stored::Floats(dtype) => {
                floats(dtype, raw).ok_or_else(|| type_error(file, &place.name, stored))?
            }
            Stored::Blocks(blocks) => {
                let mut values = vec![0.0; raw.len() / blocks.bytes() * blocks.values()];
                blocks.dequantize(raw, &mut values);
                values
            }
        };
        match first_bad(&values, not_finite) {
            None => Ok(place.take(values, &place.shape_of_ours(file.shape(&place.name).unwrap_or_default()))),
            Some(i) => Err(bad_weight(file, &place.name, values[i], i)),
        }
    }

    /// Some rows of a tensor as `f32`.
    ///
    /// # Errors
    /// As [`Checkpoint::f32`].
    pub fn f32_rows(&self, name: &str, rows: std::ops::Range<usize>) -> Result<Vec<f32>> {
        let place = self.names.place(name);
        let (file, stored, raw) = self.find(&place.name)?;
        let shape = file.shape(&place.name).unwrap_or_default();
        let columns: usize = shape.get(1..).unwrap_or_default().iter().product();
        let (values, bytes) = match stored {
            Stored::Floats(dtype) => (1, dtype.bitsize() / 8),
            Stored::Blocks(blocks) => (blocks.values(), blocks.bytes()),
        };
        // Of a vector, and of a matrix that has columns for rows, all is read.
        if place.transposed || shape.len() < 2 || !columns.is_multiple_of(values) {
            let columns = place.shape_of_ours(shape).get(1..).unwrap_or_default().iter().product::<usize>();
            let all = self.f32(name)?;
            let part = all.get(rows.start * columns..rows.end * columns);
            return part.map(<[f32]>::to_vec).ok_or_else(|| self.too_few(name, all.len() / columns.max(1)));
        }
        let bytes = columns / values * bytes;
        let mut all = Vec::with_capacity(rows.len() * columns);
        for at in place.rows_in_file(rows) {
            let raw = raw.get(at * bytes..(at + 1) * bytes).ok_or_else(|| self.too_few(name, at))?;
            let start = all.len();
            match stored {
                Stored::Floats(dtype) => {
                    all.extend(floats(dtype, raw).ok_or_else(|| type_error(file, &place.name, stored))?);
                }
                Stored::Blocks(blocks) => {
                    all.resize(start + columns, 0.0);
                    blocks.dequantize(raw, &mut all[start..]);
                }
            }
            if let Some(i) = first_bad(&all[start..], not_finite) {
                return Err(bad_weight(file, &place.name, all[start + i], at * columns + i));
            }
        }
        Ok(all)
    }

    fn too_few(&self, name: &str, rows: usize) -> Error {
        let text = format!("{}: tensor {} has {rows} rows only", self.label(), clip(name));
        Error::new(ErrorKind::ModelFormat, text).help("the weights are of another model")
    }

    /// The blocks of a tensor, by its name in the file, as they are stored.
    ///
    /// # Errors
    /// `ErrorKind::ModelFormat` if it is missing, or a scale in it is no number.
    pub fn blocks(&self, name_in_file: &str) -> Result<&[u8]> {
        let (file, stored, raw) = self.find(name_in_file)?;
        let Stored::Blocks(kind) = stored else { return Err(type_error(file, name_in_file, stored)) };
        let mut block = Block::default();
        for (i, raw) in raw.chunks_exact(kind.bytes()).enumerate() {
            kind.open(raw, &mut block);
            if let Some(bad) = block.bad_scale() {
                return Err(bad_weight(file, name_in_file, bad, i * kind.values()));
            }
        }
        Ok(raw)
    }

    /// The error of a number that a type of the file to be written, or of the memory, does not hold; `place`
    /// says where it is.
    pub(super) fn too_large(&self, name: &str, value: f32, place: &str, kind: BlockType) -> Error {
        let what = match kind {
            BlockType::F16 => format!("{value}{place}, f16 holds at most {}", half::f16::MAX),
            kind => format!("{value}{place}, which is too large for {}", kind.name()),
        };
        let place = self.names.place(name);
        let file = self.file(&place.name).map_or(self.label(), File::label);
        Error::new(ErrorKind::ModelFormat, format!("{file}: tensor {} holds {what}", clip(&place.name)))
    }

    /// The bits of a tensor as halves: as they are stored, or rounded.
    ///
    /// # Errors
    /// As [`Checkpoint::f32`]; `ErrorKind::ModelFormat` also for a number that is too large for a half, with
    /// its index.
    pub fn f16_bits(&self, name: &str) -> Result<Vec<u16>> {
        let infinite = |x: u16| x & 0x7c00 == 0x7c00;
        let place = self.names.place(name);
        let (file, stored, raw) = self.find(&place.name)?;
        if stored != Stored::Floats(Dtype::F16) {
            let values = self.f32(name)?;
            let bits: Vec<u16> = values.iter().map(|x| half::f16::from_f32(*x).to_bits()).collect();
            let Some(i) = first_bad(&bits, infinite) else { return Ok(bits) };
            let error = self.too_large(name, values[i], &format!(" at index {i}"), BlockType::F16);
            return Err(error.help("load the weights as f32"));
        }
        let bits: Vec<u16> = raw.as_chunks::<2>().0.iter().map(|&b| u16::from_le_bytes(b)).collect();
        match first_bad(&bits, infinite) {
            None => Ok(place.take(bits, &place.shape_of_ours(file.shape(&place.name).unwrap_or_default()))),
            Some(i) => Err(bad_weight(file, &place.name, half::f16::from_bits(bits[i]).to_f32(), i)),
        }
    }

    /// Rows of a matrix in few bits: exactly, where it is stored in blocks that these rows hold; otherwise
    /// rounded.
    ///
    /// # Errors
    /// As [`Checkpoint::f32`].
    pub fn quantized(&self, name: &str, quant: &Quant, rows: std::ops::Range<usize>) -> Result<Vec<u32>> {
        let place = self.names.place(name);
        let (file, stored, raw) = self.find(&place.name)?;
        let (columns, of_row) = (quant.columns(), quant.row_words());
        let mut words = vec![0; rows.len() * of_row];
        match stored {
            Stored::Blocks(blocks) if blocks.fits(quant) && !place.transposed => {
                let in_file = place.rows_in_file(rows.clone());
                let bytes = columns / blocks.values() * blocks.bytes();
                let mut block = Block::default();
                for (row, (at, words)) in in_file.zip(words.chunks_exact_mut(of_row)).enumerate() {
                    let Some(raw) = raw.get(at * bytes..(at + 1) * bytes) else {
                        return Err(bad_weight(file, &place.name, f32::NAN, row * columns));
                    };
                    for (i, raw) in raw.chunks_exact(blocks.bytes()).enumerate() {
                        blocks.open(raw, &mut block);
                        if let Some(bad) = block.bad_scale() {
                            return Err(bad_weight(file, &place.name, bad, at * columns + i * block.len));
                        }
                        block.put(quant, words, i * block.len);
                    }
                }
            }
            _ => {
                let values = self.f32(name)?;
                let Some(values) = values.get(rows.start * columns..rows.end * columns) else {
                    return Err(bad_weight(file, &place.name, f32::NAN, values.len()));
                };
                for (values, words) in values.chunks_exact(columns).zip(words.chunks_exact_mut(of_row)) {
                    if let Some(block) = quant.round(values, words) {
                        let text = format!(
                            "{}: tensor {} holds {} and numbers like it, which are too large for {}",
                            file.label(),
                            clip(&place.name),
                            values[block * quant.block()],
                            quant.name()
                        );
                        return Err(Error::new(ErrorKind::ModelFormat, text).help("load the weights as f32"));
                    }
                }
            }
        }
        Ok(words)
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

    fn find(&self, name: &str) -> Result<(&File, Stored, &[u8])> {
        let found = self.file(name).and_then(|file| Some((file, file.stored(name)?, file.raw(name)?)));
        found.ok_or_else(|| {
            Error::new(ErrorKind::ModelFormat, format!("{}: tensor {} is missing", self.label(), clip(name)))
                .help("config.json describes another model than these weights, or a shard is missing")
        })
    }
}

fn type_error(file: &File, name: &str, stored: Stored) -> Error {
    Error::new(
        ErrorKind::ModelFormat,
        format!("{}: tensor {} has type {stored}, must be F32, F16 or BF16", file.label(), clip(name)),
    )
    .help("convert the weights to F32, F16 or BF16")
}

fn bad_weight(file: &File, name: &str, value: f32, index: usize) -> Error {
    let shape = file.shape(name).unwrap_or_default();
    Error::new(
        ErrorKind::ModelFormat,
        format!("{}: tensor {} of shape {shape:?} holds {value} at index {index}", file.label(), clip(name)),
    )
    .help("the weights are damaged or their training diverged; copy them again or use an earlier checkpoint")
}

fn not_finite(x: f32) -> bool {
    x.to_bits() & 0x7f80_0000 == 0x7f80_0000
}

/// Index of the first bad element; checked in strips, which vectorises.
fn first_bad<T: Copy>(values: &[T], bad: impl Fn(T) -> bool) -> Option<usize> {
    let strip =
        values.chunks(1024).position(|strip| strip.iter().fold(false, |any, &x| any | bad(x)))? * 1024;
    values[strip..].iter().position(|&x| bad(x)).map(|i| strip + i)
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

/// A number that tells models apart: the same on every platform, another one for any other configuration or
/// weights (XXH3 over the configuration as JSON and, by name, each expected tensor's name, type, shape and
/// stored bytes).
pub fn fingerprint(config: &ModelConfig, checkpoint: &Checkpoint) -> u64 {
    let mut hash = xxhash_rust::xxh3::Xxh3::new();
    let text = |hash: &mut xxhash_rust::xxh3::Xxh3, s: &str| {
        hash.update(&(s.len() as u64).to_le_bytes());
        hash.update(s.as_bytes());
    };
    text(&mut hash, "polysketch model 1");
    // Where a text ends is no part of what is computed.
    text(&mut hash, &ModelConfig { eos_token_id: Vec::new(), ..config.clone() }.to_json());
    let mut names: Vec<String> = config.parameters().into_iter().map(|spec| spec.name).collect();
    names.sort_unstable();
    for name in names {
        let place = checkpoint.names.place(&name).name;
        if let Ok((file, stored, raw)) = checkpoint.find(&place) {
            text(&mut hash, &name);
            text(&mut hash, &format!("{stored} {:?}", file.shape(&place).unwrap_or_default()));
            hash.update(raw);
        }
    }
    hash.digest()
}
