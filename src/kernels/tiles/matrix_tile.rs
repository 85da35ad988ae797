//! How the output of a product of matrices is cut.

use super::mixed::patches;
use crate::kernels::shader::linear;
use crate::kernels::shader::shared::{CooperativeTile, MatrixTile};
use crate::kernels::{DeviceTraits, Tile};

/// Inner indices of a step.
pub(in crate::kernels) const DEPTH: usize = 16;

impl Tile {
    /// The tile for a product of so many rows and columns: the one that was measured best on the device, or
    /// else the default.
    pub fn choose(device: &DeviceTraits, rows: usize, columns: usize) -> Self {
        let measured = device.tuning.tile(rows, columns).filter(|tile| tile.fits(device));
        measured.unwrap_or_else(|| Self::default_for(rows, columns))
    }

    /// The tile where nothing was measured: the largest that still gives every part of the device something
    /// to do. The figures are in `shared/matrix_product.wgsl`.
    pub fn default_for(rows: usize, columns: usize) -> Self {
        // An H100 has 132 processors: 256 workgroups of 64 x 64 were faster there than more of fewer columns, 64
        // of them slower than 128 of half as many.
        let enough = [192, ENOUGH];
        let [tiles @ .., least] = TILES;
        let chosen = tiles.into_iter().zip(enough).find(|(tile, enough)| {
            let [across, down] = tile.extent();
            rows.div_ceil(down) * columns.div_ceil(across) >= *enough
        });
        chosen.map_or(least, |(tile, _)| tile)
    }

    /// Tiles worth measuring on a device.
    pub fn candidates(device: &DeviceTraits) -> Vec<Self> {
        TILES.into_iter().chain([MORE_INVOCATIONS]).filter(|tile| tile.fits(device)).collect()
    }

    /// Whether a device can run it, and the shader can stage it: a block of 4 x 4 an invocation.
    pub fn fits(&self, device: &DeviceTraits) -> bool {
        let owned = [self.rows, self.columns].iter().all(|n| matches!(n, 4 | 8));
        if !owned || !self.group.iter().all(|n| (1..=64).contains(n)) {
            return false;
        }
        let ([across, down], invocations) = (self.extent(), self.group[0] * self.group[1]);
        // `linear.wgsl` stages as much as its gradients.
        let (matrix_tile, few_bits, cooperative_tile) = (self.overrides(), None, None);
        let overrides = linear::Overrides { k: 4, n: 4, stride: 4, few_bits, matrix_tile, cooperative_tile };
        (across + down) / 4 * (DEPTH / 4) <= invocations
            && invocations <= device.max_invocations
            && overrides.workgroup_bytes(linear::Flags::default()) <= device.workgroup_memory
    }

    /// Columns and rows of a workgroup.
    fn extent(&self) -> [usize; 2] {
        [self.group[0] * self.columns, self.group[1] * self.rows]
    }

    /// The values of `shared/matrix_tile.wgsl`.
    pub(in crate::kernels) fn overrides(&self) -> MatrixTile {
        let ([group_x, group_y], rows, columns) = (self.group, self.rows, self.columns);
        let [across, down] = self.extent();
        let [left_size, right_size] = [down, across].map(|n| 2 * DEPTH * n / 4);
        MatrixTile { group_x, group_y, rows, columns, depth: DEPTH, left_size, right_size }
    }
}

/// So many workgroups keep a large device busy.
const ENOUGH: usize = 96;

/// From the most work an invocation to the least.
const TILES: [Tile; 3] = [
    Tile { rows: 8, columns: 4, group: [16, 8] },
    Tile { rows: 4, columns: 4, group: [8, 16] },
    Tile { rows: 4, columns: 4, group: [8, 8] },
];

/// Large, with half the work an invocation: slower on an H100, where half of its invocations stage; others may hide
/// more with it.
const MORE_INVOCATIONS: Tile = Tile { rows: 4, columns: 4, group: [16, 16] };

/// A cut whose steps are products of halves in cooperative matrices.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in crate::kernels) struct Mixed {
    pub tile: MatrixTile,
    pub patches: CooperativeTile,
    /// Of a cooperative matrix.
    pub side: usize,
}

impl Mixed {
    /// For a product of so many rows and columns; none where plans are in f32.
    pub fn choose(device: &DeviceTraits, rows: usize, columns: usize) -> Option<Self> {
        // Many invocations, because a step is over soon, and what takes time is to stage the next one.
        let cuts = [MORE_INVOCATIONS, TILES[1], TILES[2]];
        let enough = |cut: &&Tile| {
            let [across, down] = cut.extent();
            rows.div_ceil(down) * columns.div_ceil(across) >= ENOUGH
        };
        let first = cuts.iter().position(|cut| enough(&cut)).unwrap_or(cuts.len() - 1);
        cuts[first..]
            .iter()
            .find_map(|cut| [32, DEPTH].into_iter().find_map(|depth| cut.mixed(device, depth)))
    }
}

