//! Rows of numbers in few bits: 4 or 8 for each, with a scale for every block of them. Value i of a row is
//! `scale · q + minimum` of its block, the product exact, rounded once at the sum.
//!
//! A row is whole 32-bit words, `[values][scales]`, so that rows stay together wherever a matrix is cut:
//!
//! * 4 bits: groups of 32 values in four words, the first 16 in the low halves of the bytes, the others in the
//!   high halves, as GGUF has them. Values are 0 to 15, less 8 where there is no minimum.
//! * 8 bits: four signed values a word.
//! * scales: halves in pairs, `scale, minimum` of a block where there is a minimum, else of two blocks; `wide`
//!   ones are floats, in pairs `scale, minimum` where there is one.

use half::f16;

/// Values that lie together in memory with 4 bits.
const GROUP: usize = 32;

/// How the rows of a matrix are kept in few bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Quant {
    /// Bits of a value: 4 or 8.
    pub bits: u8,
    /// Values of a block: 4, 8, 16 or 32.
    pub block: u8,
    /// Scales are floats, else halves.
    pub wide: bool,
    /// Blocks have a minimum.
    pub minimum: bool,
    /// Values of a row.
    pub columns: u32,
}

impl Quant {
    /// For people.
    pub fn name(&self) -> &'static str {
        if self.bits == 4 { "q4" } else { "q8" }
    }

    /// Values of a row.
    pub fn columns(&self) -> usize {
        self.columns as usize
    }

    /// Values of a block.
    pub fn block(&self) -> usize {
        usize::from(self.block)
    }

    /// Blocks of a row.
    pub fn blocks(&self) -> usize {
        self.columns().div_ceil(self.block())
    }

    /// Words of a row's values: where its scales begin.
    pub fn value_words(&self) -> usize {
        match self.bits {
            4 => self.columns().div_ceil(GROUP) * 4,
            _ => self.columns().div_ceil(4),
        }
    }

    /// Words of a row's scales and minima.
    pub fn scale_words(&self) -> usize {
        match (self.wide, self.minimum) {
            (true, true) => 2 * self.blocks(),
            (true, false) | (false, true) => self.blocks(),
            (false, false) => self.blocks().div_ceil(2),
        }
    }

    /// Words of a row.
    pub fn row_words(&self) -> usize {
        self.value_words() + self.scale_words()
    }

    /// What is taken from the values of 4 bits.
    pub fn offset(&self) -> i8 {
        if self.bits == 4 && !self.minimum { 8 } else { 0 }
    }

    /// Rows that hold exactly what either holds.
    #[must_use]
    pub fn join(&self, other: &Self) -> Self {
        // 4 bits around 0 are 4 bits from a minimum of -8 scales, which a half may not hold.
        let moved = self.bits == 4 && other.bits == 4 && self.minimum != other.minimum;
        Self {
            bits: self.bits.max(other.bits),
            block: self.block.min(other.block),
            wide: self.wide || other.wide || moved,
            minimum: self.minimum || other.minimum,
            columns: self.columns,
        }
    }

    /// Puts the nearest numbers that it holds into a row of zeros; the block that is too large for its scales,
    /// if there is one.
    pub fn round(&self, values: &[f32], row: &mut [u32]) -> Option<usize> {
        let held = |x: f32| if self.wide { x } else { f16::from_f32(x).to_f32() };
        for (block, values) in values.chunks(self.block()).enumerate() {
            let (least, largest) =
                values.iter().fold((f32::INFINITY, f32::NEG_INFINITY), |(a, b), x| (a.min(*x), b.max(*x)));
            let furthest = least.abs().max(largest.abs());
            let (scale, minimum, [low, high]) = match (self.bits, self.minimum) {
                (4, true) => (held((largest - least) / 15.0), held(least), [0.0, 15.0]),
                (4, false) => (held(furthest / 8.0), -0.0, [-8.0, 7.0]),
                _ => (held(furthest / 127.0), -0.0, [-127.0, 127.0]),
            };
            if !(scale.is_finite() && minimum.is_finite()) {
                return Some(block);
            }
            let inverse = if scale == 0.0 { 0.0 } else { 1.0 / scale };
            let q = |x: &f32| ((x - minimum) * inverse).round().clamp(low, high) as i8;
            self.put_values(row, block * self.block(), &values.iter().map(q).collect::<Vec<_>>());
            self.put_scale(row, block, scale, minimum);
        }
        None
    }

    /// Puts values into a row of zeros, from column `first` on.
    pub fn put_values(&self, row: &mut [u32], first: usize, q: &[i8]) {
        for (column, q) in (first..).zip(q) {
            let (word, shift) = self.place(column);
            let mask = if self.bits == 4 { 15 } else { 255 };
            row[word] |= (u32::from((*q + self.offset()) as u8) & mask) << shift;
        }
    }

    /// Puts the scale and minimum of a block into a row of zeros.
    pub fn put_scale(&self, row: &mut [u32], block: usize, scale: f32, minimum: f32) {
        let at = self.value_words();
        let half = |x: f32| u32::from(f16::from_f32(x).to_bits());
        match (self.wide, self.minimum) {
            (true, true) => {
                row[at + 2 * block] = scale.to_bits();
                row[at + 2 * block + 1] = minimum.to_bits();
            }
            (true, false) => row[at + block] = scale.to_bits(),
            (false, true) => row[at + block] = half(scale) | half(minimum) << 16,
            (false, false) => row[at + block / 2] |= half(scale) << (16 * (block % 2)),
        }
    }

    /// The value of a column as an integer.
    pub fn value(&self, row: &[u32], column: usize) -> i8 {
        let (word, shift) = self.place(column);
        match self.bits {
            4 => (row[word] >> shift & 15) as i8 - self.offset(),
            _ => (row[word] >> shift) as u8 as i8,
        }
    }

    /// Scale and minimum of a block; -0, which changes no sum, where there is no minimum.
    pub fn scale(&self, row: &[u32], block: usize) -> (f32, f32) {
        let at = self.value_words();
        let half = |word: u32, i: usize| f16::from_bits((word >> (16 * i)) as u16).to_f32();
        match (self.wide, self.minimum) {
            (true, true) => (f32::from_bits(row[at + 2 * block]), f32::from_bits(row[at + 2 * block + 1])),
            (true, false) => (f32::from_bits(row[at + block]), -0.0),
            (false, true) => (half(row[at + block], 0), half(row[at + block], 1)),
            (false, false) => (half(row[at + block / 2], block % 2), -0.0),
        }
    }

    /// The numbers of a row.
    pub fn widen(&self, row: &[u32], out: &mut [f32]) {
        for (block, out) in out.chunks_mut(self.block()).enumerate() {
            let (scale, minimum) = self.scale(row, block);
            for (i, x) in out.iter_mut().enumerate() {
                *x = scale * f32::from(self.value(row, block * self.block() + i)) + minimum;
            }
        }
    }

    /// Word and first bit of a column's value.
    fn place(&self, column: usize) -> (usize, usize) {
        if self.bits == 4 {
            let (group, i) = (column / GROUP, column % GROUP);
            return (group * 4 + i % 16 / 4, 8 * (i % 4) + 4 * (i / 16));
        }
        (column / 4, 8 * (column % 4))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_hold_what_was_put_into_them() {
        for bits in [4, 8] {
            for (block, columns) in [(32, 32), (32, 96), (16, 80), (8, 40), (4, 36)] {
                for (wide, minimum) in [(false, false), (false, true), (true, false), (true, true)] {
                    let quant = Quant { bits, block, wide, minimum, columns };
                    let columns = quant.columns();
                    let q: Vec<i8> = (0..columns as i32)
                        .map(|i| {
                            if bits == 4 {
                                (i * 7 % 16) as i8 - quant.offset()
                            } else {
                                (i * 37 % 256 - 128) as i8
                            }
                        })
                        .collect();
                    let mut row = vec![0; quant.row_words()];
                    quant.put_values(&mut row, 0, &q[..8]);
                    quant.put_values(&mut row, 8, &q[8..]);
                    let scale = |b: usize| (b as f32 + 0.5, if minimum { -0.25 * b as f32 } else { -0.0 });
                    (0..quant.blocks()).for_each(|b| quant.put_scale(&mut row, b, scale(b).0, scale(b).1));
                    let mut out = vec![0.0; columns];
                    quant.widen(&row, &mut out);
                    for (i, (got, q)) in out.iter().zip(&q).enumerate() {
                        let (d, m) = scale(i / quant.block());
                        assert_eq!(*got, d * f32::from(*q) + m, "{quant:?} {i}");
                    }
                }
            }
        }
    }
}
