// dx_i = Σ_j dt_ij x_j as in attention_grad_queries.wgsl, a subgroup ROWS queries: products as in
// shared/subgroup_sums.wgsl.
struct Params { tokens: u32, stride: u32, span: u32, first: u32 }
override HEAD: u32;
override QUERY_WIDTH: u32;
override KEY_WIDTH: u32;
override V_OFFSET: u32;
override LOCAL: u32;           // width of the vector x the weights read
override LOCAL_OFFSET: u32;    // its column in query and key rows
override GATED: u32;
const TILE: u32 = 32u;         // keys at a time: columns of dt and dw
override AT_ONCE: u32;         // keys of a dispatch, from its `first` on; later ones add to what is there

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> queries: array<vec4<f32>>;         // [lanes, HEADS, tokens, QUERY_WIDTH]
@group(0) @binding(2) var<storage, read> keys: array<vec4<f32>>;            // [lanes, HEADS, stride, KEY_WIDTH]
@group(0) @binding(3) var<storage, read> drows: array<vec4<f32>>;           // [lanes, HEADS, tokens, HEAD + 4]
@group(0) @binding(4) var<storage, read_write> dqueries: array<vec4<f32>>;  // [lanes, HEADS, tokens, QUERY_WIDTH]
#import subgroup_product scores
#import subgroup_product dweights
#import subgroup_product outputs
#import subgroup_vectors dt
#import subgroup_vectors dw
#import subgroup_vectors dx
#import attention_pair

var<workgroup> known: array<vec4<f32>, ROWS>;       // the rest of the gradient rows

var<private> token: u32;       // row of the first query
var<private> last_row: u32;    // rows after it repeat it and are not written
var<private> first_query: u32; // its token
var<private> first_key: u32;   // row of the first key
var<private> keys_end: u32;    // keys that any row may see
var<private> column: u32;      // first of this invocation's four: in the tile of keys, or of the outputs
var<private> start: u32;       // first key of the tile

fn key_part(j: u32, c: u32) -> vec4<f32> { return keys[((first_key + min(j, keys_end - 1u)) * KEY_WIDTH + c) / 4u]; }
fn key_columns(c: u32) -> mat4x4<f32> {
    let j = start + column;
    return transpose(mat4x4<f32>(key_part(j, c), key_part(j + 1u, c), key_part(j + 2u, c), key_part(j + 3u, c)));
}
fn scores_left(row: u32, k: u32) -> vec4<f32> { return queries[((token + min(row, last_row)) * QUERY_WIDTH + LOCAL_OFFSET) / 4u + k]; }
fn scores_right(k: u32) -> mat4x4<f32> { return key_columns(LOCAL_OFFSET + 4u * k); }
fn dweights_left(row: u32, k: u32) -> vec4<f32> { return drows[(token + min(row, last_row)) * (HEAD / 4u + 1u) + k]; }
fn dweights_right(k: u32) -> mat4x4<f32> { return key_columns(V_OFFSET + 4u * k); }
// dt of key j and a query.
fn dt_of(row: u32, j: u32, t: f32, dw: f32) -> f32 {
    if j > first_query + row || j >= keys_end { return 0.0; }
    var gate = vec2<f32>();
    if GATED == 1u { gate = key_part(j, V_OFFSET + HEAD).xy; }
    let rest = known[row];
    return attention_pair(t, dw + rest.x, rest.zw, gate).y;
}

// t and dw of a tile to dt, four of a row at a time.
fn weigh(lane: u32) {
    for (var row = 0u; row < ROWS; row++) {
        for (var i = 4u * lane; i < TILE; i += 4u * LANES) {
            let j = start + i;
            let at = (row * TILE + i) / 4u;
            let t = dt[at];
            let dweight = dw[at];
            dt[at] = vec4<f32>(
                dt_of(row, j, t.x, dweight.x),
                dt_of(row, j + 1u, t.y, dweight.y),
                dt_of(row, j + 2u, t.z, dweight.z),
                dt_of(row, j + 3u, t.w, dweight.w)
            );
        }
    }
}
fn outputs_left(row: u32, k: u32) -> vec4<f32> { return dt[row * (TILE / 4u) + k]; }
fn outputs_right(k: u32) -> mat4x4<f32> {
    let j = start + 4u * k;
    let c = LOCAL_OFFSET + min(column, LOCAL - 4u);
    return mat4x4<f32>(key_part(j, c), key_part(j + 1u, c), key_part(j + 2u, c), key_part(j + 3u, c));
}

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(subgroup_invocation_id) lane: u32) {
    let base = group.y * params.span;
    let end = min(base + params.span, params.tokens);
    let first = base + group.x * ROWS;
    if first >= end { return; }
    let rows = min(ROWS, end - first);
    let seen = first + rows;
    if params.first > 0u && base + params.first >= seen { return; }
    token = group.z * params.tokens + first;
    last_row = rows - 1u;
    first_query = first;
    first_key = group.z * params.stride;
    keys_end = seen;
    for (var row = lane; row < ROWS; row += LANES) {
        known[row] = drows[(token + min(row, rows - 1u)) * (HEAD / 4u + 1u) + HEAD / 4u];
    }
    clear_all_dx(lane);
    workgroupBarrier();
    for (var key = base + params.first; key < min(seen, base + params.first + AT_ONCE); key += TILE) {
        start = key;
        for (var j = 0u; j < TILE; j += 4u * LANES) {
            column = j + 4u * lane;
            clear_sums();
            scores_product(LOCAL / 4u, lane);
            keep_all_dt();
            clear_sums();
            dweights_product(HEAD / 4u, lane);
            keep_all_dw();
        }
        workgroupBarrier();
        weigh(lane);
        workgroupBarrier();
        for (var c = 0u; c < LOCAL; c += 4u * LANES) {
            column = c + 4u * lane;
            take_all_dx();
            outputs_product((min(TILE, seen - key) + 3u) / 4u, lane);
            keep_all_dx();
        }
        workgroupBarrier();
    }
    for (var row = 0u; row < rows; row++) {
        let out = (token + row) * (QUERY_WIDTH / 4u);
        for (var c = 4u * lane; c < QUERY_WIDTH; c += 4u * LANES) {
            var value = vec4<f32>();
            if c >= LOCAL_OFFSET && c < LOCAL_OFFSET + LOCAL { value = dx[(row * LOCAL + c - LOCAL_OFFSET) / 4u]; }
            if params.first > 0u { value += dqueries[out + c / 4u]; }
            dqueries[out + c / 4u] = value;
        }
    }
}
