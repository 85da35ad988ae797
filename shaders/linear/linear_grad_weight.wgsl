// permutations: [PARTS]
// dW += dy^T x: the gradient of a linear layer's weights. Reference: kernels/linear/linear_grad_weight.rs;
// the ladder is in shared/matrix_product.wgsl. In parts, each of `share` rows, products are kept apart and summed by
// another pass: where dW is small and the rows are many, its tiles alone do not keep a large GPU busy.
struct Params { rows: u32, first_column: u32, share: u32 }
override M: u32;            // rows of dW: columns of dy that belong to it
override N: u32;            // columns of dW and x, a multiple of 4
override STRIDE: u32;       // columns of dy (more than M where W is a shard)

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> dy: array<f32>;               // [rows, STRIDE]
@group(0) @binding(2) var<storage, read> x: array<vec4<f32>>;          // [rows, N]
@group(0) @binding(3) var<storage, read_write> dw: array<vec4<f32>>;   // [M, N]; in parts [parts, M, N]

// Rows before this part, and in it.
fn before(part: u32) -> u32 { return min(part * params.share, params.rows); }
fn inner(part: u32) -> u32 { return min(params.share, params.rows - before(part)); }
fn row_count() -> u32 { return M; }
fn vectors() -> u32 { return N / 4u; }

fn dy_vector(row: u32, k: u32) -> vec4<f32> {
    var vector = vec4<f32>();
    if k < inner(slice) {
        let at = (before(slice) + k) * STRIDE + params.first_column;
        for (var i = 0u; i < 4u; i++) { vector[i] = dy[at + min(row + i, M - 1u)]; }
    }
    return vector;
}
fn left_block(row: u32, k: u32) -> mat4x4<f32> {
    var block = mat4x4<f32>();
    for (var j = 0u; j < 4u; j++) { block[j] = dy_vector(row, k + j); }
    return block;
}

fn x_at(vector: u32, k: u32) -> vec4<f32> {
    let row = min(before(slice) + k, params.rows - 1u);
    return select(vec4<f32>(), x[row * (N / 4u) + vector], k < inner(slice));
}
fn right_block(vector: u32, k: u32) -> mat4x4<f32> {
    var block = mat4x4<f32>();
    for (var j = 0u; j < 4u; j++) { block[j] = x_at(vector, k + j); }
    return block;
}

fn store(row: u32, vector: u32, sum: vec4<f32>) {
#ifdef PARTS
    dw[(slice * M + row) * (N / 4u) + vector] = sum;
#else
    dw[row * (N / 4u) + vector] += sum;
#endif
}
#import matrix_product
