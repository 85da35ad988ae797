// permutations: [TAYLOR|TAYLOR+FAR_ONLY|TAYLOR+NORMALISER|FAR_ONLY|NORMALISER|FAR_ROWS] [MIXED+SIDE8|MIXED+SIDE16]
// o_i = N_i[0..h] / (β + N_i[h]),  N_i = Σ_{j in block, j <= i} e^{g_i - g_j} w_ij v̂_j + e^{g_i} Z_lᵀ φ(q_i)
//   (SPEC §1).
//
// Ladder. Reference: kernels/scan/scan_output.rs. Naive tiles: an affinity and a vector of v loaded for each
// multiply-add of four. Tiles in registers that read v and Z from memory: 12 % of the H100's peak. Here: near
// and far part as outer products from staged steps; φ(q) is the left operand of the far one and is built on
// the way (shared/near_keys.wgsl, shared/matrix_tile.wgsl). A prototype of the far part did 38 % there; not
// measured as a whole yet. FAR_ONLY (not causal): every key counts for every query, one state for all blocks.
// NORMALISER: kept for the gradient. FAR_ROWS: the far part alone, N itself.
// MIXED: φ(q) and Z as halves, φ over a power of two above all of its row, Z over one above its totals, so that it is
// no larger than v; totals, gates and the near part, whose weights span more than halves hold, in f32.
#import cooperative
#import lanes
#import gate_sum
struct Params { tokens: u32, lane_base: u32, blocks: u32, stride: u32, parts: u32 }

@group(0) @binding(0) var<uniform> params: Params;
// [lanes, HEADS, tokens, GROUP, QUERY_WIDTH]
@group(0) @binding(1) var<storage, read> queries: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> keys: array<vec4<f32>>;        // [lanes, HEADS, stride, KEY_WIDTH]
@group(0) @binding(3) var<storage, read> lanes: array<Lane>;            // [lanes]
@group(0) @binding(4) var<storage, read> table: array<u32>;             // [2 * FEATURES]
@group(0) @binding(5) var<storage, read> prefix: array<vec4<f32>>;      // [lanes, HEADS, blocks or 1, STATE]
#ifdef FAR_ROWS
@group(0) @binding(6) var<storage, read_write> far: array<vec4<f32>>;   // [lanes, HEADS, tokens, GROUP, HEAD + 4]
#else
@group(0) @binding(6) var<storage, read_write> o: array<vec4<f32>>;     // [rows, HEADS * GROUP * HEAD]
#endif
#ifdef NORMALISER
@group(0) @binding(7) var<storage, read_write> normaliser: array<f32>;  // [lanes, HEADS, tokens, GROUP]
#endif
#import near_keys
#import feature_memory queries
#ifdef MIXED
#import cooperative_size
#import cooperative_features
#import cooperative_product far
// By row, a power of two that none of its features is above.
var<workgroup> row_power: array<f32, ROW_TILE>;
#else
#import tile_product far
#endif

fn keep(row: u32, query: u32, all: f32) {
#ifdef NORMALISER
    normaliser[query] = BIAS + all;
#endif
}

// The far part: φ(q) Z, with the state at z.
var<private> z: u32;
var<private> far_total: vec4<f32>;             // of the rows that this invocation stages
fn vectors_far() -> u32 { return vectors_sum(); }
#ifdef MIXED
var<private> z_power: f32;                     // which no total of Z is above
fn left_place_far(z: u32) -> vec2<u32> { return outer_first(z, GROUP_Y * ROWS / 4u); }
fn right_place_far(z: u32) -> vec2<u32> { return outer_first(z, GROUP_X * vectors_far()); }
#else
fn multiply_far() { multiply_sum(); }
#endif
fn left_far(row: u32, k: u32) -> mat4x4<f32> {
    if k >= FEATURES { return mat4x4<f32>(); }
    let at = vec4<u32>(query_row(row), query_row(row + 1u), query_row(row + 2u), query_row(row + 3u)) *
        QUERY_WIDTH + SOURCE_OFFSET;
    var phi = mat4x4<f32>();
    for (var j = 0u; j < 4u; j++) { phi[j] = features(at, table[k + j]); }
    far_total += phi * prefix[(z + FEATURES * HEAD + k) / 4u];
#ifdef MIXED
    let scale = vec4<f32>(
        inverse_power(row_power[row]), inverse_power(row_power[row + 1u]),
        inverse_power(row_power[row + 2u]), inverse_power(row_power[row + 3u])
    );
    for (var j = 0u; j < 4u; j++) { phi[j] *= scale; }
#endif
    return phi;
}
fn features(at: vec4<u32>, packed: u32) -> vec4<f32> {
    return vec4<f32>(
        feature(at.x, packed), feature(at.y, packed), feature(at.z, packed), feature(at.w, packed));
}
fn z_at(f: u32, vector: u32) -> vec4<f32> {
    return prefix[(z + f * HEAD) / 4u + min(near.vector + vector, HEAD / 4u - 1u)];
}
fn right_far(vector: u32, k: u32) -> mat4x4<f32> {
    if k >= FEATURES { return mat4x4<f32>(); }
    var block = mat4x4<f32>();
    for (var j = 0u; j < 4u; j++) { block[j] = z_at(k + j, vector); }
#ifdef MIXED
    return inverse_power(z_power) * block;
#else
    return block;
#endif
}

