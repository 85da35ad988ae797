// dφ(q_i) = e^{g_i} Z_l dN_i and what it gives the vector, as in scan_grad_queries.wgsl, a subgroup ROWS queries: products as in
// shared/subgroup_sums.wgsl.
#import lanes
#import gate_sum
struct Params { tokens: u32, lane_base: u32, blocks: u32 }
override HEADS: u32;
override HEAD: u32;
override BLOCK: u32;
override QUERY_WIDTH: u32;
override S_OFFSET: u32;        // column of the feature source in a query row
override GATED: u32;
const TILE: u32 = 32u;         // features at a time: columns of dphi

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> queries: array<f32>;               // [lanes, HEADS, tokens, QUERY_WIDTH]
@group(0) @binding(2) var<storage, read> drows: array<f32>;                 // [lanes, HEADS, tokens, HEAD + 4]
@group(0) @binding(3) var<storage, read> lanes: array<Lane>;                // [lanes]
@group(0) @binding(4) var<storage, read> table: array<u32>;                 // [2 * FEATURES]
@group(0) @binding(5) var<storage, read> prefix: array<f32>;                // [lanes, HEADS, blocks, FEATURES * (HEAD + 1)]
@group(0) @binding(6) var<storage, read_write> dqueries: array<f32>;        // [lanes, HEADS, tokens, QUERY_WIDTH]
#import subgroup_product states
#import subgroup_rows dphi
const ROW_TILE: u32 = ROWS;
#import feature_columns

var<workgroup> dtotal: array<f32, ROWS>;            // the last column of the gradient rows

var<private> token: u32;       // row of the first query
var<private> last_row: u32;    // rows after it repeat it and are not written
var<private> z: u32;           // where the state begins
var<private> column: u32;      // first of this invocation's four: in the tile of features, or of the outputs
var<private> start: u32;       // first feature of the tile

fn state_part(f: u32, c: u32) -> vec4<f32> {
    let at = z + min(f, FEATURES - 1u) * HEAD + c;
    return vec4<f32>(prefix[at], prefix[at + 1u], prefix[at + 2u], prefix[at + 3u]);
}
fn states_left(row: u32, k: u32) -> vec4<f32> {
    let at = (token + min(row, last_row)) * (HEAD + 4u) + 4u * k;
    return vec4<f32>(drows[at], drows[at + 1u], drows[at + 2u], drows[at + 3u]);
}
fn states_right(k: u32) -> mat4x4<f32> {
    let f = start + column;
    let c = 4u * k;
    return transpose(mat4x4<f32>(state_part(f, c), state_part(f + 1u, c), state_part(f + 2u, c), state_part(f + 3u, c)));
}
@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(subgroup_invocation_id) lane: u32) {
    let first = group.y * BLOCK + group.x * ROWS;
    let end = min((group.y + 1u) * BLOCK, params.tokens);
    // The first block of a text has nothing before it.
    if first >= end || lanes[params.lane_base + group.z / HEADS].position + group.y == 0u { return; }
    let rows = min(ROWS, end - first);
    token = group.z * params.tokens + first;
    last_row = rows - 1u;
    z = (group.z * params.blocks + group.y) * FEATURES * (HEAD + 1u);
    // An invocation has rows of its own from here to the end.
    for (var row = lane; row < ROWS; row += LANES) {
        let at = token + min(row, rows - 1u);
        dtotal[row] = drows[at * (HEAD + 4u) + HEAD];
        for (var i = 0u; i < SOURCE; i++) {
            factors[i * ROW_TILE + row] = queries[at * QUERY_WIDTH + S_OFFSET + i];
            dfactors[i * ROW_TILE + row] = 0.0;
        }
    }
    workgroupBarrier();
    for (var f = 0u; f < FEATURES; f += TILE) {
        start = f;
        for (var i = 0u; i < TILE; i += 4u * LANES) {
            column = i + 4u * lane;
            clear_sums();
            states_product(HEAD / 4u, lane);
            keep_all_dphi();
        }
        workgroupBarrier();
        for (var ff = 0u; ff < min(TILE, FEATURES - f); ff++) {
            let packed = table[f + ff];
            let z_total = prefix[z + FEATURES * HEAD + f + ff];
            for (var row = lane; row < ROWS; row += LANES) { pull_back(row, 0u, packed, dphi[row * TILE + ff] + dtotal[row] * z_total); }
        }
        workgroupBarrier();
    }
    for (var row = lane; row < rows; row += LANES) {
        var decay = 1.0;
        if GATED == 1u {
            let at = (token + row) * (HEAD + 4u) + HEAD + 2u;
            decay = gate_decay(vec2<f32>(drows[at], drows[at + 1u]), vec2<f32>());
        }
        for (var i = 0u; i < SOURCE; i++) {
            dqueries[(token + row) * QUERY_WIDTH + S_OFFSET + i] += decay * dfactors[i * ROW_TILE + row];
        }
    }
}
