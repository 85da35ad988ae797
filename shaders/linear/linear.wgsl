// permutations: [F16|Q4|Q8] [BIAS] [RESIDUAL] [MIXED+SIDE8|MIXED+SIDE16]
// y = x W^T (+ bias) (+ residual), many rows. Reference: kernels/linear/linear.rs (GEMM on the CPU); the
// ladder is in shared/matrix_product.wgsl.
#import cooperative
#import weight_rows w
struct Params { rows: u32, first_column: u32 }
override K: u32;            // inner size, a multiple of 4
override N: u32;            // rows of W in this dispatch
override STRIDE: u32;       // columns of y (more than N where W is a shard)

#import linear_bindings

fn inner(part: u32) -> u32 { return K; }
fn row_count() -> u32 { return params.rows; }
fn vectors() -> u32 { return (N + 3u) / 4u; }

fn x_at(row: u32, k: u32) -> vec4<f32> { return x[min(row, params.rows - 1u) * (K / 4u) + k / 4u]; }
fn left_block(row: u32, k: u32) -> mat4x4<f32> {
    if k >= K { return mat4x4<f32>(); }
    var block = mat4x4<f32>();
    for (var i = 0u; i < 4u; i++) { block[i] = x_at(row + i, k); }
    return transpose(block);
}

fn w_at(column: u32, k: u32) -> vec4<f32> { return w_row4(min(column, N - 1u), k / 4u, K / 4u); }
fn right_block(vector: u32, k: u32) -> mat4x4<f32> {
    if k >= K { return mat4x4<f32>(); }
    var block = mat4x4<f32>();
    for (var j = 0u; j < 4u; j++) { block[j] = w_at(4u * vector + j, k); }
    return transpose(block);
}

fn store(row: u32, vector: u32, sum: vec4<f32>) {
    for (var c = 0u; c < 4u; c++) {
        if 4u * vector + c < N {
            let out = params.first_column + 4u * vector + c;
            var value = sum[c];
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
#import matrix_product
