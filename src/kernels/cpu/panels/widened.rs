//! Integers of few bits as floats: a column's integer becomes a float by standing in the right bits of one; with an
//! exponent of 23 - b, what stands in bit b counts 1.

use pulp::{Simd, WithSimd};

use super::layout::{FEW, GROUP, ROWS};
use crate::tensor::Quant;

/// The float of a vector's integers of `bits` bits from bit `at` on, less an offset.
#[inline(always)]
fn float<S: Simd>(simd: S, words: S::u32s, bits: u32, at: u32, offset: f32) -> S::f32s {
    let mask = ((1 << bits) - 1) << at;
    // 2^(23 - at): there, bit `at` of the mantissa counts 1.
    let one = f32::from_bits((127 + 23 - at) << 23);
    let inside = simd.or_u32s(simd.and_u32s(words, simd.splat_u32s(mask)), simd.splat_u32s(one.to_bits()));
    simd.sub_f32s(simd.transmute_f32s_u32s(inside), simd.splat_f32s(one + offset))
}

#[inline(always)]
fn shifted<S: Simd>(simd: S, words: S::u32s, by: u32) -> S::u32s {
    simd.wrapping_dyn_shr_u32s(words, simd.splat_u32s(by))
}

/// Column `i` of the 32 of a group, of the words of a vector's rows.
#[inline(always)]
fn columns<S: Simd>(simd: S, words: S::u32s, bits: u8, offset: f32) -> [S::f32s; 8] {
    let zero = simd.splat_f32s(0.0);
    if bits == 4 {
        let high = shifted(simd, words, 12);
        let low = |at: u32| float(simd, words, 4, at, offset);
        let high = |at: u32| float(simd, high, 4, at - 12, offset);
        [low(0), low(8), low(16), high(24), low(4), low(12), high(20), high(28)]
    } else {
        let high = shifted(simd, words, 16);
        let low = |at: u32| float(simd, words, 8, at, 128.0);
        let high = |at: u32| float(simd, high, 8, at, 128.0);
        [low(0), low(8), high(0), high(8), zero, zero, zero, zero]
    }
}

/// The floats of halves in the low bits of words.
#[inline(always)]
fn halves<S: Simd>(simd: S, words: S::u32s) -> S::f32s {
    let sign = simd.wrapping_dyn_shl_u32s(simd.and_u32s(words, simd.splat_u32s(0x8000)), simd.splat_u32s(16));
    let rest = simd.wrapping_dyn_shl_u32s(simd.and_u32s(words, simd.splat_u32s(0x7fff)), simd.splat_u32s(13));
    // Exponents of halves count from 15, those of floats from 127.
    let scaled =
        simd.mul_f32s(simd.transmute_f32s_u32s(rest), simd.splat_f32s(f32::from_bits((127 + 112) << 23)));
    simd.transmute_f32s_u32s(simd.or_u32s(simd.transmute_u32s_f32s(scaled), sign))
}

/// Scale and minimum of block `b` of a unit.
#[inline(always)]
pub(super) fn scales<S: Simd>(
    simd: S,
    quant: &Quant,
    words: &[u32],
    b: usize,
    lane: usize,
) -> (S::f32s, S::f32s) {
    let word = |i: usize| vector::<S>(&words[i * ROWS + lane..]);
    match (quant.wide, quant.minimum) {
        (true, true) => (simd.transmute_f32s_u32s(word(2 * b)), simd.transmute_f32s_u32s(word(2 * b + 1))),
        (true, false) => (simd.transmute_f32s_u32s(word(b)), simd.splat_f32s(-0.0)),
        (false, true) => {
            let pair = word(b);
            (halves(simd, pair), halves(simd, shifted(simd, pair, 16)))
        }
        (false, false) => {
            let pair = word(b / 2);
            let half = if b % 2 == 1 { shifted(simd, pair, 16) } else { pair };
            (halves(simd, half), simd.splat_f32s(-0.0))
        }
    }
}

#[inline(always)]
pub(super) fn vector<S: Simd>(words: &[u32]) -> S::u32s {
    S::as_simd_u32s(words).0[0]
}

/// A panel times few rows of x.
pub(super) struct Few<'a> {
    pub quant: &'a Quant,
    pub words: &'a [u32],
    /// Rows of `width`.
    pub x: &'a [f32],
    /// Sums of their blocks.
    pub of_blocks: &'a [f32],
    pub width: usize,
    pub rows: usize,
    pub out: &'a mut [[f32; ROWS]; FEW],
}

impl WithSimd for Few<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) {
        // So that the inner loops know what they read.
        match (self.quant.bits, self.quant.block()) {
            (4, 32) => self.rows::<S, 4, 32>(simd),
            (4, 16) => self.rows::<S, 4, 16>(simd),
            (4, 8) => self.rows::<S, 4, 8>(simd),
            (4, _) => self.rows::<S, 4, 4>(simd),
            (_, 32) => self.rows::<S, 8, 32>(simd),
            (_, 16) => self.rows::<S, 8, 16>(simd),
            (_, 8) => self.rows::<S, 8, 8>(simd),
            _ => self.rows::<S, 8, 4>(simd),
        }
    }
}

