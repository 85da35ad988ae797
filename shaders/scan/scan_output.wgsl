// permutations: [TAYLOR|TAYLOR+FAR_ONLY|TAYLOR+NORMALISER|FAR_ONLY|NORMALISER|FAR_ROWS]
// o_i = N_i[0..h] / (β + N_i[h]),  N_i = Σ_{j in block, j <= i} e^{g_i - g_j} w_ij v̂_j + e^{g_i} Z_lᵀ φ(q_i)
//   (SPEC §1).
//
// Ladder. Reference: kernels/scan/scan_output.rs. Naive tiles: an affinity and a vector of v loaded for each
// multiply-add of four. Tiles in registers that read v and Z from memory: 12 % of the H100's peak. Here: near
// and far part as outer products from staged steps; φ(q) is the left operand of the far one and is built on
// the way (shared/near_keys.wgsl, shared/matrix_tile.wgsl). A prototype of the far part did 38 % there; not
// measured as a whole yet. FAR_ONLY (not causal): every key counts for every query, one state for all blocks.
// NORMALISER: kept for the gradient. FAR_ROWS: the far part alone, N itself.
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
#import tile_product far

fn keep(row: u32, query: u32, all: f32) {
#ifdef NORMALISER
    normaliser[query] = BIAS + all;
#endif
}

// The far part: φ(q) Z, with the state at z.
var<private> z: u32;
var<private> far_total: vec4<f32>;             // of the rows that this invocation stages
fn vectors_far() -> u32 { return vectors_sum(); }
fn multiply_far() { multiply_sum(); }
fn left_far(row: u32, k: u32) -> mat4x4<f32> {
    if k >= FEATURES { return mat4x4<f32>(); }
    let at = vec4<u32>(query_row(row), query_row(row + 1u), query_row(row + 2u), query_row(row + 3u)) *
        QUERY_WIDTH + SOURCE_OFFSET;
    var phi = mat4x4<f32>();
    for (var j = 0u; j < 4u; j++) { phi[j] = features(at, table[k + j]); }
    far_total += phi * prefix[(z + FEATURES * HEAD + k) / 4u];
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
    return block;
}

// sum = e^{g_i} Zᵀφ(q_i).
fn add_far_state() {
    add_far(FEATURES);
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

@compute @workgroup_size(GROUP_X, GROUP_Y)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(local_invocation_id) local: vec3<u32>,
    @builtin(local_invocation_index) index: u32
) {
    here = vec3<u32>(local.xy, index);
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
