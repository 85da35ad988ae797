// dx (+)= dy W: the gradient of a linear layer's input. Reference: kernels/linear/linear_grad_input.rs; the
// ladder is in shared/matrix_tile.wgsl.
struct Params { rows: u32, first_column: u32 }
override K: u32;            // rows of W: columns of dy that belong to it
override N: u32;            // columns of W and dx, a multiple of 4
override STRIDE: u32;       // columns of dy (more than K where W is a shard)
override ACCUMULATE: u32;   // 1: dx is added to

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> dy: array<f32>;               // [rows, STRIDE]
@group(0) @binding(2) var<storage, read> w: array<vec4<f32>>;          // [K, N]
@group(0) @binding(3) var<storage, read_write> dx: array<vec4<f32>>;   // [rows, N]

fn inner() -> u32 { return K; }
fn row_count() -> u32 { return params.rows; }
fn vectors() -> u32 { return N / 4u; }

fn dy_at(row: u32, k: u32) -> f32 {
    if k >= K { return 0.0; }
    return dy[min(row, params.rows - 1u) * STRIDE + params.first_column + k];
}
// Four numbers of a row lie together, but need not start at a multiple of four.
fn dy_vector(row: u32, k: u32) -> vec4<f32> {
    return vec4<f32>(dy_at(row, k), dy_at(row, k + 1u), dy_at(row, k + 2u), dy_at(row, k + 3u));
}
fn left_block(row: u32, k: u32) -> mat4x4<f32> {
    return transpose(mat4x4<f32>(
        dy_vector(row, k), dy_vector(row + 1u, k), dy_vector(row + 2u, k), dy_vector(row + 3u, k)));
}

fn w_at(vector: u32, k: u32) -> vec4<f32> {
    if k >= K { return vec4<f32>(); }
    return w[k * (N / 4u) + vector];
}
fn right_block(vector: u32, k: u32) -> mat4x4<f32> {
    return mat4x4<f32>(w_at(vector, k), w_at(vector, k + 1u), w_at(vector, k + 2u), w_at(vector, k + 3u));
}

fn store(row: u32, vector: u32, sum: vec4<f32>) {
    let at = row * (N / 4u) + vector;
    if ACCUMULATE == 1u { dx[at] += sum; } else { dx[at] = sum; }
}
#import matrix_tile