impl Few<'_> {
    #[inline(always)]
    fn rows<S: Simd, const BITS: u8, const BLOCK: usize>(&mut self, simd: S) {
        let mut row = 0;
        while row + 4 <= self.rows {
            self.some::<S, BITS, BLOCK, 4>(simd, row);
            row += 4;
        }
        if row + 2 <= self.rows {
            self.some::<S, BITS, BLOCK, 2>(simd, row);
            row += 2;
        }
        while row < self.rows {
            self.some::<S, BITS, BLOCK, 1>(simd, row);
            row += 1;
        }
    }

    #[inline(always)]
    fn some<S: Simd, const BITS: u8, const BLOCK: usize, const N: usize>(&mut self, simd: S, row: usize) {
        let quant = Quant { bits: BITS, block: BLOCK as u8, ..*self.quant };
        let (unit, value_words) = (quant.unit(), quant.unit_value_words());
        let unit_words = ROWS * (value_words + quant.unit_scale_words());
        let zero = simd.splat_f32s(0.0);
        let offset = f32::from(quant.offset());
        let (x_rows, of_blocks) = (&self.x[row * self.width..], &self.of_blocks[row * self.width / BLOCK..]);
        for lane in (0..ROWS).step_by(S::F32_LANES) {
            let mut sums = [zero; N];
            for (at, words) in self.words.chunks_exact(unit_words).enumerate() {
                let x: [&[f32]; N] = std::array::from_fn(|r| &x_rows[r * self.width + at * unit..][..unit]);
                let minima: [&[f32]; N] = std::array::from_fn(|r| {
                    &of_blocks[(r * self.width + at * unit) / BLOCK..][..unit / BLOCK]
                });
                let (values, scale_words) = words.split_at(ROWS * value_words);
                // Sums that do not wait for each other.
                let apart = |j: usize| if N == 1 { j % 4 } else { j / 4 % 2 };
                if BITS == 4 {
                    for (group, values) in values.chunks_exact(4 * ROWS).enumerate() {
                        let mut parts = [[[zero; 4]; N]; 8];
                        for i in 0..4 {
                            let columns =
                                columns(simd, vector::<S>(&values[i * ROWS + lane..]), BITS, offset);
                            for j in 0..8 {
                                let column = 4 * i + j % 4 + 16 * (j / 4);
                                let part = &mut parts[if BLOCK == GROUP { 0 } else { column / BLOCK }];
                                for r in 0..N {
                                    let x = simd.splat_f32s(x[r][group * GROUP + column]);
                                    let sum = &mut part[r][apart(j)];
                                    *sum = simd.mul_add_e_f32s(columns[j], x, *sum);
                                }
                            }
                        }
                        for (b, part) in parts.iter().enumerate().take(GROUP / BLOCK) {
                            let block = group * GROUP / BLOCK + b;
                            add(simd, &quant, (scale_words, block, lane), &minima, part, &mut sums);
                        }
                    }
                } else {
                    for (block, values) in values.chunks_exact(BLOCK / 4 * ROWS).enumerate() {
                        let mut parts = [[zero; 4]; N];
                        for i in 0..BLOCK / 4 {
                            let columns =
                                columns(simd, vector::<S>(&values[i * ROWS + lane..]), BITS, offset);
                            for j in 0..4 {
                                for r in 0..N {
                                    let x = simd.splat_f32s(x[r][block * BLOCK + 4 * i + j]);
                                    let sum = &mut parts[r][apart(if N == 1 { j } else { 2 * j })];
                                    *sum = simd.mul_add_e_f32s(columns[j], x, *sum);
                                }
                            }
                        }
                        add(simd, &quant, (scale_words, block, lane), &minima, &parts, &mut sums);
                    }
                }
            }
            for (r, sum) in sums.into_iter().enumerate() {
                S::as_mut_simd_f32s(&mut self.out[row + r][lane..]).0[0] = sum;
            }
        }
    }
}

/// Adds what a block's integers gave, times its scale, and its minimum times the sum of x.
#[inline(always)]
fn add<S: Simd, const N: usize>(
    simd: S,
    quant: &Quant,
    (scale_words, block, lane): (&[u32], usize, usize),
    of_blocks: &[&[f32]; N],
    parts: &[[S::f32s; 4]; N],
    sums: &mut [S::f32s; N],
) {
    let (scale, minimum) = scales(simd, quant, scale_words, block, lane);
    for r in 0..N {
        let [a, b, c, d] = parts[r];
        let part = simd.add_f32s(simd.add_f32s(a, b), simd.add_f32s(c, d));
        sums[r] = simd.mul_add_e_f32s(scale, part, sums[r]);
        if quant.minimum {
            let x = simd.splat_f32s(of_blocks[r][block]);
            sums[r] = simd.mul_add_e_f32s(minimum, x, sums[r]);
        }
    }
}

/// The numbers of a panel: column after column, `stride` apart.
pub(super) struct Widen<'a> {
    pub quant: &'a Quant,
    pub words: &'a [u32],
    pub stride: usize,
    pub out: &'a mut [f32],
}

impl WithSimd for Widen<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { quant, words, stride, out } = self;
        let (unit, value_words) = (quant.unit(), quant.unit_value_words());
        let unit_words = ROWS * (value_words + quant.unit_scale_words());
        let block = quant.block();
        let per_word = if quant.bits == 4 { 8 } else { 4 };
        for (at, words) in words.chunks_exact(unit_words).enumerate() {
            let (values, scale_words) = words.split_at(ROWS * value_words);
            for lane in (0..ROWS).step_by(S::F32_LANES) {
                for i in 0..value_words {
                    let word = vector::<S>(&values[i * ROWS + lane..]);
                    let columns = columns(simd, word, quant.bits, f32::from(quant.offset()));
                    for (j, column) in columns.into_iter().take(per_word).enumerate() {
                        let of_unit = if quant.bits == 4 {
                            i / 4 * GROUP + 4 * (i % 4) + j % 4 + 16 * (j / 4)
                        } else {
                            4 * i + j
                        };
                        let (scale, minimum) = scales(simd, quant, scale_words, of_unit / block, lane);
                        let x = simd.mul_add_e_f32s(scale, column, minimum);
                        S::as_mut_simd_f32s(&mut out[(at * unit + of_unit) * stride + lane..]).0[0] = x;
                    }
                }
            }
        }
    }
}
