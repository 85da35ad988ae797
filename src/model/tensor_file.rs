//! `.safetensors` files, read and written: names, types, shapes and bytes, not what the tensors
//! mean.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io::{self, Write};
use std::ops::Range;

use safetensors::SafeTensors;
pub use safetensors::tensor::Dtype;
use safetensors::tensor::{Metadata, SafeTensorError, TensorInfo};
use serde_json::{Map, Value, json};

use super::bytes::{Bytes, Remote};
use crate::error::{Error, ErrorKind, Result};
pub(super) use crate::text::clip;

/// An open `.safetensors` file whose header has been checked: every tensor lies inside it and none overlap.
#[derive(Debug)]
pub struct TensorFile {
    label: String,
    bytes: Bytes,
    /// Where its data begin.
    data: u64,
    header: Metadata,
}

/// Opens a small file of tensors, such as `tokens` or golden outputs.
///
/// # Errors
/// As [`TensorFile::open`].
#[cfg(not(target_arch = "wasm32"))]
pub fn read_tensors(path: &std::path::Path) -> Result<TensorFile> {
    TensorFile::open(path)
}

impl TensorFile {
    /// Maps the file at `path`. The file must not be cut short while it is open; files that this crate writes
    /// are replaced by renaming, which is safe.
    ///
    /// # Errors
    /// `ErrorKind::Io` if it cannot be opened; otherwise as [`TensorFile::from_bytes`].
    #[cfg(not(target_arch = "wasm32"))]
    pub fn open(path: &std::path::Path) -> Result<Self> {
        Self::new(Bytes::open(path, "a .safetensors file")?, crate::files::source_name(path))
    }

    /// A file that is in memory; `label` stands for its path in messages.
    ///
    /// # Errors
    /// `ErrorKind::ModelFormat` if it is cut off, its header is damaged, or its tensors overlap or lie
    /// outside.
    pub fn from_bytes(bytes: impl Into<Cow<'static, [u8]>>, label: impl Into<String>) -> Result<Self> {
        Self::new(Bytes::Memory(bytes.into()), label.into())
    }

    /// A file whose bytes are fetched: its header now, its tensors when they are asked for.
    ///
    /// # Errors
    /// As [`TensorFile::from_bytes`]; those of the file.
    pub async fn fetch(file: Remote, label: impl Into<String>) -> Result<Self> {
        let (bytes, label) = (Bytes::Remote(file), label.into());
        let claimed = bytes.read(0..8).await?.first_chunk().map_or(0, |b| u64::from_le_bytes(*b));
        // What is longer than that is refused by what is in front of it.
        let header = if claimed <= MOST_HEADER { 8 + claimed } else { 8 };
        let start = bytes.read(0..header).await?;
        let (data, header) = Self::header(&start, bytes.length(), &label)?;
        drop(start);
        Ok(Self { label, data, header, bytes })
    }

    fn new(bytes: Bytes, label: String) -> Result<Self> {
        let (data, header) = Self::header(bytes.at_hand().unwrap_or_default(), bytes.length(), &label)?;
        Ok(Self { label, data, header, bytes })
    }

    /// Where the data begin, and the header, which `start` holds.
    fn header(start: &[u8], length: u64, label: &str) -> Result<(u64, Metadata)> {
        let read = match SafeTensors::read_metadata(start) {
            // Only the header is here: all is as it must be, but for the tensors.
            Err(SafeTensorError::MetadataIncompleteBuffer) if (start.len() as u64) < length => {
                header_alone(start, length)
            }
            read => read,
        };
        match read {
            Ok((header_len, header)) => {
                // Of two tensors of one name, the last would stand for both.
                if let Err(what) = crate::text::json_bytes(&start[8..8 + header_len]) {
                    return Err(Error::new(ErrorKind::ModelFormat, format!("{label}: the header is {what}"))
                        .help("the file is damaged; write it again"));
                }
                Ok((8 + header_len as u64, header))
            }
            Err(e) => Err(damage(start, length, label, &e)),
        }
    }

