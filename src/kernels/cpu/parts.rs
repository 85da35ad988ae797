//! Parts of one slice for different threads, disjoint by construction: what [`parallel_each`] hands out.
//!
//! [`parallel_each`]: super::parallel_each

use std::ops::Range;

/// `data[range]` for ranges in ascending order; what lies between two of them belongs to nobody.
///
/// # Panics
/// Where a range begins before the end of the last one, or ends beyond the data.
pub fn ranges<R>(
    data: &mut [R],
    ranges: impl IntoIterator<Item = Range<usize>>,
) -> impl Iterator<Item = &mut [R]> {
    let (mut rest, mut at) = (data, 0);
    ranges.into_iter().map(move |range| {
        let skipped = range.start.checked_sub(at).expect("ranges ascend and do not overlap");
        let (part, after) = std::mem::take(&mut rest)[skipped..].split_at_mut(range.len());
        (rest, at) = (after, range.end);
        part
    })
}

/// The first `per_row` blocks of `block` elements of every row of `row` elements, in another order: block `b`
/// of row `i` is element `place(i, b)` of the result. The last block of a row may be shorter.
///
/// # Panics
/// Where two blocks have one place, or a place lies beyond the number of blocks.
pub fn blocks<R>(
    data: &mut [R],
    row: usize,
    [per_row, block]: [usize; 2],
    place: impl Fn(usize, usize) -> usize,
) -> Vec<&mut [R]> {
    let mut all: Vec<&mut [R]> = Vec::new();
    all.resize_with(data.len().div_ceil(row) * per_row, Default::default);
    for (i, row) in data.chunks_mut(row).enumerate() {
        for (b, block) in row.chunks_mut(block).take(per_row).enumerate() {
            let place = &mut all[place(i, b)];
            assert!(place.is_empty(), "two blocks have one place");
            *place = block;
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::cpu::parallel_each;

    #[test]
    fn ranges_leave_out_what_is_between_them() {
        let mut data: Vec<usize> = (0..10).collect();
        let parts: Vec<Vec<usize>> =
            ranges(&mut data, [1..3, 3..3, 5..9]).map(|part| part.to_vec()).collect();
        assert_eq!(parts, [vec![1, 2], vec![], vec![5, 6, 7, 8]]);
    }

    #[test]
    #[should_panic(expected = "do not overlap")]
    fn ranges_do_not_overlap() {
        let mut data = [0; 10];
        ranges(&mut data, [2..5, 4..6]).for_each(drop);
    }

    #[test]
    fn columns_become_tasks() {
        // Three rows of two blocks and a rest; the blocks of a column are one task.
        let mut data = vec![0; 3 * 5];
        let mut columns = blocks(&mut data, 5, [2, 2], |row, block| block * 3 + row);
        parallel_each(columns.chunks_mut(3), |task, column| {
            column.iter_mut().enumerate().for_each(|(row, block)| block.fill(10 * task + row + 1));
        });
        assert_eq!(data, [1, 1, 11, 11, 0, 2, 2, 12, 12, 0, 3, 3, 13, 13, 0]);
    }

    #[test]
    #[should_panic(expected = "two blocks have one place")]
    fn blocks_have_places_of_their_own() {
        blocks(&mut [0; 4], 2, [2, 1], |row, _| row);
    }
}
