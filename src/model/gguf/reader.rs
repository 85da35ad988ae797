//! A GGUF file: versions 2 and 3, little-endian. Every length is compared with what is left of the file before
//! memory is taken for it.

use std::borrow::Cow;
use std::cell::Cell;
use std::collections::BTreeMap;
use std::ops::Range;

use super::blocks::BlockType;
use super::metadata::{Array, Metadata, Value};
use crate::error::{Error, ErrorKind, Result};
use crate::model::bytes::{Bytes, Remote};
use crate::model::tensor_file::clip;

pub(super) const MAGIC: &[u8; 4] = b"GGUF";
const ALIGNMENT: &str = "general.alignment";
/// Dimensions of a tensor at most.
const MOST_DIMS: u32 = 4;
/// Bytes of a file that are fetched first: most headers are shorter, or a few times as long.
const FIRST: u64 = 2 << 20;
/// Bytes that a header may have where it is fetched; a vocabulary has some ten million.
const MOST_FETCHED: u64 = 256 << 20;

/// Whether a file begins like GGUF.
pub fn is_gguf(start: &[u8]) -> bool {
    start.starts_with(MAGIC)
}

/// What stands before the tensors' bytes.
#[derive(Clone, Debug, PartialEq)]
pub struct Header {
    /// The key-value list.
    pub metadata: Metadata,
    /// The tensors by name.
    pub tensors: BTreeMap<String, TensorInfo>,
}

/// Where a tensor lies in its file, and what it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TensorInfo {
    /// Type of its elements.
    pub kind: BlockType,
    /// Shape, outermost dimension first (the file has them the other way round).
    pub shape: Vec<usize>,
    /// Its bytes in the file.
    pub bytes: Range<u64>,
}

/// An open file whose header has been checked: every tensor lies inside it, and none overlap.
#[derive(Debug)]
pub struct Gguf {
    header: Header,
    bytes: Bytes,
    /// Tensors that were wanted with the header, of a file that is not at hand.
    held: BTreeMap<String, Vec<u8>>,
}

impl Gguf {
    /// Maps the file at `path`. The file must not be cut short while it is open.
    ///
    /// # Errors
    /// [`ErrorKind::Io`] if it cannot be opened; otherwise as [`Header::parse`].
    #[cfg(not(target_arch = "wasm32"))]
    pub fn open(path: &std::path::Path) -> Result<Self> {
        Self::new(Bytes::open(path, "a .gguf file")?, &path.display().to_string())
    }

    /// A file that is in memory; `label` stands for its path in messages.
    ///
    /// # Errors
    /// As [`Header::parse`].
    pub fn from_bytes(bytes: impl Into<Cow<'static, [u8]>>, label: &str) -> Result<Self> {
        Self::new(Bytes::Memory(bytes.into()), label)
    }

    fn new(bytes: Bytes, label: &str) -> Result<Self> {
        let header = Header::parse(bytes.at_hand().unwrap_or_default(), bytes.length(), label)?;
        Ok(Self { header, bytes, held: BTreeMap::new() })
    }

    /// A file whose bytes are fetched: its header now with the tensors `wanted`, the others when they are asked
    /// for.
    ///
    /// # Errors
    /// As [`Header::parse`]; those of the file.
    pub async fn fetch(file: Remote, label: &str, wanted: &[&str]) -> Result<Self> {
        let bytes = Bytes::Remote(file);
        let length = bytes.length();
        let mut most = FIRST;
        let header = loop {
            let start = bytes.read(0..most).await?;
            match Header::begin(&start, length, label)? {
                Begun::Header(header) => break header,
                Begun::Wants(more) if more > MOST_FETCHED => {
                    let text = format!("{label}: its header needs {more} bytes, more than any known model's");
                    return Err(Error::new(ErrorKind::ModelFormat, text)
                        .help("the file is damaged; download it again"));
                }
                Begun::Wants(more) => most = more.max(4 * most).min(MOST_FETCHED),
            }
        };
        let mut held = BTreeMap::new();
        for name in wanted {
            if let Some(info) = header.tensors.get(*name) {
                held.insert((*name).to_string(), bytes.read(info.bytes.clone()).await?.into_owned());
            }
        }
        Ok(Self { header, bytes, held })
    }

    /// The path or label.
    pub fn label(&self) -> &str {
        self.header.metadata.label()
    }

    /// What stands before the tensors' bytes.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// The key-value list.
    pub fn metadata(&self) -> &Metadata {
        &self.header.metadata
    }

    /// The tensors.
    pub fn tensors(&self) -> &BTreeMap<String, TensorInfo> {
        &self.header.tensors
    }

