// permutations: [SOFTMAX|TAYLOR]
// dx_i = Σ_j dt_ij x_j over the pairs of query i with the keys up to it, of its block (the scan) or of the
// text (the dense kinds).
//
// Ladder. Reference: kernels/attention_grad_queries.rs. Here: a workgroup owns ROW_TILE queries; dt of TILE
// keys is built in workgroup memory, then multiplied with their x from registers, as in scan_output. Nothing
// of size n x n is in memory.
struct Params { tokens: u32, stride: u32, span: u32, first: u32 }
override HEAD: u32;
override QUERY_WIDTH: u32;
override KEY_WIDTH: u32;
override V_OFFSET: u32;
override LOCAL: u32;           // width of the vector x the weights read
override LOCAL_OFFSET: u32;    // its column in query and key rows
override GATED: u32;
override ROW_TILE: u32;
override STAGED: u32;          // ROW_TILE * LOCAL / 4
override STAGED_VALUES: u32;   // ROW_TILE * HEAD / 4
override TILE_WEIGHTS: u32;    // ROW_TILE * TILE
override ITEMS: u32;           // vectors of the result an invocation holds
override WEIGHTS: u32;         // pairs of a tile an invocation computes
const THREADS: u32 = 128u;
const TILE: u32 = 32u;         // keys at a time
override AT_ONCE: u32;         // keys of a dispatch, from its `first` on; later ones add to what is there

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> queries: array<vec4<f32>>;         // [lanes, HEADS, tokens, QUERY_WIDTH]
@group(0) @binding(2) var<storage, read> keys: array<vec4<f32>>;            // [lanes, HEADS, stride, KEY_WIDTH]
@group(0) @binding(3) var<storage, read> drows: array<vec4<f32>>;           // [lanes, HEADS, tokens, HEAD + 4]
@group(0) @binding(4) var<storage, read_write> dqueries: array<vec4<f32>>;  // [lanes, HEADS, tokens, QUERY_WIDTH]

var<workgroup> x: array<vec4<f32>, STAGED>;
var<workgroup> dn: array<vec4<f32>, STAGED_VALUES>;
var<workgroup> known: array<vec4<f32>, ROW_TILE>;  // the rest of the gradient rows
var<workgroup> dt: array<f32, TILE_WEIGHTS>;
#import attention_pair

@compute @workgroup_size(128)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let base = group.y * params.span;
    let end = min(base + params.span, params.tokens);
    let first = base + group.x * ROW_TILE;
    if first >= end { return; }
    let rows = min(ROW_TILE, end - first);
    let keys_end = first + rows;
    if params.first > 0u && base + params.first >= keys_end { return; }
    let token = group.z * params.tokens + first;           // row of the first query
    let key = group.z * params.stride;                     // row of the first key
    for (var i = local; i < ROW_TILE * (LOCAL / 4u); i += THREADS) {
        let row = i / (LOCAL / 4u);
        var value = vec4<f32>();
        if row < rows { value = queries[((token + row) * QUERY_WIDTH + LOCAL_OFFSET) / 4u + i % (LOCAL / 4u)]; }
        x[i] = value;
    }
    for (var i = local; i < ROW_TILE * (HEAD / 4u); i += THREADS) {
        let row = i / (HEAD / 4u);
        var value = vec4<f32>();
        if row < rows { value = drows[(token + row) * (HEAD / 4u + 1u) + i % (HEAD / 4u)]; }
        dn[i] = value;
    }
    if local < ROW_TILE {
        known[local] = vec4<f32>();
        if local < rows { known[local] = drows[(token + local) * (HEAD / 4u + 1u) + HEAD / 4u]; }
    }
    workgroupBarrier();
    var sum = array<vec4<f32>, 8>();
    for (var start = base + params.first; start < min(keys_end, base + params.first + AT_ONCE); start += TILE) {
        let j = start + local % TILE;
        var t = array<f32, 8>();
        var dw = array<f32, 8>();
        var gate = vec2<f32>();
        if j < keys_end {
            let at = (key + j) * KEY_WIDTH;
            for (var c = 0u; c < LOCAL / 4u; c++) {
                let x_j = keys[(at + LOCAL_OFFSET) / 4u + c];
                for (var k = 0u; k < WEIGHTS; k++) { t[k] += dot(x[(local / TILE + k * (THREADS / TILE)) * (LOCAL / 4u) + c], x_j); }
            }
            for (var c = 0u; c < HEAD / 4u; c++) {
                let v_j = keys[(at + V_OFFSET) / 4u + c];
                for (var k = 0u; k < WEIGHTS; k++) { dw[k] += dot(dn[(local / TILE + k * (THREADS / TILE)) * (HEAD / 4u) + c], v_j); }
            }
            if GATED == 1u { gate = keys[(at + V_OFFSET + HEAD) / 4u].xy; }
        }
        for (var k = 0u; k < WEIGHTS; k++) {
            let row = local / TILE + k * (THREADS / TILE);
            var value = 0.0;
            if j <= first + row && j < keys_end { value = attention_pair(t[k], dw[k] + known[row].x, known[row].zw, gate).y; }
            dt[row * TILE + local % TILE] = value;
        }
        workgroupBarrier();
        for (var jj = 0u; jj < min(TILE, keys_end - start); jj++) {
            let x_j = ((key + start + jj) * KEY_WIDTH + LOCAL_OFFSET) / 4u;
            for (var k = 0u; k < ITEMS; k++) {
                let item = local + k * THREADS;
                sum[k] += dt[(item / (LOCAL / 4u)) % ROW_TILE * TILE + jj] * keys[x_j + item % (LOCAL / 4u)];
            }
        }
        workgroupBarrier();
    }
    for (var k = 0u; k < ITEMS; k++) {
        let item = local + k * THREADS;
        let row = item / (LOCAL / 4u);
        if row < rows {
            let out = ((token + row) * QUERY_WIDTH + LOCAL_OFFSET) / 4u + item % (LOCAL / 4u);
            if params.first > 0u { sum[k] += dqueries[out]; }
            dqueries[out] = sum[k];
        }
    }
    for (var i = local; i < rows * (QUERY_WIDTH / 4u); i += THREADS) {
        let c = i % (QUERY_WIDTH / 4u);
        if c < LOCAL_OFFSET / 4u || c >= (LOCAL_OFFSET + LOCAL) / 4u { dqueries[token * (QUERY_WIDTH / 4u) + i] = vec4<f32>(); }
    }
}
