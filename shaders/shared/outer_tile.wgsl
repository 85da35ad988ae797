// One tile of a product [rows, inner] [inner, 4 vectors] whose right operand lies row after row in vectors of four, as in the
// gradients of a linear layer: outer products of a column of the left operand and a row of the right one.
// The importing shader gives inner(), row_count(), vectors() (of a row of the right operand), left(row, k), right(k, vector),
// store(row, vector, sum) and, with SHARED, staged(i): row and vector along k of item i of the left tile, such that neighbours
// read neighbours.
//
// Ladder: as in linear.wgsl, whose tiles these are (kernels/linear.rs chooses). Without SHARED 8 numbers and 2 vectors are loaded
// for 64 multiply-adds: as many scalar loads as there.
override GROUP_X: u32;      // invocations along columns
override GROUP_Y: u32;      // invocations along rows
override ROWS: u32;         // rows an invocation owns, at most 8
override COLUMNS: u32;      // columns an invocation owns, 4 or 8: vectors GROUP_X apart

#ifdef SHARED
const STEP: u32 = 4u; // vectors along k staged at once
override TILE_X: u32; // GROUP_Y * ROWS * STEP
override TILE_W: u32; // GROUP_X * COLUMNS * STEP
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
                    sum[r * (COLUMNS / 4u) + c] += a.x * b0 + a.y * b1 + a.z * b2 + a.w * b3;
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
    for (var k = 0u; k < inner(); k++) {
        let b0 = right(k, c0);
        let b1 = right(k, c1);
        let a0 = left(r0, k);
        s00 += a0 * b0;
        s01 += a0 * b1;
        let a1 = left(r1, k);
        s10 += a1 * b0;
        s11 += a1 * b1;
        let a2 = left(r2, k);
        s20 += a2 * b0;
        s21 += a2 * b1;
        let a3 = left(r3, k);
        s30 += a3 * b0;
        s31 += a3 * b1;
        let a4 = left(r4, k);
        s40 += a4 * b0;
        s41 += a4 * b1;
        let a5 = left(r5, k);
        s50 += a5 * b0;
        s51 += a5 * b1;
        let a6 = left(r6, k);
        s60 += a6 * b0;
        s61 += a6 * b1;
        let a7 = left(r7, k);
        s70 += a7 * b0;
        s71 += a7 * b1;
    }
    sum = array<vec4<f32>, 16>(s00, s01, s10, s11, s20, s21, s30, s31, s40, s41, s50, s51, s60, s61, s70, s71);
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
