// dx_j, dv̂_j and dG_j as in attention_grad_keys.wgsl, a subgroup ROWS keys: products as in
// shared/subgroup_sums.wgsl.
struct Params { tokens: u32, stride: u32, span: u32, first: u32 }
override HEAD: u32;
override QUERY_WIDTH: u32;
override KEY_WIDTH: u32;
override V_OFFSET: u32;
override LOCAL: u32;           // width of the vector x the weights read
override LOCAL_OFFSET: u32;    // its column in query and key rows
override GATED: u32;
const TILE: u32 = 32u;         // queries at a time: columns of dt, first t, and dw, then the weights
override AT_ONCE: u32;         // queries of a dispatch, from its `first` on; later ones add to what is there

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> queries: array<vec4<f32>>;         // [lanes, HEADS, tokens, QUERY_WIDTH]
@group(0) @binding(2) var<storage, read> keys: array<vec4<f32>>;            // [lanes, HEADS, stride, KEY_WIDTH]
@group(0) @binding(3) var<storage, read> drows: array<vec4<f32>>;           // [lanes, HEADS, tokens, HEAD + 4]
@group(0) @binding(4) var<storage, read_write> dkeys: array<vec4<f32>>;     // [lanes, HEADS, stride, KEY_WIDTH]
#import subgroup_product scores
#import subgroup_product dweights
#import subgroup_product vectors
#import subgroup_product values
#import subgroup_vectors dt
#import subgroup_vectors dw
#import subgroup_vectors dx
#import subgroup_vectors dv
#import attention_pair

var<workgroup> gate: array<vec2<f32>, ROWS>;
var<workgroup> gate_sums: array<f32, 128>;          // [ROWS, LANES], ⟨dv̂_j, v̂_j⟩: each invocation's part

var<private> first_key: u32;   // its token
var<private> key: u32;         // its row
var<private> last_row: u32;    // rows after it repeat it and are not written
var<private> query: u32;       // row of the first query
var<private> end: u32;         // of the queries
var<private> column: u32;      // first of this invocation's four: in the tile of queries, or of the outputs
var<private> start: u32;       // first query of the tile

fn key_part(row: u32, c: u32) -> vec4<f32> { return keys[((key + min(row, last_row)) * KEY_WIDTH + c) / 4u]; }
fn query_part(i: u32, c: u32) -> vec4<f32> { return queries[((query + min(i, end - 1u)) * QUERY_WIDTH + c) / 4u]; }
fn gradient_part(i: u32, c: u32) -> vec4<f32> { return drows[((query + min(i, end - 1u)) * (HEAD + 4u) + c) / 4u]; }
fn scores_left(row: u32, k: u32) -> vec4<f32> { return key_part(row, LOCAL_OFFSET + 4u * k); }
fn scores_right(k: u32) -> mat4x4<f32> {
    let i = start + column;
    let c = LOCAL_OFFSET + 4u * k;
    return transpose(mat4x4<f32>(query_part(i, c), query_part(i + 1u, c), query_part(i + 2u, c), query_part(i + 3u, c)));
}
fn dweights_left(row: u32, k: u32) -> vec4<f32> { return key_part(row, V_OFFSET + 4u * k); }
fn dweights_right(k: u32) -> mat4x4<f32> {
    let i = start + column;
    let c = 4u * k;
    return transpose(mat4x4<f32>(gradient_part(i, c), gradient_part(i + 1u, c), gradient_part(i + 2u, c), gradient_part(i + 3u, c)));
}

// Of query i and a key: the weight, dt, and what the gate gets.
fn pair_of(row: u32, i: u32, t: f32, dw: f32) -> vec3<f32> {
    if i < first_key + row || i >= end { return vec3<f32>(); }
    let known = gradient_part(i, HEAD);
    let dweight = dw + known.x;
    let pair = attention_pair(t, dweight, known.zw, gate[row]);
    return vec3<f32>(pair, pair.x * dweight);
}

