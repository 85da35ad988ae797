//! How the output of a product of matrices is cut.

use crate::kernels::{DeviceTraits, Tile, Variant};

impl Tile {
    /// The tile for a product of so many rows and columns: the one that was measured best on the device, or
    /// else the default.
    pub fn choose(device: &DeviceTraits, rows: usize, columns: usize) -> Self {
        let measured = device.tuning.tile(rows, columns).filter(|tile| tile.fits(device));
        measured.unwrap_or_else(|| Self::default_for(device, rows, columns))
    }

    /// The tile by type of device; the figures are in the shader's ladder.
    pub fn default_for(device: &DeviceTraits, rows: usize, columns: usize) -> Self {
        if device.software {
            // There loads cost most, and a few workgroups keep all cores busy: as many outputs a load as
            // registers allow.
            let group_y = [8, 4, 2].into_iter().find(|y| y * 8 <= rows.next_multiple_of(8)).unwrap_or(1);
            return Self { shared: false, rows: 8, columns: 8, group: [8, group_y] };
        }
        // The largest that still gives every part of the device something to do.
        const BUSY: usize = 64;
        let tiles = [(8, 4, 16), (4, 4, 16), (4, 4, 8)].map(|(rows, columns, group)| Self {
            shared: true,
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
        let shared =
            [false, true].into_iter().flat_map(|shared| sizes.map(|(rows, columns)| (shared, rows, columns)));
        let all = shared
            .flat_map(|(shared, rows, columns)| groups.map(|group| Self { shared, rows, columns, group }));
        all.filter(|tile| tile.fits(device)).collect()
    }

    /// Whether a device can run it.
    pub fn fits(&self, device: &DeviceTraits) -> bool {
        // Four vectors of 16 bytes a row and a column are staged at once, and those of a column that nobody
        // reads.
        let staged = (self.rows * self.group[1] + self.columns * self.group[0] + 1) * 64;
        let sizes =
            (1..=8).contains(&self.rows) && (1..=8).contains(&self.columns) && !self.group.contains(&0);
        let whole = self.shared || self.rows * self.columns == 64;
        sizes
            && whole
            && self.group[0] * self.group[1] <= device.max_invocations
            && (!self.shared || staged <= device.workgroup_memory)
    }

    /// Its permutation of the shader `stem`, with `flags` and the tile's `override`s.
    pub fn variant(&self, stem: &str, flags: &[(&str, bool)]) -> Variant {
        let variant = Variant::new(stem, &[flags, &[("SHARED", self.shared)]].concat());
        /// Vectors along k that the shader stages at once.
        const STEP: usize = 4;
        let [x, y] = self.group;
        variant
            .size("GROUP_X", x)
            .size("GROUP_Y", y)
            .size("ROWS", self.rows)
            .size("COLUMNS", self.columns)
            .size("TILE_X", y * self.rows * STEP)
            .size("TILE_W", (x * self.columns + 1) * STEP)
    }

    /// Workgroups of `variant`, one of [`Tile::variant`], for a result of so many rows and columns.
    pub fn workgroups(variant: &Variant, rows: usize, columns: usize) -> [usize; 3] {
        let across = variant.get("GROUP_X") * variant.get("COLUMNS");
        let down = variant.get("GROUP_Y") * variant.get("ROWS");
        [columns.div_ceil(across), rows.div_ceil(down), 1]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::Tuning;
    use crate::kernels::contract::tuning::TunedTile;

    #[test]
    fn the_most_similar_product_decides() {
        let tile = |rows| Tile { shared: true, rows, columns: 4, group: [8, 8] };
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
