//! How the output of a product of matrices is cut.

use crate::kernels::shader::linear;
use crate::kernels::shader::shared::MatrixTile;
use crate::kernels::{DeviceTraits, Tile};

impl Tile {
    /// The tile for a product of so many rows and columns: the one that was measured best on the device, or
    /// else the default.
    pub fn choose(device: &DeviceTraits, rows: usize, columns: usize) -> Self {
        let measured = device.tuning.tile(rows, columns).filter(|tile| tile.fits(device));
        measured.unwrap_or_else(|| Self::default_for(rows, columns))
    }

    /// The tile where nothing was measured.
    pub fn default_for(rows: usize, columns: usize) -> Self {
        // The largest that still gives every part of the device something to do.
        const BUSY: usize = 64;
        let tiles = [(8, 4, 16), (4, 4, 16), (4, 4, 8)].map(|(rows, columns, group)| Self {
            rows,
            columns,
            group: [group, group],
        });
        let busy =
            |t: &Self| rows.div_ceil(t.rows * t.group[1]) * columns.div_ceil(t.columns * t.group[0]) >= BUSY;
        tiles.into_iter().find(busy).unwrap_or(tiles[2])
    }

    /// Tiles worth measuring on a device.
    pub fn candidates(device: &DeviceTraits) -> Vec<Self> {
        let sizes = [(4, 4), (8, 4), (4, 8), (8, 8)];
        let groups = [[8, 8], [16, 16], [8, 4]];
        let all =
            sizes.into_iter().flat_map(|(rows, columns)| groups.map(|group| Self { rows, columns, group }));
        all.filter(|tile| tile.fits(device)).collect()
    }

    /// Whether a device can run it.
    pub fn fits(&self, device: &DeviceTraits) -> bool {
        let sizes =
            (1..=8).contains(&self.rows) && (1..=8).contains(&self.columns) && !self.group.contains(&0);
        // `linear.wgsl` stages as much as its gradients.
        let bytes = || {
            let overrides = linear::Overrides { k: 4, n: 4, stride: 4, matrix_tile: self.overrides() };
            overrides.workgroup_bytes(linear::Flags::default())
        };
        sizes && self.group[0] * self.group[1] <= device.max_invocations && bytes() <= device.workgroup_memory
    }

    /// The values of `shared/matrix_tile.wgsl`.
    pub(in crate::kernels) fn overrides(&self) -> MatrixTile {
        let ([group_x, group_y], rows, columns) = (self.group, self.rows, self.columns);
        let (tile_x, tile_w) = (group_y * rows * linear::STEP, (group_x * columns + 1) * linear::STEP);
        MatrixTile { group_x, group_y, rows, columns, tile_x, tile_w }
    }
}

/// Workgroups of a result of so many rows and columns.
pub(in crate::kernels) fn workgroups(tile: &MatrixTile, rows: usize, columns: usize) -> [usize; 3] {
    [columns.div_ceil(tile.group_x * tile.columns), rows.div_ceil(tile.group_y * tile.rows), 1]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::Tuning;
    use crate::kernels::contract::tuning::TunedTile;

    #[test]
    fn the_most_similar_product_decides() {
        let tile = |rows| Tile { rows, columns: 4, group: [8, 8] };
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
        let small = DeviceTraits { max_invocations: 32, ..device };
        assert_ne!(Tile::choose(&small, 1024, 512), tile(4), "it does not fit");
    }
}
