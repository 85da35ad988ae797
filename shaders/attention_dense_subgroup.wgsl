// The baselines with a key-value cache as in attention_dense.wgsl, a subgroup ROWS queries: products as in
// shared/subgroup_sums.wgsl, weights of TILE keys in workgroup memory. Where no row's maximum moves, which is
// nearly everywhere in a long text, nothing is rescaled.
#import lanes
#import gate_sum
struct Params { tokens: u32, lane_base: u32, stride: u32 }
override HEADS: u32;
override HEAD: u32;
override QUERY_WIDTH: u32;
override KEY_WIDTH: u32;
override V_OFFSET: u32;
override GATED: u32;
override BIAS: f32;            // β
const TILE: u32 = 64u;

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> queries: array<vec4<f32>>;         // [lanes, HEADS, tokens, QUERY_WIDTH]
@group(0) @binding(2) var<storage, read> keys: array<vec4<f32>>;            // [slots, HEADS, stride, KEY_WIDTH], or the window [lanes, ..]
@group(0) @binding(3) var<storage, read> lanes: array<Lane>;                // [lanes]
@group(0) @binding(4) var<storage, read_write> o: array<vec4<f32>>;         // [rows, HEADS * HEAD]
#ifdef CAUSAL
@group(0) @binding(5) var<storage, read_write> normaliser: array<f32>;      // [lanes, HEADS, tokens], or the log-sum-exp: for the gradient
#endif
#import subgroup_product scores
#import subgroup_product values
#import subgroup_vectors weights
#import subgroup_vectors sums

var<workgroup> query: array<vec4<f32>, sums_vectors>;  // [ROWS, HEAD / 4]

var<workgroup> totals: array<f32, 128>;           // [ROWS, LANES], sums of weights: each invocation's part
#ifdef SOFTMAX
override SCALE: f32;
var<workgroup> highest: array<f32, ROWS>;         // running maximum of each row
var<workgroup> raised: array<f32, ROWS>;          // with the tile in work
var<workgroup> rescale: array<f32, ROWS>;         // what the sums so far are to be multiplied with
#else
var<workgroup> row_gate: array<vec2<f32>, ROWS>;
#import local_weight
#import subgroup_weights
#endif

var<private> text_head: u32;   // first row of the queries of a text and head
var<private> first_query: u32; // token of the tile's first row
var<private> first_key: u32;   // row of the first key
var<private> keys_end: u32;    // keys that any row may see
var<private> sight: u32;       // keys that the tile's first row sees; each row sees one more
var<private> column: u32;      // first of this invocation's four: in the tile of weights, or of the outputs
var<private> start: u32;       // first key of the tile of weights

fn key_at(j: u32) -> u32 { return (first_key + min(j, keys_end - 1u)) * (KEY_WIDTH / 4u); }
fn gate_of_key(j: u32) -> vec2<f32> { return keys[key_at(j) + (V_OFFSET + HEAD) / 4u].xy; }

fn scores_left(row: u32, k: u32) -> vec4<f32> { return query[row * (HEAD / 4u) + k]; }
fn key_part(c: u32, k: u32) -> vec4<f32> { return keys[key_at(start + column + c) + k]; }
fn scores_right(k: u32) -> mat4x4<f32> { return transpose(mat4x4<f32>(key_part(0u, k), key_part(1u, k), key_part(2u, k), key_part(3u, k))); }

// Which of keys j .. j + 3 a row sees.
fn sees(row: u32, j: u32) -> vec4<bool> {
    let keys = vec4<u32>(j, j + 1u, j + 2u, j + 3u);
#ifdef FULL
    return keys < vec4<u32>(keys_end);
#else
    return keys < vec4<u32>(min(keys_end, sight + row));
#endif
}

