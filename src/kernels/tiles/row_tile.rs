//! How a workgroup of the shaders that import `shaders/shared/row_tile.wgsl` is cut: attention and the scan.

use crate::kernels::DeviceTraits;
use crate::kernels::shader::shared::RowTile;

/// What a kernel would like to have.
#[derive(Clone, Copy, Debug)]
pub(in crate::kernels) struct Wish {
    /// Invocations of a workgroup.
    invocations: usize,
    /// Rows an invocation owns: at most 8, and what they are halved to where workgroups are few.
    rows: [usize; 2],
    /// Keys, features or tokens at a time.
    tile: usize,
    /// Workgroup memory, bytes: more of it leaves a processor fewer workgroups.
    memory: usize,
}

// Guesses so far, all of these: not measured on a real GPU yet.

/// Outputs of attention.
pub(in crate::kernels) const OUTPUTS: Wish =
    Wish { invocations: 64, rows: [8, 4], tile: 32, memory: 32 << 10 };
/// States of many blocks.
pub(in crate::kernels) const STATES: Wish =
    Wish { invocations: 64, rows: [8, 4], tile: 32, memory: 32 << 10 };
/// The state of one block, while decoding waits: few features a workgroup, many tokens at a time.
pub(in crate::kernels) const FOLD: Wish = Wish { invocations: 128, rows: [1, 1], tile: 64, memory: 32 << 10 };

/// So many workgroups keep a device busy.
const ENOUGH: usize = 256;

impl Wish {
    /// The largest cut for results of `head` columns that a device can run; the kernel adds what it stages.
    /// `workgroups` says how many there are of so many rows, `bytes` what a workgroup of a cut takes.
    pub(in crate::kernels) fn row_tile(
        &self,
        device: &DeviceTraits,
        head: usize,
        workgroups: impl Fn(usize) -> usize,
        bytes: impl Fn(RowTile) -> usize,
    ) -> RowTile {
        let memory = self.memory.min(device.workgroup_memory);
        let fits = |tile: &RowTile| bytes(*tile) <= memory;
        let widest = if head.is_multiple_of(32) { 8 } else { 4 };
        let mut narrowest = None;
        for x in [widest, 4].into_iter().map(|x| x.max(head.div_ceil(64).next_power_of_two())) {
            let y = (self.invocations.min(device.max_invocations) / x).max(4);
            let vectors = (head / 4).div_ceil(x);
            let mut rows = self.rows[0].min(1 << (16 / vectors).ilog2());
            while rows > 1 {
                let (all, halves) = (workgroups(y * rows), workgroups(y * rows / 2));
                // Half of the rows may be empty.
                if halves > all && (all >= ENOUGH || rows <= self.rows[1]) {
                    break;
                }
                rows /= 2;
            }
            let mut keys = (self.tile / (4 * x)).max(1);
            loop {
                let of_rows = |k: u32| cut([x, y], 1 << k, vectors, keys.min(16 >> k));
                if let Some(tile) = (0..=rows.ilog2()).rev().map(of_rows).find(fits) {
                    return tile;
                }
                if keys == 1 {
                    narrowest = Some(([x, y], vectors));
                    break;
                }
                keys /= 2;
            }
        }
        // Fewer invocations, where vectors are very long.
        let ([x, y], vectors) = narrowest.expect("the loop over widths left one");
        let of_height = |y: usize| cut([x, y.max(4)], 1, vectors, 1);
        [y / 2, y / 4].into_iter().map(of_height).find(fits).unwrap_or_else(|| of_height(y))
    }

    /// Most vectors of `width` that can be staged at once, a divisor of their number; `bytes` says what a
    /// workgroup takes with so many.
    pub(in crate::kernels) fn chunk(
        &self,
        device: &DeviceTraits,
        width: usize,
        bytes: impl Fn(usize) -> usize,
    ) -> usize {
        let memory = self.memory.min(device.workgroup_memory);
        let fits = |chunk: &usize| (width / 4).is_multiple_of(*chunk) && bytes(*chunk) <= memory;
        (1..=width / 4).rev().find(fits).unwrap_or(1)
    }
}

/// A cut with nothing staged yet: `x * y` invocations; each owns `rows` rows, `vectors` vectors of the result
/// in each, and `keys` vectors of coefficients.
fn cut([group_x, group_y]: [usize; 2], rows: usize, vectors: usize, keys: usize) -> RowTile {
    let row_tile = group_y * rows;
    RowTile {
        group_x,
        group_y,
        rows,
        vectors,
        keys,
        tile: 4 * group_x * keys,
        row_tile,
        coefficients: row_tile * (group_x * keys + 1),
        staged: 0,
    }
}

/// The cut with so many vectors staged.
pub(in crate::kernels) fn staging(tile: RowTile, staged: usize) -> RowTile {
    RowTile { staged, ..tile }
}

/// Vectors that `shared/near_keys.wgsl` stages for inner products over `chunk` vectors.
pub(in crate::kernels) fn dots(tile: &RowTile, chunk: usize) -> usize {
    chunk * (tile.row_tile + tile.tile + 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_rows_get_the_largest_cut() {
        let device = DeviceTraits { workgroup_memory: 48 << 10, ..DeviceTraits::floor() };
        let rows = |tokens: usize| {
            let bytes = |t: RowTile| 16 * (t.coefficients + dots(&t, 1)) + 8 * t.row_tile;
            OUTPUTS.row_tile(&device, 64, |rows| 4 * tokens.div_ceil(rows), bytes).row_tile
        };
        assert_eq!([rows(32 << 10), rows(1 << 10), rows(16)], [64, 32, 16]);
    }
}
