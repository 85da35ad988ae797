//! Products with matrices in few bits ([`Quant`]).
//!
//! On the CPU sixteen rows stand side by side in a panel: word by word of a row, all sixteen. So a vector holds
//! the same column of as many rows, and needs no sum across its lanes, no shuffle and no table. For few rows of x
//! the matrix is read once, as it lies; for many its panels are widened in the cache and meet the usual product.
//!
//! | file | holds |
//! |---|---|
//! | `widened` | integers that become floats, on any CPU |
//! | `layout` | how a panel is cut |
//! | `limbs` | one row of x in integers of three bytes, by integer products, on x86-64 with AVX2 |

mod layout;
#[cfg(target_arch = "x86_64")]
mod limbs;
mod widened;

use std::any::TypeId;

use pulp::Arch;

use layout::{FEW, ROWS};
#[cfg(target_arch = "x86_64")]
use limbs::Limbs;
use widened::{Few, Widen};

use super::{Mat, MatMut, Real, blocks, matmul, parallel_each, threads, with_scratch};
use crate::tensor::Quant;

/// Multiplications that are worth a task of their own.
const LEAST: usize = 1 << 17;
/// Widened numbers of a task, at most.
const MOST_WIDE: usize = 1 << 18;

/// A matrix in few bits, in panels of sixteen rows.
#[derive(Clone, Debug)]
pub struct Panels {
    quant: Quant,
    rows: usize,
    words: Vec<u32>,
}

impl Panels {
    /// Rows of zeros, in as many zeros as [`Panels::room`] says.
    pub fn zeros(quant: Quant, rows: usize, words: Vec<u32>) -> Self {
        let panels = Self { quant, rows, words };
        assert!(panels.words.len() == panels.rows.div_ceil(ROWS) * panels.panel_words(), "room for its rows");
        panels
    }

    /// Words of so many rows.
    pub fn room(quant: Quant, rows: usize) -> usize {
        rows.div_ceil(ROWS) * Self { quant, rows, words: Vec::new() }.panel_words()
    }

    /// From rows as devices have them.
    #[cfg(test)]
    fn new(quant: Quant, words: &[u32]) -> Self {
        let rows = words.len() / quant.row_words();
        let mut panels = Self::zeros(quant, rows, vec![0; Self::room(quant, rows)]);
        panels.put(0, words);
        panels
    }

    /// Puts rows, as devices have them, in the place of zeros, from row `first` on.
    pub fn put(&mut self, first: usize, words: &[u32]) {
        let quant = self.quant;
        let (unit, of_panel) = (self.unit_words(), self.panel_words());
        for (row, words) in (first..).zip(words.chunks_exact(quant.row_words().max(1))) {
            let (panel, lane) = (&mut self.words[row / ROWS * of_panel..][..of_panel], row % ROWS);
            let (values, scales) = words.split_at(quant.value_words());
            let (value_words, scale_words) = (quant.unit_value_words(), quant.unit_scale_words());
            for (at, unit) in panel.chunks_exact_mut(unit).enumerate() {
                let mut lanes = unit[lane..].iter_mut().step_by(ROWS);
                let zeros = std::iter::repeat(&0);
                let values = values.iter().skip(at * value_words).chain(zeros.clone()).take(value_words);
                for value in values {
                    // Signed bytes are kept as distances from -128.
                    let value = if quant.bits == 8 { value ^ 0x8080_8080 } else { *value };
                    if let Some(word) = lanes.next() {
                        *word = value;
                    }
                }
                let scales = scales.iter().skip(at * scale_words).chain(zeros).take(scale_words);
                lanes.zip(scales).for_each(|(word, scale)| *word = *scale);
            }
        }
    }

    /// How its rows are kept.
    pub fn quant(&self) -> &Quant {
        &self.quant
    }

