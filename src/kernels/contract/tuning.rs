//! Choices of variants that measurements made for one device. Without them the defaults by type of device
//! hold; with them results differ by rounding at most.

use serde::{Deserialize, Serialize};

/// How the output of a product is cut (`linear.wgsl` and its gradients).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tile {
    /// Rows of an invocation, 4 or 8.
    pub rows: usize,
    /// Columns of an invocation, 4 or 8.
    pub columns: usize,
    /// Invocations along columns and along rows.
    pub group: [usize; 2],
}

/// What was found best on a device; empty: nothing was measured.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Tuning {
    /// Tiles of products, by the size of the result.
    pub tiles: Vec<TunedTile>,
    /// Tokens of a call that reads a text.
    pub segment: Option<usize>,
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
    /// The tile that was best for the most similar product, if one was measured.
    pub fn tile(&self, rows: usize, columns: usize) -> Option<Tile> {
        let ratio = |a: usize, b: usize| (a.max(1) as f64 / b.max(1) as f64).ln().abs();
        let near =
            |t: &&TunedTile| ratio(t.rows, rows) <= LIKE.ln() && ratio(t.columns, columns) <= LIKE.ln();
        let distance = |t: &TunedTile| ratio(t.rows, rows) + ratio(t.columns, columns);
        self.tiles
            .iter()
            .filter(near)
            .min_by(|a, b| distance(a).total_cmp(&distance(b)))
            .map(|best| best.tile)
    }
}
