// One tile of a product [rows, inner] [inner, 4 vectors] whose right operand lies row after row in vectors of
// four, as in the gradients of a linear layer: outer products of a column of the left operand and a row of
// the right one. The importing shader gives inner(), row_count(), vectors() (of a row of the right operand),
// left(row, k), right(k, vector), store(row, vector, sum) and, with SHARED, staged(i): row and vector along k
// of item i of the left tile, such that neighbours read neighbours.
//
// Ladder. Reference: kernels/linear_grad_*.rs (GEMM on the CPU). The tiles are those of linear.wgsl
// (kernels/linear.rs chooses), with as many scalar loads for a multiply-add as there; SHARED is for real GPUs
// and not measured on one yet. Software adapters, GFLOP/s at 512 x 512 x 1024 while other work kept the
// machine busy, linear.wgsl beside it at 2.3 (lavapipe) and 0.8 (SwiftShader):
//                                      lavapipe   SwiftShader
//   8x8, groups of 8x8, one k at a time   1.5         0.5
//   the same, four k at a time            1.5         0.7     chosen
// What is left on lavapipe is the left operand, loaded as single numbers: its rows need not start at a
// multiple of four.
override GROUP_X: u32;      // invocations along columns
override GROUP_Y: u32;      // invocations along rows
override ROWS: u32;         // rows an invocation owns, at most 8
override COLUMNS: u32;      // columns an invocation owns, 4 or 8: vectors GROUP_X apart

#ifdef SHARED
const STEP: u32 = 4u; // vectors along k staged at once
override TILE_X: u32; // GROUP_Y * ROWS * STEP
override TILE_W: u32; // (GROUP_X * COLUMNS + 1) * STEP, as in linear.wgsl; the last STEP are not used
var<workgroup> tile_left: array<vec4<f32>, TILE_X>;  // [GROUP_Y * ROWS, STEP], vectors along k
var<workgroup> tile_right: array<vec4<f32>, TILE_W>; // [4 * STEP, GROUP_X * COLUMNS / 4], vectors along columns

fn left_or_zero(row: u32, k: u32) -> f32 {
    if k >= inner() { return 0.0; }
    return left(row, k);
}
#endif

