// dW += dy^T x: the gradient of a linear layer's weights. Reference: kernels/linear/linear_grad_weight.rs;
// the ladder is in shared/matrix_tile.wgsl. Every workgroup goes over all rows: where dW is small and the
// rows are many, cutting the rows as well would keep more of a large GPU busy. Not done: it takes partial
// sums and another pass.
struct Params { rows: u32, first_column: u32 }
override M: u32;            // rows of dW: columns of dy that belong to it
override N: u32;            // columns of dW and x, a multiple of 4
override STRIDE: u32;       // columns of dy (more than M where W is a shard)

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> dy: array<f32>;               // [rows, STRIDE]
@group(0) @binding(2) var<storage, read> x: array<vec4<f32>>;          // [rows, N]
@group(0) @binding(3) var<storage, read_write> dw: array<vec4<f32>>;   // [M, N]

fn inner() -> u32 { return params.rows; }
fn row_count() -> u32 { return M; }
fn vectors() -> u32 { return N / 4u; }

fn dy_vector(row: u32, k: u32) -> vec4<f32> {
    if k >= params.rows { return vec4<f32>(); }
    let at = k * STRIDE + params.first_column;
    return vec4<f32>(
        dy[at + min(row, M - 1u)], dy[at + min(row + 1u, M - 1u)], dy[at + min(row + 2u, M - 1u)],
        dy[at + min(row + 3u, M - 1u)]);
}
fn left_block(row: u32, k: u32) -> mat4x4<f32> {
    return mat4x4<f32>(
        dy_vector(row, k), dy_vector(row, k + 1u), dy_vector(row, k + 2u), dy_vector(row, k + 3u));
}

fn x_at(vector: u32, k: u32) -> vec4<f32> {
    if k >= params.rows { return vec4<f32>(); }
    return x[k * (N / 4u) + vector];
}
fn right_block(vector: u32, k: u32) -> mat4x4<f32> {
    return mat4x4<f32>(x_at(vector, k), x_at(vector, k + 1u), x_at(vector, k + 2u), x_at(vector, k + 3u));
}

fn store(row: u32, vector: u32, sum: vec4<f32>) { dw[row * (N / 4u) + vector] += sum; }
#import matrix_tile
