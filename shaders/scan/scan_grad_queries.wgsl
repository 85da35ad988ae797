// dφ(q_i) = e^{g_i} Z_l dN_i, through the features to the vector they are of; added to what is there.
//
// Ladder. Reference: kernels/scan/scan_grad_queries.rs. Estimates as in scan_grad_keys.wgsl (floors 147 | 293
// | 3 437 | 12 375):
//   16 rows, dφ of 32 features in workgroup memory, multiplied from memory      917 | 905 | 20 958 | 75 438
//   dφ as a tile product in registers (shared/feature_tile.wgsl), steps of 8    420 | 581 | 10 839 | 61 913
//   steps of 16                                                                 238 | 474 | 10 327 | 37 170
// Not measured on a real GPU yet.
#import lanes
#import gate_sum
#import head_layout
struct Params { tokens: u32, lane_base: u32, blocks: u32 }

@group(0) @binding(0) var<uniform> params: Params;
// [lanes, HEADS, tokens, GROUP, QUERY_WIDTH]
@group(0) @binding(1) var<storage, read> queries: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> drows: array<vec4<f32>>; // [lanes, HEADS, tokens, GROUP, HEAD + 4]
@group(0) @binding(3) var<storage, read> lanes: array<Lane>;          // [lanes]
@group(0) @binding(4) var<storage, read> table: array<u32>;           // [2 * FEATURES]
@group(0) @binding(5) var<storage, read> prefix: array<vec4<f32>>;    // [lanes, HEADS, blocks, STATE]
@group(0) @binding(6) var<storage, read_write> dqueries: array<vec4<f32>>;  // as queries
#import feature_tile

var<private> first_query: u32;                 // row of the tile's first query
var<private> rows: u32;                        // of the tile

// Rows beyond the last are computed like it, and not stored.
fn query_row(row: u32) -> u32 { return first_query + min(row, rows - 1u); }
fn source_vector(row: u32) -> u32 { return (query_row(row) * QUERY_WIDTH + SOURCE_OFFSET) / 4u; }
fn source_at(row: u32, vector: u32) -> vec4<f32> { return queries[source_vector(row) + vector]; }
fn value_at(row: u32, vector: u32) -> vec4<f32> { return drows[query_row(row) * (HEAD / 4u + 1u) + vector]; }
fn state_at(vector: u32) -> vec4<f32> { return prefix[vector]; }
// The rest of a gradient row.
fn known_at(row: u32) -> vec4<f32> { return value_at(row, HEAD / 4u); }
fn weight_at(row: u32) -> f32 { return known_at(row).x; }
fn scales_at(f: u32) -> vec4<f32> { return vec4<f32>(1.0); }

@compute @workgroup_size(GROUP_X, GROUP_Y)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(local_invocation_id) local: vec3<u32>,
    @builtin(local_invocation_index) index: u32
) {
    here = vec3<u32>(local.xy, index);
    // Rows are of queries, GROUP a token.
    let first = group.y * BLOCK * GROUP + group.x * ROW_TILE;
    let end = min((group.y + 1u) * BLOCK, params.tokens) * GROUP;
    // The first blocks of a text have nothing before what is near.
    let lane = lanes[params.lane_base + group.z / HEADS];
    if first >= end || (lane.position - lane.ring) / BLOCK + group.y < NEAR { return; }
    rows = min(ROW_TILE, end - first);
    first_query = group.z * params.tokens * GROUP + first;
    state = (group.z * params.blocks + group.y) * FEATURES * (HEAD + 1u);
    load_factors();
    find_slopes();
    for (var i = index; i < rows * (SOURCE / 4u); i += GROUP_X * GROUP_Y) {
        let row = i / (SOURCE / 4u);
        let vector = i % (SOURCE / 4u);
        var decay = 1.0;
        if GATED { decay = gate_decay(known_at(row).zw, vec2<f32>()); }
        dqueries[source_vector(row) + vector] += decay * slopes_at(row, vector);
    }
}