    /// The path or label.
    pub fn label(&self) -> &str {
        &self.label
    }

    /// Names of all tensors, sorted.
    pub fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = self.header.tensors().into_keys().collect();
        names.sort_unstable();
        names
    }

    /// The file's own key-value notes (`__metadata__`), sorted by key.
    pub fn notes(&self) -> BTreeMap<String, String> {
        self.header.metadata().iter().flatten().map(|(k, v)| (k.clone(), v.clone())).collect()
    }

    /// Element type of a tensor.
    pub fn dtype(&self, name: &str) -> Option<Dtype> {
        self.header.info(name).map(|i| i.dtype)
    }

    /// Shape of a tensor, outermost dimension first.
    pub fn shape(&self, name: &str) -> Option<&[usize]> {
        self.header.info(name).map(|i| i.shape.as_slice())
    }

    /// Little-endian bytes of a tensor, of a file that is at hand.
    pub fn raw(&self, name: &str) -> Option<&[u8]> {
        let range = self.range(name)?;
        self.bytes.at_hand()?.get(range.start as usize..range.end as usize)
    }

    /// Where the bytes of a tensor lie in the file.
    pub(super) fn range(&self, name: &str) -> Option<Range<u64>> {
        let TensorInfo { data_offsets: (from, to), .. } = self.header.info(name)?;
        Some(self.data + *from as u64..self.data + *to as u64)
    }

    /// The bytes of the file.
    pub(super) fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// Elements of an integer tensor (I32, I64, U32) as `i32`.
    ///
    /// # Errors
    /// `ErrorKind::Input` if the tensor is missing, of another type, or holds a number that does not fit.
    pub fn i32(&self, name: &str) -> Result<Vec<i32>> {
        self.narrow(name, self.i64(name)?)
    }

    /// Elements of an integer tensor (I32, I64, U32) as `u32`: token ids.
    ///
    /// # Errors
    /// As [`TensorFile::i32`]; also for negative numbers.
    pub fn u32(&self, name: &str) -> Result<Vec<u32>> {
        self.narrow(name, self.i64(name)?)
    }

    /// Elements of an integer tensor (I32, I64, U32) as `i64`.
    ///
    /// # Errors
    /// `ErrorKind::Input` if the tensor is missing or of another type.
    pub fn i64(&self, name: &str) -> Result<Vec<i64>> {
        let (dtype, raw) = self.find(name)?;
        match dtype {
            Dtype::I32 => Ok(elements(raw, |b| i64::from(i32::from_le_bytes(b)))),
            Dtype::U32 => Ok(elements(raw, |b| i64::from(u32::from_le_bytes(b)))),
            Dtype::I64 => Ok(elements(raw, i64::from_le_bytes)),
            _ => Err(self.type_error(name, dtype, "I32")),
        }
    }

    /// Elements of a float tensor (F32, F64, F16, BF16) as `f32`. Unlike a checkpoint's, they may be NaN.
    ///
    /// # Errors
    /// As [`TensorFile::i64`].
    pub fn f32(&self, name: &str) -> Result<Vec<f32>> {
        match self.find(name)? {
            (Dtype::F64, raw) => Ok(elements(raw, |b| f64::from_le_bytes(b) as f32)),
            (dtype, raw) => floats(dtype, raw).ok_or_else(|| self.type_error(name, dtype, "F32")),
        }
    }

    /// Elements of a float tensor (F32, F64, F16, BF16) as `f64`.
    ///
    /// # Errors
    /// As [`TensorFile::i64`].
    pub fn f64(&self, name: &str) -> Result<Vec<f64>> {
        match self.find(name)? {
            (Dtype::F64, raw) => Ok(elements(raw, f64::from_le_bytes)),
            (dtype, raw) => {
                let wide = |v: Vec<f32>| v.into_iter().map(f64::from).collect();
                floats(dtype, raw).map(wide).ok_or_else(|| self.type_error(name, dtype, "F32"))
            }
        }
    }

    fn find(&self, name: &str) -> Result<(Dtype, &[u8])> {
        self.dtype(name).zip(self.raw(name)).ok_or_else(|| {
            let has = list(self.names().iter().map(String::as_str), 5);
            Error::new(ErrorKind::Input, format!("{}: has no tensor {}, only {has}", self.label, clip(name)))
        })
    }

    fn type_error(&self, name: &str, dtype: Dtype, want: &str) -> Error {
        Error::new(
            ErrorKind::Input,
            format!("{}: tensor {} has type {dtype:?}, must be {want}", self.label, clip(name)),
        )
    }

    fn narrow<T: TryFrom<i64>>(&self, name: &str, wide: Vec<i64>) -> Result<Vec<T>> {
        let fits = |(i, x): (usize, i64)| {
            T::try_from(x).map_err(|_| {
                let message = format!(
                    "{}: tensor {} holds {x} at index {i}, which is out of range",
                    self.label,
                    clip(name)
                );
                Error::new(ErrorKind::Input, message)
            })
        };
        wide.into_iter().enumerate().map(fits).collect()
    }
}

