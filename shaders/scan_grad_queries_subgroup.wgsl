// dφ(q_i) = e^{g_i} Z_l dN_i and what it gives the vector, as in scan_grad_queries.wgsl, a subgroup ROWS
// queries: products as in shared/subgroup_sums.wgsl.
#import lanes
#import gate_sum
struct Params { tokens: u32, lane_base: u32, blocks: u32 }
override HEADS: u32;
override HEAD: u32;
override BLOCK: u32;
override QUERY_WIDTH: u32;
override S_OFFSET: u32;        // column of the feature source in a query row
override GATED: u32;
const TILE: u32 = 4u * LANES;  // features at a time: columns of dphi

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> queries: array<vec4<f32>>;         // [lanes, HEADS, tokens, QUERY_WIDTH]
@group(0) @binding(2) var<storage, read> drows: array<vec4<f32>>;           // [lanes, HEADS, tokens, HEAD + 4]
@group(0) @binding(3) var<storage, read> lanes: array<Lane>;                // [lanes]
@group(0) @binding(4) var<storage, read> table: array<u32>;                 // [2 * FEATURES]
@group(0) @binding(5) var<storage, read> prefix: array<vec4<f32>>;          // [lanes, HEADS, blocks, FEATURES * (HEAD + 1)]
@group(0) @binding(6) var<storage, read_write> dqueries: array<vec4<f32>>;  // [lanes, HEADS, tokens, QUERY_WIDTH]
#import subgroup_product states
#import subgroup_columns dphi
#import feature_quads
#import feature_quads_grad
const QUADS: u32 = ROWS / 4u;

var<workgroup> decays: array<f32, ROWS>;            // of the rows, from the block's start

var<private> token: u32;       // row of the first query
var<private> last_row: u32;    // rows after it repeat it and are not written
var<private> z: u32;           // where the state begins
var<private> column: u32;      // first of this invocation's four: in the tile of features, or of the outputs
var<private> start: u32;       // first feature of the tile

fn gradient_at(row: u32) -> u32 { return (token + min(row, last_row)) * (HEAD / 4u + 1u); }
fn source_at(row: u32, c: u32) -> vec4<f32> { return queries[((token + min(row, last_row)) * QUERY_WIDTH + S_OFFSET) / 4u + c]; }
fn source_one(quad: u32) -> vec4<f32> { return vec4<f32>(1.0); }
fn add_to_source(row: u32, c: u32, d: vec4<f32>) { dqueries[((token + row) * QUERY_WIDTH + S_OFFSET) / 4u + c] += decays[row] * d; }
fn state_part(f: u32, c: u32) -> vec4<f32> { return prefix[(z + min(f, FEATURES - 1u) * HEAD + c) / 4u]; }
fn states_left(row: u32, k: u32) -> vec4<f32> { return drows[gradient_at(row) + k]; }
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
    let quad = lane % QUADS;
    let share = lane / QUADS;
    // The last column of the gradient rows.
    var dtotal = vec4<f32>();
    for (var r = 0u; r < 4u; r++) { dtotal[r] = drows[gradient_at(4u * quad + r) + HEAD / 4u].x; }
    stage_sources(lane);
    clear_dsources(lane);
    for (var row = lane; row < ROWS; row += LANES) {
        decays[row] = 1.0;
        if GATED == 1u { decays[row] = gate_decay(drows[gradient_at(row) + HEAD / 4u].zw, vec2<f32>()); }
    }
    workgroupBarrier();
    for (var f = 0u; f < FEATURES; f += TILE) {
        start = f;
        column = 4u * lane;
        clear_sums();
        states_product(HEAD / 4u, lane);
        keep_columns_dphi();
        workgroupBarrier();
        for (var ff = share; ff < min(TILE, FEATURES - f); ff += SHARES) {
            let z_total = prefix[(z + FEATURES * HEAD + f + ff) / 4u][ff % 4u];
            pull_back_quad(table[f + ff], share, quad, dphi[ff * QUADS + quad] + dtotal * z_total);
        }
        workgroupBarrier();
    }
    give_dsources(rows, lane);
}
