// A tile of a result, as sums of outer products of rows and columns, in registers. DEPTH inner indices of
// both operands lie in workgroup memory at a time; two buffers take turns, so that a step has one barrier,
// and while a step is multiplied, the next one's numbers are on their way from memory
// (shared/tile_product.wgsl).
//
// Operands come in blocks of 4 x 4, of which an invocation stages at most one a step: kernels/tiles chooses
// cuts where there are enough invocations. It writes whole vectors, since WGSL lets a store of one component
// write all of its vector. Kernels read a block in a loop of four, which every driver unrolls;
// written out, they take SwiftShader's compiler up to twice as long.
override GROUP_X: u32;      // invocations along columns
override GROUP_Y: u32;      // invocations along rows
override ROWS: u32;         // rows an invocation owns: 4 or 8
override COLUMNS: u32;      // columns an invocation owns: a multiple of 4, ROWS * COLUMNS at most 64
override DEPTH: u32;        // inner indices of a step: a multiple of 4
override LEFT_SIZE: u32;    // at least 2 * DEPTH * GROUP_Y * ROWS / 4
override RIGHT_SIZE: u32;   // 2 * DEPTH * GROUP_X * COLUMNS / 4

var<workgroup> tile_left: array<vec4<f32>, LEFT_SIZE>;   // [2, DEPTH, GROUP_Y * ROWS / 4], vectors along rows
var<workgroup> tile_right: array<vec4<f32>, RIGHT_SIZE>; // [2, DEPTH, GROUP_X * COLUMNS / 4], along columns
// Loops over these have bounds known when the pipeline is made, so that drivers unroll them and keep these in
// registers.
var<private> sum: array<vec4<f32>, 16>;                  // [ROWS, COLUMNS / 4]
var<private> next: mat4x4<f32>;                          // this invocation's block of the next step
var<private> buffer: u32;                                  // the buffer of the step at hand
var<private> here: vec3<u32>;                            // x, y, index in the workgroup

// Row r of an invocation, and its vector c of columns, in the tile.
fn row_of(r: u32) -> u32 { return 4u * (here.y + r / 4u * GROUP_Y) + r % 4u; }
fn vector_of(c: u32) -> u32 { return here.x + c * GROUP_X; }
fn vectors_sum() -> u32 { return COLUMNS / 4u; }

// Of the staged left operand at inner index k of the step, the invocation's rows 4 r .. 4 r + 3.
fn staged_left(k: u32, r: u32) -> vec4<f32> {
    return tile_left[buffer * (LEFT_SIZE / 2u) + k * (GROUP_Y * ROWS / 4u) + here.y + r * GROUP_Y];
}
// Blocks of the left operand in a step.
fn left_blocks() -> u32 { return GROUP_Y * ROWS / 4u * (DEPTH / 4u); }
fn keep_left(block: u32) {
    let across = GROUP_Y * ROWS / 4u;
    let at = buffer * (LEFT_SIZE / 2u) + 4u * (block / across) * across + block % across;
    for (var j = 0u; j < 4u; j++) { tile_left[at + j * across] = next[j]; }
}
// `wide`: vectors of columns of the operand.
fn keep_right(block: u32, wide: u32) {
    let at = buffer * (RIGHT_SIZE / 2u) + 4u * (block / wide) * wide + block % wide;
    for (var j = 0u; j < 4u; j++) { tile_right[at + j * wide] = next[j]; }
}