fn elements<const N: usize, T>(raw: &[u8], convert: impl Fn([u8; N]) -> T) -> Vec<T> {
    raw.as_chunks::<N>().0.iter().map(|&b| convert(b)).collect()
}

/// Stored floats as `f32`; None for a type that is no float or would lose digits.
pub(super) fn floats(dtype: Dtype, raw: &[u8]) -> Option<Vec<f32>> {
    match dtype {
        Dtype::F32 => Some(elements(raw, f32::from_le_bytes)),
        Dtype::F16 => Some(elements(raw, |b| half::f16::from_le_bytes(b).to_f32())),
        Dtype::BF16 => Some(elements(raw, |b| half::bf16::from_le_bytes(b).to_f32())),
        _ => None,
    }
}

/// "a, b, c and 4 more".
pub(super) fn list<'a>(names: impl ExactSizeIterator<Item = &'a str>, show: usize) -> String {
    let more = names.len().saturating_sub(show);
    let mut text = names.take(show).map(clip).collect::<Vec<_>>().join(", ");
    if more > 0 {
        text.push_str(&format!(" and {more} more"));
    }
    if text.is_empty() { "none".into() } else { text }
}

/// Most bytes that a header may have.
const MOST_HEADER: u64 = 100_000_000;

/// The header of a file of `length` bytes of which the tensors are not here.
fn header_alone(start: &[u8], length: u64) -> Result<(usize, Metadata), SafeTensorError> {
    let header: Metadata = serde_json::from_slice(&start[8..])?;
    let data = header.data_len() as u64;
    if start.len() as u64 + data != length {
        return Err(SafeTensorError::MetadataIncompleteBuffer);
    }
    Ok((start.len() - 8, header))
}

/// What is wrong with a damaged file of `length` bytes that begins with `bytes`, as precisely as its remains
/// allow.
fn damage(bytes: &[u8], length: u64, label: &str, error: &SafeTensorError) -> Error {
    let claimed = bytes.first_chunk().map_or(0, |b| u64::from_le_bytes(*b));
    let what = match error {
        SafeTensorError::HeaderTooSmall => {
            format!("has only {length} bytes, too short for a .safetensors file")
        }
        SafeTensorError::HeaderTooLarge => {
            format!("claims a header of {claimed} bytes, more than any .safetensors file may have")
        }
        SafeTensorError::InvalidHeaderLength => {
            format!("claims a header of {claimed} bytes, but has only {length} bytes in all")
        }
        SafeTensorError::InvalidHeader(_) => "the header is not UTF-8 text".into(),
        SafeTensorError::InvalidHeaderDeserialization(e) => {
            format!("the header is not valid: {}", clip(&e.to_string()))
        }
        other => misplaced(bytes, length, claimed)
            .unwrap_or_else(|| format!("the header is not valid: {}", clip(&other.to_string()))),
    };
    let help = if bytes.starts_with(b"version https://git-lfs") {
        "this is a Git LFS pointer, not the weights; run `git lfs pull`"
    } else if matches!(error, SafeTensorError::HeaderTooLarge | SafeTensorError::InvalidHeader(_)) {
        "the file is damaged or not a .safetensors file; copy or download it again"
    } else {
        "the file is damaged or cut off; copy or download it again"
    };
    Error::new(ErrorKind::ModelFormat, format!("{label}: {what}")).help(help)
}

