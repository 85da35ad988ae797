//! Matrix products.

use std::ops::Range;

use super::few_rows::{Few, Form};
use super::mat::{Mat, MatMut};
use super::{Real, SharedMut, parallel_for, threads, with_scratch};

/// `c = a b`, or `c += a b`: `[m, k] [k, n] -> [m, n]`, on this thread.
///
/// Any strides for `a` and `b`; one stride of `c` must be 1.
pub fn matmul<R: Real>(c: MatMut<'_, R>, a: Mat<'_, R>, b: Mat<'_, R>, accumulate: bool) {
    let product = Product::new(c, a, b, accumulate);
    // SAFETY: one block, the whole.
    unsafe { product.block(0..product.a.rows, 0..product.b.cols) };
}

/// [`matmul`] on all threads when it is large enough to pay. How it is cut depends on the number of threads,
/// and with it the last bits of the result.
pub fn matmul_parallel<R: Real>(c: MatMut<'_, R>, a: Mat<'_, R>, b: Mat<'_, R>, accumulate: bool) {
    let product = Product::new(c, a, b, accumulate);
    let (rows, cols) = (product.a.rows, product.b.cols);
    if rows == 0 || cols == 0 {
        return;
    }
    let upright = product.a.col_stride != 1 && product.a.row_stride == 1;
    let [height, width] = if upright { upright_blocks(rows, cols) } else { product.blocks() };
    let across = cols.div_ceil(width);
    parallel_for(across * rows.div_ceil(height), |task| {
        let (top, left) = (task / across * height, task % across * width);
        let (rows, cols) = (top..rows.min(top + height), left..cols.min(left + width));
        // SAFETY: blocks of different tasks do not overlap, and every task runs once.
        unsafe {
            if upright {
                product.upright(rows, cols);
            } else {
                product.block(rows, cols);
            }
        }
    });
}

/// Rows and columns of a task's block for an `a` that is not contiguous in depth (`dW = dyᵀ x`).
fn upright_blocks(rows: usize, cols: usize) -> [usize; 2] {
    let [height, width, _] = UPRIGHT;
    // All columns, as long as that leaves enough tasks: each copies its rows of `a`.
    let parts = most_tasks().div_ceil(rows.div_ceil(height));
    [height, cols.div_ceil(parts).next_multiple_of(width)]
}

/// Some more tasks than threads, for threads are not equally fast.
fn most_tasks() -> usize {
    if threads() == 1 { 1 } else { 4 * threads() }
}

/// Multiplications that are worth a task of their own: some microseconds.
const LEAST: usize = 1 << 18;
/// The same for few rows, which wait for memory.
const LEAST_FEW: usize = 1 << 15;
/// Rows, columns and depth that a task takes at a time if `a` is not contiguous in depth. Read where they
/// lie, its rows are at a distance, which the `gemm` crate answers with packing that costs a quarter of the
/// product (wide blocks) or, on some machines, with three times as long (narrow ones): they are copied first.
/// GFLOP/s of 2048 deep products on two cores of a Zen 4: 144-164 in blocks of 128 by 576 in place, 187-206
/// so.
const UPRIGHT: [usize; 3] = [48, 96, 512];
/// Tasks get multiples of what the inner loops of the `gemm` crate take at once.
const COLS_AT_ONCE: usize = 48;
/// As [`COLS_AT_ONCE`].
const ROWS_AT_ONCE: usize = 8;

/// A product to compute; the rows of `c` are contiguous.
struct Product<'a, R> {
    c: SharedMut<'a, R>,
    c_stride: usize,
    a: Mat<'a, R>,
    b: Mat<'a, R>,
    accumulate: bool,
    /// How it is done without packing `b`, where that is best.
    few: Option<Form>,
}

impl<'a, R: Real> Product<'a, R> {
    /// Checks all that the unsafe code beneath relies on.
    fn new(c: MatMut<'a, R>, a: Mat<'a, R>, b: Mat<'a, R>, accumulate: bool) -> Self {
        assert!(
            a.cols == b.rows && c.rows == a.rows && c.cols == b.cols,
            "matmul: [{}, {}] = [{}, {}] [{}, {}]",
            c.rows,
            c.cols,
            a.rows,
            a.cols,
            b.rows,
            b.cols
        );
        let (c_stride, a, b) = match (c.row_stride, c.col_stride) {
            (stride, 1) => (stride, a, b),
            (1, stride) => (stride, b.t(), a.t()),
            _ => panic!("matmul: one stride of the result must be 1"),
        };
        let (rows, cols) = (a.rows, b.cols);
        assert!(rows <= 1 || c_stride >= cols, "matmul: the rows of the result overlap");
        check("a", a.data.len(), rows, a.cols, a.row_stride, a.col_stride);
        check("b", b.data.len(), a.cols, cols, b.row_stride, b.col_stride);
        check("c", c.data.len(), rows, cols, c_stride, 1);
        let few = Form::of(a, b);
        Self { c: SharedMut::new(c.data), c_stride, a, b, accumulate, few }
    }

