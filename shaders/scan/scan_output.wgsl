// permutations: [TAYLOR] [FAR_ONLY|NORMALISER]
// o_i = N_i[0..h] / (β + N_i[h]),  N_i = Σ_{j in block, j <= i} e^{g_i - g_j} w_ij v̂_j + e^{g_i} Z_lᵀ φ(q_i)
//   (SPEC §1).
//
// Ladder. Reference: kernels/scan/scan_output.rs. Naive tiles: an affinity and a vector of v loaded for each
// multiply-add of four. Here: a workgroup owns ROW_TILE queries of one block and all columns; affinities,
// then features, of a tile are built in workgroup memory and multiplied with v, then Z, both as tiles in
// registers (shared/near_keys.wgsl, shared/row_tile.wgsl); not measured on a real GPU yet. FAR_ONLY (not
// causal): every key counts for every query, one state for all blocks. NORMALISER: kept for the gradient.
#import lanes
#import gate_sum
struct Params { tokens: u32, lane_base: u32, blocks: u32, stride: u32, tiles: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> queries: array<vec4<f32>>;     // [lanes, HEADS, tokens, GROUP, QUERY_WIDTH]
@group(0) @binding(2) var<storage, read> keys: array<vec4<f32>>;        // [lanes, HEADS, stride, KEY_WIDTH]
@group(0) @binding(3) var<storage, read> lanes: array<Lane>;            // [lanes]
@group(0) @binding(4) var<storage, read> table: array<u32>;             // [2 * FEATURES]
@group(0) @binding(5) var<storage, read> prefix: array<vec4<f32>>;      // [lanes, HEADS, blocks or 1, STATE]
@group(0) @binding(6) var<storage, read_write> o: array<vec4<f32>>;     // [rows, HEADS * GROUP * HEAD]
#ifdef NORMALISER
@group(0) @binding(7) var<storage, read_write> normaliser: array<f32>;  // [lanes, HEADS, tokens, GROUP]
#endif
#import near_keys
#import feature_tile
#import row_tile_product far

fn keep(row: u32, query: u32, all: f32) {
#ifdef NORMALISER
    normaliser[query] = BIAS + all;
#endif
}

fn value_far(z: u32, f: u32, vector: u32) -> vec4<f32> { return prefix[(z + f * HEAD) / 4u + vector]; }
fn z_total(z: u32, f: u32) -> f32 { return prefix[(z + FEATURES * HEAD + f) / 4u][f % 4u]; }

// sum += e^{g_i} Zᵀφ(q_i), with the state at z.
fn add_far_state(near: Near, z: u32) {
    for (var i = here.z; i < ROW_TILE * (SOURCE / 4u + 1u); i += GROUP_X * GROUP_Y) {
        let c = i % (SOURCE / 4u + 1u);
        stage_vector(
            i / (SOURCE / 4u + 1u), c,
            query_vector(near, i / (SOURCE / 4u + 1u), SOURCE_OFFSET, min(c, SOURCE / 4u - 1u))
        );
    }
    workgroupBarrier();
    for (var start = 0u; start < FEATURES; start += TILE) {
        for (var k = 0u; k < KEYS; k++) {
            let f = tile_keys(k) + vec4<u32>(start);
            let seen = f < vec4<u32>(FEATURES);
            let at = min(f, vec4<u32>(FEATURES - 1u));
            let packed = vec4<u32>(table[at.x], table[at.y], table[at.z], table[at.w]);
            let totals = vec4<f32>(z_total(z, at.x), z_total(z, at.y), z_total(z, at.z), z_total(z, at.w));
            for (var r = 0u; r < ROWS; r++) {
                let row = row_of(r);
                var phi = select(vec4<f32>(), features(row, packed), seen);
                if GATED { phi *= gate_decay(row_state[row], vec2<f32>()); }
                total[r] =
                    total[r] + phi.x * totals.x + phi.y * totals.y + phi.z * totals.z + phi.w * totals.w;
                coefficients[coefficient_at(row, k * GROUP_X + here.x)] = phi;
            }
        }
        workgroupBarrier();
        add_far(z, start, FEATURES);
        workgroupBarrier();
    }
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
    let tile = group.x * ROW_TILE;                         // first row of the tile in its block
    let first = block * BLOCK * GROUP + tile;              // in the window
    let rows = min(BLOCK * GROUP - tile, ROW_TILE);
    // Nothing of this tile belongs to the call.
    if first >= end || first + rows <= lane.ring * GROUP { return; }
    // Keys of the block that any row of the tile may see.
    let keys_end = min((tile + rows - 1u) / GROUP + 1u, lane.ring + params.tokens - block * BLOCK);
    let near = Near(
        group.z * params.tokens * GROUP,
        i32(first) - i32(lane.ring * GROUP),
        group.z * params.stride + block * BLOCK,
        tile,
        keys_end
    );
    keep_row_gates(near);
#ifdef FAR_ONLY
    add_far_state(near, group.z * FEATURES * (HEAD + 1u));
#else
    add_near_keys(near);
    // The far part is zero in the first block of a text.
    if lane.position + block * BLOCK > lane.ring {
        // The last affinities are read.
        workgroupBarrier();
        add_far_state(near, (group.z * params.blocks + block) * FEATURES * (HEAD + 1u));
    }
#endif
    store_outputs(near, rows, group.z / HEADS, head);
}
