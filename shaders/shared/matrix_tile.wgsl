// One tile of a product [rows, inner] [inner, columns]: outer products of four rows and four columns, summed
// in registers, over DEPTH inner indices at a time in workgroup memory. While a step is multiplied, the next
// one's numbers are on their way from memory; two buffers take turns, so that a step has one barrier.
//
// The importing shader gives inner(), row_count(), vectors() (of four columns of the result), store(row,
// vector, sum), and blocks of 4 x 4 of the operands, column j of the matrix for inner index k + j, zero where
// that is not below inner(): left_block(row, k), right_block(vector, k). Rows and vectors are clamped before.
//
// An invocation stages at most one block a step: kernels/tiles/matrix_tile.rs chooses cuts where there are
// enough invocations. It writes whole vectors, since WGSL lets a store of one component write all of its
// vector.
//
// Ladder, H100 (Vulkan), f32, prototypes, GFLOP/s of 61 100 at 1024^3 | 4096 x 256 x 768 | 1024 x 256 x 256:
//   vectors along k, dot products, two barriers    20 300 | 19 900 |  4 600  (replaced)
//   the same without bounds checks                 22 200 | 21 700 |  5 000
//   dot products, prefetched, two buffers, 8x8     31 900 | 30 900 |  7 000
//   outer products, prefetched, 64x64, 8x4         31 300 | 30 900 | 10 800  chosen for large
//   the same in 4x4, 256 invocations               28 800 | 28 200 | 11 000
//   64x32, 4x4                                     25 300 | 24 900 | 15 300  chosen for small
//   this file, 64x64, 4x4 (as chosen there)        19 500                     128 of 256 invocations stage
//   64x64, 8x8, loops written out                  33 600 | 33 000 |  7 100  in loops: slow
override GROUP_X: u32;      // invocations along columns
override GROUP_Y: u32;      // invocations along rows
override ROWS: u32;         // rows an invocation owns: 4 or 8
override COLUMNS: u32;      // columns an invocation owns: 4 or 8
override LEFT_SIZE: u32;    // 2 * DEPTH * GROUP_Y * ROWS / 4
override RIGHT_SIZE: u32;   // 2 * DEPTH * GROUP_X * COLUMNS / 4
const DEPTH: u32 = 16u;

var<workgroup> tile_left: array<vec4<f32>, LEFT_SIZE>;   // [2, DEPTH, GROUP_Y * ROWS / 4], vectors along rows
var<workgroup> tile_right: array<vec4<f32>, RIGHT_SIZE>; // [2, DEPTH, GROUP_X * COLUMNS / 4], along columns
// Loops over these have bounds known when the pipeline is made, so that drivers unroll them and keep these in
// registers.
var<private> sum: array<vec4<f32>, 16>;                  // [ROWS, COLUMNS / 4]
var<private> next: mat4x4<f32>;                          // this invocation's block of the next step

// The block of invocation i: neighbours take neighbouring rows, or vectors, of the same inner indices.
fn fetch(i: u32, first_row: u32, first_vector: u32, k: u32) {
    let across = GROUP_Y * ROWS / 4u;
    let blocks = across * (DEPTH / 4u);
    if i < blocks {
        next = left_block(first_row + 4u * (i % across), k + 4u * (i / across));
    } else {
        let wide = GROUP_X * COLUMNS / 4u;
        let at = i - blocks;
        if at < wide * (DEPTH / 4u) {
            next = right_block(min(first_vector + at % wide, vectors() - 1u), k + 4u * (at / wide));
        }
    }
}

fn keep(i: u32, buffer: u32) {
    let across = GROUP_Y * ROWS / 4u;
    let blocks = across * (DEPTH / 4u);
    if i < blocks {
        let at = (buffer * DEPTH + 4u * (i / across)) * across + i % across;
        for (var j = 0u; j < 4u; j++) { tile_left[at + j * across] = next[j]; }
    } else {
        let wide = GROUP_X * COLUMNS / 4u;
        let block = i - blocks;
        if block < wide * (DEPTH / 4u) {
            let at = (buffer * DEPTH + 4u * (block / wide)) * wide + block % wide;
            for (var j = 0u; j < 4u; j++) { tile_right[at + j * wide] = next[j]; }
        }
    }
}

fn multiply(buffer: u32, x: u32, y: u32) {
    let across = GROUP_Y * ROWS / 4u;
    let wide = GROUP_X * COLUMNS / 4u;
    var b = array<vec4<f32>, 2>();
    for (var k = 0u; k < DEPTH; k++) {
        let left = (buffer * DEPTH + k) * across + y;
        let right = (buffer * DEPTH + k) * wide + x;
        for (var c = 0u; c < COLUMNS / 4u; c++) { b[c] = tile_right[right + c * GROUP_X]; }
        for (var r = 0u; r < ROWS / 4u; r++) {
            let a = tile_left[left + r * GROUP_Y];
            for (var c = 0u; c < COLUMNS / 4u; c++) {
                let at = 4u * r * (COLUMNS / 4u) + c;
                sum[at] = fma(vec4<f32>(a.x), b[c], sum[at]);
                sum[at + COLUMNS / 4u] = fma(vec4<f32>(a.y), b[c], sum[at + COLUMNS / 4u]);
                sum[at + COLUMNS / 2u] = fma(vec4<f32>(a.z), b[c], sum[at + COLUMNS / 2u]);
                sum[at + 3u * (COLUMNS / 4u)] = fma(vec4<f32>(a.w), b[c], sum[at + 3u * (COLUMNS / 4u)]);
            }
        }
    }
}

@compute @workgroup_size(GROUP_X, GROUP_Y)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(local_invocation_id) local: vec3<u32>,
    @builtin(local_invocation_index) index: u32,
) {
    let first_row = group.y * GROUP_Y * ROWS;
    let first_vector = group.x * (GROUP_X * COLUMNS / 4u);
    fetch(index, first_row, first_vector, 0u);
    keep(index, 0u);
    workgroupBarrier();
    var buffer = 0u;
    for (var k = DEPTH; k < inner(); k += DEPTH) {
        fetch(index, first_row, first_vector, k);
        multiply(buffer, local.x, local.y);
        buffer = 1u - buffer;
        keep(index, buffer);
        workgroupBarrier();
    }
    multiply(buffer, local.x, local.y);
    // No early exit: a loop that may break is not unrolled, and the sums would live in memory.
    for (var r = 0u; r < ROWS; r++) {
        let row = first_row + 4u * (local.y + r / 4u * GROUP_Y) + r % 4u;
        for (var c = 0u; c < COLUMNS / 4u; c++) {
            let vector = first_vector + local.x + c * GROUP_X;
            if row < row_count() && vector < vectors() { store(row, vector, sum[r * (COLUMNS / 4u) + c]); }
        }
    }
}
