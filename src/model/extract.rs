//! Some elements of one of our tensors, from the bytes of its file: where they lie, and what they are.

use std::ops::Range;

use super::families::Place;
use super::gguf::BlockType;
use super::gguf::blocks::Block;
use super::tensor_file::{Dtype, clip, floats};
use crate::error::{Error, ErrorKind, Result};
use crate::tensor::Quant;

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

impl Stored {
    /// Numbers that lie together, and the bytes they take.
    fn unit(self) -> [usize; 2] {
        match self {
            Stored::Floats(dtype) => [1, dtype.bitsize() / 8],
            Stored::Blocks(blocks) => [blocks.values(), blocks.bytes()],
        }
    }
}

/// A tensor of a file.
#[derive(Clone, Copy, Debug)]
pub(super) struct InFile<'a> {
    pub label: &'a str,
    pub stored: Stored,
    pub shape: &'a [usize],
}

/// Some elements of one of our tensors.
#[derive(Debug)]
pub(super) struct Extract<'a> {
    tensor: InFile<'a>,
    place: Place,
    /// The shape of our tensor.
    shape: Vec<usize>,
    /// Of our tensor.
    elements: Range<usize>,
    /// Of the file's: what is read of it, whole blocks.
    read: Range<usize>,
}

impl<'a> Extract<'a> {
    /// Some elements, or all, of a tensor of ours whose place is in this tensor of a file.
    ///
    /// # Errors
    /// [`ErrorKind::ModelFormat`] for elements that it does not have.
    pub fn new(tensor: InFile<'a>, place: Place, elements: Option<Range<usize>>) -> Result<Self> {
        let shape = place.shape_of_ours(tensor.shape);
        let [ours, all] = [&shape[..], tensor.shape].map(|shape| shape.iter().product::<usize>());
        let elements = elements.unwrap_or(0..ours);
        if elements.end > ours {
            let text = format!("tensor {} has {ours} numbers, the model needs {}", place.name, elements.end);
            return Err(Error::new(ErrorKind::ModelFormat, text).help("the tensors are of another model"));
        }
        let read = if place.transposed {
            0..all
        } else if place.rows.is_empty() {
            elements.clone()
        } else {
            let columns = columns(&shape);
            let rows = elements.start / columns..elements.end.div_ceil(columns);
            let (first, last) = place
                .rows_in_file(rows)
                .fold((usize::MAX, 0), |(first, last), row| (first.min(row), last.max(row + 1)));
            first.min(last) * columns..last * columns
        };
        let [unit, _] = tensor.stored.unit();
        let read = read.start / unit * unit..read.end.next_multiple_of(unit);
        Ok(Self { tensor, place, shape, elements, read })
    }

    /// The bytes it needs, of those of the tensor.
    pub fn bytes(&self) -> Range<u64> {
        let [unit, bytes] = self.tensor.stored.unit();
        let at = |element: usize| (element / unit) as u64 * bytes as u64;
        at(self.read.start)..at(self.read.end)
    }

    /// The elements, from those bytes.
    ///
    /// # Errors
    /// [`ErrorKind::ModelFormat`] for a type that is none of F32, F16, BF16 and blocks, and for a NaN or an
    /// infinity among them (the message has the first one's index in the file's tensor).
    pub fn f32(&self, raw: &[u8]) -> Result<Vec<f32>> {
        let values = match self.tensor.stored {
            Stored::Floats(dtype) => floats(dtype, raw).ok_or_else(|| self.type_error())?,
            Stored::Blocks(blocks) => {
                let mut values = vec![0.0; raw.len() / blocks.bytes() * blocks.values()];
                blocks.dequantize(raw, &mut values);
                values
            }
        };
        match first_bad(&values, |x| x.to_bits() & 0x7f80_0000 == 0x7f80_0000) {
            None => self.take(values),
            Some(i) => Err(self.bad_weight(values[i], self.read.start + i)),
        }
    }

    /// Their bits as halves: as they are stored, or rounded.
    ///
    /// # Errors
    /// As [`Extract::f32`]; [`ErrorKind::ModelFormat`] also for a number that is too large for a half, with
    /// its index in our tensor.
    pub fn f16_bits(&self, raw: &[u8]) -> Result<Vec<u16>> {
        let not_finite = |x: u16| x & 0x7c00 == 0x7c00;
        if self.tensor.stored != Stored::Floats(Dtype::F16) {
            let values = self.f32(raw)?;
            let bits: Vec<u16> = values.iter().map(|x| half::f16::from_f32(*x).to_bits()).collect();
            let Some(i) = first_bad(&bits, not_finite) else { return Ok(bits) };
            let at = format!(" at index {}", self.elements.start + i);
            let error = too_large(self.tensor.label, &self.place.name, values[i], &at, BlockType::F16);
            return Err(error.help("load the weights as f32"));
        }
        let bits: Vec<u16> = raw.as_chunks::<2>().0.iter().map(|&b| u16::from_le_bytes(b)).collect();
        match first_bad(&bits, not_finite) {
            None => self.take(bits),
            Some(i) => Err(self.bad_weight(half::f16::from_bits(bits[i]).to_f32(), self.read.start + i)),
        }
    }

