// One tile of a product [rows, inner] [inner, 4 vectors] whose right operand lies row after row in vectors of
// four, as in the gradients of a linear layer: outer products of a column of the left operand and a row of
// the right one. The importing shader gives inner(), row_count(), vectors() (of a row of the right operand),
// left(row, k), right(k, vector), store(row, vector, sum) and staged(i): row and vector along k of item i of the
// left tile, such that neighbours read neighbours.
//
// Ladder. Reference: kernels/linear/linear_grad_*.rs (GEMM on the CPU). Here: the tiles of linear.wgsl, with as
// many loads from workgroup memory for a multiply-add as there.
#import matrix_tile
var<workgroup> tile_left: array<vec4<f32>, TILE_X>;  // [GROUP_Y * ROWS, STEP], vectors along k
var<workgroup> tile_right: array<vec4<f32>, TILE_W>; // [4 * STEP, GROUP_X * COLUMNS / 4], vectors along columns

fn left_or_zero(row: u32, k: u32) -> f32 {
    if k >= inner() { return 0.0; }
    return left(row, k);
}

@compute @workgroup_size(GROUP_X, GROUP_Y)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_id) local: vec3<u32>, @builtin(local_invocation_index) index: u32) {
    let across = GROUP_X * COLUMNS / 4u;
    let first_vector = group.x * across;
    let first_row = group.y * GROUP_Y * ROWS;
    let vector = first_vector + local.x;
    let row = first_row + local.y * ROWS;
    var sum = array<vec4<f32>, 16>(); // [ROWS, COLUMNS / 4]
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
    // No early exit: a loop that may break is not unrolled, and the sums would live in memory.
    for (var r = 0u; r < ROWS; r++) {
        for (var c = 0u; c < COLUMNS / 4u; c++) {
            if row + r < row_count() && vector + c * GROUP_X < vectors() {
                store(row + r, vector + c * GROUP_X, sum[r * (COLUMNS / 4u) + c]);
            }
        }
    }
}
