//! How a tile is cut into patches of cooperative matrices (`shaders/shared/cooperative_tile.wgsl`).

use crate::kernels::DeviceTraits;
use crate::kernels::contract::device::Cooperative;
use crate::kernels::shader::shared::{CooperativeTile, MatrixTile};

/// Matrices of a subgroup's patch, and of its columns, that a shader has names for.
const MOST: [usize; 2] = [16, 8];

/// The patches of a tile whose steps are products of halves; none where plans are in f32, or the tile does not
/// consist of cooperative matrices. `depth` inner indices are staged at a time.
pub(in crate::kernels) fn patches(device: &DeviceTraits, tile: &MatrixTile) -> Option<CooperativeTile> {
    let Cooperative { side, subgroup } = device.mixed()?;
    let [rows, columns] = [tile.group_y * tile.rows, tile.group_x * tile.columns];
    let invocations = tile.group_x * tile.group_y;
    // Vulkan asks for whole subgroups (VUID-VkPipelineShaderStageCreateInfo-module-08987).
    let whole = [rows, columns, tile.depth].iter().all(|n| n.is_multiple_of(side))
        && invocations.is_multiple_of(subgroup);
    let subgroups = invocations / subgroup;
    let [down, across] = [rows / side, columns / side];
    // As many patches as there are subgroups to own them, and of those as square as can be: what is loaded for
    // them is least.
    let cuts = |n: usize| (1..=n).filter(move |cut| n.is_multiple_of(*cut));
    let fits = |&[d, a]: &[usize; 2]| {
        d * a <= subgroups && (down / d) * (across / a) <= MOST[0] && across / a <= MOST[1]
    };
    let all = cuts(down).flat_map(|d| cuts(across).map(move |a| [d, a])).filter(fits);
    let [patches_down, patches_across] =
        all.min_by_key(|[d, a]| (down / d * (across / a), down / d + across / a))?;
    let [half_left, half_right] = [rows, columns].map(|n| 2 * n * (tile.depth / 4 + 2));
    let cut = CooperativeTile { invocations, patches_down, patches_across, half_left, half_right };
    whole.then_some(cut)
}

/// A tile of attention or the scan in mixed precision, with a side; none where plans are in f32, or it does not
/// fit. `bytes` is what a workgroup takes.
pub(in crate::kernels) fn row_tile(
    device: &DeviceTraits,
    tile: MatrixTile,
    bytes: impl Fn(MatrixTile, CooperativeTile) -> usize,
) -> Option<(MatrixTile, CooperativeTile, usize)> {
    let side = device.mixed()?.side;
    // Sums go through the left operand's place, a row of matrices at a time at least, and so do powers of features,
    // one of each invocation.
    let of_sums = side * tile.group_x * tile.columns / 4;
    let left_size = tile.left_size.max(of_sums).max(tile.group_x * tile.group_y);
    let tile = MatrixTile { left_size, ..tile };
    let cut = patches(device, &tile)?;
    (bytes(tile, cut) <= device.workgroup_memory).then_some((tile, cut, side))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::Precision;

    fn device(side: usize, subgroup: usize) -> DeviceTraits {
        let (cooperative, subgroups) = (Some(side), Some([subgroup; 2]));
        DeviceTraits { cooperative, subgroups, precision: Precision::Mixed, ..DeviceTraits::floor() }
    }

    fn tile(group: [usize; 2], rows: usize, depth: usize) -> MatrixTile {
        let [group_x, group_y] = group;
        MatrixTile { group_x, group_y, rows, columns: 4, depth, left_size: 0, right_size: 0 }
    }

    #[test]
    fn patches_cover_a_tile_and_have_a_subgroup_each() {
        let of = |device: DeviceTraits, tile| {
            patches(&device, &tile).map(|p| [p.patches_down, p.patches_across, p.half_left])
        };
        assert_eq!(of(device(16, 32), tile([16, 8], 8, 16)), Some([2, 2, 768]));
        assert_eq!(of(device(16, 64), tile([16, 8], 8, 16)), Some([1, 2, 768]));
        assert_eq!(of(device(8, 8), tile([8, 8], 4, 16)), Some([2, 4, 384]));
        assert_eq!(of(device(16, 32), tile([8, 8], 4, 8)), None, "steps are too short");
        assert_eq!(of(device(16, 32), tile([3, 8], 4, 16)), None, "columns are no multiple");
        assert_eq!(of(device(16, 128), tile([8, 8], 4, 16)), None, "a subgroup is more than all");
        assert_eq!(of(device(16, 64), tile([20, 8], 4, 16)), None, "a subgroup would be in part empty");
        assert_eq!(of(DeviceTraits::floor(), tile([16, 8], 8, 16)), None, "in f32");
    }
}
