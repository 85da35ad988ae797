//! One row of x, in integers of three bytes, times the integers of the matrix as they lie.
//!
//! Reading all weights for one token is bound by their unpacking, not by memory, when each becomes a float of its
//! own. Here a block of x becomes integers of 24 bits, which loses what f32 loses, and their bytes ("limbs") are
//! multiplied by the weights: 32 products an instruction. Times of one read of 90 MB in `Q4_1` by two cores of
//! Zen 3, whose memory gives them in 2.4 ms:
//!
//! | form | ms |
//! |---|---|
//! | floats, eight rows at a time (`widened`) | 8.0 |
//! | integers of 16 bits (an error of 7e-5 in the logits of SmolLM2; not kept) | 3.8 |
//! | three limbs of 8 bits (7e-7) | 4.0 |
//! | the same, with memory asked for ahead | 3.5 |
//!
//! For two rows and more of x the products outweigh the unpacking, and floats are faster.

use pulp::x86::V3;
use pulp::{NullaryFnOnce, cast, i8x32, i16x16, i32x8, u16x16};

use super::layout::{GROUP, ROWS};
use super::widened::{scales, vector};
use crate::tensor::Quant;

/// Largest integer that x becomes: with room for an error of rounding before the upper limb loses its sign.
const MOST: f32 = (127 << 16) as f32;
/// Words of x for a group: 4 bits meet three limbs, 8 bits meet integers of 16 bits, the upper two limbs and the last.
const WORDS: usize = GROUP;

/// A row of x by blocks of the weights.
pub(super) struct Limbs<'a> {
    /// Limbs in the order in which words of weights meet them, `[groups, WORDS]`.
    pub words: &'a [u32],
    /// What 1 stands for, `[blocks]`.
    pub units: &'a [f32],
    /// What the sums with upper and lower limbs begin with, so that an offset of the weights is taken from them,
    /// `[blocks]`.
    pub starts: &'a [[i32; 2]],
}

impl<'a> Limbs<'a> {
    /// Words for a row of so many numbers.
    pub fn room(quant: &Quant, width: usize) -> usize {
        width / GROUP * WORDS + 3 * (width / quant.block())
    }

    /// Of a row of whole groups of columns.
    pub fn new(simd: V3, quant: &Quant, x: &[f32], room: &'a mut [f32]) -> Self {
        let blocks = x.len() / quant.block();
        let (words, rest) = room.split_at_mut(x.len() / GROUP * WORDS);
        let (units, starts) = rest.split_at_mut(blocks);
        let words: &mut [u32] = bytemuck::cast_slice_mut(words);
        let starts: &mut [[i32; 2]] = bytemuck::cast_slice_mut(&mut starts[..2 * blocks]);
        simd.vectorize(Fill { quant, x, words: &mut *words, units: &mut *units, starts: &mut *starts });
        Self { words, units, starts }
    }
}

/// Puts in what [`Limbs`] holds.
struct Fill<'a> {
    quant: &'a Quant,
    x: &'a [f32],
    words: &'a mut [u32],
    units: &'a mut [f32],
    starts: &'a mut [[i32; 2]],
}

// A closure's own call would not be inlined, and so not be compiled for V3.
impl NullaryFnOnce for Fill<'_> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        match self.quant.block() {
            32 => self.of_blocks::<32>(),
            16 => self.of_blocks::<16>(),
            8 => self.of_blocks::<8>(),
            _ => self.of_blocks::<4>(),
        }
    }
}