impl Tile {
    /// The same with steps of `depth` inner indices in mixed precision, where the device can run it.
    fn mixed(&self, device: &DeviceTraits, depth: usize) -> Option<Mixed> {
        let side = device.mixed()?.side;
        let ([across, down], invocations) = (self.extent(), self.group[0] * self.group[1]);
        // Sums go through memory half of the rows at a time.
        let left_size = (down / 2).next_multiple_of(side) * across / 4;
        let tile = MatrixTile { depth, left_size, right_size: 1, ..self.overrides() };
        let patches = patches(device, &tile)?;
        let vectors = 2 * left_size + patches.half_left + patches.half_right;
        let fits = (across + down) / 4 * (depth / 4) <= invocations
            && invocations <= device.max_invocations
            && 8 * vectors <= device.workgroup_memory;
        fits.then_some(Mixed { tile, patches, side })
    }
}

/// Workgroups of a result of so many rows and columns.
pub(in crate::kernels) fn workgroups(tile: &MatrixTile, rows: usize, columns: usize) -> [usize; 3] {
    [columns.div_ceil(tile.group_x * tile.columns), rows.div_ceil(tile.group_y * tile.rows), 1]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::contract::tuning::TunedTile;
    use crate::kernels::{Precision, Tuning};

    #[test]
    fn every_default_fits_the_floor() {
        let floor = DeviceTraits::floor();
        for rows in [1, 33, 64, 1000, 4096, 1 << 20] {
            for columns in [1, 60, 1024, 50_257] {
                let tile = Tile::default_for(rows, columns);
                assert!(tile.fits(&floor), "{rows} x {columns}: {tile:?}");
            }
        }
        assert_eq!(Tile::candidates(&floor).len(), TILES.len() + 1);
    }

    #[test]
    fn mixed_products_have_steps_of_whole_matrices() {
        let device = DeviceTraits {
            cooperative: Some(16),
            subgroups: Some([32, 32]),
            precision: Precision::Mixed,
            workgroup_memory: 48 << 10,
            ..DeviceTraits::floor()
        };
        let of = |rows, columns| {
            let Mixed { tile, patches, side } = Mixed::choose(&device, rows, columns).expect("a cut");
            assert!(side == 16 && tile.depth.is_multiple_of(16) && tile.left_size >= 4 * tile.group_x);
            [tile.group_x, tile.group_y, tile.depth, patches.patches_down, patches.patches_across]
        };
        assert_eq!(of(1024, 1024), [16, 16, 32, 2, 4]);
        assert_eq!(of(33, 7), [8, 8, 16, 1, 2]);
        let small = DeviceTraits { workgroup_memory: 4 << 10, ..device.clone() };
        assert_eq!(Mixed::choose(&small, 1024, 1024), None);
        assert_eq!(Mixed::choose(&DeviceTraits::floor(), 1024, 1024), None);
    }

    #[test]
    fn what_the_shader_cannot_stage_does_not_fit() {
        let floor = DeviceTraits::floor();
        for (rows, group) in [(3, [8, 8]), (4, [0, 8]), (4, [8, usize::MAX]), (8, [4, 4])] {
            let tile = Tile { rows, columns: 4, group };
            assert!(!tile.fits(&floor), "{tile:?}");
        }
    }

    #[test]
    fn the_most_similar_product_decides() {
        let tile = |rows| Tile { rows, columns: 4, group: [16, 64 / rows] };
        let tuned = |rows, columns, of| TunedTile { rows, columns, tile: tile(of) };
        let tuning = Tuning { tiles: vec![tuned(1024, 512, 4), tuned(1024, 192, 8)], ..Tuning::default() };
        let rows = |r, c| tuning.tile(r, c).map(|tile| tile.rows);
        assert_eq!(
            [rows(1024, 600), rows(900, 200), rows(2048, 384), rows(1024, 4096), rows(64, 512)],
            [Some(4), Some(8), Some(4), None, None]
        );
        let text = serde_json::to_string(&tuning).expect("plain data");
        assert_eq!(serde_json::from_str::<Tuning>(&text).expect("plain data"), tuning);
        let device = DeviceTraits { tuning: tuning.into(), ..DeviceTraits::floor() };
        assert_eq!(Tile::choose(&device, 1024, 600), tile(4));
        let small = DeviceTraits { max_invocations: 128, ..device };
        assert_ne!(Tile::choose(&small, 1024, 512), tile(4), "it does not fit");
    }
}
