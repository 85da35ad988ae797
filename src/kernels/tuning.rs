//! Choices of variants that measurements made for one device. Without them the defaults by type of device
//! hold; with them results differ by rounding at most.

use serde::{Deserialize, Serialize};

use super::DeviceTraits;
use super::linear::Tile;

/// What was found best on a device; empty: nothing was measured.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Tuning {
    /// Tiles of products, by the size of the result.
    pub tiles: Vec<TunedTile>,
    /// Tokens of a call that reads a text.
    pub segment: Option<usize>,
    /// Whether attention, scan and sketches run as subgroups on a device that could (kernels/subgroup.rs).
    #[serde(default)]
    pub subgroups: Option<bool>,
}

/// The best tile for a product.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct TunedTile {
    /// Rows of the result.
    pub rows: usize,
    /// Its columns.
    pub columns: usize,
    /// How it is cut.
    pub tile: Tile,
}

/// A result is like a measured one if neither side differs by more than this factor.
const LIKE: f64 = 2.0;

impl Tuning {
    /// The tile that was best for the most similar product, if one was measured and fits the device.
    pub fn tile(&self, device: &DeviceTraits, rows: usize, columns: usize) -> Option<Tile> {
        let ratio = |a: usize, b: usize| (a.max(1) as f64 / b.max(1) as f64).ln().abs();
        let near =
            |t: &&TunedTile| ratio(t.rows, rows) <= LIKE.ln() && ratio(t.columns, columns) <= LIKE.ln();
        let distance = |t: &TunedTile| ratio(t.rows, rows) + ratio(t.columns, columns);
        let best = self.tiles.iter().filter(near).min_by(|a, b| distance(a).total_cmp(&distance(b)))?;
        Some(best.tile).filter(|tile| tile.fits(device))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_similar_product_decides() {
        let tile = |rows| Tile { subgroup: 0, shared: true, rows, columns: 4, group: [8, 8] };
        let tuned = |rows, columns, of| TunedTile { rows, columns, tile: tile(of) };
        let tuning = Tuning { tiles: vec![tuned(1024, 512, 4), tuned(1024, 192, 8)], ..Tuning::default() };
        let device = DeviceTraits::floor();
        let rows = |r, c| tuning.tile(&device, r, c).map(|tile| tile.rows);
        assert_eq!(
            [rows(1024, 600), rows(900, 200), rows(2048, 384), rows(1024, 4096), rows(64, 512)],
            [Some(4), Some(8), Some(4), None, None]
        );
        let small = DeviceTraits { max_invocations: 32, ..device };
        assert_eq!(tuning.tile(&small, 1024, 512), None);
        let text = serde_json::to_string(&tuning).expect("plain data");
        assert_eq!(serde_json::from_str::<Tuning>(&text).expect("plain data"), tuning);
    }
}
