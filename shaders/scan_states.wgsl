// Block states of the scan (SPEC §1): H_l = Σ_{j in block l} e^{g_last - g_j} φ(k_j) v̂_jᵀ, laid out [F, h] then [F].
//
// Ladder. Reference: kernels/scan_states.rs. Here: a workgroup owns FEATURE_TILE features x all columns of one block;
// φ is built once a (token, feature) in workgroup memory and never leaves it, then multiplied like a matrix tile.
// ALL: the last, perhaps partial block too (training, and not causal).
// QUERIES: all blocks, of queries and their gradient rows: dZ_l = Σ_i e^{g_i} φ(q_i) dN_iᵀ, without the weights of keys.
// FOLD: the block comes from the ring of a slot, and the result goes onto its state (decoding), or replaces it
// if it is the first block of a text.
#import lanes
#import gate_sum
struct Params { blocks: u32, lane_base: u32, stride: u32, tokens: u32 }
override HEADS: u32;
override HEAD: u32;
override BLOCK: u32;
override KEY_WIDTH: u32;
override S_OFFSET: u32;        // column of the feature source in a key row
override V_OFFSET: u32;
override GATED: u32;
const THREADS: u32 = 128u;
const FEATURE_TILE: u32 = 32u;
const TOKEN_TILE: u32 = 16u;
override STAGED: u32;          // TOKEN_TILE * SOURCE
override ITEMS: u32; // accumulators an invocation

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> keys: array<vec4<f32>>;             // [lanes or slots, HEADS, stride, KEY_WIDTH]; QUERIES: queries
#ifdef QUERIES
@group(0) @binding(2) var<storage, read> drows: array<vec4<f32>>;            // [lanes, HEADS, tokens, HEAD + 4]
#else
@group(0) @binding(2) var<storage, read> lanes: array<Lane>;                 // [lanes]
#endif
@group(0) @binding(3) var<storage, read> table: array<u32>;                  // [2 * FEATURES]
@group(0) @binding(4) var<storage, read_write> states: array<f32>;           // [lanes, HEADS, blocks, FEATURES * (HEAD + 1)] or the state [slots, HEADS, ..]

var<workgroup> source: array<f32, STAGED>;
var<workgroup> phi: array<f32, TOKEN_TILE * FEATURE_TILE>;
#import feature_rows

#ifdef QUERIES
fn gate_sum(row: u32) -> vec2<f32> { return drows[row * (HEAD / 4u + 1u) + HEAD / 4u].zw; }
#else
fn gate_sum(row: u32) -> vec2<f32> { return keys[(row * KEY_WIDTH + V_OFFSET + HEAD) / 4u].xy; }
#endif

@compute @workgroup_size(128)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let first_feature = group.x * FEATURE_TILE;
    let block = group.y;
#ifdef QUERIES
    let rows = min(BLOCK, params.tokens - block * BLOCK);
    let first = group.z * params.stride + block * BLOCK;
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
    if GATED == 1u { last_gate = gate_sum(first + rows - 1u); }
#endif
    var sum = array<vec4<f32>, 16>();
    var total = 0.0;
    for (var start = 0u; start < rows; start += TOKEN_TILE) {
        for (var i = local; i < TOKEN_TILE * SOURCE / 4u; i += THREADS) {
            let j = start + i / (SOURCE / 4u);
            var value = vec4<f32>();
            if j < rows { value = keys[((first + j) * KEY_WIDTH + S_OFFSET) / 4u + i % (SOURCE / 4u)]; }
            source[i * 4u] = value.x;
            source[i * 4u + 1u] = value.y;
            source[i * 4u + 2u] = value.z;
            source[i * 4u + 3u] = value.w;
        }
        workgroupBarrier();
        for (var i = local; i < TOKEN_TILE * FEATURE_TILE; i += THREADS) {
            let j = start + i / FEATURE_TILE;
            let f = first_feature + i % FEATURE_TILE;
            var value = 0.0;
            if j < rows && f < FEATURES {
#ifdef QUERIES
                value = feature(i / FEATURE_TILE, table[f]);
                if GATED == 1u { value *= gate_decay(gate_sum(first + j), vec2<f32>()); }
#else
                value = feature(i / FEATURE_TILE, table[f]) * key_weight(f);
                if GATED == 1u { value *= gate_decay(last_gate, gate_sum(first + j)); }
#endif
            }
            phi[i] = value;
        }
        workgroupBarrier();
        for (var j = 0u; j < min(TOKEN_TILE, rows - start); j++) {
#ifdef QUERIES
            let v = (first + start + j) * (HEAD / 4u + 1u);
            for (var k = 0u; k < ITEMS; k++) {
                let item = local + k * THREADS;
                sum[k] += phi[j * FEATURE_TILE + (item / (HEAD / 4u)) % FEATURE_TILE] * drows[v + item % (HEAD / 4u)];
            }
            if local < FEATURE_TILE { total += phi[j * FEATURE_TILE + local] * drows[v + HEAD / 4u].x; }
#else
            let v = ((first + start + j) * KEY_WIDTH + V_OFFSET) / 4u;
            for (var k = 0u; k < ITEMS; k++) {
                let item = local + k * THREADS;
                sum[k] += phi[j * FEATURE_TILE + (item / (HEAD / 4u)) % FEATURE_TILE] * keys[v + item % (HEAD / 4u)];
            }
            if local < FEATURE_TILE { total += phi[j * FEATURE_TILE + local]; }
#endif
        }
        workgroupBarrier();
    }
#ifdef FOLD
    var decay = 1.0;
    if GATED == 1u { decay = gate_decay(last_gate, vec2<f32>()); }
#endif
    for (var k = 0u; k < ITEMS; k++) {
        let item = local + k * THREADS;
        let f = first_feature + item / (HEAD / 4u);
        if item >= FEATURE_TILE * (HEAD / 4u) || f >= FEATURES { break; }
        let at = out + f * HEAD + item % (HEAD / 4u) * 4u;
        for (var c = 0u; c < 4u; c++) {
#ifdef FOLD
            states[at + c] = select(0.0, states[at + c] * decay, lane.position > BLOCK) + sum[k][c];
#else
            states[at + c] = sum[k][c];
#endif
        }
    }
    let f = first_feature + local;
    if local < FEATURE_TILE && f < FEATURES {
        let at = out + FEATURES * HEAD + f;
#ifdef FOLD
        states[at] = select(0.0, states[at] * decay, lane.position > BLOCK) + total;
#else
        states[at] = total;
#endif
    }
}
