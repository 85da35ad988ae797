// o_i = N_i[0..h] / (β + N_i[h]) as in scan_output.wgsl, a subgroup ROWS queries: products as in
// shared/subgroup_sums.wgsl. Weights of TILE keys are built in workgroup memory, features in registers; what
// belongs to the last column is summed on the way.
#import lanes
#import gate_sum
struct Params { tokens: u32, lane_base: u32, blocks: u32, stride: u32, tiles: u32 }
override HEADS: u32;
override HEAD: u32;
override BLOCK: u32;
override QUERY_WIDTH: u32;
override KEY_WIDTH: u32;
override LOCAL: u32;           // width of the vector the local weights read
override LOCAL_OFFSET: u32;    // its column in query and key rows
override S_OFFSET: u32;        // column of the feature source in query and key rows
override V_OFFSET: u32;
override GATED: u32;
override BIAS: f32;            // β
const QUADS: u32 = ROWS / 4u;
const TILE: u32 = 64u;         // keys at a time: columns of the weights

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> queries: array<vec4<f32>>;         // [lanes, HEADS, tokens, QUERY_WIDTH]
@group(0) @binding(2) var<storage, read> keys: array<vec4<f32>>;            // [lanes, HEADS, stride, KEY_WIDTH]
@group(0) @binding(3) var<storage, read> lanes: array<Lane>;                // [lanes]
@group(0) @binding(4) var<storage, read> table: array<u32>;                 // [2 * FEATURES]
@group(0) @binding(5) var<storage, read> prefix: array<vec4<f32>>;          // [lanes, HEADS, blocks, FEATURES * (HEAD + 1)], not causal: blocks = 1
@group(0) @binding(6) var<storage, read_write> o: array<vec4<f32>>;         // [rows, HEADS * HEAD]
#ifdef NORMALISER
@group(0) @binding(7) var<storage, read_write> normaliser: array<f32>;      // [lanes, HEADS, tokens], kept for the gradient
#endif
#import subgroup_product scores
#import subgroup_product values
#import subgroup_outer states
#import subgroup_vectors weights
#import feature_quads
#import local_weight
#import subgroup_weights
#import subgroup_vectors sums

var<workgroup> totals: array<f32, 128>;           // [ROWS, LANES], the last column: each invocation's part
var<workgroup> row_gate: array<vec2<f32>, ROWS>;

var<private> text_head: u32;   // first row of the queries of a text and head
var<private> first_token: i32; // of the call, in the tile's first row; before 0: of an earlier call, not written
var<private> block_row: u32;   // first row of the keys of the block
var<private> keys_end: u32;    // keys of the block that any row may see
var<private> tile_row: u32;    // first row of the tile in its block
var<private> column: u32;      // first of this invocation's four: in the tile of weights, or of the outputs
var<private> start: u32;       // first key of the tile of weights
var<private> z: u32;           // where the state begins
var<private> decays: mat4x4<f32>; // of the rows, from the block's start
var<private> far: mat4x4<f32>; // the last column of the rows: of this invocation's features,
var<private> counting: bool;   // summed with the first columns

fn query_at(row: u32) -> u32 { return (text_head + u32(clamp(first_token + i32(row), 0, i32(params.tokens) - 1))) * (QUERY_WIDTH / 4u); }
fn key_at(j: u32) -> u32 { return (block_row + min(j, keys_end - 1u)) * (KEY_WIDTH / 4u); }
fn gate_of_key(j: u32) -> vec2<f32> { return keys[key_at(j) + (V_OFFSET + HEAD) / 4u].xy; }
fn source_at(row: u32, c: u32) -> vec4<f32> { return queries[query_at(row) + S_OFFSET / 4u + c]; }
fn source_one(quad: u32) -> vec4<f32> { return vec4<f32>(1.0); }

fn scores_left(row: u32, k: u32) -> vec4<f32> {
    return queries[query_at(row) + LOCAL_OFFSET / 4u + k];
}
fn key_part(c: u32, k: u32) -> vec4<f32> { return keys[key_at(start + column + c) + LOCAL_OFFSET / 4u + k]; }
fn scores_right(k: u32) -> mat4x4<f32> { return transpose(mat4x4<f32>(key_part(0u, k), key_part(1u, k), key_part(2u, k), key_part(3u, k))); }

// Scores of a tile to weights, four of a row at a time.
fn weigh(lane: u32) {
    for (var row = 0u; row < ROWS; row++) {
        var all = vec4<f32>();
        let sight = min(tile_row + row + 1u, keys_end);
        for (var i = 0u; i < TILE; i += 4u * LANES) {
            let at = (row * TILE + i) / 4u + lane;
            let j = start + i + 4u * lane;
            let w = select(vec4<f32>(), weights_of(weights[at], row, j), vec4<u32>(j, j + 1u, j + 2u, j + 3u) < vec4<u32>(sight));
            weights[at] = w;
            all += w;
        }
        totals[row * LANES + lane] += all.x + all.y + all.z + all.w;
    }
}

