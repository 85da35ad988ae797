// permutations: [F16] [BIAS|RESIDUAL]
// y = x W^T (+ bias) (+ residual), many rows.
//
// Ladder. Reference: kernels/linear/linear.rs (GEMM on the CPU). Naive: one output an invocation, 2 loads for
// 4 multiply-adds. Here: ROWS x COLUMNS outputs an invocation in registers, both operands staged in workgroup
// memory, so a step of four along k loads ROWS + COLUMNS vectors for 4 * ROWS * COLUMNS multiply-adds
// (shared/matrix_tile.wgsl). On an H100 an earlier form of it reached 4 to 22 % of the peak.
#import half4
struct Params { rows: u32, first_column: u32 }
override K: u32;            // inner size, a multiple of 4
override N: u32;            // rows of W in this dispatch
override STRIDE: u32;       // columns of y (more than N where W is a shard)
#import matrix_tile

#import linear_bindings

var<workgroup> tile_x: array<vec4<f32>, TILE_X>; // [GROUP_Y * ROWS, STEP]
var<workgroup> tile_w: array<vec4<f32>, TILE_W>; // [STEP, GROUP_X * COLUMNS + 1]
#import dot_add

@compute @workgroup_size(GROUP_X, GROUP_Y)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_id) local: vec3<u32>, @builtin(local_invocation_index) index: u32) {
    let first_column = group.x * GROUP_X * COLUMNS;
    let first_row = group.y * GROUP_Y * ROWS;
    let column = first_column + local.x;
    let row = first_row + local.y * ROWS;
    // Bounds known when the pipeline is made, so that drivers unroll the loops and keep these in
    // registers.
    var sum = array<f32, 64>(); // [ROWS, COLUMNS]
    var b = array<vec4<f32>, 8>(); // [COLUMNS]
    let across = GROUP_X * COLUMNS + 1u;
    for (var k = 0u; k < K / 4u; k += STEP) {
        for (var i = index; i < GROUP_Y * ROWS * STEP; i += GROUP_X * GROUP_Y) {
            let kk = k + i % STEP;
            var value = vec4<f32>();
            if kk < K / 4u { value = x[min(first_row + i / STEP, params.rows - 1u) * (K / 4u) + kk]; }
            tile_x[i] = value;
        }
        for (var i = index; i < GROUP_X * COLUMNS * STEP; i += GROUP_X * GROUP_Y) {
            let kk = k + i % STEP;
            var value = vec4<f32>();
            if kk < K / 4u { value = weight4(w[min(first_column + i / STEP, N - 1u) * (K / 4u) + kk]); }
            tile_w[i % STEP * across + i / STEP] = value;
        }
        workgroupBarrier();
        for (var s = 0u; s < STEP; s++) {
            for (var c = 0u; c < COLUMNS; c++) { b[c] = tile_w[s * across + local.x + c * GROUP_X]; }
            for (var r = 0u; r < ROWS; r++) {
                let a = tile_x[(local.y * ROWS + r) * STEP + s];
                for (var c = 0u; c < COLUMNS; c++) { sum[r * COLUMNS + c] = dot_add(sum[r * COLUMNS + c], a, b[c]); }
            }
        }
        workgroupBarrier();
    }
    // No early exit: a loop that may break is not unrolled, and the sums would live in memory.
    for (var r = 0u; r < ROWS; r++) {
        for (var c = 0u; c < COLUMNS; c++) {
            if row + r < params.rows && column + c * GROUP_X < N {
                let out = params.first_column + column + c * GROUP_X;
                var value = sum[r * COLUMNS + c];
#ifdef BIAS
                value += bias[out];
#endif
#ifdef RESIDUAL
                value += residual[(row + r) * STRIDE + out];
#endif
                y[(row + r) * STRIDE + out] = value;
            }
        }
    }
}
