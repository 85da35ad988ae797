//! One tensor's numbers on an executor, and a list of such tensors by name.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::available::zeros;
use crate::error::{Error, ErrorKind, Result};
use crate::gpu::Buffer;
use crate::graph::Step;
use crate::kernels::cpu::{Panels, widen};
use crate::kernels::{DeviceTraits, Real, Views};
use crate::tensor::{Call, DType};

/// One tensor's memory on an executor.
#[derive(Debug)]
pub(super) enum Stored {
    /// Floats of the CPU executor.
    F32(Vec<f32>),
    /// Half floats of the CPU executor, as they are.
    F16(Vec<u16>),
    /// Integers of few bits of the CPU executor, as it multiplies them.
    Panels(Panels),
    /// Floats of the oracle.
    F64(Vec<f64>),
    /// Integers on either.
    U32(Vec<u32>),
    /// A buffer of the device.
    Gpu(Arc<Buffer>),
}

/// A number type that tensors can be stored in and twins run in.
pub(super) trait Element: Real {
    /// Whether half floats stay halves in memory.
    const KEEPS_HALVES: bool;
    /// Whether integers of few bits stay so in memory.
    const KEEPS_PANELS: bool;
    /// Stores a vector.
    fn wrap(values: Vec<Self>) -> Stored;
    /// The vector, if this type is stored.
    fn view(stored: &Stored) -> Option<&[Self]>;
    /// The vector, if this type is stored.
    fn view_mut(stored: &mut Stored) -> Option<&mut [Self]>;
    /// Runs the kernel's twin in this type.
    fn twin(step: &Step, args: &mut Views<'_, Self>, call: &Call);
}

macro_rules! element {
    ($real:ty, $variant:ident, $twin:ident, $halves:expr, $panels:expr) => {
        impl Element for $real {
            const KEEPS_HALVES: bool = $halves;
            const KEEPS_PANELS: bool = $panels;
            fn wrap(values: Vec<Self>) -> Stored {
                Stored::$variant(values)
            }
            fn view(stored: &Stored) -> Option<&[Self]> {
                if let Stored::$variant(v) = stored { Some(v) } else { None }
            }
            fn view_mut(stored: &mut Stored) -> Option<&mut [Self]> {
                if let Stored::$variant(v) = stored { Some(v) } else { None }
            }
            fn twin(step: &Step, args: &mut Views<'_, Self>, call: &Call) {
                step.kernel.$twin(args, call)
            }
        }
    };
}
// Without an instruction that widens halves (wasm), it is done once.
element!(f32, F32, twin_f32, cfg!(not(target_arch = "wasm32")), true);
element!(f64, F64, twin_f64, false, false);

impl Stored {
    /// Zeros on a CPU executor.
    pub fn zeros<R: Element>(name: &str, dtype: DType, elements: usize) -> Result<Self> {
        Ok(if dtype == DType::U32 {
            Self::U32(zeros(name, elements)?)
        } else {
            R::wrap(zeros(name, elements)?)
        })
    }

    /// Room on a CPU executor for a tensor that [`Stored::put`] fills.
    ///
    /// # Errors
    /// [`ErrorKind::OutOfMemory`].
    pub fn room<R: Element>(name: &str, dtype: DType, elements: usize) -> Result<Self> {
        Ok(match dtype {
            // Pairs of halves may be one more than the tensor has.
            DType::F16 if R::KEEPS_HALVES => Self::F16(zeros(name, elements.next_multiple_of(2))?),
            DType::F16 => R::wrap(zeros(name, elements.next_multiple_of(2))?),
            DType::Quant(quant) if R::KEEPS_PANELS => {
                let rows = elements / quant.columns().max(1);
                Self::Panels(Panels::zeros(quant, rows, zeros(name, Panels::room(quant, rows))?))
            }
            _ => Self::zeros::<R>(name, dtype, elements)?,
        })
    }