// sum = e^{g_i} Zᵀφ(q_i).
fn add_far_state() {
#ifdef MIXED
    for (var row = here.z; row < ROW_TILE; row += INVOCATIONS) {
        row_power[row] = features_above(largest_factor(query_row(row) * QUERY_WIDTH + SOURCE_OFFSET));
    }
    var most = 0.0;
    for (var f = 4u * here.z; f < FEATURES; f += 4u * INVOCATIONS) {
        let totals = abs(prefix[(z + FEATURES * HEAD + f) / 4u]);
        most = max(most, max(max(totals.x, totals.y), max(totals.z, totals.w)));
    }
    z_power = power_above(largest_of_all(most));
    add_far(FEATURES);
    gather_far();
    for (var r = 0u; r < ROWS; r++) {
        let power = row_power[row_of(r)] * z_power;
        for (var c = 0u; c < COLUMNS / 4u; c++) { sum[r * (COLUMNS / 4u) + c] *= power; }
    }
#else
    add_far(FEATURES);
#endif
    if !GATED { return; }
    for (var r = 0u; r < ROWS; r++) {
        let decay = gate_decay(row_state[row_of(r)], vec2<f32>());
        for (var c = 0u; c < COLUMNS / 4u; c++) { sum[r * (COLUMNS / 4u) + c] *= decay; }
    }
    if here.z >= left_blocks() { return; }
    let row = 4u * (here.z % (ROW_TILE / 4u));
    let none = vec2<f32>();
    far_total *= vec4<f32>(
        gate_decay(row_state[row], none), gate_decay(row_state[row + 1u], none),
        gate_decay(row_state[row + 2u], none), gate_decay(row_state[row + 3u], none)
    );
}

#ifdef MIXED
@compute @workgroup_size(INVOCATIONS)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(local_invocation_index) index: u32,
    @builtin(subgroup_id) number: u32
) {
    subgroup = number;
    here = vec3<u32>(index % GROUP_X, index / GROUP_X, index);
#else
@compute @workgroup_size(GROUP_X, GROUP_Y)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(local_invocation_id) local: vec3<u32>,
    @builtin(local_invocation_index) index: u32
) {
    here = vec3<u32>(local.xy, index);
#endif
    let block = group.y;
    let lane = lanes[params.lane_base + group.z / HEADS];
    let head = group.z % HEADS;
    // Rows are of queries, GROUP a token.
    let end = (lane.ring + params.tokens) * GROUP;         // of this lane's window
    let parts = params.parts;                              // of the columns
    let tile = group.x / parts * ROW_TILE;                 // first row of the tile in its block
    let first = block * BLOCK * GROUP + tile;              // in the window
    let rows = min(BLOCK * GROUP - tile, ROW_TILE);
    // Nothing of this tile belongs to the call.
    if first >= end || first + rows <= lane.ring * GROUP { return; }
    // Keys of the block that any row of the tile may see.
    let keys_end = min((tile + rows - 1u) / GROUP + 1u, lane.ring + params.tokens - block * BLOCK);
    near = Near(
        group.z * params.tokens * GROUP,
        i32(first) - i32(lane.ring * GROUP),
        group.z * params.stride + (block + LEAD) * BLOCK,
        tile,
        keys_end,
        group.x % parts * (GROUP_X * COLUMNS / 4u),
        0u
    );
    keep_row_gates();
    workgroupBarrier();
#ifdef FAR_ONLY
    z = group.z * FEATURES * (HEAD + 1u);
    add_far_state();
#else
    // The far part is zero in the first blocks of a text.
    if (lane.position - lane.ring) / BLOCK + block >= NEAR {
        z = (group.z * params.blocks + block) * FEATURES * (HEAD + 1u);
        add_far_state();
    }
#ifndef FAR_ROWS
    add_near_keys(keys_end, false);
#endif
#endif
    share_totals(far_total);
    store_outputs(rows, group.z / HEADS, head);
}
