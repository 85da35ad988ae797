//! How attention and the scan are cut: tiles of `shaders/shared/matrix_tile.wgsl` that have whole rows of the
//! result where they can, since what a row's columns are multiplied with is computed on the way.

use crate::kernels::DeviceTraits;
use crate::kernels::shader::shared::MatrixTile;

/// What a kernel would like to have.
#[derive(Clone, Copy, Debug)]
pub(in crate::kernels) struct Wish {
    /// Rows of a workgroup, at most.
    tile: usize,
    /// Rows of an invocation, at most.
    rows: usize,
    /// Rows of a workgroup that are not halved to give a device more of them.
    enough: usize,
}

// By the gauge (registers, spills, multiply-adds in the inner loop); not measured on a real GPU yet.

/// Outputs of attention.
pub(in crate::kernels) const OUTPUTS: Wish = Wish { tile: 64, rows: 8, enough: 32 };
/// States of many blocks.
pub(in crate::kernels) const STATES: Wish = Wish { tile: 64, rows: 8, enough: 32 };
/// The state of one block, while decoding waits: few features a workgroup.
pub(in crate::kernels) const FOLD: Wish = Wish { tile: 16, rows: 8, enough: 16 };

/// Gradients of features, whose vectors lie in workgroup memory: with fewer rows an invocation computes too
/// little for what it stages.
pub(in crate::kernels) const GRADIENTS: Wish = Wish { tile: 64, rows: 8, enough: 64 };
/// The same where a device would have processors without a workgroup.
pub(in crate::kernels) const FEW_GRADIENTS: Wish = Wish { tile: 32, rows: 4, enough: 32 };

/// Learned sketches: of eight rows Apple's compiler spills, and AMD's processors stay half empty.
pub(in crate::kernels) const SKETCH: Wish = Wish { tile: 64, rows: 4, enough: 16 };

/// Affine sketches, which have few columns: larger tiles leave few workgroups room in a processor's memory.
pub(in crate::kernels) const AFFINE: Wish = Wish { tile: 32, rows: 4, enough: 16 };

/// So many workgroups keep a device busy.
const ENOUGH: usize = 256;
/// Most columns of a workgroup: wider heads are cut into parts.
const COLUMNS: usize = 256;
/// Workgroup memory that is taken, bytes: more of it leaves a processor fewer workgroups.
const MEMORY: usize = 32 << 10;

impl Wish {
    /// The largest cut for results of `head` columns that a device can run. `workgroups` says how many there
    /// are of so many rows, `bytes` what a workgroup of a cut takes.
    pub(in crate::kernels) fn row_tile(
        &self,
        device: &DeviceTraits,
        head: usize,
        workgroups: impl Fn(usize) -> usize,
        bytes: impl Fn(MatrixTile) -> usize,
    ) -> MatrixTile {
        let memory = MEMORY.min(device.workgroup_memory);
        let mut tile = self.tile;
        // Half of the rows may be empty.
        let empty = |tile| workgroups(tile / 2) <= workgroups(tile);
        while tile > 8 && (empty(tile) || tile > self.enough && workgroups(tile) < ENOUGH) {
            tile /= 2;
        }
        // Smaller ones take less memory; in larger ones more invocations stage the columns of a wide head.
        let smaller = std::iter::successors(Some(tile), |tile| (*tile > 4).then_some(tile / 2));
        let larger = std::iter::successors(Some(2 * tile), |tile| (*tile < 64).then_some(2 * tile));
        let cuts = smaller.chain(larger);
        let owned = [8, 4].into_iter().filter(|rows| *rows <= self.rows);
        let mut all = cuts.flat_map(|tile| owned.clone().filter_map(move |rows| cut(head, tile, rows)));
        let deepest = |tile: MatrixTile| {
            let deep = [16, 8, 4].into_iter().map(|depth| staging(tile, depth));
            deep.into_iter().find(|tile| {
                let invocations = tile.group_x * tile.group_y;
                let blocks = (tile.group_y * tile.rows + tile.group_x * tile.columns) / 4 * (tile.depth / 4);
                invocations <= device.max_invocations
                    && blocks <= invocations
                    && (4 * tile.group_x).is_multiple_of(tile.depth)
                    && bytes(*tile) <= memory
            })
        };
        // What every device has is enough for the smallest.
        all.find_map(deepest).expect("a cut for every head")
    }
}

/// A cut into workgroups of `tile` rows, of which an invocation owns some; none where they do not go together.
fn cut(head: usize, tile: usize, rows: usize) -> Option<MatrixTile> {
    let vectors = head.min(COLUMNS).div_ceil(4);
    // A row of invocations stands side by side in two halves of a subgroup.
    let owned = vectors.div_ceil(32).next_power_of_two();
    let group_x = vectors.div_ceil(owned).next_multiple_of(4);
    // Fewer invocations than two subgroups have too little to stage with.
    let fits = tile.is_multiple_of(rows) && tile >= rows && (rows == 4 || group_x * (tile / rows) >= 64);
    let [group_y, columns, depth] = [tile / rows, 4 * owned, 4];
    let tile = MatrixTile { group_x, group_y, rows, columns, depth, left_size: 0, right_size: 0 };
    fits.then(|| staging(tile, depth))
}

/// The cut with so many inner indices a step.
fn staging(tile: MatrixTile, depth: usize) -> MatrixTile {
    let [vectors, wide] = [tile.group_y * tile.rows / 4, tile.group_x * tile.columns / 4];
    // Maxima and totals of rows go through the left operand's place, a vector of each invocation's.
    let left_size = (2 * depth * vectors).max(vectors * tile.group_x);
    MatrixTile { depth, left_size, right_size: 2 * depth * wide, ..tile }
}

/// Rows of a workgroup.
pub(in crate::kernels) fn rows(tile: &MatrixTile) -> usize {
    tile.group_y * tile.rows
}

/// Workgroups side by side that have the columns of a head.
pub(in crate::kernels) fn parts(tile: &MatrixTile, head: usize) -> usize {
    head.div_ceil(tile.group_x * tile.columns)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(tile: MatrixTile) -> usize {
        16 * (tile.left_size + tile.right_size) + 8 * rows(&tile)
    }

    #[test]
    fn many_rows_get_the_largest_cut() {
        let device = DeviceTraits { workgroup_memory: 48 << 10, ..DeviceTraits::floor() };
        let of = |tokens: usize| OUTPUTS.row_tile(&device, 64, |rows| 4 * tokens.div_ceil(rows), bytes);
        assert_eq!([32 << 10, 1 << 10, 16].map(|tokens| rows(&of(tokens))), [64, 32, 16]);
        let tile = of(32 << 10);
        assert_eq!([tile.group_x, tile.group_y, tile.rows, tile.columns, tile.depth], [16, 8, 8, 4, 16]);
    }

    #[test]
    fn every_head_has_a_cut_that_fits_the_floor() {
        let floor = DeviceTraits::floor();
        for head in (4..=1024).step_by(4) {
            for (wish, count) in [(OUTPUTS, 1 << 20), (STATES, 1), (FOLD, 10)] {
                let tile = wish.row_tile(&floor, head, |rows| count / rows, bytes);
                let columns = tile.group_x * tile.columns;
                assert!(parts(&tile, head) * columns >= head && columns < head + 128, "{head}: {tile:?}");
                assert!(tile.rows * tile.columns <= 64 && bytes(tile) <= floor.workgroup_memory);
            }
        }
    }
}
