// dx (+)= dy W: the gradient of a linear layer's input. Reference: kernels/linear/linear_grad_input.rs; the
// ladder is in shared/matrix_product.wgsl.
struct Params { rows: u32, first_column: u32 }
override K: u32;            // rows of W: columns of dy that belong to it
override N: u32;            // columns of W and dx, a multiple of 4
override STRIDE: u32;       // columns of dy (more than K where W is a shard)
override ACCUMULATE: u32;   // 1: dx is added to

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> dy: array<f32>;               // [rows, STRIDE]
@group(0) @binding(2) var<storage, read> w: array<vec4<f32>>;          // [K, N]
@group(0) @binding(3) var<storage, read_write> dx: array<vec4<f32>>;   // [rows, N]

fn inner(part: u32) -> u32 { return K; }
fn row_count() -> u32 { return params.rows; }
fn vectors() -> u32 { return N / 4u; }

fn dy_at(row: u32, k: u32) -> f32 {
    if k >= K { return 0.0; }
    return dy[min(row, params.rows - 1u) * STRIDE + params.first_column + k];
}
// Four numbers of a row lie together, but need not start at a multiple of four.
fn dy_vector(row: u32, k: u32) -> vec4<f32> {
    var vector = vec4<f32>();
    for (var j = 0u; j < 4u; j++) { vector[j] = dy_at(row, k + j); }
    return vector;
}
fn left_block(row: u32, k: u32) -> mat4x4<f32> {
    var block = mat4x4<f32>();
    for (var i = 0u; i < 4u; i++) { block[i] = dy_vector(row + i, k); }
    return transpose(block);
}

fn w_at(vector: u32, k: u32) -> vec4<f32> {
    return select(vec4<f32>(), w[min(k, K - 1u) * (N / 4u) + vector], k < K);
}
fn right_block(vector: u32, k: u32) -> mat4x4<f32> {
    var block = mat4x4<f32>();
    for (var j = 0u; j < 4u; j++) { block[j] = w_at(vector, k + j); }
    return block;
}

fn store(row: u32, vector: u32, sum: vec4<f32>) {
    let at = row * (N / 4u) + vector;
    if ACCUMULATE == 1u { dx[at] += sum; } else { dx[at] = sum; }
}
#import matrix_product
