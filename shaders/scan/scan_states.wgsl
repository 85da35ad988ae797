// permutations: [ALL|FOLD|QUERIES]
// Block states of the scan (SPEC §1): H_l = Σ_{j in block l} e^{g_last - g_j} φ(k_j) v̂_jᵀ, laid out [F, h]
// then [F].
//
// Ladder. Reference: kernels/scan/scan_states.rs. Naive tiles: a feature and a vector of v loaded for each
// multiply-add of four. Here: a workgroup owns ROW_TILE features x all columns of one block; φ is built once
// a (token, feature) in workgroup memory and never leaves it, then multiplied with v as tiles in registers
// (shared/row_tile.wgsl); not measured on a real GPU yet. ALL: the last, perhaps partial block too (training,
// and not causal). QUERIES: all blocks, of queries and their gradient rows: dZ_l = Σ_i e^{g_i} φ(q_i) dN_iᵀ,
// without the scales of keys. FOLD: the block comes from the ring of a slot, and the result goes onto its
// state [slots, HEADS, FEATURES * (HEAD + 1)] (decoding), or replaces it if it is the first block of a text.
#import lanes
#import gate_sum
#import head_layout
struct Params { blocks: u32, lane_base: u32, stride: u32, tokens: u32 }
override WIDTH: u32;           // columns of a key row; QUERIES: of a query row

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> keys: array<vec4<f32>>; // [lanes or slots, HEADS, stride, WIDTH], stride in rows
#ifdef QUERIES
@group(0) @binding(2) var<storage, read> drows: array<vec4<f32>>; // [lanes, HEADS, tokens, GROUP, HEAD + 4]
#else
@group(0) @binding(2) var<storage, read> lanes: array<Lane>; // [lanes]
#endif
@group(0) @binding(3) var<storage, read> table: array<u32>; // [2 * FEATURES]
@group(0) @binding(4) var<storage, read_write> states: array<vec4<f32>>; // [lanes, HEADS, blocks, STATE]

#import row_tile
#import feature_tile
#import row_tile_product rows

// What a row adds to the normaliser, its gate sum, its decay to the block's end (QUERIES: from its
// beginning).
#ifdef QUERIES
fn value_rows(first: u32, row: u32, vector: u32) -> vec4<f32> {
    return drows[(first + row) * (HEAD / 4u + 1u) + vector];
}
fn part_of_total(row: u32) -> f32 { return drows[row * (HEAD / 4u + 1u) + HEAD / 4u].x; }
fn gate_sum(row: u32) -> vec2<f32> { return drows[row * (HEAD / 4u + 1u) + HEAD / 4u].zw; }
fn decay(last: vec2<f32>, row: u32) -> f32 { return gate_decay(gate_sum(row), last); }
#else
fn value_rows(first: u32, row: u32, vector: u32) -> vec4<f32> {
    return keys[((first + row) * WIDTH + V_OFFSET) / 4u + vector];
}
fn part_of_total(row: u32) -> f32 { return 1.0; }
fn gate_sum(row: u32) -> vec2<f32> { return keys[(row * WIDTH + G_OFFSET) / 4u].xy; }
fn decay(last: vec2<f32>, row: u32) -> f32 { return gate_decay(last, gate_sum(row)); }
#endif

