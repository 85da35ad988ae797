// Gradient of the learned sketch as in sketch_learned_grad.wgsl, a subgroup a slab, everything in vectors: through the net and back in
// products as in shared/subgroup_sums.wgsl whose right operand lies along columns or along the inner dimension, and the sums of its
// gradients as in shared/subgroup_outer.wgsl.
#import sketch_grad_bindings vec4<f32>
#import subgroup_slab_product
#import subgroup_outer inputs
const ROW_TILE: u32 = 32u;
const THREADS: u32 = LANES;

#import slab_vectors
#import sketch_vectors
#import sketch_levels
#import subgroup_sketch_rows
#import gelu
#import gelu_slope

var<private> how: u32;         // a product is kept (sketch_levels)
var<private> units: u32;

fn inputs_left(t: u32) -> mat4x4<f32> {
    let at = (left.at + t * left.column) / 4u;
    let row = vec4<u32>(first_row / 4u) + vec4<u32>(0u, 1u, 2u, 3u);
    let there = min(row, vec4<u32>(left.column / 4u - 1u));
    return mat4x4<f32>(slabs[at + there.x], slabs[at + there.y], slabs[at + there.z], slabs[at + there.w]);
}
fn inputs_right(t: u32) -> vec4<f32> { return slabs[(right.at + t * right.row + min(first + column, columns - 4u)) / 4u]; }

fn finish(at: u32, product: vec4<f32>) {
    var value = product;
    if how == KEEP_UNITS { slabs[(result + ROW_TILE * columns) / 4u + at] = gelu4(value); }
    if how == TIMES_SLOPE { value *= gelu_slope4(slabs[units / 4u + at]); }
    slabs[result / 4u + at] = value;
}
fn multiply(width: u32, inner: u32, kept: u32, slope: u32, lane: u32) {
    how = kept;
    units = slope;
    multiply_slab(width, inner, lane);
}
fn add_outer(dy: u32, height: u32, x: u32, width: u32, into: u32, lane: u32) {
    columns = width;
    column = 4u * lane;
    left = Operand(dy, 1u, height);
    right = Operand(x, width, 1u);
    for (var rows = 0u; rows < height; rows += ROWS) {
        first_row = rows;
        for (var c = 0u; c < width; c += 4u * LANES) {
            first = c;
            clear_sums();
            inputs_outer(ROW_TILE, lane);
            keep_all_tile();
            workgroupBarrier();
            if first + column < width {
                for (var row = 0u; row < min(ROWS, height - first_row); row++) {
                    slabs[(into + (first_row + row) * width + first + column) / 4u] += tile[row * LANES + lane];
                }
            }
            workgroupBarrier();
        }
    }
}

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(subgroup_invocation_id) lane: u32) { differentiate(group.x, lane); }
