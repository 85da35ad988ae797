// y = x W^T (+ bias) (+ residual), many rows.
//
// Ladder. Reference: kernels/linear.rs (GEMM on the CPU). Naive: one output an invocation, 2 loads for 4
// multiply-adds. Here: ROWS x COLUMNS outputs an invocation in registers, so a step of four along k loads
// ROWS + COLUMNS vectors for 4 * ROWS * COLUMNS multiply-adds; kernels/linear.rs chooses the tile. SHARED
// stages both operands in workgroup memory first (real GPUs; not measured on one yet); without it the loads
// go to the cache directly. Software adapters, GFLOP/s by CPU time of two cores, medians of 3 to 5 while
// other work kept the machine busy (single rounds differ by up to half). A first run, by tiles written out by
// hand for the purpose, at 512^3:
//                                     lavapipe 22.3   SwiftShader
//   4x4, groups of 8x8, direct             3.3            1.4
//   8x4, groups of 8x8, direct             3.4            1.7
//   8x8, groups of 8x8, direct             4.7            2.0     chosen where there are no subgroups
//   (linear_subgroup.wgsl)
//   8x8, groups of 8x8, SHARED             6.0            1.4     at K = 192: 4.0, direct 4.6
//   8x8 in loops, direct, groups of 8x4    4.4            0.4
// A second run (now `polysketch bench tune`), by this shader, lavapipe, f32 peak then 28: 8x8 by 8x8 direct
// 4.5 at 512^3 and 5.3 at 1024^3, SHARED (in loops) 3.6 and 4.0. The two disagree on SHARED; SwiftShader
// decides for direct.
#import half4
struct Params { rows: u32, first_column: u32 }
override K: u32;            // inner size, a multiple of 4
override N: u32;            // rows of W in this dispatch
override STRIDE: u32;       // columns of y (more than N where W is a shard)
override GROUP_X: u32;      // invocations along columns
override GROUP_Y: u32;      // invocations along rows
override ROWS: u32;         // rows an invocation owns, at most 8
override COLUMNS: u32;      // columns an invocation owns, GROUP_X apart, at most 8

#import linear_bindings

#ifdef SHARED
const STEP: u32 = 4u; // vectors along k staged at once
override TILE_X: u32; // GROUP_Y * ROWS * STEP
override TILE_W: u32; // (GROUP_X * COLUMNS + 1) * STEP: with one more, vectors that are stored together lie in different banks
var<workgroup> tile_x: array<vec4<f32>, TILE_X>; // [GROUP_Y * ROWS, STEP]
var<workgroup> tile_w: array<vec4<f32>, TILE_W>; // [STEP, GROUP_X * COLUMNS + 1]
#import dot_add
#endif

