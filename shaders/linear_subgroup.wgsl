// y = x W^T (+ bias) (+ residual), many rows, a subgroup a tile: the ladder is in shared/subgroup_sums.wgsl.
#import half4
struct Params { rows: u32, first_column: u32 }
override K: u32;            // inner size, a multiple of 4
override N: u32;            // rows of W in this dispatch
override STRIDE: u32;       // columns of y (more than N where W is a shard)

#import linear_bindings
#import subgroup_product xw
#import subgroup_rows tile

var<private> first_row: u32;
var<private> first: u32;      // column of the tile's first
var<private> column: u32;     // first of this invocation's four, in the tile

fn weights(c: u32, k: u32) -> vec4<f32> { return weight4(w[min(first + column + c, N - 1u) * (K / 4u) + k]); }
fn xw_left(row: u32, k: u32) -> vec4<f32> { return x[min(first_row + row, params.rows - 1u) * (K / 4u) + k]; }
fn xw_right(k: u32) -> mat4x4<f32> { return transpose(mat4x4<f32>(weights(0u, k), weights(1u, k), weights(2u, k), weights(3u, k))); }

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(subgroup_invocation_id) lane: u32) {
    first_row = group.y * ROWS;
    first = group.x * tile_columns;
    column = 4u * lane;
    clear_sums();
    xw_product(K / 4u, lane);
    keep_all_tile();
    workgroupBarrier();
    for (var i = lane; i < tile_size; i += LANES) {
        let row = first_row + i / tile_columns;
        let at = first + i % tile_columns;
        if row < params.rows && at < N {
            let out = params.first_column + at;
            var value = tile[i];
#ifdef BIAS
            value += bias[out];
#endif
#ifdef RESIDUAL
            value += residual[row * STRIDE + out];
#endif
            y[row * STRIDE + out] = value;
        }
    }
}
