//! Shapes, element types and extents. Knows nothing else.
//!
//! A size is an [`Extent`]: a fixed number, or a multiple of something that only a call knows (its
//! tokens, its lanes, the blocks it touches). A plan is compiled for a [`Capacity`], an upper bound
//! of every such unit; a [`Call`] then runs any actual length below it. No plan depends on position.

use std::fmt;

mod quant;
pub use quant::Quant;

use crate::error::{Error, ErrorKind, Result};

/// A tensor of a graph.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TensorId(pub usize);

/// How the elements of a tensor lie in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DType {
    /// 32-bit float (the only type arithmetic is done in).
    F32,
    /// Half floats, packed in pairs into 32-bit words; storage only, unpacked in the shader.
    F16,
    /// 32-bit unsigned integer (token ids, lane tables, feature indices).
    U32,
    /// Rows of integers of few bits with a scale for each block; storage only, as halves.
    Quant(Quant),
}

impl DType {
    /// Bytes of `n` elements, rounded up to whole 32-bit words.
    pub fn bytes(self, n: usize) -> usize {
        match self {
            DType::F32 | DType::U32 => n.saturating_mul(4),
            DType::F16 => n.div_ceil(2).saturating_mul(4),
            DType::Quant(q) => n.div_ceil(q.columns().max(1)).saturating_mul(4 * q.row_words()),
        }
    }
}

/// What a symbolic size counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Unit {
    /// 1: the extent is fixed.
    One,
    /// Sequences that take part in the call.
    Lanes,
    /// Tokens of one lane in the call.
    Tokens,
    /// `Lanes * Tokens`.
    Rows,
    /// Blocks of the given size that the window of one lane touches.
    Blocks(usize),
    /// Rows of one lane's window: at most one block carried over in the ring, then the call's tokens.
    Window(usize),
    /// Shares of the call's rows, of at least so many each.
    Shares {
        /// Rows of a share, at least.
        rows: usize,
        /// Shares at most.
        most: usize,
    },
    /// Sequences that a session can hold.
    Slots,
    /// Tokens a key-value cache can hold (softmax and polynomial baselines only).
    Context,
}

/// `factor * unit`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Extent {
    /// What is counted.
    pub unit: Unit,
    /// How many times.
    pub factor: usize,
}

impl From<usize> for Extent {
    fn from(factor: usize) -> Self {
        Self { unit: Unit::One, factor }
    }
}

impl From<Unit> for Extent {
    fn from(unit: Unit) -> Self {
        Self { unit, factor: 1 }
    }
}

impl fmt::Display for Extent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self.unit {
            Unit::One => return write!(f, "{}", self.factor),
            Unit::Lanes => "lanes".to_string(),
            Unit::Tokens => "tokens".to_string(),
            Unit::Rows => "rows".to_string(),
            Unit::Blocks(b) => format!("blocks({b})"),
            Unit::Window(b) => format!("window({b})"),
            Unit::Shares { rows, most } => format!("shares({rows}, {most})"),
            Unit::Slots => "slots".to_string(),
            Unit::Context => "context".to_string(),
        };
        if self.factor == 1 { f.write_str(&name) } else { write!(f, "{}*{name}", self.factor) }
    }
}

/// The shape of a tensor, outermost dimension first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shape(pub Vec<Extent>);

impl Shape {
    /// Number of elements when every unit is at its capacity.
    pub fn elements(&self, capacity: &Capacity) -> usize {
        // What does not fit a number is refused as too large, not taken for small: a browser counts to 2³².
        self.0.iter().fold(1, |n: usize, e| n.saturating_mul(e.factor.saturating_mul(capacity.unit(e.unit))))
    }

    /// Number of elements in one call.
    pub fn elements_in(&self, call: &Call) -> usize {
        self.0.iter().map(|e| e.factor * call.unit(e.unit)).product()
    }

    /// The fixed size of the last dimension, if it is fixed.
    pub fn last(&self) -> Option<usize> {
        self.0.last().filter(|e| e.unit == Unit::One).map(|e| e.factor)
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[")?;
        for (i, e) in self.0.iter().enumerate() {
            write!(f, "{}{e}", if i == 0 { "" } else { ", " })?;
        }
        f.write_str("]")
    }
}

/// `shape![Unit::Rows, 64]`: a [`Shape`] from units and numbers.
#[doc(hidden)]
#[macro_export]
macro_rules! __shape {
    ($($e:expr),* $(,)?) => { $crate::tensor::Shape(vec![$($crate::tensor::Extent::from($e)),*]) };
}

#[doc(inline)]
pub use crate::__shape as shape;

/// Element type and shape.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TensorType {
    /// Element type in memory.
    pub dtype: DType,
    /// Shape.
    pub shape: Shape,
}

impl TensorType {
    /// A float tensor.
    pub fn f32(shape: Shape) -> Self {
        Self { dtype: DType::F32, shape }
    }

    /// An integer tensor.
    pub fn u32(shape: Shape) -> Self {
        Self { dtype: DType::U32, shape }
    }

    /// Bytes at capacity.
    pub fn bytes(&self, capacity: &Capacity) -> usize {
        self.dtype.bytes(self.shape.elements(capacity))
    }
}