    /// Bytes of a tensor, where they are at hand.
    pub fn raw(&self, name: &str) -> Option<&[u8]> {
        let info = self.header.tensors.get(name)?;
        let at_hand = self.bytes.at_hand();
        // The header was checked against these bytes.
        let in_file = at_hand.and_then(|b| b.get(info.bytes.start as usize..info.bytes.end as usize));
        in_file.or_else(|| self.held.get(name).map(Vec::as_slice))
    }

    /// The bytes of the file.
    pub(in crate::model) fn bytes(&self) -> &Bytes {
        &self.bytes
    }
}

/// What the beginning of a file gives.
#[derive(Debug)]
enum Begun {
    /// Its header.
    Header(Header),
    /// The header goes on, at least to this byte.
    Wants(u64),
}

impl Header {
    /// Reads the header of a file of `length` bytes that begins with `start`; all of the header must be there,
    /// the tensors need not.
    ///
    /// # Errors
    /// [`ErrorKind::ModelFormat`] in one line with the file, the key or tensor and the value.
    pub fn parse(start: &[u8], length: u64, label: &str) -> Result<Self> {
        match Self::begin(start, length, label)? {
            Begun::Header(header) => Ok(header),
            Begun::Wants(more) => {
                let text = format!("{label}: its header has {more} bytes or more, {} are given", start.len());
                Err(Error::new(ErrorKind::ModelFormat, text).help("give all of the header"))
            }
        }
    }

    /// The same of as much of the file as is there.
    fn begin(start: &[u8], length: u64, label: &str) -> Result<Begun> {
        let mut r = Reader { label, bytes: start, length, at: 0, part: "header", wants: Cell::new(None) };
        let header = Self::read(&mut r);
        match r.wants.get() {
            Some(more) => Ok(Begun::Wants(more)),
            None => header.map(Begun::Header),
        }
    }

    fn read(r: &mut Reader<'_>) -> Result<Self> {
        let (label, length) = (r.label, r.length);
        if length == 0 {
            return Err(r.damaged("the file has no bytes"));
        }
        let magic = r.bytes(4)?;
        if magic != MAGIC {
            let what = format!("begins with {}, must begin with GGUF", shown_bytes(magic));
            let e = Error::new(ErrorKind::ModelFormat, format!("{label}: {what}"));
            return Err(e.help(match magic {
                b"PK\x03\x04" => "this is a zip archive; give the .gguf file itself",
                b"GGML" | b"ggml" | b"lmgg" | b"tjgg" | b"fmgg" => {
                    "this is llama.cpp's older format; convert the model to GGUF again"
                }
                b"vers" => "this may be a Git LFS pointer, not the weights; run `git lfs pull`",
                _ => "the file is damaged or not a GGUF file; download it again",
            }));
        }
        let version = r.u32()?;
        if !(2..=3).contains(&version) {
            let (what, help) = match version {
                1 => ("1, must be 2 or 3".to_string(), "convert the model again, with a newer llama.cpp"),
                _ if (1..=3).contains(&version.swap_bytes()) => (
                    format!("{} in big-endian order, must be little-endian", version.swap_bytes()),
                    "use the file for common machines",
                ),
                n => (format!("{n}, must be 2 or 3"), "the file is damaged or newer than this program"),
            };
            let text = format!("{label}: the version of the format is {what}");
            return Err(Error::new(ErrorKind::ModelFormat, text).help(help));
        }
        // A tensor's entry has a length, a number of dimensions, a type and an offset; a key a length, a type
        // and a byte.
        let tensors = r.count("tensors", 24)?;
        let keys = r.count("keys", 13)?;
        r.part = "key-value list";
        let mut values = BTreeMap::new();
        for _ in 0..keys {
            let key = r.text("a key")?;
            let kind = r.u32()?;
            let value = r.value(kind, &key)?;
            if values.insert(key.clone(), value).is_some() {
                return Err(r.damaged(&format!("key {} stands twice", clip(&key))));
            }
        }
        let metadata = Metadata::new(label, values);
        let alignment = alignment(&metadata)?;
        r.part = "list of tensors";
        let mut entries = BTreeMap::new();
        for _ in 0..tensors {
            let name = r.text("a tensor's name")?;
            let entry = r.tensor(&name, alignment)?;
            if entries.insert(name.clone(), entry).is_some() {
                return Err(r.damaged(&format!("tensor {} stands twice", clip(&name))));
            }
        }
        let data = (r.at as u64).next_multiple_of(alignment);
        let mut tensors = BTreeMap::new();
        for (name, entry) in entries {
            let end = data.checked_add(entry.bytes.end).filter(|end| *end <= length);
            let Some(end) = end else {
                let what = format!(
                    "tensor {} lies at bytes {} to {} of the data, the file has {} bytes for it",
                    clip(&name),
                    entry.bytes.start,
                    entry.bytes.end,
                    length.saturating_sub(data)
                );
                return Err(r.damaged(&what));
            };
            tensors.insert(name, TensorInfo { bytes: data + entry.bytes.start..end, ..entry });
        }
        let mut places: Vec<(&Range<u64>, &String)> = tensors.iter().map(|(n, t)| (&t.bytes, n)).collect();
        places.sort_unstable_by_key(|(bytes, _)| bytes.start);
        for pair in places.windows(2) {
            if pair[1].0.start < pair[0].0.end {
                let [a, b] = [pair[0].1, pair[1].1].map(|name| clip(name));
                return Err(r.damaged(&format!("tensors {a} and {b} overlap")));
            }
        }
        Ok(Self { metadata, tensors })
    }
}

