// Rows of coefficients (affinities, or features) times rows of values, summed in registers. A workgroup of
// GROUP_X x GROUP_Y owns ROW_TILE rows and all columns, and takes TILE keys (or features, or tokens) at a
// time. Invocation (x, y) builds the coefficients of keys x, x + GROUP_X, .. and sums vectors x, x + GROUP_X,
// .. of the result, both for rows y, y + GROUP_Y, ..: neighbours read neighbours, rows read at once lie in
// different banks. A load of 16 bytes serves 16 multiply-adds at ROWS = 8, VECTORS = 2.
// kernels/tiles/row_tile.rs chooses the numbers.
override GROUP_X: u32;
override GROUP_Y: u32;
override ROWS: u32;            // rows an invocation owns, at most 8
override VECTORS: u32;         // vectors of the result it owns in each, ROWS * VECTORS at most 16
override KEYS: u32;            // vectors of four coefficients it builds in each, ROWS * KEYS at most 16
override TILE: u32;            // 4 * GROUP_X * KEYS
override ROW_TILE: u32;        // GROUP_Y * ROWS
override COEFFICIENTS: u32;    // ROW_TILE * (GROUP_X * KEYS + 1)
override STAGED: u32;          // vectors that coefficients are built from

var<workgroup> coefficients: array<vec4<f32>, COEFFICIENTS>; // [ROW_TILE, KEYS * GROUP_X + 1]
var<workgroup> staged: array<vec4<f32>, STAGED>;
// Loops over these have bounds known when the pipeline is made, so that drivers unroll them and keep these in
// registers.
var<private> sum: array<vec4<f32>, 16>;            // [ROWS, VECTORS]
var<private> total: array<f32, 8>;                 // [ROWS], the part of this invocation's keys
var<private> here: vec3<u32>;                      // x, y, index in the workgroup

fn row_of(r: u32) -> u32 { return here.y + r * GROUP_Y; }
fn coefficient_at(row: u32, vector: u32) -> u32 { return row * (GROUP_X * KEYS + 1u) + vector; }
// The keys of this invocation's vector k, in a tile.
fn tile_keys(k: u32) -> vec4<u32> {
    return vec4<u32>(4u * GROUP_X * k + here.x) + vec4<u32>(0u, GROUP_X, 2u * GROUP_X, 3u * GROUP_X);
}

// What all invocations hold of a row's total, after share_totals().
fn share_totals() {
    workgroupBarrier();
    for (var r = 0u; r < ROWS; r++) { coefficients[coefficient_at(row_of(r), here.x)] = vec4<f32>(total[r]); }
    workgroupBarrier();
}
fn row_total(row: u32) -> f32 {
    var all = 0.0;
    for (var x = 0u; x < GROUP_X; x++) { all += coefficients[coefficient_at(row, x)].x; }
    return all;
}