@compute @workgroup_size(GROUP_X, GROUP_Y)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(local_invocation_id) local: vec3<u32>,
    @builtin(local_invocation_index) index: u32
) {
    here = vec3<u32>(local.xy, index);
    let first_feature = group.x * ROW_TILE;
    let block = group.y;
#ifdef QUERIES
    let rows = min(BLOCK, params.tokens - block * BLOCK) * GROUP;
    let first = group.z * params.stride + block * BLOCK * GROUP;
    let out = (group.z * params.blocks + block) * FEATURES * (HEAD + 1u);
#else
    let lane = lanes[params.lane_base + group.z / HEADS];
    let head = group.z % HEADS;
#ifdef FOLD
    if lane.ring != BLOCK { return; }
    let first = (lane.slot * HEADS + head) * params.stride;
    let out = (lane.slot * HEADS + head) * FEATURES * (HEAD + 1u);
    let rows = BLOCK;
#else
#ifdef ALL
    if block * BLOCK >= lane.ring + params.tokens { return; }
    let rows = min(BLOCK, lane.ring + params.tokens - block * BLOCK);
#else
    // The last block a lane touches stays in the ring.
    if (block + 1u) * BLOCK >= lane.ring + params.tokens { return; }
    let rows = BLOCK;
#endif
    let first = group.z * params.stride + block * BLOCK;
    let out = (group.z * params.blocks + block) * FEATURES * (HEAD + 1u);
#endif
#endif
    var last_gate = vec2<f32>();
#ifndef QUERIES
    if GATED { last_gate = gate_sum(first + rows - 1u); }
#endif
    var packed = array<u32, 8>(); // [ROWS]
    for (var r = 0u; r < ROWS; r++) { packed[r] = table[min(first_feature + row_of(r), FEATURES - 1u)]; }
    for (var start = 0u; start < rows; start += TILE) {
        for (var i = here.z; i < TILE * (SOURCE / 4u + 1u); i += GROUP_X * GROUP_Y) {
            let c = i % (SOURCE / 4u + 1u);
            let j = i / (SOURCE / 4u + 1u);
            stage_vector(
                j, c,
                keys[((first + min(start + j, rows - 1u)) * WIDTH + SOURCE_OFFSET) / 4u +
                    min(c, SOURCE / 4u - 1u)]
            );
        }
        workgroupBarrier();
        for (var k = 0u; k < KEYS; k++) {
            let j = tile_keys(k);
            let at = vec4<u32>(first) + min(j + vec4<u32>(start), vec4<u32>(rows - 1u));
            var scale = select(vec4<f32>(), vec4<f32>(1.0), j + vec4<u32>(start) < vec4<u32>(rows));
            if GATED {
                scale *= vec4<f32>(
                    decay(last_gate, at.x), decay(last_gate, at.y),
                    decay(last_gate, at.z), decay(last_gate, at.w)
                );
            }
            let parts = vec4<f32>(
                part_of_total(at.x), part_of_total(at.y), part_of_total(at.z), part_of_total(at.w)
            );
            for (var r = 0u; r < ROWS; r++) {
                let f = packed[r];
                let phi = scale *
                    vec4<f32>(feature(j.x, f), feature(j.y, f), feature(j.z, f), feature(j.w, f));
                total[r] = total[r] + phi.x * parts.x + phi.y * parts.y + phi.z * parts.z + phi.w * parts.w;
                coefficients[coefficient_at(row_of(r), k * GROUP_X + here.x)] = phi;
            }
        }
        workgroupBarrier();
        add_rows(first, start, rows);
    }
#ifdef FOLD
    // The first block of a text replaces what an earlier text left.
    let replaces = lane.position <= BLOCK;
    var before = 1.0;
    if GATED { before = gate_decay(last_gate, vec2<f32>()); }
#endif
    share_totals();
    for (var r = 0u; r < ROWS; r++) {
        let f = first_feature + row_of(r);
        for (var c = 0u; c < VECTORS; c++) {
            let vector = here.x + c * GROUP_X;
            if f < FEATURES && vector < HEAD / 4u {
                let at = (out + f * HEAD) / 4u + vector;
                var value = sum[r * VECTORS + c];
#ifndef QUERIES
                value *= key_scale(f);
#endif
#ifdef FOLD
                value += select(states[at] * before, vec4<f32>(), replaces);
#endif
                states[at] = value;
            }
        }
    }
    for (var i = here.z; i < ROW_TILE / 4u; i += GROUP_X * GROUP_Y) {
        let f = first_feature + 4u * i;
        if f < FEATURES {
            let at = (out + FEATURES * HEAD + f) / 4u;
            var value = vec4<f32>(
                row_total(4u * i), row_total(4u * i + 1u), row_total(4u * i + 2u), row_total(4u * i + 3u)
            );
#ifndef QUERIES
            value *= vec4<f32>(key_scale(f), key_scale(f + 1u), key_scale(f + 2u), key_scale(f + 3u));
#endif
#ifdef FOLD
            value += select(states[at] * before, vec4<f32>(), replaces);
#endif
            states[at] = value;
        }
    }
}
