// permutations: [ALL|FOLD|QUERIES|MIXED+SIDE8|MIXED+SIDE16|ALL+MIXED+SIDE8|ALL+MIXED+SIDE16]
// Block states of the scan (SPEC §1): H_l = Σ_{j in block l} e^{g_last - g_j} φ(k_j) v̂_jᵀ, laid out [F, h]
// then [F].
//
// Ladder. Reference: kernels/scan/scan_states.rs. Naive tiles: a feature and a vector of v loaded for each
// multiply-add of four. Tiles in registers that read v from memory, φ in workgroup memory: 15 % of the H100's
// peak. Here: outer products from staged steps, of which φ is the left operand and built on the way
// (shared/matrix_tile.wgsl); a prototype did 41 % there, not measured here yet.
// The blocks of a window that leave the ring in this call; ALL: the last, perhaps partial block too
// (training, and not causal). QUERIES: all blocks, of queries and their gradient rows: dZ_l = Σ_i e^{g_i}
// φ(q_i) dN_iᵀ, without the scales of keys. FOLD: the block comes from the ring of a slot, the oldest one,
// and the result goes onto its state [slots, HEADS, FEATURES * (HEAD + 1)] (decoding), or replaces it if it
// is the first block of a text. Sinks are left out: every query sees them exactly.
// MIXED: φ, with its decay, and v as halves, φ over a power of two above all of the block; the totals in f32.
#import cooperative
#import lanes
#import gate_sum
#import head_layout
struct Params { blocks: u32, lane_base: u32, stride: u32, tokens: u32, parts: u32 }
override WIDTH: u32;           // columns of a key row; QUERIES: of a query row

@group(0) @binding(0) var<uniform> params: Params;
// [lanes or slots, HEADS, stride, WIDTH], stride in rows
@group(0) @binding(1) var<storage, read> keys: array<vec4<f32>>;
#ifdef QUERIES
@group(0) @binding(2) var<storage, read> drows: array<vec4<f32>>; // [lanes, HEADS, tokens, GROUP, HEAD + 4]
#else
@group(0) @binding(2) var<storage, read> lanes: array<Lane>; // [lanes]
#endif
@group(0) @binding(3) var<storage, read> table: array<u32>; // [2 * FEATURES]
@group(0) @binding(4) var<storage, read_write> states: array<vec4<f32>>; // [lanes, HEADS, blocks, STATE]

#import matrix_tile
#ifdef MIXED
#import cooperative_size
#import cooperative_product rows
#else
#import outer_products sum
#import tile_product rows
#endif
#import feature_memory keys
#ifdef MIXED
#import cooperative_features
var<private> power: f32;                       // which no feature of the block is above
#endif

// What a row adds to the normaliser, its gate sum, its decay to the block's end (QUERIES: from its
// beginning).
#ifdef QUERIES
fn value(row: u32, vector: u32) -> vec4<f32> { return drows[row * (HEAD / 4u + 1u) + vector]; }
fn part_of_total(row: u32) -> f32 { return drows[row * (HEAD / 4u + 1u) + HEAD / 4u].x; }
fn gate_sum(row: u32) -> vec2<f32> { return drows[row * (HEAD / 4u + 1u) + HEAD / 4u].zw; }
fn decay(last: vec2<f32>, row: u32) -> f32 { return gate_decay(gate_sum(row), last); }
#else
fn value(row: u32, vector: u32) -> vec4<f32> { return keys[(row * WIDTH + V_OFFSET) / 4u + vector]; }
fn part_of_total(row: u32) -> f32 { return 1.0; }
fn gate_sum(row: u32) -> vec2<f32> { return keys[(row * WIDTH + G_OFFSET) / 4u].xy; }
fn decay(last: vec2<f32>, row: u32) -> f32 { return gate_decay(last, gate_sum(row)); }
#endif

