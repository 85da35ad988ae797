// dφ(q_i) = e^{g_i} Z_l dN_i, through the features to the vector they are of; added to what is there.
//
// Ladder. Reference: kernels/scan/scan_grad_queries.rs. Here: a workgroup owns ROW_TILE queries of one block;
// dφ of TILE features is built in workgroup memory, where the product rule takes it to the columns it is made
// of. dφ never leaves it.
#import lanes
#import gate_sum
#import head_layout
struct Params { tokens: u32, lane_base: u32, blocks: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> queries: array<f32>; // [lanes, HEADS, tokens, GROUP, QUERY_WIDTH]
@group(0) @binding(2) var<storage, read> drows: array<vec4<f32>>; // [lanes, HEADS, tokens, GROUP, HEAD + 4]
@group(0) @binding(3) var<storage, read> lanes: array<Lane>;          // [lanes]
@group(0) @binding(4) var<storage, read> table: array<u32>;           // [2 * FEATURES]
@group(0) @binding(5) var<storage, read> prefix: array<vec4<f32>>;    // [lanes, HEADS, blocks, STATE]
@group(0) @binding(6) var<storage, read_write> dqueries: array<f32>;  // as queries

var<workgroup> dn: array<vec4<f32>, STAGED_VALUES>;
var<workgroup> known: array<vec4<f32>, ROW_TILE>;  // the rest of the gradient rows
var<workgroup> dphi: array<f32, TILE_FEATURES>;
#import feature_columns

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    // Rows are of queries, GROUP a token.
    let first = group.y * BLOCK * GROUP + group.x * ROW_TILE;
    let end = min((group.y + 1u) * BLOCK, params.tokens) * GROUP;
    // The first blocks of a text have nothing before what is near.
    let lane = lanes[params.lane_base + group.z / HEADS];
    if first >= end || (lane.position - lane.ring) / BLOCK + group.y < NEAR { return; }
    let rows = min(ROW_TILE, end - first);
    let token = group.z * params.tokens * GROUP + first;   // row of the first query
    for (var i = local; i < ROW_TILE * SOURCE; i += THREADS) {
        let row = i / SOURCE;
        var value = 0.0;
        if row < rows { value = queries[(token + row) * QUERY_WIDTH + SOURCE_OFFSET + i % SOURCE]; }
        factors[i % SOURCE * ROW_TILE + row] = value;
        dfactors[i] = 0.0;
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
    let z = (group.z * params.blocks + group.y) * FEATURES * (HEAD + 1u);
    // This invocation computes one feature of a tile for rows own, own + apart, ..
    let own = local / TILE;
    let apart = THREADS / TILE;
    for (var start = 0u; start < FEATURES; start += TILE) {
        let f = start + local % TILE;
        var value = array<f32, 8>();
        if f < FEATURES {
            for (var c = 0u; c < HEAD / 4u; c++) {
                let z_f = prefix[(z + f * HEAD) / 4u + c];
                for (var k = 0u; k < SHARE; k++) {
                    value[k] += dot(dn[(own + k * apart) * (HEAD / 4u) + c], z_f);
                }
            }
            let z_total = prefix[(z + FEATURES * HEAD + f) / 4u][f % 4u];
            for (var k = 0u; k < SHARE; k++) { value[k] += z_total * known[own + k * apart].x; }
        }
        for (var k = 0u; k < SHARE; k++) { dphi[(own + k * apart) * PITCH + local % TILE] = value[k]; }
        workgroupBarrier();
        for (var ff = 0u; ff < min(TILE, FEATURES - start); ff++) {
            let row = local % ROW_TILE;
            pull_back(row, local / ROW_TILE, table[start + ff], dphi[row * PITCH + ff]);
        }
        workgroupBarrier();
    }
    for (var i = local; i < rows * SOURCE; i += THREADS) {
        let row = i / SOURCE;
        var decay = 1.0;
        if GATED { decay = gate_decay(known[row].zw, vec2<f32>()); }
        dqueries[(token + row) * QUERY_WIDTH + SOURCE_OFFSET + i % SOURCE] +=
            decay * dfactors[i % SOURCE * ROW_TILE + row];
    }
}