    /// Rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Numbers.
    pub fn len(&self) -> usize {
        self.rows * self.quant.columns()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// Bytes in memory.
    pub fn bytes(&self) -> usize {
        4 * self.words.len()
    }

    /// Words of a unit of all rows of a panel.
    fn unit_words(&self) -> usize {
        ROWS * (self.quant.unit_value_words() + self.quant.unit_scale_words())
    }

    fn panel_words(&self) -> usize {
        self.units() * self.unit_words()
    }

    /// Units of a row.
    fn units(&self) -> usize {
        self.quant.columns().div_ceil(self.quant.unit())
    }

    fn panel(&self, i: usize) -> &[u32] {
        let words = self.panel_words();
        &self.words[i * words..][..words]
    }

    /// The numbers of a row.
    pub fn row<R: Real>(&self, row: usize, out: &mut [R]) {
        let quant = &self.quant;
        let unit_words = self.unit_words() / ROWS;
        let mut one = vec![0; unit_words];
        let mut wide = vec![0.0; quant.unit()];
        let of_unit = quant.of_unit();
        let units = self.panel(row / ROWS).chunks_exact(unit_words * ROWS);
        for (unit, out) in units.zip(out.chunks_mut(quant.unit())) {
            one.iter_mut().zip(unit[row % ROWS..].iter().step_by(ROWS)).for_each(|(to, from)| *to = *from);
            if quant.bits == 8 {
                one[..quant.unit_value_words()].iter_mut().for_each(|word| *word ^= 0x8080_8080);
            }
            of_unit.widen(&one, &mut wide);
            out.iter_mut().zip(&wide).for_each(|(x, wide)| *x = R::from_f32(*wide));
        }
    }

    /// `y (+)= x Wᵀ`.
    pub fn multiply<R: Real>(&self, y: MatMut<'_, R>, x: Mat<'_, R>, accumulate: bool) {
        assert!(TypeId::of::<R>() == TypeId::of::<f32>(), "matrices in few bits are multiplied in f32");
        assert!(
            y.cols == self.rows && x.cols == self.quant.columns() && y.rows == x.rows && y.col_stride == 1,
            "panels: [{}, {}] = [{}, {}] of {} rows",
            y.rows,
            y.cols,
            x.rows,
            x.cols,
            self.rows
        );
        if x.rows == 0 || self.rows == 0 {
            return;
        }
        if x.rows <= FEW && x.col_stride == 1 {
            self.multiply_few(y, x, accumulate);
        } else {
            self.multiply_many(y, x, accumulate);
        }
    }

    fn multiply_few<R: Real>(&self, y: MatMut<'_, R>, x: Mat<'_, R>, accumulate: bool) {
        let (quant, rows) = (&self.quant, x.rows);
        let width = self.units() * quant.unit();
        let blocks = width / quant.block();
        with_scratch(rows * (width + blocks), |scratch: &mut [f32]| {
            let (padded, of_blocks) = scratch.split_at_mut(rows * width);
            for (row, to) in padded.chunks_exact_mut(width).enumerate() {
                let from: &[f32] = bytemuck::cast_slice(&x.data[row * x.row_stride..][..x.cols]);
                to[..x.cols].copy_from_slice(from);
                to[x.cols..].fill(0.0);
            }
            sums_of_blocks(padded, quant.block(), of_blocks);
            let (x, of_blocks) = (&*padded, &*of_blocks);
            #[cfg(target_arch = "x86_64")]
            if let (1, Some(simd)) = (rows, pulp::x86::V3::try_new()) {
                return with_scratch(Limbs::room(quant, width), |room| {
                    let x = &Limbs::new(simd, quant, x, room);
                    self.each_panel(y, rows, accumulate, |words, [out, ..]| {
                        simd.vectorize(limbs::One { simd, quant, words, x, of_blocks, out });
                    });
                });
            }
            self.each_panel(y, rows, accumulate, |words, out| {
                Arch::new().dispatch(Few { quant, words, x, of_blocks, width, rows, out });
            });
        });
    }

    /// Sets columns of y, or adds to them, to what `product` makes of their panels.
    fn each_panel<R: Real>(
        &self,
        y: MatMut<'_, R>,
        rows: usize,
        accumulate: bool,
        product: impl Fn(&[u32], &mut [[f32; ROWS]; FEW]) + Sync,
    ) {
        let panels = self.rows.div_ceil(ROWS);
        let tasks = (self.len() / LEAST).clamp(1, 4 * threads()).min(panels);
        let at_once = panels.div_ceil(tasks);
        let mut out = blocks(
            y.data,
            y.row_stride,
            [self.rows.div_ceil(at_once * ROWS), at_once * ROWS],
            |row, part| part * rows + row,
        );
        parallel_each(out.chunks_mut(rows), |part, out| {
            let first = part * at_once;
            let mut sums = [[0f32; ROWS]; FEW];
            for panel in first..panels.min(first + at_once) {
                product(self.panel(panel), &mut sums);
                let at = (panel - first) * ROWS;
                for (out, sums) in out.iter_mut().zip(&sums) {
                    let end = (at + ROWS).min(self.rows - first * ROWS);
                    for (y, sum) in out[at..end].iter_mut().zip(sums) {
                        let sum = R::from_f32(*sum);
                        *y = if accumulate { *y + sum } else { sum };
                    }
                }
            }
        });
    }

    fn multiply_many<R: Real>(&self, y: MatMut<'_, R>, x: Mat<'_, R>, accumulate: bool) {
        let (rows, depth) = (x.rows, x.cols);
        let width = self.units() * self.quant.unit();
        let tasks = (rows * self.len() / LEAST).clamp(1, 4 * threads());
        let most = (MOST_WIDE / width).max(ROWS);
        // The inner loops of the product take 48 columns at a time.
        let columns = self.rows.div_ceil(tasks).min(most).next_multiple_of(3 * ROWS);
        let parts = self.rows.div_ceil(columns);
        let mut out = blocks(y.data, y.row_stride, [parts, columns], |row, part| part * rows + row);
        parallel_each(out.chunks_mut(rows), |part, out| {
            let n = columns.min(self.rows - part * columns);
            with_scratch(width * columns + rows * n, |scratch: &mut [R]| {
                let (wide, sums) = scratch.split_at_mut(width * columns);
                for panel in 0..n.div_ceil(ROWS) {
                    let words = self.panel(part * columns / ROWS + panel);
                    let wide: &mut [f32] = bytemuck::cast_slice_mut(&mut wide[panel * ROWS..]);
                    Arch::new().dispatch(Widen { quant: &self.quant, words, stride: columns, out: wide });
                }
                let w = Mat { data: &*wide, rows: depth, cols: n, row_stride: columns, col_stride: 1 };
                matmul(MatMut::new(sums, rows, n), x, w, false);
                for (y, sums) in out.iter_mut().zip(sums.chunks_exact(n)) {
                    y.iter_mut().zip(sums).for_each(|(y, s)| *y = if accumulate { *y + *s } else { *s });
                }
            });
        });
    }

    /// The numbers of all rows, row after row.
    pub fn widen<R: Real>(&self, out: &mut [R]) {
        let columns = self.quant.columns();
        super::parallel_chunks(out, columns.max(1), |row, out| self.row(row, out));
    }
}

/// Sums of blocks of x, eight columns of a block side by side.
fn sums_of_blocks(x: &[f32], block: usize, sums: &mut [f32]) {
    for (sum, x) in sums.iter_mut().zip(x.chunks_exact(block)) {
        let mut lanes = [0f32; 8];
        for x in x.chunks(8) {
            lanes.iter_mut().zip(x).for_each(|(lane, x)| *lane += x);
        }
        *sum = lanes.iter().sum();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(n: usize, seed: u32) -> Vec<f32> {
        let mut state = seed.wrapping_mul(2_654_435_761) | 1;
        let mut next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as f32 / (1 << 23) as f32 - 1.0
        };
        (0..n).map(|_| next()).collect()
    }

    /// Rows of random integers and scales, as devices have them, and their numbers.
    fn matrix(quant: &Quant, rows: usize) -> (Vec<u32>, Vec<f32>) {
        let columns = quant.columns();
        let mut words = vec![0; rows * quant.row_words()];
        let mut wide = vec![0.0; rows * columns];
        for (r, row) in words.chunks_exact_mut(quant.row_words()).enumerate() {
            let span = if quant.bits == 4 { 8.0 } else { 128.0 };
            let from = if quant.bits == 4 && quant.minimum { 8 } else { 0 };
            let q: Vec<i8> = numbers(columns, r as u32 + 1)
                .iter()
                .map(|x| ((x * span).floor() as i8).wrapping_add(from))
                .collect();
            quant.put_values(row, 0, &q);
            for (b, scale) in numbers(quant.blocks(), r as u32 + 77).into_iter().enumerate() {
                // Of few digits, so that products with integers are exact.
                let scale = half::f16::from_f32(scale).to_f32();
                let minimum = if quant.minimum { scale * 3.0 - 0.5 } else { -0.0 };
                quant.put_scale(row, b, scale / span, minimum);
            }
            quant.widen(row, &mut wide[r * columns..][..columns]);
        }
        (words, wide)
    }

    fn all() -> Vec<Quant> {
        let mut list = Vec::new();
        for bits in [4, 8] {
            for (block, columns) in [(32, 64), (32, 96), (16, 80), (8, 40), (4, 36)] {
                for (wide, minimum) in [(false, false), (false, true), (true, false), (true, true)] {
                    list.push(Quant { bits, block, wide, minimum, columns });
                }
            }
        }
        list
    }

    #[test]
    fn rows_are_those_that_were_put_in() {
        for quant in all() {
            let (words, want) = matrix(&quant, 37);
            let panels = Panels::new(quant, &words);
            let mut got = vec![0f32; want.len()];
            panels.widen(&mut got);
            assert!(got.iter().zip(&want).all(|(a, b)| a.to_bits() == b.to_bits()), "{quant:?}");
        }
    }

    #[test]
    fn products_are_those_of_the_widened_matrix() {
        for quant in all() {
            let rows = 37;
            let (words, wide) = matrix(&quant, rows);
            let panels = Panels::new(quant, &words);
            let columns = quant.columns();
            for n in [1, 2, 3, 7, 16, 17, 33] {
                let x = numbers(n * columns, 9);
                for accumulate in [false, true] {
                    let stride = rows + 3;
                    let start = numbers(n * stride, 5);
                    let mut y = start.clone();
                    let out = MatMut::strided(&mut y, n, rows, stride);
                    panels.multiply(out, Mat::new(&x, n, columns), accumulate);
                    for i in 0..n {
                        for j in 0..rows {
                            let sum: f64 = (0..columns)
                                .map(|k| f64::from(x[i * columns + k]) * f64::from(wide[j * columns + k]))
                                .sum();
                            let want = sum + if accumulate { f64::from(start[i * stride + j]) } else { 0.0 };
                            let got = f64::from(y[i * stride + j]);
                            assert!(
                                (got - want).abs() < 2e-5 * columns as f64,
                                "{quant:?} {n} {i} {j}: {got} {want}"
                            );
                        }
                        assert_eq!(
                            y[i * stride + rows..(i + 1) * stride],
                            start[i * stride + rows..(i + 1) * stride]
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn widened_panels_are_exact() {
        for quant in all() {
            let (words, want) = matrix(&quant, 16);
            let panels = Panels::new(quant, &words);
            let width = panels.units() * quant.unit();
            let mut out = vec![0f32; width * 16];
            Arch::new().dispatch(Widen { quant: &quant, words: panels.panel(0), stride: 16, out: &mut out });
            for row in 0..16 {
                for column in 0..quant.columns() {
                    let (got, want) = (out[column * 16 + row], want[row * quant.columns() + column]);
                    assert!(got.to_bits() == want.to_bits(), "{quant:?} {row} {column}: {got} {want}");
                }
            }
        }
    }
}
