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
@group(0) @binding(1) var<storage, read> keys: array<vec4<f32>>;       // [lanes or slots, HEADS, stride, KEY_WIDTH]; QUERIES: queries
#ifdef QUERIES
@group(0) @binding(2) var<storage, read> drows: array<vec4<f32>>;      // [lanes, HEADS, tokens, HEAD + 4]
#else
@group(0) @binding(2) var<storage, read> lanes: array<Lane>;           // [lanes]
#endif
@group(0) @binding(3) var<storage, read> table: array<u32>;            // [2 * FEATURES]
@group(0) @binding(4) var<storage, read_write> states: array<f32>;     // [lanes, HEADS, blocks, FEATURES * (HEAD + 1)] or the state [slots, HEADS, ..]
#import subgroup_product values
#import subgroup_vectors sums
#import features

var<workgroup> phi: array<vec4<f32>, 256>; // [ROWS, TOKEN_TILE / 4]

var<private> tile: u32;      // first row of the tile of tokens
var<private> last: u32;      // last row of the block
#ifndef QUERIES
var<private> last_gate: vec2<f32>;
#endif
var<private> column: u32;    // first of this invocation's four

fn factor(row: u32, index: u32) -> f32 {
    if EXTENDED == 1u && index == SOURCE { return 1.0; }
    return keys[row * (KEY_WIDTH / 4u) + (S_OFFSET + index) / 4u][(S_OFFSET + index) % 4u];
}
fn gate(row: u32) -> vec2<f32> {
#ifdef QUERIES
    return drows[row * (HEAD / 4u + 1u) + HEAD / 4u].zw;
#else
    return keys[(row * KEY_WIDTH + V_OFFSET + HEAD) / 4u].xy;
#endif
}

#ifdef QUERIES
// From the block's start.
fn decay_of(row: u32) -> f32 { return gate_decay(gate(row), vec2<f32>()); }
fn drow_total(row: u32) -> f32 { return drows[row * (HEAD / 4u + 1u) + HEAD / 4u].x; }
#else
// To the block's end.
fn decay_of(row: u32) -> f32 { return gate_decay(last_gate, gate(row)); }
#endif

fn value(row: u32) -> vec4<f32> {
    // Tokens after the last have features 0.
    let c = min(column, HEAD - 4u);
#ifdef QUERIES
    return drows[min(row, last) * (HEAD / 4u + 1u) + c / 4u];
#else
    return keys[(min(row, last) * KEY_WIDTH + V_OFFSET + c) / 4u];
#endif
}
fn values_left(row: u32, k: u32) -> vec4<f32> { return phi[row * (TOKEN_TILE / 4u) + k]; }
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
            for (var j = 0u; j < TOKEN_TILE; j += 4u) {
                // Tokens after the last count nothing.
                let token = min(vec4<u32>(tile + j) + vec4<u32>(0u, 1u, 2u, 3u), vec4<u32>(last));
                let there = vec4<u32>(start + j) + vec4<u32>(0u, 1u, 2u, 3u) < vec4<u32>(rows);
                var p = vec4<f32>(feature(token.x, packed), feature(token.y, packed), feature(token.z, packed), feature(token.w, packed));
                if GATED == 1u { p *= vec4<f32>(decay_of(token.x), decay_of(token.y), decay_of(token.z), decay_of(token.w)); }
#ifdef QUERIES
                p = select(vec4<f32>(), p, there);
                total[q] += dot(p, vec4<f32>(drow_total(token.x), drow_total(token.y), drow_total(token.z), drow_total(token.w)));
#else
                p = select(vec4<f32>(), p * weight, there);
                total[q] += p.x + p.y + p.z + p.w;
#endif
                phi[row * (TOKEN_TILE / 4u) + j / 4u] = p;
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
    for (var i = lane; i < sums_vectors; i += LANES) {
        if first_feature + i / (HEAD / 4u) < FEATURES {
            let at = out + first_feature * HEAD + 4u * i;
            for (var c = 0u; c < 4u; c++) {
#ifdef FOLD
                states[at + c] = select(0.0, states[at + c] * decay, text.position > BLOCK) + sums[i][c];
#else
                states[at + c] = sums[i][c];
#endif
            }
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