// Scores of a tile to weights, four of a row at a time: llvmpipe ends an invocation's loops after 65 535
// iterations in all.
fn weigh(lane: u32) {
#ifdef SOFTMAX
    var moved = false;
#endif
    for (var row = 0u; row < ROWS; row++) {
        var all = vec4<f32>();
#ifdef SOFTMAX
        var most = vec4<f32>(-3.0e38);
        for (var i = 0u; i < TILE; i += 4u * LANES) {
            let at = i + 4u * lane;
            most = max(most, select(vec4<f32>(-3.0e38), SCALE * weights[(row * TILE + at) / 4u], sees(row, start + at)));
        }
        let before = highest[row];
        let high = max(before, subgroupMax(max(max(most.x, most.y), max(most.z, most.w))));
        for (var i = 0u; i < TILE; i += 4u * LANES) {
            let at = i + 4u * lane;
            let w = select(vec4<f32>(), exp(SCALE * weights[(row * TILE + at) / 4u] - high), sees(row, start + at));
            weights[(row * TILE + at) / 4u] = w;
            all += w;
        }
        let scale = exp(before - high);
        totals[row * LANES + lane] *= scale;
        moved = moved || high > before;
        if lane == 0u {
            raised[row] = high;
            rescale[row] = scale;
        }
#else
        for (var i = 0u; i < TILE; i += 4u * LANES) {
            let at = i + 4u * lane;
            let w = select(vec4<f32>(), weights_of(weights[(row * TILE + at) / 4u], row, start + at), sees(row, start + at));
            weights[(row * TILE + at) / 4u] = w;
            all += w;
        }
#endif
        totals[row * LANES + lane] += all.x + all.y + all.z + all.w;
    }
#ifdef SOFTMAX
    workgroupBarrier();
    for (var row = lane; row < ROWS; row += LANES) { highest[row] = raised[row]; }
    if moved {
        for (var i = lane; i < sums_vectors; i += LANES) { sums[i] *= rescale[i / (HEAD / 4u)]; }
    }
#endif
}

fn value(j: u32) -> vec4<f32> { return keys[key_at(j) + (V_OFFSET + min(column, HEAD - 4u)) / 4u]; }
fn values_left(row: u32, k: u32) -> vec4<f32> { return weights[row * (TILE / 4u) + k]; }
fn values_right(k: u32) -> mat4x4<f32> {
    let j = start + 4u * k;
    return mat4x4<f32>(value(j), value(j + 1u), value(j + 2u), value(j + 3u));
}

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(subgroup_invocation_id) lane: u32) {
    let text = lanes[params.lane_base + group.z / HEADS];
    let head = group.z % HEADS;
    let tile = group.x * ROWS;
    if tile >= params.tokens { return; }
    let rows = min(ROWS, params.tokens - tile);
    // Key rows of the slot, or of the call's own window.
    var first = (text.slot * HEADS + head) * params.stride;
    var position = text.position;
#ifdef FULL
    first = group.z * params.stride;
    let end = params.tokens;
#else
#ifdef CAUSAL
    first = group.z * params.stride;
    position = 0u;
#endif
    let end = position + tile + rows;
#endif
    text_head = group.z * params.tokens;
    first_query = tile;
    first_key = first;
    keys_end = end;
    sight = position + tile + 1u;
    for (var row = lane; row < ROWS; row += LANES) {
        let at = (text_head + min(first_query + row, params.tokens - 1u)) * (QUERY_WIDTH / 4u);
        for (var c = 0u; c < HEAD / 4u; c++) { query[row * (HEAD / 4u) + c] = queries[at + c]; }
    }
    clear_all_sums(lane);
    for (var row = 0u; row < ROWS; row++) { totals[row * LANES + lane] = 0.0; }
#ifdef SOFTMAX
    for (var row = lane; row < ROWS; row += LANES) { highest[row] = -3.0e38; }
#else
    if GATED == 1u { // never together with FULL: a gate is causal
        for (var row = lane; row < ROWS; row += LANES) { row_gate[row] = gate_of_key(position + tile + row); }
    }
#endif
    workgroupBarrier();
    for (var key = 0u; key < end; key += TILE) {
        start = key;
        for (var j = 0u; j < TILE; j += 4u * LANES) {
            column = j + 4u * lane;
            clear_sums();
            scores_product(HEAD / 4u, lane);
            keep_all_weights();
        }
        workgroupBarrier();
        weigh(lane);
        workgroupBarrier();
        for (var c = 0u; c < HEAD; c += 4u * LANES) {
            column = c + 4u * lane;
            take_all_sums();
            values_product((min(TILE, end - key) + 3u) / 4u, lane);
            keep_all_sums();
        }
        workgroupBarrier();
    }
    for (var row = 0u; row < rows; row++) {
        let total = subgroupAdd(totals[row * LANES + lane]);
        let out = ((group.z / HEADS) * params.tokens + tile + row) * HEADS + head;
        for (var c = lane; c < HEAD / 4u; c += LANES) { o[out * (HEAD / 4u) + c] = sums[row * (HEAD / 4u) + c] / (BIAS + total); }
#ifdef CAUSAL
        if lane == 0u {
#ifdef SOFTMAX
            normaliser[text_head + tile + row] = highest[row] + log(total);
#else
            normaliser[text_head + tile + row] = BIAS + total;
#endif
        }
#endif
    }
}
