//! How the scan is cut for the weakest device.

use crate::kernels::cpu::Norm;
use crate::kernels::heads::layout::{HeadLayout, Rotation};
use crate::kernels::pairs::local_affinity::LocalAffinity;
use crate::kernels::pairs::mask::Mask;
use crate::kernels::scan::features::Features;
use crate::kernels::scan::scan_grad_keys::ScanGradKeys;
use crate::kernels::scan::scan_grad_queries::ScanGradQueries;
use crate::kernels::scan::scan_output::{Leaves, ScanOutput};
use crate::kernels::scan::scan_states::{ScanStates, States};
use crate::kernels::shader::shared::{FeatureTile, MatrixTile};
use crate::kernels::shader::{scan_grad_keys, scan_grad_queries, scan_output, scan_states};
use crate::kernels::tiles::row_tile::{parts, rows};
use crate::kernels::{DeviceTraits, Kernel};
use crate::tensor::Capacity;

fn layout(head: usize, sketch: usize) -> HeadLayout {
    HeadLayout {
        heads: 1,
        group: 1,
        head,
        size: head,
        exact: false,
        normed: true,
        norm: Norm::LAYER,
        shared_norm: false,
        sketch,
        sketch_normed: true,
        gated: true,
        rotation: Rotation::None,
        rotated: head,
        interleaved: false,
        block: 1024,
        near: 1,
        sinks: 0,
        sink_reach: 0,
        lead: 0,
    }
}

fn check(device: &DeviceTraits, head: usize, tile: &MatrixTile) {
    let (invocations, columns) = (tile.group_x * tile.group_y, tile.group_x * tile.columns);
    assert!(parts(tile, head) * columns >= head && invocations <= device.max_invocations, "{head}: {tile:?}");
    assert!(tile.rows <= 8 && tile.rows * tile.columns <= 64, "{head}: {tile:?}");
    let blocks = (rows(tile) + columns) / 4 * (tile.depth / 4);
    assert!(blocks <= invocations, "an invocation stages one block at most: {tile:?}");
    assert!((4 * tile.group_x).is_multiple_of(tile.depth), "whole steps of keys: {tile:?}");
}

#[test]
fn every_head_fits_the_floor() {
    let device = DeviceTraits::floor();
    for head in (4..=1024).step_by(4) {
        for (sketch, tokens) in [(4, 1), (8, 1 << 20), (64, 1), (128, 1 << 20), (208, 1)] {
            let layout = layout(head, sketch);
            let features = Features {
                source: sketch,
                order: 2,
                extended: false,
                count: sketch * (sketch + 1) / 2,
                table: Default::default(),
            };
            let capacity = Capacity { lanes: 1, tokens, slots: 1, context: 0 };
            for blocks in [States::All, States::Queries, States::Fold] {
                let (layout, features) = (layout.clone(), features.clone());
                let kernel = ScanStates { layout, features, source_offset: 0, blocks };
                let variant = kernel.variant(&device, &capacity);
                assert!(variant.workgroup_bytes() <= device.workgroup_memory, "{head} {sketch} {blocks:?}");
                check(&device, head, &scan_states::Overrides::of(&variant).matrix_tile);
            }
            let (l, f) = (layout.clone(), features.clone());
            gradients_fit(&device, l, f, &capacity);
            let kernel = ScanOutput {
                layout,
                features,
                source_offset: 0,
                local: LocalAffinity::Power { scale: 1.0, degree: 2 },
                local_offset: 0,
                local_width: sketch,
                bias: 1.0,
                mask: Mask::Causal,
                leaves: Leaves::Outputs,
            };
            let variant = kernel.variant(&device, &capacity);
            assert!(variant.workgroup_bytes() <= device.workgroup_memory, "{head} {sketch}: outputs");
            check(&device, head, &scan_output::Overrides::of(&variant).matrix_tile);
        }
    }
}

/// Gradients of features: an invocation a row at least, and columns in whole parts.
fn gradients_fit(device: &DeviceTraits, layout: HeadLayout, features: Features, capacity: &Capacity) {
    let what = format!("{} {}", layout.head, features.source);
    let fits = |tile: MatrixTile, cut: FeatureTile, bytes: usize| {
        assert!(bytes <= device.workgroup_memory, "{what}: {bytes}");
        check(device, tile.group_x * tile.columns, &tile);
        assert!(cut.row_tile == rows(&tile) && cut.copies > 0, "{what}: {cut:?}");
        assert!(cut.copies * cut.row_tile <= tile.group_x * tile.group_y, "{what}: {tile:?}, {cut:?}");
    };
    let (l, f) = (layout.clone(), features.clone());
    let variant = ScanGradKeys { layout: l, features: f, source_offset: 0 }.variant(device, capacity);
    let cut = scan_grad_keys::Overrides::of(&variant);
    assert!(cut.parts * cut.matrix_tile.group_x * cut.matrix_tile.columns >= layout.head, "{what}");
    fits(cut.matrix_tile, cut.feature_tile, variant.workgroup_bytes());
    let variant = ScanGradQueries { layout, features, source_offset: 0 }.variant(device, capacity);
    let cut = scan_grad_queries::Overrides::of(&variant);
    fits(cut.matrix_tile, cut.feature_tile, variant.workgroup_bytes());
}