impl Fill<'_> {
    #[inline(always)]
    fn of_blocks<const BLOCK: usize>(self) {
        let Self { quant, x, words, units, starts } = self;
        // Values of 8 bits are kept as distances from -128.
        let offset = if quant.bits == 8 { 128 } else { i32::from(quant.offset()) };
        let groups = x.as_chunks::<GROUP>().0.iter().zip(words.as_chunks_mut::<WORDS>().0);
        let of_groups = units.chunks_exact_mut(GROUP / BLOCK).zip(starts.chunks_exact_mut(GROUP / BLOCK));
        for ((x, words), (units, starts)) in groups.zip(of_groups) {
            let mut whole = [0i32; GROUP];
            let blocks = x.as_chunks::<BLOCK>().0.iter().zip(whole.as_chunks_mut::<BLOCK>().0);
            for ((x, whole), unit) in blocks.zip(units) {
                *unit = round(x, whole);
            }
            if quant.bits == 4 {
                // Bytes that count from -128, so that none borrows from the next. (No `map` of arrays: it would not
                // be compiled for V3.)
                let bytes: &mut [u8] = bytemuck::cast_slice_mut(words);
                for (to, shift) in bytes.as_chunks_mut::<GROUP>().0.iter_mut().zip([16, 8, 0]) {
                    for (to, x) in to.iter_mut().zip(&whole) {
                        *to = (((*x as u32).wrapping_add(0x0080_8080) ^ 0x0080_8080) >> shift) as u8;
                    }
                }
            } else {
                // Two columns a word, two apart.
                let (upper, lower) = words.split_at_mut(GROUP / 2);
                let upper = upper.as_chunks_mut::<2>().0.iter_mut();
                for ((x, upper), lower) in
                    whole.as_chunks::<4>().0.iter().zip(upper).zip(lower.as_chunks_mut::<2>().0)
                {
                    for i in 0..2 {
                        let high = [x[i], x[i + 2]].map(|x| (x + 128) >> 8);
                        upper[i] = u32::from(high[0] as u16) | (high[1] as u32) << 16;
                        lower[i] = u32::from(x[i] as i8 as u16) | (i32::from(x[i + 2] as i8) as u32) << 16;
                    }
                }
            }
            if offset == 0 {
                starts.fill([0; 2]);
                continue;
            }
            let (shift, half) = if quant.bits == 4 { (16, 0x8080) } else { (8, 0x80) };
            for (whole, start) in whole.as_chunks::<BLOCK>().0.iter().zip(starts) {
                let [mut all, mut high] = [0; 2];
                for x in whole {
                    all += x;
                    high += (x + half) >> shift;
                }
                *start = [-offset * high, -offset * (all - (high << shift))];
            }
        }
    }
}

/// The integers of a block of x, and what 1 stands for.
#[inline(always)]
fn round<const BLOCK: usize>(x: &[f32; BLOCK], whole: &mut [i32; BLOCK]) -> f32 {
    // As integers, whose largest is found in vectors; what is not finite is above all that is.
    let largest = f32::from_bits(x.iter().fold(0, |most, x| most.max(x.abs().to_bits())));
    // The least of all numbers, whose inverse is none, count as 0; what is no number stays none by its unit.
    let by = if largest < 1e-30 { 0.0 } else { MOST / largest };
    for (whole, x) in whole.iter_mut().zip(x) {
        *whole = (x * by).round_ties_even() as i32;
    }
    if largest.is_finite() { largest / MOST } else { f32::NAN }
}

/// A panel times a row of x.
pub(super) struct One<'a> {
    pub simd: V3,
    pub quant: &'a Quant,
    pub words: &'a [u32],
    pub x: &'a Limbs<'a>,
    /// Sums of blocks of x.
    pub of_blocks: &'a [f32],
    pub out: &'a mut [f32; ROWS],
}

impl NullaryFnOnce for One<'_> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        // So that the inner loops know what they read.
        match (self.quant.bits, self.quant.block()) {
            (4, 32) => self.row::<4, 32>(),
            (4, 16) => self.row::<4, 16>(),
            (4, 8) => self.row::<4, 8>(),
            (4, _) => self.row::<4, 4>(),
            (_, 32) => self.row::<8, 32>(),
            (_, 16) => self.row::<8, 16>(),
            (_, 8) => self.row::<8, 8>(),
            _ => self.row::<8, 4>(),
        }
    }
}

/// Units of a panel that memory is asked for before they are met: some 2 KiB, which come at the rate of the
/// products only if asked for in time.
const AHEAD: usize = 8;
/// Vectors of eight rows in a panel.
const VECTORS: usize = ROWS / 8;

