// dW += dy^T x, a subgroup a tile: the ladder is in shared/subgroup_sums.wgsl.
struct Params { rows: u32, first_column: u32 }
override M: u32;            // rows of dW: columns of dy that belong to it
override N: u32;            // columns of dW and x, a multiple of 4
override STRIDE: u32;       // columns of dy (more than M where W is a shard)

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> dy: array<f32>;               // [rows, STRIDE]
@group(0) @binding(2) var<storage, read> x: array<vec4<f32>>;          // [rows, N]
@group(0) @binding(3) var<storage, read_write> dw: array<f32>;         // [M, N]
#import subgroup_product dyx
#import subgroup_rows tile

var<private> first_row: u32;
var<private> first: u32;       // column of the tile's first
var<private> column: u32;      // first of this invocation's four, in the tile

fn dyx_left(row: u32, k: u32) -> vec4<f32> {
    let column = params.first_column + min(first_row + row, M - 1u);
    var value = vec4<f32>();
    for (var i = 0u; i < 4u; i++) { value[i] = select(0.0, dy[min(4u * k + i, params.rows - 1u) * STRIDE + column], 4u * k + i < params.rows); }
    return value;
}
fn rows_of_x(k: u32) -> vec4<f32> { return x[min(k, params.rows - 1u) * (N / 4u) + min((first + column) / 4u, N / 4u - 1u)]; }
fn dyx_right(k: u32) -> mat4x4<f32> {
    return mat4x4<f32>(rows_of_x(4u * k), rows_of_x(4u * k + 1u), rows_of_x(4u * k + 2u), rows_of_x(4u * k + 3u));
}

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(subgroup_invocation_id) lane: u32) {
    first_row = group.y * ROWS;
    first = group.x * tile_columns;
    column = 4u * lane;
    clear_sums();
    dyx_product((params.rows + 3u) / 4u, lane);
    keep_all_tile();
    workgroupBarrier();
    for (var i = lane; i < tile_size; i += LANES) {
        let row = first_row + i / tile_columns;
        let c = first + i % tile_columns;
        if row < M && c < N {
            dw[row * N + c] += tile[i];
        }
    }
}
