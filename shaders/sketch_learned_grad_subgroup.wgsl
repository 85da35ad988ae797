// Gradient of the learned sketch as in sketch_learned_grad.wgsl, a subgroup a slab: every matrix of the net, forwards and
// backwards, is met in products as in shared/subgroup_sums.wgsl, whose operands are found by offset and strides.
#import lanes
struct Params { vectors: u32, lanes: u32, tokens: u32, lane_base: u32, slabs: u32, first_tile: u32 }
override SIZE: u32;            // r
override HIDDEN: u32;          // e r
override LEVELS: u32;
override INPUT_NORMED: u32;
override WIDTH: u32;           // max(HEAD, SIZE)
override WEIGHTS: u32;         // numbers in w
override TILES: u32;           // of a slab that a dispatch takes at most, from its first_tile on
override SLAB: u32;            // numbers in a slab: WEIGHTS, norms [4, HEAD], the tile

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> qkv: array<f32>;              // [rows, QKV_WIDTH]
@group(0) @binding(2) var<storage, read> lanes: array<Lane>;           // [lanes]
@group(0) @binding(3) var<storage, read> norms: array<f32>;            // [4, HEAD]
@group(0) @binding(4) var<storage, read> rotations: array<vec2<f32>>;  // [4 * 256, HEAD / 2]
@group(0) @binding(5) var<storage, read> w: array<f32>;                // two branches of levels of norm [2, i], up [HIDDEN, i], down [SIZE, HIDDEN]
@group(0) @binding(6) var<storage, read> dsketch: array<f32>;          // [2, lanes, HEADS, tokens, SIZE]
@group(0) @binding(7) var<storage, read_write> slabs: array<f32>;      // [slabs, SLAB]
@group(0) @binding(8) var<storage, read_write> dqkv: array<f32>;       // [rows, QKV_WIDTH]
#import subgroup_product weights
#import subgroup_product inputs
#import subgroup_rows tile
const ROW_TILE: u32 = ROWS;
const THREADS: u32 = LANES;
const SHARES: u32 = 1u;

#import head_vector
#import head_vector_backward
#import vector_place
#import sketch_vectors
#import sketch_levels
#import gelu
#import gelu_slope

var<private> rows: u32;        // rows of the tile that there are
var<private> columns: u32;     // of the result
var<private> first: u32;       // column of the tile's first
var<private> column: u32;      // first of this invocation's four, in the tile

fn left_part(row: u32, k: u32) -> vec4<f32> {
    let at = left.at + min(row, rows - 1u) * left.row + 4u * k * left.column;
    return vec4<f32>(slabs[at], slabs[at + left.column], slabs[at + 2u * left.column], slabs[at + 3u * left.column]);
}
fn right_at(k: u32) -> u32 { return right.at + k * right.row + min(first + column, columns - 4u) * right.column; }
fn weights_left(row: u32, k: u32) -> vec4<f32> { return left_part(row, k); }
fn inputs_left(row: u32, k: u32) -> vec4<f32> { return left_part(row, k); }
fn weights_row(k: u32) -> vec4<f32> {
    let at = right_at(k);
    return vec4<f32>(w[at], w[at + right.column], w[at + 2u * right.column], w[at + 3u * right.column]);
}
fn inputs_row(k: u32) -> vec4<f32> {
    let at = right_at(k);
    return vec4<f32>(slabs[at], slabs[at + right.column], slabs[at + 2u * right.column], slabs[at + 3u * right.column]);
}
fn weights_right(k: u32) -> mat4x4<f32> {
    return mat4x4<f32>(weights_row(4u * k), weights_row(4u * k + 1u), weights_row(4u * k + 2u), weights_row(4u * k + 3u));
}
fn inputs_right(k: u32) -> mat4x4<f32> {
    return mat4x4<f32>(inputs_row(4u * k), inputs_row(4u * k + 1u), inputs_row(4u * k + 2u), inputs_row(4u * k + 3u));
}

fn multiply(width: u32, inner: u32, how: u32, units: u32, lane: u32) {
    rows = ROWS;
    columns = width;
    column = 4u * lane;
    for (var c = 0u; c < width; c += tile_columns) {
        first = c;
        clear_sums();
        weights_product(inner / 4u, lane);
        keep_all_tile();
        workgroupBarrier();
        for (var i = lane; i < tile_size; i += LANES) {
            let at = i / tile_columns * width + c + i % tile_columns;
            if c + i % tile_columns < width {
                var value = tile[i];
                if how == KEEP_UNITS { slabs[result + ROWS * width + at] = gelu(value); }
                if how == TIMES_SLOPE { value *= gelu_slope(slabs[units + at]); }
                slabs[result + at] = value;
            }
        }
        workgroupBarrier();
    }
}
fn add_outer(dy: u32, height: u32, x: u32, width: u32, into: u32, lane: u32) {
    columns = width;
    column = 4u * lane;
    right = Operand(x, width, 1u);
    for (var row = 0u; row < height; row += ROWS) {
        rows = min(ROWS, height - row);
        left = Operand(dy + row, 1u, height);
        for (var c = 0u; c < width; c += tile_columns) {
            first = c;
            clear_sums();
            inputs_product(ROWS / 4u, lane);
            keep_all_tile();
            workgroupBarrier();
            for (var i = lane; i < tile_size; i += LANES) {
                let at = row + i / tile_columns;
                if at < height && c + i % tile_columns < width { slabs[into + at * width + c + i % tile_columns] += tile[i]; }
            }
            workgroupBarrier();
        }
    }
}

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(subgroup_invocation_id) lane: u32) { differentiate(group.x, lane); }
