//! How a workgroup of the shaders for real GPUs that import `shaders/shared/row_tile.wgsl` is cut.

use crate::kernels::{DeviceTraits, Variant};

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

/// `x * y` invocations; each owns `rows` rows, `vectors` vectors of the result in each, and `keys` vectors of
/// weights.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in crate::kernels) struct RowTile {
    x: usize,
    y: usize,
    rows: usize,
    vectors: usize,
    keys: usize,
}

impl RowTile {
    /// The largest cut for results of `head` columns that a device can run. `workgroups` says how many there
    /// are of so many rows, `vectors` how many vectors of four a workgroup stages.
    pub(in crate::kernels) fn new(
        wish: &Wish,
        device: &DeviceTraits,
        head: usize,
        workgroups: impl Fn(usize) -> usize,
        vectors: impl Fn(&Self) -> usize,
    ) -> Self {
        let memory = wish.memory.min(device.workgroup_memory);
        let fits = |t: &Self| t.bytes(vectors(t)) <= memory;
        let widest = if head.is_multiple_of(32) { 8 } else { 4 };
        let mut narrowest = None;
        for x in [widest, 4].into_iter().map(|x| x.max(head.div_ceil(64).next_power_of_two())) {
            let y = (wish.invocations.min(device.max_invocations) / x).max(4);
            let vectors = (head / 4).div_ceil(x);
            let mut rows = wish.rows[0].min(1 << (16 / vectors).ilog2());
            while rows > 1 {
                let (all, halves) = (workgroups(y * rows), workgroups(y * rows / 2));
                // Half of the rows may be empty.
                if halves > all && (all >= ENOUGH || rows <= wish.rows[1]) {
                    break;
                }
                rows /= 2;
            }
            let mut keys = (wish.tile / (4 * x)).max(1);
            loop {
                let cut = |k: u32| Self { x, y, rows: 1 << k, vectors, keys: keys.min(16 >> k) };
                if let Some(tile) = (0..=rows.ilog2()).rev().map(cut).find(fits) {
                    return tile;
                }
                if keys == 1 {
                    narrowest = Some(cut(0));
                    break;
                }
                keys /= 2;
            }
        }
        // Fewer invocations, where vectors are very long.
        let narrowest = narrowest.expect("two widths");
        [narrowest.y / 2, narrowest.y / 4]
            .into_iter()
            .map(|y| Self { y: y.max(4), ..narrowest })
            .find(fits)
            .unwrap_or(narrowest)
    }

    /// Rows of a workgroup.
    pub(in crate::kernels) fn row_tile(&self) -> usize {
        self.y * self.rows
    }

    /// Keys at a time.
    pub(in crate::kernels) fn tile(&self) -> usize {
        4 * self.x * self.keys
    }

    fn weights(&self) -> usize {
        self.row_tile() * (self.x * self.keys + 1)
    }

    /// Workgroup memory with so many staged vectors and two numbers a row.
    fn bytes(&self, staged: usize) -> usize {
        16 * (self.weights() + staged) + 8 * self.row_tile()
    }

    /// Numbers from one staged vector of features to the next, where neighbours read the same row's, or rows
    /// side by side.
    pub(in crate::kernels) fn pitch(&self, source: usize, same_row: bool) -> usize {
        source + if same_row { self.x } else { 4 }
    }

    /// Vectors staged for inner products over `chunk` vectors.
    pub(in crate::kernels) fn dots(&self, chunk: usize) -> usize {
        chunk * (self.row_tile() + self.tile() + 2)
    }

    /// Most vectors of `width` that can be staged at once beside this cut, a divisor of their number.
    pub(in crate::kernels) fn chunk(&self, wish: &Wish, device: &DeviceTraits, width: usize) -> usize {
        let memory = wish.memory.min(device.workgroup_memory);
        let fits =
            |chunk: &usize| (width / 4).is_multiple_of(*chunk) && self.bytes(self.dots(*chunk)) <= memory;
        (1..=width / 4).rev().find(fits).unwrap_or(1)
    }

    /// The `override`s of `shared/row_tile.wgsl`.
    pub(in crate::kernels) fn constants(&self, variant: Variant, staged: usize) -> Variant {
        variant
            .size("GROUP_X", self.x)
            .size("GROUP_Y", self.y)
            .size("ROWS", self.rows)
            .size("VECTORS", self.vectors)
            .size("KEYS", self.keys)
            .size("TILE", self.tile())
            .size("ROW_TILE", self.row_tile())
            .size("WEIGHTS", self.weights())
            .size("STAGED", staged)
    }
}

/// Rows of a tile: as many as keep what they need of workgroup memory, so many floats each, within so many
/// KiB.
pub(in crate::kernels) fn row_tile(floats: usize, kib: usize) -> usize {
    [32, 16, 8].into_iter().find(|rows| rows * floats * 4 <= kib << 10).unwrap_or(4)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_head_fits_the_floor() {
        let device = DeviceTraits::floor();
        for head in (4..=1024).step_by(4) {
            // Wide heads with wide sketches would need more.
            for (source, workgroups) in [(4, 1), (8, 1 << 20), (64, 1), (128, 1 << 20), (208, 1)]
                .into_iter()
                .filter(|s| s.0 <= 8 || head <= 256)
            {
                for (wish, same_row) in [(OUTPUTS, true), (STATES, false), (FOLD, false)] {
                    let staged = |t: &RowTile| {
                        let rows = if same_row { t.row_tile() } else { t.tile() };
                        (rows * t.pitch(source, same_row) / 4).max(if same_row { t.dots(1) } else { 0 })
                    };
                    let tile = RowTile::new(
                        &wish,
                        &device,
                        head,
                        |rows| workgroups * 1024usize.div_ceil(rows),
                        staged,
                    );
                    let chunk = tile.chunk(&wish, &device, source);
                    assert!(
                        tile.bytes(staged(&tile)) <= device.workgroup_memory,
                        "{head} {source} {wish:?}: {tile:?}"
                    );
                    assert!(
                        !same_row || tile.bytes(tile.dots(chunk)) <= device.workgroup_memory,
                        "{head} {source}: {tile:?}, {chunk} staged"
                    );
                    assert!(
                        tile.x * tile.vectors >= head / 4 && tile.x * tile.y <= device.max_invocations,
                        "{head}: {tile:?}"
                    );
                    assert!(
                        tile.rows <= 8 && tile.rows * tile.vectors <= 16 && tile.rows * tile.keys <= 16,
                        "{head}: {tile:?}"
                    );
                    assert!(
                        tile.row_tile().is_multiple_of(4),
                        "totals of states are stored in fours: {tile:?}"
                    );
                }
            }
        }
    }

    #[test]
    fn many_rows_get_the_largest_cut() {
        let device = DeviceTraits { workgroup_memory: 48 << 10, ..DeviceTraits::floor() };
        let rows = |tokens: usize| {
            RowTile::new(&OUTPUTS, &device, 64, |rows| 4 * tokens.div_ceil(rows), |t| t.dots(1)).row_tile()
        };
        assert_eq!([rows(32 << 10), rows(1 << 10), rows(16)], [64, 32, 16]);
    }
}
