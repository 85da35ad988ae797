// The sums of a block, H_l = Σ_j e^{G_l - g_j} φ(k_j) v̂_jᵀ, a subgroup FEATURE_TILE features, ROWS at a
// time: products as in shared/subgroup_sums.wgsl, whose left operand is built in registers from the vectors
// of TOKEN_TILE tokens, transposed in workgroup memory once for all of them. The permutations are those of
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
override TOKEN_TILE: u32;      // tokens at a time
override QUADS: u32;           // TOKEN_TILE / 4
override FEATURE_TILE: u32;    // features of a workgroup, a multiple of ROWS

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> keys: array<vec4<f32>>;       // [lanes or slots, HEADS, stride, KEY_WIDTH]; QUERIES: queries
#ifdef QUERIES
@group(0) @binding(2) var<storage, read> drows: array<vec4<f32>>;      // [lanes, HEADS, tokens, HEAD + 4]
#else
@group(0) @binding(2) var<storage, read> lanes: array<Lane>;           // [lanes]
#endif
@group(0) @binding(3) var<storage, read> table: array<u32>;            // [2 * FEATURES]
@group(0) @binding(4) var<storage, read_write> states: array<vec4<f32>>; // [lanes, HEADS, blocks, FEATURES * (HEAD + 1)] or the state [slots, HEADS, ..]
#import subgroup_product values
#import subgroup_all sums
#import feature_quads

override SUMS_VECTORS: u32;    // FEATURE_TILE * HEAD / 4
var<workgroup> sums: array<vec4<f32>, SUMS_VECTORS>;  // [FEATURE_TILE, HEAD / 4]
var<workgroup> totals: array<f32, FEATURE_TILE>;      // of the features alone
var<workgroup> decays: array<vec4<f32>, QUADS>;       // [TOKEN_TILE]
#ifdef QUERIES
var<workgroup> drow_totals: array<vec4<f32>, QUADS>;  // [TOKEN_TILE], decayed
#endif

var<private> tile: u32;      // first row of the tile of tokens
var<private> last: u32;      // last row of the block
#ifndef QUERIES
var<private> last_gate: vec2<f32>;
#endif
var<private> column: u32;    // first of this invocation's four
var<private> group: u32;     // first row of the features
var<private> packed: vec4<u32>; // features lane, lane + LANES, ... of the group
var<private> total: vec4<f32>;  // their sums,
var<private> counting: bool;    // taken with the first columns
var<private> decay: vec4<f32>;  // of the four tokens of a step

fn take_sums(row: u32) -> vec4<f32> { return sums[(group + row) * (HEAD / 4u) + min(column, HEAD - 4u) / 4u]; }
fn keep_sums(row: u32, sum: vec4<f32>) {
    if column < HEAD { sums[(group + row) * (HEAD / 4u) + column / 4u] = sum; }
}
// Tokens after the last have features 0.
fn source_at(row: u32, c: u32) -> vec4<f32> {
    return select(vec4<f32>(), keys[min(tile + row, last) * (KEY_WIDTH / 4u) + S_OFFSET / 4u + c], tile + row <= last);
}
fn source_one(quad: u32) -> vec4<f32> {
    return select(vec4<f32>(), vec4<f32>(1.0), vec4<u32>(tile + 4u * quad) + vec4<u32>(0u, 1u, 2u, 3u) <= vec4<u32>(last));
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
    let c = min(column, HEAD - 4u);
#ifdef QUERIES
    return drows[min(row, last) * (HEAD / 4u + 1u) + c / 4u];
#else
    return keys[(min(row, last) * KEY_WIDTH + V_OFFSET + c) / 4u];
#endif
}
fn values_left(row: u32, k: u32) -> vec4<f32> {
    let phi = feature_quad(packed[row / LANES], k);
    if counting {
#ifdef QUERIES
        let sum = dot(phi, drow_totals[k]);
#else
        let sum = dot(phi, decay);
#endif
        total += select(vec4<f32>(), vec4<f32>(sum), vec4<u32>(row / LANES) == vec4<u32>(0u, 1u, 2u, 3u));
    }
    return phi;
}
fn values_right(k: u32) -> mat4x4<f32> {
    let row = tile + 4u * k;
    let v = mat4x4<f32>(value(row), value(row + 1u), value(row + 2u), value(row + 3u));
    if GATED == 0u { return v; }
    decay = decays[k];
    return mat4x4<f32>(v[0] * decay.x, v[1] * decay.y, v[2] * decay.z, v[3] * decay.w);
}
// Decays of the tile's tokens; of tokens after the last it does not matter.
fn stage_decays(lane: u32) {
    for (var quad = lane; quad < QUADS; quad += LANES) {
        let token = min(vec4<u32>(tile + 4u * quad) + vec4<u32>(0u, 1u, 2u, 3u), vec4<u32>(last));
        var d = vec4<f32>(1.0);
        if GATED == 1u { d = vec4<f32>(decay_of(token.x), decay_of(token.y), decay_of(token.z), decay_of(token.w)); }
        decays[quad] = d;
#ifdef QUERIES
        drow_totals[quad] = d * vec4<f32>(drow_total(token.x), drow_total(token.y), drow_total(token.z), drow_total(token.w));
#endif
    }
}

