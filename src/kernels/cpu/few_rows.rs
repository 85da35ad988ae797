//! Products of few rows: what decoding does. Each reads `b` once and where it lies; packing it, as large
//! products do, would cost more than the product.

use std::ops::Range;

use pulp::{Simd, WithSimd};

use super::mat::Mat;
use super::{Real, SharedMut};

/// How a product of few rows is computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// Dot products of rows of `a` and columns of `b`, both contiguous: `y = x Wᵀ`.
    Dots,
    /// Rows of `b`, contiguous, are added up: `o = p V`.
    Sums,
}

/// With at most this many rows, dot products beat packing `b`.
const BY_DOTS: usize = 16;
/// The same for sums.
const BY_SUMS: usize = 8;

impl Form {
    /// The form for a product that has few rows.
    pub fn of<R>(a: Mat<'_, R>, b: Mat<'_, R>) -> Option<Self> {
        let dots = a.rows <= BY_DOTS && a.cols > 0 && a.col_stride == 1 && b.row_stride == 1;
        let sums = a.rows <= BY_SUMS && a.cols > 0 && b.col_stride == 1;
        dots.then_some(Self::Dots).or(sums.then_some(Self::Sums))
    }

    /// Computes a block.
    ///
    /// # Safety
    /// Blocks that are computed at the same time must not overlap.
    pub unsafe fn compute<R: Real>(self, few: Few<'_, R>) {
        match self {
            Self::Dots => pulp::Arch::new().dispatch(Dots(few)),
            Self::Sums => pulp::Arch::new().dispatch(Sums(few)),
        }
    }
}

/// A block of `c = a b`, or of `c += a b`, whose operands are known to fit.
pub(super) struct Few<'a, R> {
    /// The result; its rows are contiguous.
    pub c: &'a SharedMut<'a, R>,
    /// Distance of its rows.
    pub c_stride: usize,
    pub a: Mat<'a, R>,
    pub b: Mat<'a, R>,
    pub accumulate: bool,
    /// The block.
    pub rows: Range<usize>,
    pub cols: Range<usize>,
}

impl<R: Real> Few<'_, R> {
    /// `c[i, j .. j + len]`.
    ///
    /// # Safety
    /// As for [`SharedMut::slice`].
    #[allow(clippy::mut_from_ref, reason = "the caller promises that parts are apart")]
    #[inline(always)]
    unsafe fn row(&self, i: usize, j: usize, len: usize) -> &mut [R] {
        // SAFETY: handed on to the caller.
        unsafe { self.c.slice(i * self.c_stride + j, len) }
    }
}

struct Dots<'a, R>(Few<'a, R>);

impl<R: Real> WithSimd for Dots<'_, R> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Few { rows, cols, .. } = &self.0;
        let mut j = cols.start;
        if rows.len() == 1 {
            while j + 8 <= cols.end {
                self.dots::<S, 1, 8>(simd, rows.start, j);
                j += 8;
            }
        }
        while j + 4 <= cols.end {
            self.all_rows::<S, 4>(simd, j);
            j += 4;
        }
        while j < cols.end {
            self.all_rows::<S, 1>(simd, j);
            j += 1;
        }
    }
}

impl<R: Real> Dots<'_, R> {
    #[inline(always)]
    fn all_rows<S: Simd, const COLS: usize>(&self, simd: S, j: usize) {
        let rows = &self.0.rows;
        let mut i = rows.start;
        while i + 4 <= rows.end {
            self.dots::<S, 4, COLS>(simd, i, j);
            i += 4;
        }
        while i < rows.end {
            self.dots::<S, 1, COLS>(simd, i, j);
            i += 1;
        }
    }

    /// The dot products of `ROWS` rows and `COLS` columns.
    #[inline(always)]
    fn dots<S: Simd, const ROWS: usize, const COLS: usize>(&self, simd: S, i: usize, j: usize) {
        let Few { a, b, accumulate, .. } = self.0;
        let depth = a.cols;
        let rows: [_; ROWS] =
            std::array::from_fn(|r| R::split::<S>(&a.data[(i + r) * a.row_stride..][..depth]));
        let cols: [_; COLS] =
            std::array::from_fn(|c| R::split::<S>(&b.data[(j + c) * b.col_stride..][..depth]));
        let vectors = depth / R::lanes::<S>();
        let mut sums = [[R::splat(simd, R::ZERO); COLS]; ROWS];
        for l in 0..vectors {
            let x: [_; ROWS] = std::array::from_fn(|r| rows[r].0[l]);
            for c in 0..COLS {
                let w = cols[c].0[l];
                for r in 0..ROWS {
                    sums[r][c] = R::fma(simd, x[r], w, sums[r][c]);
                }
            }
        }
        for r in 0..ROWS {
            // SAFETY: one row at a time of our own block.
            let out = unsafe { self.0.row(i + r, j, COLS) };
            for c in 0..COLS {
                let rest: R = rows[r].1.iter().zip(cols[c].1).map(|(&x, &w)| x * w).sum();
                let sum = R::vsum(simd, sums[r][c]) + rest;
                out[c] = if accumulate { out[c] + sum } else { sum };
            }
        }
    }
}