impl One<'_> {
    #[inline(always)]
    fn row<const BITS: u8, const BLOCK: usize>(self) {
        let simd = self.simd;
        let quant = Quant { bits: BITS, block: BLOCK as u8, ..*self.quant };
        let (unit, value_words) = (quant.unit(), quant.unit_value_words());
        let unit_words = ROWS * (value_words + quant.unit_scale_words());
        let of_group = ROWS * GROUP * usize::from(BITS) / 32;
        let step = simd.splat_f32x8(if BITS == 4 { 65536.0 } else { 256.0 });
        let mut sums = [simd.splat_f32x8(0.0); VECTORS];
        for (at, words) in self.words.chunks_exact(unit_words).enumerate() {
            prefetch(words, AHEAD * unit_words);
            let (values, scale_words) = words.split_at(ROWS * value_words);
            for (group, values) in values.chunks_exact(of_group).enumerate() {
                let column = at * unit + group * GROUP;
                let x = self.x.words[column / GROUP * WORDS..].first_chunk().expect("words of every group");
                let parts = if BITS == 4 {
                    nibbles::<BLOCK>(simd, values, x)
                } else {
                    bytes::<BLOCK>(simd, values, x)
                };
                for (b, parts) in parts.iter().enumerate().take(GROUP / BLOCK) {
                    let block = column / BLOCK + b;
                    let (unit, [start_upper, start_lower]) = (self.x.units[block], self.x.starts[block]);
                    for v in 0..VECTORS {
                        let [upper, lower] = parts[v];
                        let upper = simd.wrapping_add_i32x8(upper, simd.splat_i32x8(start_upper));
                        let lower = simd.wrapping_add_i32x8(lower, simd.splat_i32x8(start_lower));
                        let upper = simd.convert_i32x8_to_f32x8(upper);
                        let lower = simd.convert_i32x8_to_f32x8(lower);
                        let part = simd.mul_add_f32x8(upper, step, lower);
                        let part = simd.mul_f32x8(part, simd.splat_f32x8(unit));
                        let of_group = group * (GROUP / BLOCK) + b;
                        let (scale, minimum) = scales(simd, &quant, scale_words, of_group, v * 8);
                        sums[v] = simd.mul_add_f32x8(scale, part, sums[v]);
                        if quant.minimum {
                            let x = simd.splat_f32x8(self.of_blocks[block]);
                            sums[v] = simd.mul_add_f32x8(minimum, x, sums[v]);
                        }
                    }
                }
            }
        }
        *self.out = cast(sums);
    }
}

/// Asks for the memory so many words behind `words`, as much as those are. It may lie behind all weights.
#[inline(always)]
fn prefetch(words: &[u32], behind: usize) {
    use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
    for line in words.chunks(ROWS) {
        // SAFETY: a hint, which no address makes wrong.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(line.as_ptr().wrapping_add(behind).cast()) };
    }
}

/// Of each block of a group and vector: the sums with the upper limb, and with the others.
type Parts = [[[i32x8; 2]; VECTORS]; 8];

/// Eight columns of 4 bits a word: 0 to 3 in the low halves of its bytes, 16 to 19 in the high ones.
#[inline(always)]
fn nibbles<const BLOCK: usize>(simd: V3, values: &[u32], x: &[u32; WORDS]) -> Parts {
    // A sum of two products is at most 2 · 15 · 128, and eight of those fit 16 bits.
    let mut sums = [[[simd.splat_i16x16(0); 3]; VECTORS]; 8];
    let mask = simd.splat_u32x8(0x0f0f_0f0f);
    for i in 0..4 {
        let words: [_; VECTORS] = [vector::<V3>(&values[i * ROWS..]), vector::<V3>(&values[i * ROWS + 8..])];
        for j in 0..2 {
            let mut halves = words;
            for half in &mut halves {
                *half = simd.and_u32x8(if j == 0 { *half } else { simd.shr_const_u32x8::<4>(*half) }, mask);
            }
            let four = i + 4 * j;
            for limb in 0..3 {
                // One broadcast for all vectors: it costs as much as a product.
                let x: i8x32 = cast(simd.splat_u32x8(x[8 * limb + four]));
                for v in 0..VECTORS {
                    let products = simd.multiply_saturating_add_adjacent_i8x32(cast(halves[v]), x);
                    let sum = &mut sums[4 * four / BLOCK][v][limb];
                    *sum = simd.wrapping_add_i16x16(*sum, products);
                }
            }
        }
    }
    let (zero, one) = (simd.splat_i32x8(0), simd.splat_i16x16(1));
    let mut parts = [[[zero; 2]; VECTORS]; 8];
    for b in 0..GROUP / BLOCK {
        for v in 0..VECTORS {
            let [high, middle, low] = sums[b][v];
            let middle = simd.multiply_wrapping_add_adjacent_i16x16(middle, one);
            let low = simd.multiply_wrapping_add_adjacent_i16x16(low, one);
            parts[b][v] = [
                simd.multiply_wrapping_add_adjacent_i16x16(high, one),
                simd.wrapping_add_i32x8(simd.shl_const_i32x8::<8>(middle), low),
            ];
        }
    }
    parts
}

