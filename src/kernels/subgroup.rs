//! The `*_subgroup` variants, for software adapters whose subgroups are the vectors of the CPU: a workgroup
//! is one subgroup and owns [`ROWS`] rows (`shaders/shared/subgroup_sums.wgsl`, with its ladder).

use super::features::Features;
use super::{DeviceTraits, Variant};

/// Rows of a tile.
pub(crate) const ROWS: usize = 16;

/// Invocations of a subgroup, if `device` can run a `*_subgroup` shader that takes so many bytes of workgroup
/// memory.
pub(super) fn lanes(device: &DeviceTraits, bytes: usize) -> Option<usize> {
    device.subgroup.filter(|_| bytes <= device.workgroup_memory && device.tuning.subgroups != Some(false))
}

/// [`lanes`] for the kernels of the backward pass: subgroups of 8 alone. SwiftShader, whose have 4, takes
/// minutes to compile them.
pub(super) fn lanes_backward(device: &DeviceTraits, bytes: usize) -> Option<usize> {
    lanes(device, bytes).filter(|lanes| *lanes == 8)
}

/// The variant of `stem` for subgroups of so many invocations, 4 or 8.
pub(super) fn variant(stem: &str, lanes: usize, flags: &[(&str, bool)]) -> Variant {
    Variant::new(&format!("{stem}_subgroup"), &[&[("SUBGROUP4", lanes == 4)], flags].concat())
}

/// Adds the `override`s of sums `[ROWS, columns]` (`shared/subgroup_rows.wgsl`), by the names of their
/// columns and size.
pub(super) fn sums(variant: Variant, [width, size]: [&'static str; 2], columns: usize) -> Variant {
    variant.size(width, columns).size(size, ROWS * columns)
}

/// The same in vectors (`shared/subgroup_vectors.wgsl`).
pub(super) fn vectors(variant: Variant, [width, size]: [&'static str; 2], columns: usize) -> Variant {
    variant.size(width, columns).size(size, ROWS * columns / 4)
}

/// Adds the weights of 64 keys or features a row.
pub(super) fn weights(variant: Variant) -> Variant {
    vectors(variant, ["weights_columns", "weights_vectors"], 64)
}

/// Adds the sources of features in vectors of four rows, of so many (`shared/feature_quads.wgsl`).
pub(super) fn sources(variant: Variant, features: &Features, rows: usize) -> Variant {
    variant.size("SOURCE_VECTORS", features.factors() * rows / 4)
}

/// Workgroup memory, bytes, of a shader that keeps sums of so many columns there, 64 weights a row, totals
/// and a gate.
pub(super) fn memory(columns: usize) -> usize {
    ROWS * (columns + 64 + 8 + 2) * 4
}

/// Invocations of a subgroup, if `variant` is for subgroups.
pub(super) fn lanes_of(variant: &Variant) -> Option<usize> {
    let (stem, flags) = variant.shader.split_once('+').unwrap_or((&variant.shader, ""));
    stem.ends_with("_subgroup").then(|| if flags.split('+').any(|flag| flag == "SUBGROUP4") { 4 } else { 8 })
}

/// Rows of a workgroup of `variant`.
pub(super) fn rows_of(variant: &Variant) -> usize {
    lanes_of(variant).map_or_else(|| variant.get("ROW_TILE"), |_| ROWS)
}
