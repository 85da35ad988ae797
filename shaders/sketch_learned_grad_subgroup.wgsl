// Gradient of the learned sketch as in sketch_learned_grad.wgsl, a subgroup a slab, everything in vectors:
// through the net and back in products as in shared/subgroup_sums.wgsl whose right operand lies along columns
// or along the inner dimension, and the sums of its gradients as in shared/subgroup_outer.wgsl.
#import sketch_grad_bindings vec4<f32>
#import subgroup_slab_product
#import subgroup_outer inputs
const ROW_TILE: u32 = 32u;
const THREADS: u32 = LANES;

#import slab_vectors
#import sketch_vectors
#import sketch_levels
#import subgroup_sketch_rows
#import gelu_with_slope

fn inputs_left(t: u32) -> mat4x4<f32> {
    let at = (left.at + t * left.column) / 4u;
    let row = vec4<u32>(first_row / 4u) + vec4<u32>(0u, 1u, 2u, 3u);
    let there = min(row, vec4<u32>(left.column / 4u - 1u));
    return mat4x4<f32>(slabs[at + there.x], slabs[at + there.y], slabs[at + there.z], slabs[at + there.w]);
}
fn inputs_right(t: u32) -> vec4<f32> { return slabs[(right.at + t * right.row + min(first + column, columns - 4u)) / 4u]; }

fn multiply(width: u32, inner: u32, how: u32, slopes: u32, lane: u32) {
    adding = false;
    multiply_slab(width, inner, lane);
    if how == KEEP { return; }
    sync();
    let vectors = ROW_TILE * width / 4u;
    for (var i = lane; i < vectors; i += LANES) {
        let at = result / 4u + i;
        if how == KEEP_GELU {
            let curve = gelu_with_slope4(slabs[at]);
            slabs[at] = curve.slope;
            slabs[at + vectors] = curve.value;
        } else {
            slabs[at] *= slabs[slopes / 4u + i];
        }
    }
}
fn add_outer(dy: u32, rows: u32, x: u32, width: u32, into: u32, lane: u32) {
    left = Operand(dy, 1u, rows);
    right = Operand(x, width, 1u);
    result = into;
    adding = true;
    height = rows;
    columns = width;
    column = 4u * lane;
    for (var row = 0u; row < rows; row += ROWS) {
        first_row = row;
        for (var c = 0u; c < width; c += 4u * LANES) {
            first = c;
            start_slab();
            inputs_outer(ROW_TILE, lane);
            keep_all_slab();
        }
    }
}

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(subgroup_invocation_id) lane: u32) { differentiate(group.x, lane); }