/// Four columns of 8 bits a word.
#[inline(always)]
fn bytes<const BLOCK: usize>(simd: V3, values: &[u32], x: &[u32; WORDS]) -> Parts {
    let mut sums = [[[simd.splat_i32x8(0); 2]; VECTORS]; 8];
    let mask = simd.splat_u16x16(255);
    for i in 0..8 {
        let words: [u16x16; VECTORS] =
            [cast(vector::<V3>(&values[i * ROWS..])), cast(vector::<V3>(&values[i * ROWS + 8..]))];
        for j in 0..2 {
            let mut halves = words;
            for half in &mut halves {
                *half = if j == 0 { simd.and_u16x16(*half, mask) } else { simd.shr_const_u16x16::<8>(*half) };
            }
            for limb in 0..2 {
                let x: i16x16 = cast(simd.splat_u32x8(x[GROUP / 2 * limb + 2 * i + j]));
                for v in 0..VECTORS {
                    let products = simd.multiply_wrapping_add_adjacent_i16x16(cast(halves[v]), x);
                    let sum = &mut sums[4 * i / BLOCK][v][limb];
                    *sum = simd.wrapping_add_i32x8(*sum, products);
                }
            }
        }
    }
    sums
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limbs_are_what_they_stand_for() {
        let Some(simd) = V3::try_new() else { return };
        let x: Vec<f32> = (0..64).map(|i| ((i * 37 % 64) as f32 - 31.7) * 1e-3f32.powi(i / 32)).collect();
        for bits in [4, 8] {
            let quant = Quant { bits, block: 8, wide: false, minimum: false, columns: 64 };
            let mut room = vec![0.0; Limbs::room(&quant, x.len())];
            let limbs = Limbs::new(simd, &quant, &x, &mut room);
            for (i, x) in x.iter().enumerate() {
                let (words, at) = (&limbs.words[i / GROUP * WORDS..][..WORDS], i % GROUP);
                let whole = if bits == 4 {
                    let bytes: &[i8] = bytemuck::cast_slice(words);
                    [0, 1, 2].iter().fold(0, |whole, limb| 256 * whole + i32::from(bytes[limb * GROUP + at]))
                } else {
                    let halves: &[i16] = bytemuck::cast_slice(words);
                    let at = at / 4 * 4 + at % 2 * 2 + at % 4 / 2;
                    256 * i32::from(halves[at]) + i32::from(halves[GROUP + at])
                };
                let unit = limbs.units[i / 8];
                // Half an integer, and a third of one by each rounding to f32: of the factor, the product and the unit.
                let off = (f64::from(whole) * f64::from(unit) - f64::from(*x)).abs();
                assert!(off <= 1.5 * f64::from(unit), "{bits} bits, {i}: {x} off by {off}");
            }
        }
    }

    #[test]
    fn what_is_no_number_stays_none() {
        let Some(simd) = V3::try_new() else { return };
        let quant = Quant { bits: 4, block: 32, wide: false, minimum: true, columns: 32 };
        for (bad, unit_is_number) in [(f32::NAN, false), (f32::INFINITY, false), (1e-38, true), (3e38, true)]
        {
            let mut x = [0.0; 32];
            x[5] = bad;
            let mut room = vec![0.0; Limbs::room(&quant, 32)];
            let unit = Limbs::new(simd, &quant, &x, &mut room).units[0];
            assert!(unit.is_finite() == unit_is_number, "{bad}: {unit}");
        }
    }
}