    /// Whole rows of a matrix in few bits, put into zeros: exactly, where it is stored in blocks that these rows
    /// hold; otherwise rounded.
    ///
    /// # Errors
    /// As [`Extract::f32`].
    pub fn quantized(&self, raw: &[u8], quant: &Quant, words: &mut [u32]) -> Result<()> {
        let (columns, of_row) = (quant.columns(), quant.row_words());
        match self.tensor.stored {
            Stored::Blocks(blocks) if blocks.fits(quant) && !self.place.transposed => {
                let rows = self.elements.start / columns..self.elements.end / columns;
                let in_file = self.place.rows_in_file(rows);
                let bytes = columns / blocks.values() * blocks.bytes();
                let first = self.read.start / columns;
                let mut block = Block::default();
                for (at, words) in in_file.zip(words.chunks_exact_mut(of_row)) {
                    let Some(raw) = raw.get((at - first) * bytes..(at - first + 1) * bytes) else {
                        return Err(self.bad_weight(f32::NAN, at * columns));
                    };
                    for (i, raw) in raw.chunks_exact(blocks.bytes()).enumerate() {
                        blocks.open(raw, &mut block);
                        if let Some(bad) = block.bad_scale() {
                            return Err(self.bad_weight(bad, at * columns + i * block.len));
                        }
                        block.put(quant, words, i * block.len);
                    }
                }
            }
            _ => {
                let values = self.f32(raw)?;
                for (values, words) in values.chunks_exact(columns).zip(words.chunks_exact_mut(of_row)) {
                    if let Some(block) = quant.round(values, words) {
                        let text = format!(
                            "{}: tensor {} holds {} and numbers like it, which are too large for {}",
                            self.tensor.label,
                            clip(&self.place.name),
                            values[block * quant.block()],
                            quant.name()
                        );
                        return Err(Error::new(ErrorKind::ModelFormat, text).help("load the weights as f32"));
                    }
                }
            }
        }
        Ok(())
    }

    /// Our elements of what was read.
    fn take<T: Copy>(&self, read: Vec<T>) -> Result<Vec<T>> {
        let (elements, first) = (&self.elements, self.read.start);
        let there = read.len();
        let short = || self.bad_weight(f32::NAN, first + there);
        if self.place.transposed {
            let whole = there == self.read.len();
            let ours = whole.then(|| self.place.take(read, &self.shape)).ok_or_else(short)?;
            return Ok(if elements.len() == ours.len() { ours } else { ours[elements.clone()].to_vec() });
        }
        if self.place.rows.is_empty() {
            let Some(ours) = read.get(elements.start - first..elements.end - first) else {
                return Err(short());
            };
            return Ok(if ours.len() == read.len() { read } else { ours.to_vec() });
        }
        let columns = columns(&self.shape);
        let rows = elements.start / columns..elements.end.div_ceil(columns);
        let mut ours = Vec::with_capacity(rows.len() * columns);
        for row in self.place.rows_in_file(rows.clone()) {
            let row = read.get(row * columns - first..(row + 1) * columns - first);
            ours.extend_from_slice(row.ok_or_else(short)?);
        }
        ours.truncate(elements.end - rows.start * columns);
        ours.drain(..elements.start - rows.start * columns);
        Ok(ours)
    }

    fn type_error(&self) -> Error {
        type_error(&self.tensor, &self.place.name)
    }

    fn bad_weight(&self, value: f32, index: usize) -> Error {
        bad_weight(&self.tensor, &self.place.name, value, index)
    }
}

/// The error of a weight that is no number.
pub(super) fn bad_weight(tensor: &InFile<'_>, name: &str, value: f32, index: usize) -> Error {
    let InFile { label, shape, .. } = tensor;
    let text = format!("{label}: tensor {} of shape {shape:?} holds {value} at index {index}", clip(name));
    Error::new(ErrorKind::ModelFormat, text).help(
        "the weights are damaged or their training diverged; copy them again or use an earlier checkpoint",
    )
}

/// The error of a number that a type does not hold; `place` says where it is.
pub(super) fn too_large(label: &str, name: &str, value: f32, place: &str, kind: BlockType) -> Error {
    let what = match kind {
        BlockType::F16 => format!("{value}{place}, f16 holds at most {}", half::f16::MAX),
        kind => format!("{value}{place}, which is too large for {}", kind.name()),
    };
    Error::new(ErrorKind::ModelFormat, format!("{label}: tensor {} holds {what}", clip(name)))
}

/// The error of a tensor whose type holds no weights.
pub(super) fn type_error(tensor: &InFile<'_>, name: &str) -> Error {
    Error::new(
        ErrorKind::ModelFormat,
        format!(
            "{}: tensor {} has type {}, must be F32, F16 or BF16",
            tensor.label,
            clip(name),
            tensor.stored
        ),
    )
    .help("convert the weights to F32, F16 or BF16")
}

/// Elements of a row.
fn columns(shape: &[usize]) -> usize {
    shape[1.min(shape.len())..].iter().product::<usize>().max(1)
}

/// Index of the first bad element; checked in strips, which vectorises.
fn first_bad<T: Copy>(values: &[T], bad: impl Fn(T) -> bool) -> Option<usize> {
    let strip =
        values.chunks(1024).position(|strip| strip.iter().fold(false, |any, &x| any | bad(x)))? * 1024;
    values[strip..].iter().position(|&x| bad(x)).map(|i| strip + i)
}