    /// Rows and columns of a task's block.
    fn blocks(&self) -> [usize; 2] {
        let (rows, cols) = (self.a.rows, self.b.cols);
        let least = if self.few.is_some() { LEAST_FEW } else { LEAST };
        let tasks = (rows * cols * self.a.cols / least).clamp(1, most_tasks());
        // Columns first: each task then packs its own part of `b`, none twice.
        let width = cols.div_ceil(tasks).next_multiple_of(COLS_AT_ONCE);
        [rows.div_ceil(tasks.div_ceil(cols.div_ceil(width))).next_multiple_of(ROWS_AT_ONCE), width]
    }

    /// Computes the part of `c` in these rows and columns.
    ///
    /// # Safety
    /// Blocks that are computed at the same time must not overlap.
    unsafe fn block(&self, rows: Range<usize>, cols: Range<usize>) {
        if let Some(form) = self.few {
            let Self { ref c, c_stride, a, b, accumulate, .. } = *self;
            // SAFETY: handed on to the caller.
            unsafe { form.compute(Few { c, c_stride, a, b, accumulate, rows, cols }) };
        } else {
            let depth = 0..self.a.cols;
            // SAFETY: handed on to the caller.
            unsafe { self.by_gemm(self.a.part(rows.clone(), depth.clone()), rows, cols, depth) };
        }
    }

    /// [`Product::block`] for an `a` whose columns are contiguous, by copies of its rows' parts.
    ///
    /// # Safety
    /// As for [`Product::block`].
    unsafe fn upright(&self, rows: Range<usize>, cols: Range<usize>) {
        let [_, width, most] = UPRIGHT;
        let (height, depth) = (rows.len(), self.a.cols);
        with_scratch(height * depth.min(most), |copy: &mut [R]| {
            // Once at least, for a sum of nothing is 0.
            for start in (0..depth.max(1)).step_by(most) {
                let depth = start..depth.min(start + most);
                for (column, copy) in depth.clone().zip(copy.chunks_exact_mut(height)) {
                    copy.copy_from_slice(&self.a.data[column * self.a.col_stride..][rows.clone()]);
                }
                let part = Mat::new(&*copy, depth.len(), height).t();
                for left in cols.clone().step_by(width) {
                    // SAFETY: handed on to the caller.
                    unsafe {
                        self.by_gemm(part, rows.clone(), left..cols.end.min(left + width), depth.clone());
                    };
                }
            }
        });
    }

    /// The part of `c` in these rows and columns, of the sums this part of the depth, added to what is there
    /// unless it is the first; `a` is the matrix of these rows and depths. By the `gemm` crate.
    ///
    /// # Safety
    /// As for [`Product::block`].
    unsafe fn by_gemm(&self, a: Mat<'_, R>, rows: Range<usize>, cols: Range<usize>, depth: Range<usize>) {
        if rows.is_empty() || cols.is_empty() {
            return;
        }
        let Self { b, c_stride, .. } = *self;
        check("a", a.data.len(), rows.len(), depth.len(), a.row_stride, a.col_stride);
        // `b` may be empty in depth, so its first element need not exist.
        let from_b = b.data.as_ptr().wrapping_add(cols.start * b.col_stride + depth.start * b.row_stride);
        let to = self.c.as_ptr().wrapping_add(rows.start * c_stride + cols.start);
        // SAFETY: `new` has checked that all elements of `b` and `c` are in their data, of which the block
        // takes a part, `check` that those of `a` are, and nobody else writes the block.
        unsafe {
            gemm::gemm(
                rows.len(),
                cols.len(),
                depth.len(),
                to,
                1,
                c_stride as isize,
                self.accumulate || depth.start > 0,
                a.data.as_ptr(),
                a.col_stride as isize,
                a.row_stride as isize,
                from_b,
                b.col_stride as isize,
                b.row_stride as isize,
                R::ONE,
                R::ONE,
                false,
                false,
                false,
                gemm::Parallelism::None,
            );
        }
    }
}