// t and dw of a tile to dt and weights, four of a row at a time.
fn weigh(lane: u32) {
    for (var row = 0u; row < ROWS; row++) {
        var gate_sum = 0.0;
        for (var ii = 4u * lane; ii < TILE; ii += 4u * LANES) {
            let i = start + ii;
            let at = (row * TILE + ii) / 4u;
            let t = dt[at];
            let dweight = dw[at];
            let a = pair_of(row, i, t.x, dweight.x);
            let b = pair_of(row, i + 1u, t.y, dweight.y);
            let c = pair_of(row, i + 2u, t.z, dweight.z);
            let d = pair_of(row, i + 3u, t.w, dweight.w);
            dw[at] = vec4<f32>(a.x, b.x, c.x, d.x);
            dt[at] = vec4<f32>(a.y, b.y, c.y, d.y);
            gate_sum += a.z + b.z + c.z + d.z;
        }
        if GATED == 1u { gate_sums[row * LANES + lane] += gate_sum; }
    }
}
fn vectors_left(row: u32, k: u32) -> vec4<f32> { return dt[row * (TILE / 4u) + k]; }
fn vectors_right(k: u32) -> mat4x4<f32> {
    let i = start + 4u * k;
    let c = LOCAL_OFFSET + min(column, LOCAL - 4u);
    return mat4x4<f32>(query_part(i, c), query_part(i + 1u, c), query_part(i + 2u, c), query_part(i + 3u, c));
}
fn values_left(row: u32, k: u32) -> vec4<f32> { return dw[row * (TILE / 4u) + k]; }
fn values_right(k: u32) -> mat4x4<f32> {
    let i = start + 4u * k;
    let c = min(column, HEAD - 4u);
    return mat4x4<f32>(gradient_part(i, c), gradient_part(i + 1u, c), gradient_part(i + 2u, c), gradient_part(i + 3u, c));
}

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(subgroup_invocation_id) lane: u32) {
    let base = group.y * params.span;
    let last = min(base + params.span, params.tokens);
    let first = base + group.x * ROWS;
    if first + params.first >= last { return; }
    let rows = min(ROWS, last - first);
    first_key = first;
    key = group.z * params.stride + first;
    last_row = rows - 1u;
    query = group.z * params.tokens;
    end = last;
    for (var row = lane; row < ROWS; row += LANES) { gate[row] = key_part(row, V_OFFSET + HEAD).xy; }
    for (var row = 0u; row < ROWS; row++) { gate_sums[row * LANES + lane] = 0.0; }
    clear_all_dx(lane);
    clear_all_dv(lane);
    workgroupBarrier();
    for (var from_query = first + params.first; from_query < min(last, first + params.first + AT_ONCE); from_query += TILE) {
        start = from_query;
        let steps = (min(TILE, last - from_query) + 3u) / 4u;
        for (var i = 0u; i < TILE; i += 4u * LANES) {
            column = i + 4u * lane;
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
            vectors_product(steps, lane);
            keep_all_dx();
        }
        for (var c = 0u; c < HEAD; c += 4u * LANES) {
            column = c + 4u * lane;
            take_all_dv();
            values_product(steps, lane);
            keep_all_dv();
        }
        workgroupBarrier();
    }
    for (var row = 0u; row < rows; row++) {
        let out = (key + row) * (KEY_WIDTH / 4u);
        for (var c = 4u * lane; c < V_OFFSET; c += 4u * LANES) {
            var value = vec4<f32>();
            if c >= LOCAL_OFFSET && c < LOCAL_OFFSET + LOCAL { value = dx[(row * LOCAL + c - LOCAL_OFFSET) / 4u]; }
            if params.first > 0u { value += dkeys[out + c / 4u]; }
            dkeys[out + c / 4u] = value;
        }
        for (var c = 4u * lane; c < HEAD; c += 4u * LANES) {
            var value = dv[(row * HEAD + c) / 4u];
            if params.first > 0u { value += dkeys[out + (V_OFFSET + c) / 4u]; }
            dkeys[out + (V_OFFSET + c) / 4u] = value;
        }
        if GATED == 1u {
            let gate_sum = subgroupAdd(gate_sums[row * LANES + lane]);
            if lane == 0u {
                var own = gradient_part(first + row, HEAD).y;
                if params.first > 0u { own = dkeys[out + (V_OFFSET + HEAD) / 4u].x; }
                dkeys[out + (V_OFFSET + HEAD) / 4u] = vec4<f32>(own - gate_sum, 0.0, 0.0, 0.0);
            }
        }
    }
}