    /// Puts words into a tensor that has [`Stored::room`] for them, from word `first` of it on: whole rows,
    /// where they are of few bits.
    pub fn put<R: Element>(&mut self, dtype: DType, first: usize, words: &[u32]) {
        match (self, dtype) {
            (Self::U32(v), _) => v[first..first + words.len()].copy_from_slice(words),
            (Self::F16(v), _) => {
                let halves = v[2 * first..].iter_mut();
                let of_words = words.iter().flat_map(|w| [*w as u16, (*w >> 16) as u16]);
                halves.zip(of_words).for_each(|(to, half)| *to = half);
            }
            (Self::Panels(panels), DType::Quant(quant)) => {
                panels.put(first / quant.row_words().max(1), words);
            }
            (stored, dtype) => {
                let Some(values) = R::view_mut(stored) else { return };
                match dtype {
                    DType::F16 => {
                        let of_words: Vec<u16> =
                            words.iter().flat_map(|w| [*w as u16, (*w >> 16) as u16]).collect();
                        widen(&of_words, &mut values[2 * first..][..of_words.len()]);
                    }
                    DType::Quant(quant) => {
                        let row = quant.row_words().max(1);
                        let mut wide = vec![0.0; quant.columns()];
                        let rows = values[first / row * quant.columns()..].chunks_exact_mut(quant.columns());
                        for (to, words) in rows.zip(words.chunks_exact(row)) {
                            quant.widen(words, &mut wide);
                            to.iter_mut().zip(&wide).for_each(|(to, x)| *to = R::from_f32(*x));
                        }
                    }
                    _ => {
                        let values = values[first..].iter_mut().zip(words);
                        values.for_each(|(to, word)| *to = R::from_f32(f32::from_bits(*word)));
                    }
                }
            }
        }
    }

    /// A copy of a tensor of a CPU executor.
    pub fn copy(&self) -> Self {
        match self {
            Self::F32(v) => Self::F32(v.clone()),
            Self::F64(v) => Self::F64(v.clone()),
            Self::U32(v) => Self::U32(v.clone()),
            Self::F16(v) => Self::F16(v.clone()),
            Self::Panels(v) => Self::Panels(v.clone()),
            Self::Gpu(_) => unreachable!("{ON_THE_HOST}"),
        }
    }

    /// Writes words into a tensor of a CPU executor, from an element on.
    ///
    /// # Errors
    /// [`ErrorKind::Shape`] for words that do not fit, and for half floats.
    pub fn write(&mut self, name: &str, offset: usize, words: &[u32]) -> Result<()> {
        let len = match self {
            Self::F32(v) => v.len(),
            Self::F64(v) => v.len(),
            Self::U32(v) => v.len(),
            Self::F16(_) | Self::Panels(_) => {
                let text = format!("{name}: what is kept in few bits are weights, which nobody writes");
                return Err(Error::new(ErrorKind::Shape, text));
            }
            Self::Gpu(_) => unreachable!("{ON_THE_HOST}"),
        };
        let Some(range) = offset.checked_add(words.len()).filter(|end| *end <= len).map(|end| offset..end)
        else {
            let text = format!("{name}: {} words do not fit at {offset} of a tensor of {len}", words.len());
            return Err(Error::new(ErrorKind::Shape, text));
        };
        match self {
            Self::F32(v) => v[range].iter_mut().zip(words).for_each(|(x, w)| *x = f32::from_bits(*w)),
            Self::F64(v) => {
                v[range].iter_mut().zip(words).for_each(|(x, w)| *x = f64::from(f32::from_bits(*w)));
            }
            Self::U32(v) => v[range].copy_from_slice(words),
            Self::F16(_) | Self::Panels(_) | Self::Gpu(_) => unreachable!("refused above"),
        }
        Ok(())
    }