struct Sums<'a, R>(Few<'a, R>);

impl<R: Real> WithSimd for Sums<'_, R> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let (cols, lanes) = (&self.0.cols, R::lanes::<S>());
        let mut j = cols.start;
        while j + 4 * lanes <= cols.end {
            self.all_rows::<S, 4>(simd, j);
            j += 4 * lanes;
        }
        while j + lanes <= cols.end {
            self.all_rows::<S, 1>(simd, j);
            j += lanes;
        }
        self.rest(j);
    }
}

impl<R: Real> Sums<'_, R> {
    #[inline(always)]
    fn all_rows<S: Simd, const VECTORS: usize>(&self, simd: S, j: usize) {
        let rows = &self.0.rows;
        let mut i = rows.start;
        while i + 4 <= rows.end {
            self.sums::<S, 4, VECTORS>(simd, i, j);
            i += 4;
        }
        match rows.end - i {
            3 => self.sums::<S, 3, VECTORS>(simd, i, j),
            2 => self.sums::<S, 2, VECTORS>(simd, i, j),
            1 => self.sums::<S, 1, VECTORS>(simd, i, j),
            _ => {}
        }
    }

    /// `VECTORS` vectors of `ROWS` rows, kept in registers over the whole depth.
    #[inline(always)]
    fn sums<S: Simd, const ROWS: usize, const VECTORS: usize>(&self, simd: S, i: usize, j: usize) {
        let Few { a, b, accumulate, .. } = self.0;
        let columns = VECTORS * R::lanes::<S>();
        let mut sums = [[R::splat(simd, R::ZERO); VECTORS]; ROWS];
        for l in 0..a.cols {
            let (row, _) = R::split::<S>(&b.data[l * b.row_stride + j..][..columns]);
            let row: [_; VECTORS] = std::array::from_fn(|c| row[c]);
            for (r, sums) in sums.iter_mut().enumerate() {
                let x = R::splat(simd, a.data[(i + r) * a.row_stride + l * a.col_stride]);
                for (sum, w) in sums.iter_mut().zip(row) {
                    *sum = R::fma(simd, x, w, *sum);
                }
            }
        }
        for (r, sums) in sums.into_iter().enumerate() {
            // SAFETY: one row at a time of our own block.
            let out = unsafe { self.0.row(i + r, j, columns) };
            let (out, _) = R::split_mut::<S>(out);
            for (out, sum) in out.iter_mut().zip(sums) {
                *out = if accumulate { R::vadd(simd, *out, sum) } else { sum };
            }
        }
    }

    /// The columns that fill no vector.
    #[inline(always)]
    fn rest(&self, j: usize) {
        let Few { a, b, accumulate, .. } = self.0;
        let n = self.0.cols.end - j;
        for i in self.0.rows.clone() {
            // SAFETY: one row at a time of our own block.
            let out = unsafe { self.0.row(i, j, n) };
            if !accumulate {
                out.fill(R::ZERO);
            }
            for l in 0..a.cols {
                let x = a.data[i * a.row_stride + l * a.col_stride];
                let row = &b.data[l * b.row_stride + j..][..n];
                out.iter_mut().zip(row).for_each(|(out, w)| *out += x * *w);
            }
        }
    }
}