/// The first tensor that a header places wrongly.
fn misplaced(bytes: &[u8], length: u64, header_len: u64) -> Option<String> {
    let start = usize::try_from(header_len).ok()?.checked_add(8)?;
    let have = length.checked_sub(start as u64)?;
    let header: Map<String, Value> = serde_json::from_slice(bytes.get(8..start)?).ok()?;
    let mut placed: Vec<(u64, u64, &String)> = Vec::new();
    for (name, info) in header.iter().filter(|(name, _)| *name != "__metadata__") {
        let info: TensorInfo = serde_json::from_value(info.clone()).ok()?;
        let (from, to) = (info.data_offsets.0 as u64, info.data_offsets.1 as u64);
        let bits = info.shape.iter().try_fold(info.dtype.bitsize() as u128, |a, &n| a.checked_mul(n as u128));
        match bits.map(|bits| bits / 8) {
            Some(size) if from <= to && u128::from(to - from) == size => placed.push((from, to, name)),
            Some(size) => {
                return Some(format!(
                    "tensor {} of shape {:?} needs {size} bytes, its offsets are {from}..{to}",
                    clip(name),
                    info.shape
                ));
            }
            None => return Some(format!("tensor {} has the impossible shape {:?}", clip(name), info.shape)),
        }
    }
    placed.sort_unstable();
    let mut end = 0;
    for (from, to, name) in placed {
        if from != end {
            return Some(format!(
                "tensor {} starts at byte {from}, the one before it ends at {end}",
                clip(name)
            ));
        }
        end = to;
    }
    (end != have).then(|| format!("its tensors take {end} bytes, the file has {have} for them"))
}

/// A tensor to be written.
#[derive(Clone, Debug)]
pub struct TensorData<'a> {
    /// Name in the file.
    pub name: String,
    /// Element type.
    pub dtype: Dtype,
    /// Shape, outermost dimension first.
    pub shape: Vec<usize>,
    /// Little-endian elements.
    pub bytes: Cow<'a, [u8]>,
}

impl<'a> TensorData<'a> {
    /// Elements of any type, as bytes in this machine's order (little-endian: wgpu and wasm know no other).
    pub fn new<T: bytemuck::Pod>(
        name: impl Into<String>,
        dtype: Dtype,
        shape: &[usize],
        elements: &'a [T],
    ) -> Self {
        const { assert!(cfg!(target_endian = "little")) }
        Self { name: name.into(), dtype, shape: shape.to_vec(), bytes: bytemuck::cast_slice(elements).into() }
    }

    /// An F32 tensor.
    pub fn f32(name: impl Into<String>, shape: &[usize], elements: &'a [f32]) -> Self {
        Self::new(name, Dtype::F32, shape, elements)
    }

    /// An F16 tensor, rounded from `f32`.
    pub fn f16(name: impl Into<String>, shape: &[usize], elements: &[f32]) -> Self {
        let bytes = elements.iter().flat_map(|&x| half::f16::from_f32(x).to_le_bytes()).collect();
        Self { name: name.into(), dtype: Dtype::F16, shape: shape.to_vec(), bytes: Cow::Owned(bytes) }
    }
}

/// The order of tensors in a file: the widest types first, so that all are aligned; then by name.
pub(super) fn order(a: (Dtype, &str), b: (Dtype, &str)) -> std::cmp::Ordering {
    b.0.bitsize().cmp(&a.0.bitsize()).then_with(|| a.1.cmp(b.1))
}

