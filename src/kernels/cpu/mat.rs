//! Matrices as views of numbers.

use std::ops::Range;

/// A matrix to read: element (i, j) is `data[i · row_stride + j · col_stride]`.
#[derive(Clone, Copy, Debug)]
pub struct Mat<'a, R> {
    /// The elements.
    pub data: &'a [R],
    /// Rows.
    pub rows: usize,
    /// Columns.
    pub cols: usize,
    /// Distance between rows.
    pub row_stride: usize,
    /// Distance between columns.
    pub col_stride: usize,
}

impl<'a, R> Mat<'a, R> {
    /// Dense, row after row.
    pub fn new(data: &'a [R], rows: usize, cols: usize) -> Self {
        Self::strided(data, rows, cols, cols)
    }

    /// Rows of contiguous elements, `row_stride` apart.
    pub fn strided(data: &'a [R], rows: usize, cols: usize, row_stride: usize) -> Self {
        Self { data, rows, cols, row_stride, col_stride: 1 }
    }

    /// The transpose, as a view.
    #[must_use]
    pub fn t(self) -> Self {
        Self {
            data: self.data,
            rows: self.cols,
            cols: self.rows,
            row_stride: self.col_stride,
            col_stride: self.row_stride,
        }
    }

    /// Some rows and columns, as a view.
    pub(super) fn part(self, rows: Range<usize>, cols: Range<usize>) -> Self {
        let start = rows.start * self.row_stride + cols.start * self.col_stride;
        // A matrix without elements has no first one.
        Self { data: &self.data[start.min(self.data.len())..], rows: rows.len(), cols: cols.len(), ..self }
    }
}

/// A matrix to write: element (i, j) is `data[i · row_stride + j · col_stride]`.
#[derive(Debug)]
pub struct MatMut<'a, R> {
    /// The elements.
    pub data: &'a mut [R],
    /// Rows.
    pub rows: usize,
    /// Columns.
    pub cols: usize,
    /// Distance between rows.
    pub row_stride: usize,
    /// Distance between columns.
    pub col_stride: usize,
}

impl<'a, R> MatMut<'a, R> {
    /// Dense, row after row.
    pub fn new(data: &'a mut [R], rows: usize, cols: usize) -> Self {
        Self::strided(data, rows, cols, cols)
    }

    /// Rows of contiguous elements, `row_stride` apart.
    pub fn strided(data: &'a mut [R], rows: usize, cols: usize, row_stride: usize) -> Self {
        Self { data, rows, cols, row_stride, col_stride: 1 }
    }
}