    /// Elements of a tensor of a CPU executor as words; everything that is no integer as floats.
    ///
    /// # Errors
    /// [`ErrorKind::Shape`] for elements that are not there.
    pub fn words(&self, name: &str, range: Range<usize>) -> Result<Vec<u32>> {
        let at = range.clone();
        let words = match self {
            Self::F32(v) => v.get(at).map(|v| v.iter().map(|x| x.to_bits()).collect()),
            Self::F64(v) => v.get(at).map(|v| v.iter().map(|x| (*x as f32).to_bits()).collect()),
            Self::U32(v) => v.get(at).map(<[u32]>::to_vec),
            Self::F16(v) => {
                v.get(at).map(|v| v.iter().map(|h| half::f16::from_bits(*h).to_f32().to_bits()).collect())
            }
            Self::Panels(v) => (at.start <= at.end && at.end <= v.len()).then(|| {
                let columns = v.quant().columns().max(1);
                let rows = at.start / columns..at.end.div_ceil(columns);
                let mut wide = vec![0f32; rows.len() * columns];
                wide.chunks_exact_mut(columns).zip(rows).for_each(|(out, row)| v.row(row, out));
                wide[at.start % columns..][..at.len()].iter().map(|x| x.to_bits()).collect()
            }),
            Self::Gpu(_) => unreachable!("{ON_THE_HOST}"),
        };
        words.ok_or_else(|| Error::new(ErrorKind::Shape, format!("{name} has no elements {range:?}")))
    }

    /// The buffer of a tensor of a GPU executor.
    pub fn buffer(&self) -> &Arc<Buffer> {
        match self {
            Self::Gpu(buffer) => buffer,
            _ => unreachable!("a GPU's memory holds buffers only"),
        }
    }
}

/// Why a buffer is never met there: a memory is filled by its one executor.
const ON_THE_HOST: &str = "a CPU's memory holds no buffers of a device";

/// Bytes that a tensor takes on a device.
pub(crate) fn stored_bytes(device: &DeviceTraits, dtype: DType, elements: usize) -> u64 {
    let bytes = dtype.bytes(elements) as u64;
    if dtype == DType::F16 && !device.shaders && !f32::KEEPS_HALVES { 2 * bytes } else { bytes }
}

/// Tensors by name.
#[derive(Debug)]
pub(super) struct Tensors {
    version: u64,
    names: HashMap<String, usize>,
    list: Vec<Stored>,
    dtypes: Vec<DType>,
}

impl Default for Tensors {
    fn default() -> Self {
        Self { version: next_version(), names: HashMap::new(), list: Vec::new(), dtypes: Vec::new() }
    }
}

fn next_version() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

impl Tensors {
    /// Changes whenever a tensor is put in, and is never that of other tensors: what was prepared for these
    /// holds as long as it stays.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// Adds a tensor, or puts it in the place of one.
    pub fn insert(&mut self, name: &str, dtype: DType, stored: Stored) {
        self.version = next_version();
        match self.names.get(name) {
            Some(&i) => (self.list[i], self.dtypes[i]) = (stored, dtype),
            None => {
                self.names.insert(name.to_string(), self.list.len());
                self.list.push(stored);
                self.dtypes.push(dtype);
            }
        }
    }

    /// Where a tensor stands.
    pub fn index(&self, name: &str) -> Option<usize> {
        self.names.get(name).copied()
    }

    /// A tensor by its place.
    pub fn at(&self, i: usize) -> &Stored {
        &self.list[i]
    }

    /// A tensor by its place.
    pub fn at_mut(&mut self, i: usize) -> &mut Stored {
        &mut self.list[i]
    }

    /// Names, types and numbers, in the order they were added.
    pub fn iter(&self) -> impl Iterator<Item = (&str, DType, &Stored)> {
        let mut names: Vec<(&str, usize)> = self.names.iter().map(|(name, i)| (name.as_str(), *i)).collect();
        names.sort_unstable_by_key(|(_, i)| *i);
        names.into_iter().map(|(name, i)| (name, self.dtypes[i], &self.list[i]))
    }
}