var<private> first: u32;                       // row of the block's first token
var<private> rows: u32;
var<private> sinks: u32;                       // first rows of the block that are left out
var<private> first_vector: u32;
var<private> last_gate: vec2<f32>;
var<private> packed: vec4<u32>;                // of the features that this invocation stages
var<private> total: vec4<f32>;                 // of the same
#ifdef MIXED
fn left_place_rows(z: u32) -> vec2<u32> { return outer_first(z, GROUP_Y * ROWS / 4u); }
fn right_place_rows(z: u32) -> vec2<u32> { return outer_first(z, GROUP_X * vectors_rows()); }
#else
fn left_of_sum(k: u32, r: u32) -> vec4<f32> { return staged_left(k, r); }
fn multiply_rows() { multiply_sum(); }
#endif
fn vectors_rows() -> u32 { return vectors_sum(); }
// Of the block's last row those beyond it, without weight.
fn row_at(j: u32) -> u32 { return first + min(j, rows - 1u); }
fn features(j: u32) -> vec4<f32> {
    let row = row_at(j);
    let at = row * WIDTH + SOURCE_OFFSET;
    var scale = select(0.0, 1.0, j < rows);
    if SINKS > 0u && j < sinks { scale = 0.0; }
    if GATED { scale *= decay(last_gate, row); }
    let phi = scale *
        vec4<f32>(feature(at, packed.x), feature(at, packed.y), feature(at, packed.z), feature(at, packed.w));
    total += phi * part_of_total(row);
#ifdef MIXED
    return phi * inverse_power(power);
#else
    return phi;
#endif
}
fn left_rows(feature: u32, j: u32) -> mat4x4<f32> {
    var block = mat4x4<f32>();
    for (var i = 0u; i < 4u; i++) { block[i] = features(j + i); }
    return block;
}
fn right_rows(vector: u32, j: u32) -> mat4x4<f32> {
    let at = min(first_vector + vector, HEAD / 4u - 1u);
    var block = mat4x4<f32>();
    for (var i = 0u; i < 4u; i++) { block[i] = value(row_at(j + i), at); }
    return block;
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
    let across = GROUP_Y * ROWS / 4u;
    let first_feature = group.x / params.parts * (4u * across);
    let part = group.x % params.parts;
    first_vector = part * (GROUP_X * COLUMNS / 4u);
    let block = group.y;
#ifdef QUERIES
    if block * BLOCK >= params.tokens { return; }
    let count = min(BLOCK, params.tokens - block * BLOCK) * GROUP;
    first = group.z * params.stride + block * BLOCK * GROUP;
    let out = (group.z * params.blocks + block) * FEATURES * (HEAD + 1u);
#else
    let lane = lanes[params.lane_base + group.z / HEADS];
    let head = group.z % HEADS;
#ifdef FOLD
    // The block whose place the next token takes; the first blocks of a text have places of their own.
    let newest = (lane.position - lane.ring) / BLOCK;
    if lane.ring != BLOCK || newest + 1u < NEAR { return; }
    let oldest = newest + 1u - NEAR;
    first = (lane.slot * HEADS + head) * params.stride + oldest % NEAR * BLOCK;
    let out = (lane.slot * HEADS + head) * FEATURES * (HEAD + 1u);
    let count = BLOCK;
    sinks = select(SINKS, 0u, oldest > 0u);
#else
    // Of the window's blocks, the first ones may lie before the text.
    let of_text = (lane.position - lane.ring) / BLOCK + block;
    let end = LEAD * BLOCK + lane.ring + params.tokens;
#ifdef ALL
    if block * BLOCK >= end { return; }
    let count = min(BLOCK, end - block * BLOCK);
#else
    // The last blocks a lane touches stay in the ring.
    if (block + LEAD + 1u) * BLOCK >= end || of_text < LEAD { return; }
    let count = BLOCK;
#endif
    first = group.z * params.stride + block * BLOCK;
    let out = (group.z * params.blocks + block) * FEATURES * (HEAD + 1u);
    sinks = select(0u, SINKS, of_text == LEAD);
#endif
#endif
    rows = count;
#ifndef QUERIES
    if GATED { last_gate = gate_sum(first + count - 1u); }
#endif
    let staged = vec4<u32>(first_feature + 4u * (here.z % across)) + vec4<u32>(0u, 1u, 2u, 3u);
    let known = min(staged, vec4<u32>(FEATURES - 1u));
    packed = vec4<u32>(table[known.x], table[known.y], table[known.z], table[known.w]);
#ifdef MIXED
    var most = 0.0;
    for (var j = here.z; j < count; j += INVOCATIONS) {
        most = max(most, largest_factor((first + j) * WIDTH + SOURCE_OFFSET));
    }
    power = features_above(largest_of_all(most));
    add_rows(count);
    gather_rows();
    for (var i = 0u; i < ROWS * (COLUMNS / 4u); i++) { sum[i] *= power; }
#else
    add_rows(count);
#endif
#ifdef FOLD
    // The first block of a text replaces what an earlier text left.
    let replaces = oldest == 0u;
    var before = 1.0;
    if GATED { before = gate_decay(last_gate, vec2<f32>()); }
#endif
    for (var r = 0u; r < ROWS; r++) {
        let f = first_feature + row_of(r);
        for (var c = 0u; c < COLUMNS / 4u; c++) {
            let vector = first_vector + vector_of(c);
            if f < FEATURES && vector < HEAD / 4u {
                let at = (out + f * HEAD) / 4u + vector;
                var value = sum[r * (COLUMNS / 4u) + c];
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
    if part > 0u { return; }
    // The totals, from all that have staged the same features.
    workgroupBarrier();
    if here.z < left_blocks() { tile_left[here.z] = total; }
    workgroupBarrier();
    if here.z < across && staged.x < FEATURES {
        let f = staged.x;
        let at = (out + FEATURES * HEAD + f) / 4u;
        var value = vec4<f32>();
        for (var i = 0u; i < DEPTH / 4u; i++) { value += tile_left[i * across + here.z]; }
#ifndef QUERIES
        value *= vec4<f32>(key_scale(f), key_scale(f + 1u), key_scale(f + 2u), key_scale(f + 3u));
#endif
#ifdef FOLD
        value += select(states[at] * before, vec4<f32>(), replaces);
#endif
        states[at] = value;
    }
}