/// Of what the places of tensors are multiples.
pub(super) fn alignment(metadata: &Metadata) -> Result<u64> {
    match metadata.count(ALIGNMENT)? {
        None => Ok(32),
        Some(n) if n.is_power_of_two() && n >= 8 => Ok(n as u64),
        Some(n) => Err(metadata.fault(ALIGNMENT, n, "a power of two from 8 on")),
    }
}

/// "PK\x03\x04" as a message shows it.
fn shown_bytes(bytes: &[u8]) -> String {
    format!("\"{}\"", bytes.escape_ascii())
}

/// A place in the header.
struct Reader<'a> {
    label: &'a str,
    /// The beginning of the file.
    bytes: &'a [u8],
    /// Bytes of the file.
    length: u64,
    at: usize,
    /// Of the header, for messages.
    part: &'static str,
    /// How far the header goes at least, where it goes on behind the bytes that are here: what failed then is
    /// read again.
    wants: Cell<Option<u64>>,
}

impl<'a> Reader<'a> {
    fn damaged(&self, what: &str) -> Error {
        Error::new(ErrorKind::ModelFormat, format!("{}: {what}", self.label))
            .help("the file is damaged or cut off; download it again")
    }

    /// Bytes of the file from here on.
    fn left(&self) -> u64 {
        self.length.saturating_sub(self.at as u64)
    }