@compute @workgroup_size(GROUP_X, GROUP_Y)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_id) local: vec3<u32>, @builtin(local_invocation_index) index: u32) {
    let across = GROUP_X * COLUMNS / 4u;
    let first_vector = group.x * across;
    let first_row = group.y * GROUP_Y * ROWS;
    let vector = first_vector + local.x;
    let row = first_row + local.y * ROWS;
    var sum = array<vec4<f32>, 16>(); // [ROWS, COLUMNS / 4]
#ifdef SHARED
    for (var k = 0u; k < inner(); k += 4u * STEP) {
        for (var i = index; i < GROUP_Y * ROWS * STEP; i += GROUP_X * GROUP_Y) {
            let at = staged(i);
            let from_row = min(first_row + at.x, row_count() - 1u);
            let kk = k + 4u * at.y;
            tile_left[at.x * STEP + at.y] =
                vec4<f32>(left_or_zero(from_row, kk), left_or_zero(from_row, kk + 1u), left_or_zero(from_row, kk + 2u), left_or_zero(from_row, kk + 3u));
        }
        for (var i = index; i < across * 4u * STEP; i += GROUP_X * GROUP_Y) {
            let kk = k + i / across;
            var value = vec4<f32>();
            if kk < inner() { value = right(kk, min(first_vector + i % across, vectors() - 1u)); }
            tile_right[i] = value;
        }
        workgroupBarrier();
        for (var s = 0u; s < STEP; s++) {
            for (var c = 0u; c < COLUMNS / 4u; c++) {
                let at = 4u * s * across + local.x + c * GROUP_X;
                let b0 = tile_right[at];
                let b1 = tile_right[at + across];
                let b2 = tile_right[at + 2u * across];
                let b3 = tile_right[at + 3u * across];
                for (var r = 0u; r < ROWS; r++) {
                    let a = tile_left[(local.y * ROWS + r) * STEP + s];
                    let i = r * (COLUMNS / 4u) + c;
                    sum[i] += a.x * b0;
                    sum[i] += a.y * b1;
                    sum[i] += a.z * b2;
                    sum[i] += a.w * b3;
                }
            }
        }
        workgroupBarrier();
    }
#else
    // ROWS = COLUMNS = 8, written out, as in linear.wgsl.
    let c0 = min(vector, vectors() - 1u);
    let c1 = min(vector + GROUP_X, vectors() - 1u);
    let r0 = min(row + 0u, row_count() - 1u);
    let r1 = min(row + 1u, row_count() - 1u);
    let r2 = min(row + 2u, row_count() - 1u);
    let r3 = min(row + 3u, row_count() - 1u);
    let r4 = min(row + 4u, row_count() - 1u);
    let r5 = min(row + 5u, row_count() - 1u);
    let r6 = min(row + 6u, row_count() - 1u);
    let r7 = min(row + 7u, row_count() - 1u);
    var s00 = vec4<f32>();
    var s01 = vec4<f32>();
    var s10 = vec4<f32>();
    var s11 = vec4<f32>();
    var s20 = vec4<f32>();
    var s21 = vec4<f32>();
    var s30 = vec4<f32>();
    var s31 = vec4<f32>();
    var s40 = vec4<f32>();
    var s41 = vec4<f32>();
    var s50 = vec4<f32>();
    var s51 = vec4<f32>();
    var s60 = vec4<f32>();
    var s61 = vec4<f32>();
    var s70 = vec4<f32>();
    var s71 = vec4<f32>();
    // Four along k at once, so that the sums are touched once for four multiply-adds.
    for (var k = 0u; k + 4u <= inner(); k += 4u) {
        let b00 = right(k + 0u, c0);
        let b01 = right(k + 0u, c1);
        let b10 = right(k + 1u, c0);
        let b11 = right(k + 1u, c1);
        let b20 = right(k + 2u, c0);
        let b21 = right(k + 2u, c1);
        let b30 = right(k + 3u, c0);
        let b31 = right(k + 3u, c1);
        let a0 = vec4<f32>(left(r0, k), left(r0, k + 1u), left(r0, k + 2u), left(r0, k + 3u));
        s00 += a0.x * b00 + a0.y * b10 + a0.z * b20 + a0.w * b30;
        s01 += a0.x * b01 + a0.y * b11 + a0.z * b21 + a0.w * b31;
        let a1 = vec4<f32>(left(r1, k), left(r1, k + 1u), left(r1, k + 2u), left(r1, k + 3u));
        s10 += a1.x * b00 + a1.y * b10 + a1.z * b20 + a1.w * b30;
        s11 += a1.x * b01 + a1.y * b11 + a1.z * b21 + a1.w * b31;
        let a2 = vec4<f32>(left(r2, k), left(r2, k + 1u), left(r2, k + 2u), left(r2, k + 3u));
        s20 += a2.x * b00 + a2.y * b10 + a2.z * b20 + a2.w * b30;
        s21 += a2.x * b01 + a2.y * b11 + a2.z * b21 + a2.w * b31;
        let a3 = vec4<f32>(left(r3, k), left(r3, k + 1u), left(r3, k + 2u), left(r3, k + 3u));
        s30 += a3.x * b00 + a3.y * b10 + a3.z * b20 + a3.w * b30;
        s31 += a3.x * b01 + a3.y * b11 + a3.z * b21 + a3.w * b31;
        let a4 = vec4<f32>(left(r4, k), left(r4, k + 1u), left(r4, k + 2u), left(r4, k + 3u));
        s40 += a4.x * b00 + a4.y * b10 + a4.z * b20 + a4.w * b30;
        s41 += a4.x * b01 + a4.y * b11 + a4.z * b21 + a4.w * b31;
        let a5 = vec4<f32>(left(r5, k), left(r5, k + 1u), left(r5, k + 2u), left(r5, k + 3u));
        s50 += a5.x * b00 + a5.y * b10 + a5.z * b20 + a5.w * b30;
        s51 += a5.x * b01 + a5.y * b11 + a5.z * b21 + a5.w * b31;
        let a6 = vec4<f32>(left(r6, k), left(r6, k + 1u), left(r6, k + 2u), left(r6, k + 3u));
        s60 += a6.x * b00 + a6.y * b10 + a6.z * b20 + a6.w * b30;
        s61 += a6.x * b01 + a6.y * b11 + a6.z * b21 + a6.w * b31;
        let a7 = vec4<f32>(left(r7, k), left(r7, k + 1u), left(r7, k + 2u), left(r7, k + 3u));
        s70 += a7.x * b00 + a7.y * b10 + a7.z * b20 + a7.w * b30;
        s71 += a7.x * b01 + a7.y * b11 + a7.z * b21 + a7.w * b31;
    }
    sum = array<vec4<f32>, 16>(s00, s01, s10, s11, s20, s21, s30, s31, s40, s41, s50, s51, s60, s61, s70, s71);
    for (var k = inner() / 4u * 4u; k < inner(); k++) {
        for (var r = 0u; r < 8u; r++) {
            let a = left(min(row + r, row_count() - 1u), k);
            sum[2u * r] += a * right(k, c0);
            sum[2u * r + 1u] += a * right(k, c1);
        }
    }
#endif
    // No early exit: a loop that may break is not unrolled, and the sums would live in memory.
    for (var r = 0u; r < ROWS; r++) {
        for (var c = 0u; c < COLUMNS / 4u; c++) {
            if row + r < row_count() && vector + c * GROUP_X < vectors() {
                store(row + r, vector + c * GROUP_X, sum[r * (COLUMNS / 4u) + c]);
            }
        }
    }
}
