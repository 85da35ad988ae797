//! How a panel is cut: sixteen rows side by side, in units of columns.

use crate::tensor::Quant;

/// Rows of a panel.
pub(super) const ROWS: usize = 16;
/// Columns that are taken at a time.
pub(super) const GROUP: usize = 32;
/// With at most so many rows of x the integers are multiplied as they lie.
pub(super) const FEW: usize = 16;

/// What a unit is: the least columns that have whole words of scales.
impl Quant {
    /// Columns of a unit.
    pub(super) fn unit(&self) -> usize {
        if !self.wide && !self.minimum && self.block() == GROUP { 2 * GROUP } else { GROUP }
    }

    pub(super) fn of_unit(&self) -> Quant {
        Quant { columns: self.unit() as u32, ..*self }
    }

    pub(super) fn unit_value_words(&self) -> usize {
        self.of_unit().value_words()
    }

    pub(super) fn unit_scale_words(&self) -> usize {
        self.of_unit().scale_words()
    }
}