    fn bytes(&mut self, n: u64) -> Result<&'a [u8]> {
        if n > (self.bytes.len() - self.at) as u64 {
            if n <= self.left() {
                self.wants.set(Some(self.at as u64 + n));
            }
            return Err(self.damaged(&format!("ends at byte {}, within the {}", self.length, self.part)));
        }
        let from = self.at;
        self.at += n as usize;
        Ok(&self.bytes[from..self.at])
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let mut array = [0; N];
        array.copy_from_slice(self.bytes(N as u64)?);
        Ok(array)
    }

    fn u32(&mut self) -> Result<u32> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    fn u64(&mut self) -> Result<u64> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    /// A number of things of at least so many bytes each, which must be there.
    fn count(&mut self, what: &str, bytes_of_each: u64) -> Result<usize> {
        let n = self.u64()?;
        let left = self.left();
        if n > left / bytes_of_each {
            let text = format!("announces {n} {what}, but only {left} bytes of its {} follow", self.part);
            return Err(self.damaged(&text));
        }
        Ok(n as usize)
    }

    fn text(&mut self, what: &str) -> Result<String> {
        let n = self.u64()?;
        if n > self.left() {
            let text = format!("{what} is said to have {n} bytes, but only {} follow", self.left());
            return Err(self.damaged(&text));
        }
        let bytes = self.bytes(n)?;
        let text = std::str::from_utf8(bytes).map_err(|_| {
            let shown = clip(&String::from_utf8_lossy(bytes));
            self.damaged(&format!("{what} at byte {} is not UTF-8: {shown}", self.at - bytes.len()))
        })?;
        Ok(text.to_string())
    }

    fn value(&mut self, kind: u32, key: &str) -> Result<Value> {
        Ok(match kind {
            6 => Value::Float(f64::from(f32::from_le_bytes(self.array()?))),
            12 => Value::Float(f64::from_le_bytes(self.array()?)),
            7 => Value::Bool(self.flag(key)?),
            8 => Value::Text(self.text(&format!("the text of key {}", clip(key)))?),
            9 => Value::Array(self.list(key)?),
            10 => Value::Int(i128::from(self.u64()?)),
            _ => Value::Int(i128::from(self.int(kind, key)?)),
        })
    }

    fn flag(&mut self, key: &str) -> Result<bool> {
        match self.array::<1>()?[0] {
            n @ (0 | 1) => Ok(n == 1),
            n => Err(self.damaged(&format!("key {} is a flag of value {n}, must be 0 or 1", clip(key)))),
        }
    }

    /// An integer of any type but the widest unsigned one.
    fn int(&mut self, kind: u32, key: &str) -> Result<i64> {
        Ok(match kind {
            0 => i64::from(self.array::<1>()?[0]),
            1 => i64::from(i8::from_le_bytes(self.array()?)),
            2 => i64::from(u16::from_le_bytes(self.array()?)),
            3 => i64::from(i16::from_le_bytes(self.array()?)),
            4 => i64::from(self.u32()?),
            5 => i64::from(i32::from_le_bytes(self.array()?)),
            11 => i64::from_le_bytes(self.array()?),
            _ => {
                let text = format!("key {} has value type {kind}, which does not exist", clip(key));
                return Err(self.damaged(&text));
            }
        })
    }

    fn list(&mut self, key: &str) -> Result<Array> {
        let kind = self.u32()?;
        let bytes_of_each = match kind {
            0 | 1 | 7 => 1,
            2 | 3 => 2,
            4..=6 => 4,
            8 | 10..=12 => 8,
            9 => return Err(self.damaged(&format!("key {} is a list of lists: none is known", clip(key)))),
            _ => {
                let text = format!("key {} is a list of value type {kind}, which does not exist", clip(key));
                return Err(self.damaged(&text));
            }
        };
        let n = self.count(&format!("values of key {}", clip(key)), bytes_of_each)?;
        Ok(match kind {
            6 => Array::Floats(
                (0..n).map(|_| Ok(f64::from(f32::from_le_bytes(self.array()?)))).collect::<Result<_>>()?,
            ),
            12 => {
                Array::Floats((0..n).map(|_| Ok(f64::from_le_bytes(self.array()?))).collect::<Result<_>>()?)
            }
            7 => Array::Bools((0..n).map(|_| self.flag(key)).collect::<Result<_>>()?),
            8 => {
                let what = format!("a text of key {}", clip(key));
                Array::Texts((0..n).map(|_| self.text(&what)).collect::<Result<_>>()?)
            }
            10 => {
                let values = (0..n).map(|_| self.u64()).collect::<Result<Vec<u64>>>()?;
                let narrow = values.into_iter().map(i64::try_from).collect::<Result<_, _>>();
                let too_large = || self.damaged(&format!("key {} has a value of 2^63 or more", clip(key)));
                Array::Ints(narrow.map_err(|_| too_large())?)
            }
            _ => Array::Ints((0..n).map(|_| self.int(kind, key)).collect::<Result<_>>()?),
        })
    }

    /// An entry of the list of tensors; its bytes still count from the beginning of the data.
    fn tensor(&mut self, name: &str, alignment: u64) -> Result<TensorInfo> {
        let name = clip(name);
        let dims = self.u32()?;
        if dims > MOST_DIMS {
            return Err(self.damaged(&format!("tensor {name} has {dims} dimensions, at most 4 are allowed")));
        }
        let sizes: Vec<u64> = (0..dims).map(|_| self.u64()).collect::<Result<_>>()?;
        let number = self.u32()?;
        let offset = self.u64()?;
        if sizes.contains(&0) {
            return Err(self.damaged(&format!("tensor {name} has dimensions {sizes:?}, one of them 0")));
        }
        let elements = sizes.iter().try_fold(1u64, |a, n| a.checked_mul(*n));
        let impossible =
            || self.damaged(&format!("tensor {name} has dimensions {sizes:?}, more than a file holds"));
        let elements = elements.ok_or_else(impossible)?;
        let kind = BlockType::of(number).map_err(|what| {
            let known: Vec<&str> = BlockType::ALL.iter().map(|t| t.name()).collect();
            let text = format!("{}: tensor {name} has type {what}, which is not supported", self.label);
            Error::new(ErrorKind::ModelFormat, text)
                .help(format!("use a file with tensors of {}", known.join(", ")))
        })?;
        let (values, bytes) = (kind.values() as u64, kind.bytes() as u64);
        let row = sizes.first().copied().unwrap_or(1);
        if !row.is_multiple_of(values) {
            let text = format!(
                "tensor {name} has rows of {row}, which is no multiple of the {values} values of a block of {}",
                kind.name()
            );
            return Err(self.damaged(&text));
        }
        if !offset.is_multiple_of(alignment) {
            let text = format!("tensor {name} has offset {offset}, must be a multiple of {alignment}");
            return Err(self.damaged(&text));
        }
        let bytes = (elements / values).checked_mul(bytes).ok_or_else(impossible)?;
        let Some(end) = offset.checked_add(bytes) else {
            return Err(self.damaged(&format!("tensor {name} has offset {offset}, beyond any file")));
        };
        let shape: Option<Vec<usize>> = sizes.iter().rev().map(|n| usize::try_from(*n).ok()).collect();
        let shape = shape.ok_or_else(impossible)?;
        Ok(TensorInfo { kind, shape, bytes: offset..end })
    }
}