@compute @workgroup_size(GROUP_X, GROUP_Y)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_id) local: vec3<u32>, @builtin(local_invocation_index) index: u32) {
    let first_column = group.x * GROUP_X * COLUMNS;
    let first_row = group.y * GROUP_Y * ROWS;
    let column = first_column + local.x;
    let row = first_row + local.y * ROWS;
    // With SHARED: bounds known when the pipeline is made, so that drivers unroll the loops and keep these in
    // registers.
    var sum = array<f32, 64>(); // [ROWS, COLUMNS]
#ifdef SHARED
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
#else
    // ROWS = COLUMNS = 8, written out: SwiftShader unrolls nothing, and an indexed array is memory there.
    let w0 = min(column + 0u * GROUP_X, N - 1u) * (K / 4u);
    let w1 = min(column + 1u * GROUP_X, N - 1u) * (K / 4u);
    let w2 = min(column + 2u * GROUP_X, N - 1u) * (K / 4u);
    let w3 = min(column + 3u * GROUP_X, N - 1u) * (K / 4u);
    let w4 = min(column + 4u * GROUP_X, N - 1u) * (K / 4u);
    let w5 = min(column + 5u * GROUP_X, N - 1u) * (K / 4u);
    let w6 = min(column + 6u * GROUP_X, N - 1u) * (K / 4u);
    let w7 = min(column + 7u * GROUP_X, N - 1u) * (K / 4u);
    let x0 = min(row + 0u, params.rows - 1u) * (K / 4u);
    let x1 = min(row + 1u, params.rows - 1u) * (K / 4u);
    let x2 = min(row + 2u, params.rows - 1u) * (K / 4u);
    let x3 = min(row + 3u, params.rows - 1u) * (K / 4u);
    let x4 = min(row + 4u, params.rows - 1u) * (K / 4u);
    let x5 = min(row + 5u, params.rows - 1u) * (K / 4u);
    let x6 = min(row + 6u, params.rows - 1u) * (K / 4u);
    let x7 = min(row + 7u, params.rows - 1u) * (K / 4u);
    var l0 = vec4<f32>();
    var r0 = vec4<f32>();
    var l1 = vec4<f32>();
    var r1 = vec4<f32>();
    var l2 = vec4<f32>();
    var r2 = vec4<f32>();
    var l3 = vec4<f32>();
    var r3 = vec4<f32>();
    var l4 = vec4<f32>();
    var r4 = vec4<f32>();
    var l5 = vec4<f32>();
    var r5 = vec4<f32>();
    var l6 = vec4<f32>();
    var r6 = vec4<f32>();
    var l7 = vec4<f32>();
    var r7 = vec4<f32>();
    for (var k = 0u; k < K / 4u; k++) {
        let b0 = weight4(w[w0 + k]);
        let b1 = weight4(w[w1 + k]);
        let b2 = weight4(w[w2 + k]);
        let b3 = weight4(w[w3 + k]);
        let b4 = weight4(w[w4 + k]);
        let b5 = weight4(w[w5 + k]);
        let b6 = weight4(w[w6 + k]);
        let b7 = weight4(w[w7 + k]);
        let a0 = x[x0 + k];
        l0 += vec4<f32>(dot(a0, b0), dot(a0, b1), dot(a0, b2), dot(a0, b3));
        r0 += vec4<f32>(dot(a0, b4), dot(a0, b5), dot(a0, b6), dot(a0, b7));
        let a1 = x[x1 + k];
        l1 += vec4<f32>(dot(a1, b0), dot(a1, b1), dot(a1, b2), dot(a1, b3));
        r1 += vec4<f32>(dot(a1, b4), dot(a1, b5), dot(a1, b6), dot(a1, b7));
        let a2 = x[x2 + k];
        l2 += vec4<f32>(dot(a2, b0), dot(a2, b1), dot(a2, b2), dot(a2, b3));
        r2 += vec4<f32>(dot(a2, b4), dot(a2, b5), dot(a2, b6), dot(a2, b7));
        let a3 = x[x3 + k];
        l3 += vec4<f32>(dot(a3, b0), dot(a3, b1), dot(a3, b2), dot(a3, b3));
        r3 += vec4<f32>(dot(a3, b4), dot(a3, b5), dot(a3, b6), dot(a3, b7));
        let a4 = x[x4 + k];
        l4 += vec4<f32>(dot(a4, b0), dot(a4, b1), dot(a4, b2), dot(a4, b3));
        r4 += vec4<f32>(dot(a4, b4), dot(a4, b5), dot(a4, b6), dot(a4, b7));
        let a5 = x[x5 + k];
        l5 += vec4<f32>(dot(a5, b0), dot(a5, b1), dot(a5, b2), dot(a5, b3));
        r5 += vec4<f32>(dot(a5, b4), dot(a5, b5), dot(a5, b6), dot(a5, b7));
        let a6 = x[x6 + k];
        l6 += vec4<f32>(dot(a6, b0), dot(a6, b1), dot(a6, b2), dot(a6, b3));
        r6 += vec4<f32>(dot(a6, b4), dot(a6, b5), dot(a6, b6), dot(a6, b7));
        let a7 = x[x7 + k];
        l7 += vec4<f32>(dot(a7, b0), dot(a7, b1), dot(a7, b2), dot(a7, b3));
        r7 += vec4<f32>(dot(a7, b4), dot(a7, b5), dot(a7, b6), dot(a7, b7));
    }
    let left = array<vec4<f32>, 8>(l0, l1, l2, l3, l4, l5, l6, l7);
    let right = array<vec4<f32>, 8>(r0, r1, r2, r3, r4, r5, r6, r7);
    for (var r = 0u; r < 8u; r++) {
        for (var c = 0u; c < 4u; c++) {
            sum[r * 8u + c] = left[r][c];
            sum[r * 8u + 4u + c] = right[r][c];
        }
    }
#endif
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