/// Bytes of a tensor; none where there are more than memory could hold, or half ones.
fn bytes_of(dtype: Dtype, shape: &[usize]) -> Option<usize> {
    let bits = shape.iter().try_fold(dtype.bitsize(), |a, &n| a.checked_mul(n))?;
    bits.is_multiple_of(8).then_some(bits / 8)
}

/// What stands in a file before the bytes of its tensors, which follow one after the other in this order
/// ([`order`]).
///
/// # Errors
/// `InvalidInput` if a name comes twice, or a tensor is too large.
pub(super) fn head<'a>(
    tensors: impl IntoIterator<Item = (&'a str, Dtype, &'a [usize])>,
    notes: &[(&str, &str)],
) -> io::Result<Vec<u8>> {
    let mut header = BTreeMap::new();
    let mut at = 0usize;
    for (name, dtype, shape) in tensors {
        let end = bytes_of(dtype, shape).and_then(|bytes| at.checked_add(bytes));
        let info = json!({ "dtype": dtype, "shape": shape, "data_offsets": [at, end] });
        if end.is_none() || header.insert(name, info).is_some() || name == "__metadata__" {
            let what = format!("tensor {} {dtype:?}{shape:?} comes twice or is too large", clip(name));
            return Err(io::Error::new(io::ErrorKind::InvalidInput, what));
        }
        at = end.unwrap_or(at);
    }
    if !notes.is_empty() {
        header.insert("__metadata__", json!(notes.iter().copied().collect::<BTreeMap<_, _>>()));
    }
    let mut text = serde_json::to_vec(&header)?;
    text.resize(text.len().next_multiple_of(8), b' ');
    Ok([&(text.len() as u64).to_le_bytes()[..], &text].concat())
}

/// Writes a `.safetensors` file to `w`. The same tensors always make the same bytes, whatever their order.
///
/// # Errors
/// Those of `w`; `InvalidInput` if a tensor's bytes do not fit its shape and type, or a name comes twice.
pub fn write_tensors_to(
    w: &mut dyn Write,
    tensors: &[TensorData<'_>],
    notes: &[(&str, &str)],
) -> io::Result<()> {
    let mut sorted: Vec<&TensorData<'_>> = tensors.iter().collect();
    sorted.sort_by(|a, b| order((a.dtype, &a.name), (b.dtype, &b.name)));
    if let Some(t) = sorted.iter().find(|t| bytes_of(t.dtype, &t.shape) != Some(t.bytes.len())) {
        let what = format!(
            "tensor {} {:?}{:?} does not have {} bytes",
            clip(&t.name),
            t.dtype,
            t.shape,
            t.bytes.len()
        );
        return Err(io::Error::new(io::ErrorKind::InvalidInput, what));
    }
    let list = sorted.iter().map(|t| (t.name.as_str(), t.dtype, t.shape.as_slice()));
    w.write_all(&head(list, notes)?)?;
    sorted.iter().try_for_each(|t| w.write_all(&t.bytes))
}

/// A `.safetensors` file in memory.
///
/// # Errors
/// `ErrorKind::Shape` if a tensor's bytes do not fit its shape and type, or a name comes twice.
pub fn safetensors_bytes(tensors: &[TensorData<'_>], notes: &[(&str, &str)]) -> Result<Vec<u8>> {
    let mut out = Vec::new();
    write_tensors_to(&mut out, tensors, notes).map_err(|e| Error::new(ErrorKind::Shape, e.to_string()))?;
    Ok(out)
}

/// Writes a `.safetensors` file, whole or not at all (see [`crate::files::atomic_write`]).
///
/// # Errors
/// `ErrorKind::Io`, naming `path`.
#[cfg(not(target_arch = "wasm32"))]
pub fn write_safetensors(
    path: &std::path::Path,
    tensors: &[TensorData<'_>],
    notes: &[(&str, &str)],
) -> Result<()> {
    crate::files::atomic_write(path, |w| write_tensors_to(w, tensors, notes))
}
