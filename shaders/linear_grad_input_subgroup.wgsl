// dx (+)= dy W, a subgroup a tile: the ladder is in shared/subgroup_sums.wgsl.
struct Params { rows: u32, first_column: u32 }
override K: u32;            // rows of W: columns of dy that belong to it
override N: u32;            // columns of W and dx, a multiple of 4
override STRIDE: u32;       // columns of dy (more than K where W is a shard)
override ACCUMULATE: u32;   // 1: dx is added to

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> dy: array<f32>;               // [rows, STRIDE]
@group(0) @binding(2) var<storage, read> w: array<vec4<f32>>;          // [K, N]
@group(0) @binding(3) var<storage, read_write> dx: array<f32>;         // [rows, N]
#import subgroup_product dyw
#import subgroup_rows tile

var<private> first_row: u32;
var<private> first: u32;       // column of the tile's first
var<private> column: u32;      // first of this invocation's four, in the tile

fn dyw_left(row: u32, k: u32) -> vec4<f32> {
    let at = min(first_row + row, params.rows - 1u) * STRIDE + params.first_column;
    var value = vec4<f32>();
    for (var i = 0u; i < 4u; i++) { value[i] = select(0.0, dy[at + min(4u * k + i, K - 1u)], 4u * k + i < K); }
    return value;
}
fn weights(k: u32) -> vec4<f32> { return w[min(k, K - 1u) * (N / 4u) + min((first + column) / 4u, N / 4u - 1u)]; }
fn dyw_right(k: u32) -> mat4x4<f32> { return mat4x4<f32>(weights(4u * k), weights(4u * k + 1u), weights(4u * k + 2u), weights(4u * k + 3u)); }

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(subgroup_invocation_id) lane: u32) {
    first_row = group.y * ROWS;
    first = group.x * tile_columns;
    column = 4u * lane;
    clear_sums();
    dyw_product((K + 3u) / 4u, lane);
    keep_all_tile();
    workgroupBarrier();
    for (var i = lane; i < tile_size; i += LANES) {
        let row = first_row + i / tile_columns;
        let c = first + i % tile_columns;
        if row < params.rows && c < N {
            let at = row * N + c;
            if ACCUMULATE == 1u { dx[at] += tile[i]; } else { dx[at] = tile[i]; }
        }
    }
}