impl fmt::Display for TensorType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let dtype = match self.dtype {
            DType::F32 => "f32",
            DType::F16 => "f16",
            DType::U32 => "u32",
            DType::Quant(q) => q.name(),
        };
        write!(f, "{dtype}{}", self.shape)
    }
}

/// Upper bounds that a plan is compiled for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Capacity {
    /// Most sequences in one call.
    pub lanes: usize,
    /// Most tokens of one lane in one call.
    pub tokens: usize,
    /// Sequences a session can hold.
    pub slots: usize,
    /// Tokens a key-value cache can hold; 0 for models without one.
    pub context: usize,
}

impl Capacity {
    /// The bound of one unit.
    pub fn unit(&self, unit: Unit) -> usize {
        match unit {
            Unit::One => 1,
            Unit::Lanes => self.lanes,
            Unit::Tokens => self.tokens,
            Unit::Rows => self.lanes.saturating_mul(self.tokens),
            Unit::Blocks(b) => self.tokens.div_ceil(b).saturating_add(1),
            Unit::Window(b) => self.tokens.saturating_add(b),
            Unit::Shares { rows, most } => self.unit(Unit::Rows).div_ceil(rows).min(most),
            Unit::Slots => self.slots,
            Unit::Context => self.context,
        }
    }
}

/// One sequence's part in a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lane {
    /// Which of the session's sequences.
    pub slot: usize,
    /// Absolute position of the call's first token of this lane.
    pub position: usize,
    /// Rows the slot's ring holds before the call: `position mod b`, or `b` for a whole block that is
    /// not folded into the state yet.
    pub ring: usize,
}

/// The actual sizes of one run of a plan: each lane advances by the same number of tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// The sequences that take part.
    pub lanes: Vec<Lane>,
    /// Tokens of each lane.
    pub tokens: usize,
    /// First row of the lane table that belongs to this call (several calls of one submission share
    /// one table).
    pub lane_base: usize,
}

impl Call {
    /// A call of one lane, slot 0, from the very start.
    pub fn start(tokens: usize) -> Self {
        Self { lanes: vec![Lane { slot: 0, position: 0, ring: 0 }], tokens, lane_base: 0 }
    }

    /// The actual size of `unit` in this call (`Slots` and `Context` belong to the capacity, not to a call).
    pub fn unit(&self, unit: Unit) -> usize {
        match unit {
            Unit::One => 1,
            Unit::Lanes => self.lanes.len(),
            Unit::Tokens => self.tokens,
            Unit::Rows => self.lanes.len() * self.tokens,
            Unit::Blocks(b) => {
                self.lanes.iter().map(|l| (l.ring + self.tokens).div_ceil(b)).max().unwrap_or(0)
            }
            Unit::Window(b) => b + self.tokens,
            Unit::Shares { rows, most } => self.unit(Unit::Rows).div_ceil(rows).min(most),
            Unit::Slots | Unit::Context => unreachable!("{unit:?} is a capacity, not a size of a call"),
        }
    }

    /// Refuses a call that the capacity does not cover.
    ///
    /// # Errors
    /// [`ErrorKind::Shape`], naming what there is too much of.
    pub fn check(&self, capacity: &Capacity) -> Result<()> {
        let over = |what: &str, is: usize, most: usize| {
            Err(Error::new(
                ErrorKind::Shape,
                format!("the call has {is} {what}, its plan was compiled for {most}"),
            ))
        };
        if self.lanes.is_empty() || self.tokens == 0 {
            return Err(Error::new(ErrorKind::Shape, "the call has no lanes or no tokens"));
        }
        if self.lanes.len() > capacity.lanes {
            return over("lanes", self.lanes.len(), capacity.lanes);
        }
        if self.tokens > capacity.tokens {
            return over("tokens", self.tokens, capacity.tokens);
        }
        for lane in &self.lanes {
            if lane.slot >= capacity.slots {
                return over("slots", lane.slot + 1, capacity.slots);
            }
            if capacity.context > 0 && lane.position + self.tokens > capacity.context {
                return Err(Error::new(
                    ErrorKind::Limit,
                    format!(
                        "position {} is past the key-value cache of {} tokens",
                        lane.position + self.tokens,
                        capacity.context
                    ),
                )
                .help("raise --max-context, or use a model with constant state"));
            }
        }
        Ok(())
    }
}

/// Rows in a ring of blocks of `block` after `tokens` more (at least one): a whole block stays until the next
/// token folds it.
pub fn ring_after(ring: usize, tokens: usize, block: usize) -> usize {
    (ring + tokens - 1) % block + 1
}

/// The lane table of a submission, as the kernels bind it: rows of slot, position, ring, 0; the lanes of a
/// call stand from its [`Call::lane_base`] on.
pub fn lane_table(calls: &[Call]) -> Vec<u32> {
    let rows = calls.iter().map(|call| call.lane_base + call.lanes.len()).max().unwrap_or(0);
    let mut table = vec![0; 4 * rows];
    for call in calls {
        for (row, lane) in table[4 * call.lane_base..].chunks_exact_mut(4).zip(&call.lanes) {
            row.copy_from_slice(&[lane.slot as u32, lane.position as u32, lane.ring as u32, 0]);
        }
    }
    table
}