fn prefix_number(at: u32) -> f32 { return prefix[at / 4u][at % 4u]; }
fn values_left(row: u32, k: u32) -> vec4<f32> { return weights[row * (TILE / 4u) + k]; }
fn value(j: u32) -> vec4<f32> { return keys[key_at(j) + (V_OFFSET + min(column, HEAD - 4u)) / 4u]; }
fn values_right(k: u32) -> mat4x4<f32> {
    let j = start + 4u * k;
    return mat4x4<f32>(value(j), value(j + 1u), value(j + 2u), value(j + 3u));
}
// Features after the last count nothing.
fn states_left(f: u32) -> mat4x4<f32> {
    let at = min(f, FEATURES - 1u);
    let packed = table[at];
    var phi = mat4x4<f32>(feature_quad(packed, 0u), feature_quad(packed, 1u), feature_quad(packed, 2u), feature_quad(packed, 3u));
    if GATED == 1u { phi = mat4x4<f32>(phi[0] * decays[0], phi[1] * decays[1], phi[2] * decays[2], phi[3] * decays[3]); }
    if f >= FEATURES { phi = mat4x4<f32>(); }
    if counting { far += phi * prefix_number(z + FEATURES * HEAD + at); }
    return phi;
}
fn states_right(f: u32) -> vec4<f32> {
    return prefix[(z + min(f, FEATURES - 1u) * HEAD + min(column, HEAD - 4u)) / 4u];
}

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(subgroup_invocation_id) lane: u32) {
    let block = group.y;
    let text = lanes[params.lane_base + group.z / HEADS];
    let head = group.z % HEADS;
    let end = text.ring + params.tokens;                   // rows of this text's window
    let tile = group.x * ROWS;                             // first row of the tile in its block
    let first = block * BLOCK + tile;                      // in the window
    let rows = min(BLOCK - tile, ROWS);
    // Nothing of this tile belongs to the call.
    if first >= end || first + rows <= text.ring { return; }
    text_head = group.z * params.tokens;
    let shift = i32(first) - i32(text.ring);
    first_token = shift;
    block_row = group.z * params.stride + block * BLOCK;
    tile_row = tile;
    let seen = min(tile + rows, end - block * BLOCK);
    keys_end = seen;
    clear_all_sums(lane);
    for (var row = 0u; row < ROWS; row++) { totals[row * LANES + lane] = 0.0; }
    if GATED == 1u {
        for (var row = lane; row < ROWS; row += LANES) { row_gate[row] = gate_of_key(tile + row); }
    }
    stage_sources(lane);
    workgroupBarrier();

#ifndef FAR_ONLY
    for (var key = 0u; key < seen; key += TILE) {
        start = key;
        for (var j = 0u; j < min(TILE, seen - key); j += 4u * LANES) {
            column = j + 4u * lane;
            clear_sums();
            scores_product(LOCAL / 4u, lane);
            keep_all_weights();
        }
        workgroupBarrier();
        weigh(lane);
        workgroupBarrier();
        for (var c = 0u; c < HEAD; c += 4u * LANES) {
            column = c + 4u * lane;
            take_all_sums();
            values_product((min(TILE, seen - key) + 3u) / 4u, lane);
            keep_all_sums();
        }
        workgroupBarrier();
    }
#endif

    // The far part is zero in the first block of a text.
#ifdef FAR_ONLY
    z = group.z * FEATURES * (HEAD + 1u);
    {
#else
    z = (group.z * params.blocks + block) * FEATURES * (HEAD + 1u);
    if text.position + block * BLOCK > text.ring {
#endif
        if GATED == 1u {
            for (var row = 0u; row < ROWS; row++) { decays[row / 4u][row % 4u] = gate_decay(row_gate[row], vec2<f32>()); }
        }
        for (var c = 0u; c < HEAD; c += 4u * LANES) {
            column = c + 4u * lane;
            counting = c == 0u;
            take_all_sums();
            states_outer(FEATURES, lane);
            keep_all_sums();
        }
        for (var row = 0u; row < ROWS; row++) { totals[row * LANES + lane] += far[row / 4u][row % 4u]; }
        workgroupBarrier();
    }

    for (var row = 0u; row < rows; row++) {
        let token = shift + i32(row);
        if token >= 0 && token < i32(params.tokens) {
            let total = BIAS + subgroupAdd(totals[row * LANES + lane]);
            let out = ((group.z / HEADS) * params.tokens + u32(token)) * HEADS + head;
            for (var c = lane; c < HEAD / 4u; c += LANES) { o[out * (HEAD / 4u) + c] = sums[row * (HEAD / 4u) + c] / total; }
#ifdef NORMALISER
            if lane == 0u { normaliser[group.z * params.tokens + u32(token)] = total; }
#endif
        }
    }
}