// Of the queries' features Z has them.
fn weight(f: u32) -> f32 {
#ifdef QUERIES
    return 1.0;
#else
    return key_weight(f);
#endif
}

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(subgroup_invocation_id) lane: u32) {
    let first_feature = workgroup.x * FEATURE_TILE;
    let block = workgroup.y;
#ifdef QUERIES
    let rows = min(BLOCK, params.tokens - block * BLOCK);
    let first = workgroup.z * params.stride + block * BLOCK;
    let out = (workgroup.z * params.blocks + block) * FEATURES * (HEAD + 1u);
#else
    let text = lanes[params.lane_base + workgroup.z / HEADS];
    let head = workgroup.z % HEADS;
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
    let first = workgroup.z * params.stride + block * BLOCK;
    let out = (workgroup.z * params.blocks + block) * FEATURES * (HEAD + 1u);
#endif
#endif
    last = first + rows - 1u;
#ifndef QUERIES
    if GATED == 1u { last_gate = gate(last); }
#endif
    for (var i = lane; i < SUMS_VECTORS; i += LANES) { sums[i] = vec4<f32>(); }
    for (var i = lane; i < FEATURE_TILE; i += LANES) { totals[i] = 0.0; }
    decay = vec4<f32>(1.0);
    for (var start = 0u; start < rows; start += TOKEN_TILE) {
        tile = first + start;
        stage_sources(lane);
        stage_decays(lane);
        workgroupBarrier();
        for (var first_row = 0u; first_row < FEATURE_TILE; first_row += ROWS) {
            group = first_row;
            for (var q = 0u; q < ROWS / LANES; q++) { packed[q] = table[min(first_feature + group + q * LANES + lane, FEATURES - 1u)]; }
            total = vec4<f32>();
            for (var c = 0u; c < HEAD; c += 4u * LANES) {
                column = c + 4u * lane;
                counting = c == 0u;
                take_all_sums();
                values_product((min(TOKEN_TILE, rows - start) + 3u) / 4u, lane);
                keep_all_sums();
            }
            for (var q = 0u; q < ROWS / LANES; q++) { totals[group + q * LANES + lane] += total[q]; }
        }
        workgroupBarrier();
    }
#ifdef FOLD
    var old = 1.0;
    if GATED == 1u { old = gate_decay(last_gate, vec2<f32>()); }
#endif
    for (var i = lane; i < SUMS_VECTORS; i += LANES) {
        let f = first_feature + i / (HEAD / 4u);
        if f < FEATURES {
            let at = (out + first_feature * HEAD) / 4u + i;
#ifdef FOLD
            states[at] = select(vec4<f32>(), states[at] * old, text.position > BLOCK) + weight(f) * sums[i];
#else
            states[at] = weight(f) * sums[i];
#endif
        }
    }
    for (var i = lane; i < FEATURE_TILE; i += LANES) {
        let f = first_feature + i;
        if f < FEATURES {
            let at = (out + FEATURES * HEAD) / 4u + f / 4u;
#ifdef FOLD
            states[at][f % 4u] = select(0.0, states[at][f % 4u] * old, text.position > BLOCK) + weight(f) * totals[i];
#else
            states[at][f % 4u] = weight(f) * totals[i];
#endif
        }
    }
}
