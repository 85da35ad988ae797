// The sums of a block, H_l = Σ_j e^{G_l - g_j} φ(k_j) v̂_jᵀ, a subgroup ROWS features: products as in shared/subgroup_sums.wgsl
// whose left operand, the features of TOKEN_TILE tokens, is built in workgroup memory. The permutations are those of
// scan_states.wgsl.
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
const TOKEN_TILE: u32 = 64u;

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> keys: array<f32>;             // [lanes or slots, HEADS, stride, KEY_WIDTH]; QUERIES: queries
#ifdef QUERIES
@group(0) @binding(2) var<storage, read> drows: array<f32>;            // [lanes, HEADS, tokens, HEAD + 4]
#else
@group(0) @binding(2) var<storage, read> lanes: array<Lane>;           // [lanes]
#endif
@group(0) @binding(3) var<storage, read> table: array<u32>;            // [2 * FEATURES]
@group(0) @binding(4) var<storage, read_write> states: array<f32>;     // [lanes, HEADS, blocks, FEATURES * (HEAD + 1)] or the state [slots, HEADS, ..]
#import subgroup_product values
#import subgroup_rows sums
#import features

var<workgroup> phi: array<f32, 1024>;    // [ROWS, TOKEN_TILE]

var<private> tile: u32;      // first row of the tile of tokens
var<private> last: u32;      // last row of the block
var<private> column: u32;    // first of this invocation's four

fn factor(row: u32, index: u32) -> f32 {
    if EXTENDED == 1u && index == SOURCE { return 1.0; }
    return keys[row * KEY_WIDTH + S_OFFSET + index];
}
fn gate(row: u32) -> vec2<f32> {
#ifdef QUERIES
    let at = row * (HEAD + 4u) + HEAD + 2u;
    return vec2<f32>(drows[at], drows[at + 1u]);
#else
    let at = row * KEY_WIDTH + V_OFFSET + HEAD;
    return vec2<f32>(keys[at], keys[at + 1u]);
#endif
}

fn value(row: u32) -> vec4<f32> {
    // Tokens after the last have features 0.
    let c = min(column, HEAD - 4u);
#ifdef QUERIES
    let at = min(row, last) * (HEAD + 4u) + c;
    return vec4<f32>(drows[at], drows[at + 1u], drows[at + 2u], drows[at + 3u]);
#else
    let at = min(row, last) * KEY_WIDTH + V_OFFSET + c;
    return vec4<f32>(keys[at], keys[at + 1u], keys[at + 2u], keys[at + 3u]);
#endif
}
fn values_left(row: u32, k: u32) -> vec4<f32> {
    let at = row * TOKEN_TILE + 4u * k;
    return vec4<f32>(phi[at], phi[at + 1u], phi[at + 2u], phi[at + 3u]);
}
fn values_right(k: u32) -> mat4x4<f32> {
    let row = tile + 4u * k;
    return mat4x4<f32>(value(row), value(row + 1u), value(row + 2u), value(row + 3u));
}

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(subgroup_invocation_id) lane: u32) {
    let first_feature = group.x * ROWS;
    let block = group.y;
#ifdef QUERIES
    let rows = min(BLOCK, params.tokens - block * BLOCK);
    let first = group.z * params.stride + block * BLOCK;
    let out = (group.z * params.blocks + block) * FEATURES * (HEAD + 1u);
#else
    let text = lanes[params.lane_base + group.z / HEADS];
    let head = group.z % HEADS;
#ifdef FOLD
    if text.ring != BLOCK { return; }
    let first = (text.slot * HEADS + head) * params.stride;
    let out = (text.slot * HEADS + head) * FEATURES * (HEAD + 1u);
    let rows = BLOCK;
#else
#ifdef ALL
    if block * BLOCK >= text.ring + params.tokens { return; }
    let rows = min(BLOCK, text.ring + params.tokens - block * BLOCK);
#else
    // The last block a lane touches stays in the ring.
    if (block + 1u) * BLOCK >= text.ring + params.tokens { return; }
    let rows = BLOCK;
#endif
    let first = group.z * params.stride + block * BLOCK;
    let out = (group.z * params.blocks + block) * FEATURES * (HEAD + 1u);
#endif
#endif
    last = first + rows - 1u;
    var last_gate = vec2<f32>();
#ifndef QUERIES
    if GATED == 1u { last_gate = gate(last); }
#endif
    var total = vec4<f32>(); // of features lane, lane + LANES, ...
    clear_all_sums(lane);
    for (var start = 0u; start < rows; start += TOKEN_TILE) {
        tile = first + start;
        for (var q = 0u; q < ROWS / LANES; q++) {
            let row = q * LANES + lane;
            let f = min(first_feature + row, FEATURES - 1u);
            let packed = table[f];
#ifndef QUERIES
            let weight = key_weight(f);
#endif
            for (var j = 0u; j < TOKEN_TILE; j++) {
                var p = 0.0;
                if start + j < rows {
                    let at = tile + j;
                    p = feature(at, packed);
#ifdef QUERIES
                    if GATED == 1u { p *= gate_decay(gate(at), vec2<f32>()); }
                    total[q] += p * drows[at * (HEAD + 4u) + HEAD];
#else
                    p *= weight;
                    if GATED == 1u { p *= gate_decay(last_gate, gate(at)); }
                    total[q] += p;
#endif
                }
                phi[row * TOKEN_TILE + j] = p;
            }
        }
        workgroupBarrier();
        for (var c = 0u; c < HEAD; c += 4u * LANES) {
            column = c + 4u * lane;
            take_all_sums();
            values_product(TOKEN_TILE / 4u, lane);
            keep_all_sums();
        }
        workgroupBarrier();
    }
#ifdef FOLD
    var decay = 1.0;
    if GATED == 1u { decay = gate_decay(last_gate, vec2<f32>()); }
#endif
    for (var i = lane; i < sums_size; i += LANES) {
        let f = first_feature + i / HEAD;
        if f < FEATURES {
            let at = out + first_feature * HEAD + i;
#ifdef FOLD
            states[at] = select(0.0, states[at] * decay, text.position > BLOCK) + sums[i];
#else
            states[at] = sums[i];
#endif
        }
    }
    for (var q = 0u; q < ROWS / LANES; q++) {
        let f = first_feature + q * LANES + lane;
        if f < FEATURES {
            let at = out + FEATURES * HEAD + f;
#ifdef FOLD
            states[at] = select(0.0, states[at] * decay, text.position > BLOCK) + total[q];
#else
            states[at] = total[q];
#endif
        }
    }
}