/// Panics if a matrix does not fit into its data.
fn check(name: &str, len: usize, rows: usize, cols: usize, row_stride: usize, col_stride: usize) {
    // Saturating, for an overflow must not pass as a small number.
    let last = |count: usize, stride: usize| (count - 1).saturating_mul(stride);
    let end = if rows == 0 || cols == 0 {
        0
    } else {
        last(rows, row_stride).saturating_add(last(cols, col_stride)).saturating_add(1)
    };
    assert!(
        end <= len,
        "matmul: {name} [{rows}, {cols}] with strides {row_stride}, {col_stride} needs {end} elements, has {len}"
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbers in [-1, 1) that no two tests share.
    fn numbers(len: usize, seed: u64) -> Vec<f64> {
        let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        let mut next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 40) as f64 / (1u64 << 23) as f64 - 1.0
        };
        (0..len).map(|_| next()).collect()
    }

    /// Lays out a matrix of numbers, padded rows, possibly transposed in memory.
    fn laid_out<R: Real>(
        numbers: &[f64],
        rows: usize,
        cols: usize,
        pad: usize,
        transposed: bool,
    ) -> (Vec<R>, usize) {
        let (outer, inner) = if transposed { (cols, rows) } else { (rows, cols) };
        let stride = inner + pad;
        let mut data = vec![R::of(1e6); (outer * stride).max(pad) - pad];
        for i in 0..rows {
            for j in 0..cols {
                let (o, n) = if transposed { (j, i) } else { (i, j) };
                data[o * stride + n] = R::of(numbers[i * cols + j]);
            }
        }
        (data, stride)
    }

    fn compare<R: Real>(
        [m, k, n]: [usize; 3],
        pad: usize,
        [a_t, b_t]: [bool; 2],
        accumulate: bool,
        parallel: bool,
        tolerance: f64,
    ) {
        let (a, b, c) = (numbers(m * k, 1), numbers(k * n, 2), numbers(m * n, 3));
        let (a_data, a_stride) = laid_out::<R>(&a, m, k, pad, a_t);
        let (b_data, b_stride) = laid_out::<R>(&b, k, n, pad, b_t);
        let (mut c_data, c_stride) = laid_out::<R>(&c, m, n, pad, false);
        let a_mat = if a_t {
            Mat::strided(&a_data, k, m, a_stride).t()
        } else {
            Mat::strided(&a_data, m, k, a_stride)
        };
        let b_mat = if b_t {
            Mat::strided(&b_data, n, k, b_stride).t()
        } else {
            Mat::strided(&b_data, k, n, b_stride)
        };
        let c_mat = MatMut::strided(&mut c_data, m, n, c_stride);
        if parallel {
            matmul_parallel(c_mat, a_mat, b_mat, accumulate);
        } else {
            matmul(c_mat, a_mat, b_mat, accumulate);
        }

        for i in 0..m {
            for j in 0..n {
                let start = if accumulate { c[i * n + j] } else { 0.0 };
                let want = (0..k).fold(start, |sum, l| sum + a[i * k + l] * b[l * n + j]);
                let got = c_data[i * c_stride + j].f64();
                assert!(
                    (got - want).abs() <= tolerance * (1.0 + k as f64).sqrt(),
                    "[{m},{k}][{k},{n}] at {i},{j}: {got} is not {want}"
                );
            }
            let behind = (i * c_stride + n)..((i + 1) * c_stride).min(c_data.len());
            assert!(c_data[behind].iter().all(|c| c.f64() == 1e6), "wrote between the rows");
        }
    }

    #[test]
    fn agrees_with_the_definition() {
        let sizes = [
            [1, 1, 1],
            [1, 192, 64],
            [1, 37, 11],
            [1, 64, 3],
            [2, 20, 5],
            [5, 33, 9],
            [8, 48, 17],
            [16, 16, 16],
            [17, 64, 31],
            [33, 7, 50],
            [64, 1, 64],
            [3, 0, 4],
            [0, 3, 4],
            [4, 3, 0],
        ];
        for size in sizes {
            for flags in 0..16 {
                let on = |bit: usize| flags >> bit & 1 == 1;
                for pad in [0, 3] {
                    compare::<f32>(size, pad, [on(0), on(1)], on(2), on(3), 1e-6);
                    compare::<f64>(size, pad, [on(0), on(1)], on(2), on(3), 1e-15);
                }
            }
        }
    }

    #[test]
    fn agrees_when_cut_into_tasks() {
        for size in [[200, 65, 130], [1, 200, 700], [9, 130, 301], [700, 300, 7]] {
            for flags in 0..8 {
                let on = |bit: usize| flags >> bit & 1 == 1;
                compare::<f32>(size, 5, [on(0), on(1)], on(2), true, 1e-6);
            }
        }
    }

    #[test]
    fn writes_a_transposed_result() {
        let (a, b) = (numbers(15, 1), numbers(20, 2));
        let (mut c, mut c_t) = (vec![0.0; 12], vec![0.0; 12]);
        matmul(MatMut::new(&mut c, 3, 4), Mat::new(&a, 3, 5), Mat::new(&b, 5, 4), false);
        let transposed = MatMut { data: &mut c_t, rows: 3, cols: 4, row_stride: 1, col_stride: 3 };
        matmul(transposed, Mat::new(&a, 3, 5), Mat::new(&b, 5, 4), false);
        assert!((0..12).all(|i| (c[i] - c_t[i % 4 * 3 + i / 4]).abs() < 1e-14));
    }

    #[test]
    #[should_panic(expected = "needs 12 elements")]
    fn refuses_a_matrix_larger_than_its_data() {
        matmul(
            MatMut::new(&mut [0.0f32; 9], 3, 3),
            Mat::new(&[0.0; 11], 3, 4),
            Mat::new(&[0.0; 12], 4, 3),
            false,
        );
    }

    #[test]
    #[should_panic(expected = "overlap")]
    fn refuses_overlapping_rows() {
        matmul(
            MatMut::strided(&mut [0.0f32; 9], 3, 3, 2),
            Mat::new(&[0.0; 9], 3, 3),
            Mat::new(&[0.0; 9], 3, 3),
            false,
        );
    }
}
