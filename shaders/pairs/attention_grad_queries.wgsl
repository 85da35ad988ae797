// permutations: [SOFTMAX|TAYLOR]
// dx_i = Σ_j dt_ij x_j over the pairs of query i with the keys up to it, of its block (the scan), of the text
// (the dense kinds), or those that are near and the sinks.
//
// Ladder. Reference: kernels/pairs/attention_grad_queries.rs. Here: a workgroup owns ROW_TILE queries; dt of
// TILE keys is built in workgroup memory, then multiplied with their x from registers, as in scan_output.
// Nothing of size n x n is in memory.
#import head_layout
#import pair_tile
struct Params { tokens: u32, stride: u32, span: u32, first: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> queries: array<vec4<f32>>; // [lanes, HEADS, tokens, GROUP, QUERY_WIDTH]
@group(0) @binding(2) var<storage, read> keys: array<vec4<f32>>; // [lanes, HEADS, stride, KEY_WIDTH]
@group(0) @binding(3) var<storage, read> drows: array<vec4<f32>>; // [lanes, HEADS, tokens, GROUP, HEAD + 4]
@group(0) @binding(4) var<storage, read_write> dqueries: array<vec4<f32>>; // as queries

var<workgroup> x: array<vec4<f32>, STAGED>;
var<workgroup> dn: array<vec4<f32>, STAGED_VALUES>;
var<workgroup> known: array<vec4<f32>, ROW_TILE>;  // the rest of the gradient rows
var<workgroup> dt: array<f32, TILE_PAIRS>;
#import attention_pair

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let base = group.y * params.span;
    let end = min(base + params.span, params.tokens) * GROUP;
    // Rows are of queries, GROUP a token.
    let first = base * GROUP + group.x * ROW_TILE;
    if first >= end { return; }
    let rows = min(ROW_TILE, end - first);
    let keys_end = (first + rows - 1u) / GROUP + 1u;
    if params.first > 0u && base + params.first >= keys_end { return; }
    let token = group.z * params.tokens * GROUP + first;   // row of the first query
    let key = group.z * params.stride;                     // row of the first key
    for (var i = local; i < ROW_TILE * (LOCAL / 4u); i += THREADS) {
        let row = i / (LOCAL / 4u);
        let c = i % (LOCAL / 4u);
        var value = vec4<f32>();
        if row < rows { value = queries[((token + row) * QUERY_WIDTH + LOCAL_OFFSET) / 4u + c]; }
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
    // This invocation computes the pairs of one key with rows own, own + apart, ..
    let own = local / TILE;
    let apart = THREADS / TILE;
    let keys_here = min(keys_end, base + params.first + AT_ONCE);
    let nearest = first_near(first / GROUP) / TILE * TILE; // the first tile that is near any of these
    var sum = array<vec4<f32>, 8>();
    for (var start = base + params.first; REACH != NO_KEYS && start < keys_here; start += TILE) {
        if REACH == NEAR_KEYS && start >= SINKS && start < nearest {
            start = nearest;
            if start >= keys_here { break; }
        }
        let j = start + local % TILE;
        var t = array<f32, 8>();
        var dw = array<f32, 8>();
        var gate = vec2<f32>();
        if j < keys_end {
            let at = (key + j) * KEY_WIDTH;
            for (var c = 0u; c < LOCAL / 4u; c++) {
                let x_c = keys[(at + LOCAL_OFFSET) / 4u + c];
                for (var k = 0u; k < PAIRS; k++) {
                    t[k] += dot(x[(own + k * apart) * (LOCAL / 4u) + c], x_c);
                }
            }
            for (var c = 0u; c < HEAD / 4u; c++) {
                let v_c = keys[(at + V_OFFSET) / 4u + c];
                for (var k = 0u; k < PAIRS; k++) {
                    dw[k] += dot(dn[(own + k * apart) * (HEAD / 4u) + c], v_c);
                }
            }
            if GATED { gate = keys[(at + G_OFFSET) / 4u].xy; }
        }
        for (var k = 0u; k < PAIRS; k++) {
            let row = own + k * apart;
            var value = 0.0;
            if j <= (first + row) / GROUP && j < keys_end && is_near(j, (first + row) / GROUP) {
                value = attention_pair(t[k], dw[k] + known[row].x, known[row].zw, gate).y;
            }
            dt[row * TILE + local % TILE] = value;
        }
        workgroupBarrier();
        for (var jj = 0u; jj < min(TILE, keys_end - start); jj++) {
            let x_j = ((key + start + jj) * KEY_WIDTH + LOCAL_OFFSET) / 4u;
            for (var k = 0u; k < ITEMS; k++) {
                let item = local + k * THREADS;
                let dt_j = dt[(item / (LOCAL / 4u)) % ROW_TILE * TILE + jj];
                sum[k] += dt_j * keys[x_j + item % (LOCAL / 4u)];
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
    // Columns that no affinity reads.
    for (var i = local; i < rows * (QUERY_WIDTH / 4u); i += THREADS) {
        let c = i % (QUERY_WIDTH / 4u);
        if c < LOCAL_OFFSET / 4u || c >= (LOCAL_OFFSET + LOCAL) / 4u {
            dqueries[token * (QUERY_WIDTH / 4u) + i] = vec4<f32>();
        }
    }
}
