// y = x W^T (+ bias) (+ residual), many rows.
//
// Ladder. Reference: kernels/linear.rs (GEMM on the CPU). Naive: one output an invocation, 2 loads for 4
// multiply-adds. Here: ROWS x COLUMNS outputs an invocation in registers, so a step of four along k
// loads ROWS + COLUMNS vectors for 4 * ROWS * COLUMNS multiply-adds. SHARED stages both operands in
// workgroup memory first (real GPUs); without it the loads go to the cache directly, which is faster
// where workgroup memory is plain memory (software adapters).
#import half4
struct Params { rows: u32, first_column: u32 }
override K: u32;            // inner size, a multiple of 4
override N: u32;            // rows of W in this dispatch
override STRIDE: u32;       // columns of y (more than N where W is a shard)
override GROUP_X: u32; // invocations along columns
override GROUP_Y: u32; // invocations along rows
const ROWS: u32 = 4u;
const COLUMNS: u32 = 4u;

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<vec4<f32>>;          // [rows, K]
@group(0) @binding(2) var<storage, read> w: array<Weight4>;            // [N, K]
#ifdef BIAS
@group(0) @binding(3) var<storage, read> bias: array<f32>;             // [STRIDE]
@group(0) @binding(4) var<storage, read_write> y: array<f32>;          // [rows, STRIDE]
#else
#ifdef RESIDUAL
@group(0) @binding(3) var<storage, read> residual: array<f32>;         // [rows, STRIDE]
@group(0) @binding(4) var<storage, read_write> y: array<f32>;          // [rows, STRIDE]
#else
@group(0) @binding(3) var<storage, read_write> y: array<f32>;          // [rows, STRIDE]
#endif
#endif

#ifdef SHARED
const STEP: u32 = 4u; // vectors along k staged at once
override TILE_X: u32; // GROUP_Y * ROWS * STEP
override TILE_W: u32; // GROUP_X * COLUMNS * STEP
var<workgroup> tile_x: array<vec4<f32>, TILE_X>;
var<workgroup> tile_w: array<vec4<f32>, TILE_W>;
#endif

@compute @workgroup_size(GROUP_X, GROUP_Y)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_id) local: vec3<u32>, @builtin(local_invocation_index) index: u32) {
    let column = (group.x * GROUP_X + local.x) * COLUMNS;
    let row = (group.y * GROUP_Y + local.y) * ROWS;
    var sum = array<vec4<f32>, 4>(); // [ROWS] of COLUMNS
#ifdef SHARED
    let first_row = group.y * GROUP_Y * ROWS;
    let first_column = group.x * GROUP_X * COLUMNS;
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
            tile_w[i] = value;
        }
        workgroupBarrier();
        for (var s = 0u; s < STEP; s++) {
            let w0 = tile_w[(local.x * COLUMNS + 0u) * STEP + s];
            let w1 = tile_w[(local.x * COLUMNS + 1u) * STEP + s];
            let w2 = tile_w[(local.x * COLUMNS + 2u) * STEP + s];
            let w3 = tile_w[(local.x * COLUMNS + 3u) * STEP + s];
            for (var r = 0u; r < ROWS; r++) {
                let a = tile_x[(local.y * ROWS + r) * STEP + s];
                sum[r] += vec4<f32>(dot(a, w0), dot(a, w1), dot(a, w2), dot(a, w3));
            }
        }
        workgroupBarrier();
    }
#else
    let w0 = min(column + 0u, N - 1u) * (K / 4u);
    let w1 = min(column + 1u, N - 1u) * (K / 4u);
    let w2 = min(column + 2u, N - 1u) * (K / 4u);
    let w3 = min(column + 3u, N - 1u) * (K / 4u);
    let x0 = min(row + 0u, params.rows - 1u) * (K / 4u);
    let x1 = min(row + 1u, params.rows - 1u) * (K / 4u);
    let x2 = min(row + 2u, params.rows - 1u) * (K / 4u);
    let x3 = min(row + 3u, params.rows - 1u) * (K / 4u);
    for (var k = 0u; k < K / 4u; k++) {
        let b0 = weight4(w[w0 + k]);
        let b1 = weight4(w[w1 + k]);
        let b2 = weight4(w[w2 + k]);
        let b3 = weight4(w[w3 + k]);
        let a0 = x[x0 + k];
        let a1 = x[x1 + k];
        let a2 = x[x2 + k];
        let a3 = x[x3 + k];
        sum[0] += vec4<f32>(dot(a0, b0), dot(a0, b1), dot(a0, b2), dot(a0, b3));
        sum[1] += vec4<f32>(dot(a1, b0), dot(a1, b1), dot(a1, b2), dot(a1, b3));
        sum[2] += vec4<f32>(dot(a2, b0), dot(a2, b1), dot(a2, b2), dot(a2, b3));
        sum[3] += vec4<f32>(dot(a3, b0), dot(a3, b1), dot(a3, b2), dot(a3, b3));
    }
#endif
    for (var r = 0u; r < ROWS; r++) {
        if row + r >= params.rows { break; }
        for (var c = 0u; c < COLUMNS; c++) {
            if column + c >= N { break; }
            let out = params.first_column + column + c;
            var value = sum[r][c];
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
