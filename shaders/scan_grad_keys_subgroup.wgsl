// dφ(k_j), dv̂_j and dG_j through the states after the block, as in scan_grad_keys.wgsl, a subgroup ROWS keys: products as in
// shared/subgroup_sums.wgsl.
#import gate_sum
struct Params { tokens: u32, blocks: u32, stride: u32 }
override HEAD: u32;
override BLOCK: u32;
override KEY_WIDTH: u32;
override S_OFFSET: u32;        // column of the feature source in a key row
override V_OFFSET: u32;
override GATED: u32;
const TILE: u32 = 32u;         // features at a time: columns of dphi

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> keys: array<f32>;                  // [lanes, HEADS, stride, KEY_WIDTH]
@group(0) @binding(2) var<storage, read> dstates: array<f32>;               // [lanes, HEADS, blocks, FEATURES * (HEAD + 1)]
@group(0) @binding(3) var<storage, read> table: array<u32>;                 // [2 * FEATURES]
@group(0) @binding(4) var<storage, read_write> dkeys: array<f32>;           // [lanes, HEADS, stride, KEY_WIDTH]
#import subgroup_product states
#import subgroup_product values
#import subgroup_rows dphi
#import subgroup_rows dv
const ROW_TILE: u32 = ROWS;
#import feature_columns

var<workgroup> phi: array<f32, 512>;                // [ROWS, TILE]
var<workgroup> gate_sums: array<f32, ROWS>;         // ⟨dv̂_j, v̂_j⟩

var<private> key: u32;         // row of the first key
var<private> last_row: u32;    // rows after it repeat it and are not written
var<private> t: u32;           // where T begins
var<private> column: u32;      // first of this invocation's four: in the tile of features, or of the outputs
var<private> start: u32;       // first feature of the tile

fn key_gate(row: u32) -> vec2<f32> {
    let at = row * KEY_WIDTH + V_OFFSET + HEAD;
    return vec2<f32>(keys[at], keys[at + 1u]);
}
fn state_part(f: u32, c: u32) -> vec4<f32> {
    let at = t + min(f, FEATURES - 1u) * HEAD + c;
    return vec4<f32>(dstates[at], dstates[at + 1u], dstates[at + 2u], dstates[at + 3u]);
}
fn states_left(row: u32, k: u32) -> vec4<f32> {
    let at = (key + min(row, last_row)) * KEY_WIDTH + V_OFFSET + 4u * k;
    return vec4<f32>(keys[at], keys[at + 1u], keys[at + 2u], keys[at + 3u]);
}
fn states_right(k: u32) -> mat4x4<f32> {
    let f = start + column;
    let c = 4u * k;
    return transpose(mat4x4<f32>(state_part(f, c), state_part(f + 1u, c), state_part(f + 2u, c), state_part(f + 3u, c)));
}
fn values_left(row: u32, k: u32) -> vec4<f32> {
    let at = row * TILE + 4u * k;
    return vec4<f32>(phi[at], phi[at + 1u], phi[at + 2u], phi[at + 3u]);
}
fn values_right(k: u32) -> mat4x4<f32> {
    let f = start + 4u * k;
    let c = min(column, HEAD - 4u);
    return mat4x4<f32>(state_part(f, c), state_part(f + 1u, c), state_part(f + 2u, c), state_part(f + 3u, c));
}

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(subgroup_invocation_id) lane: u32) {
    let first = group.y * BLOCK + group.x * ROWS;
    let end = min((group.y + 1u) * BLOCK, params.tokens);
    if first >= end { return; }
    let rows = min(ROWS, end - first);
    key = group.z * params.stride + first;
    last_row = rows - 1u;
    t = (group.z * params.blocks + group.y) * FEATURES * (HEAD + 1u);
    // An invocation has rows of its own from here to the end.
    for (var row = lane; row < ROWS; row += LANES) {
        for (var i = 0u; i < SOURCE; i++) {
            factors[i * ROW_TILE + row] = keys[(key + min(row, rows - 1u)) * KEY_WIDTH + S_OFFSET + i];
            dfactors[i * ROW_TILE + row] = 0.0;
        }
        gate_sums[row] = 0.0;
    }
    clear_all_dv(lane);
    workgroupBarrier();
    for (var f = 0u; f < FEATURES; f += TILE) {
        start = f;
        for (var i = 0u; i < TILE; i += 4u * LANES) {
            column = i + 4u * lane;
            clear_sums();
            states_product(HEAD / 4u, lane);
            keep_all_dphi();
        }
        workgroupBarrier();
        for (var ff = 0u; ff < TILE; ff++) {
            let at_table = min(f + ff, FEATURES - 1u);
            let packed = table[at_table];
            let weight = select(0.0, key_weight(at_table), f + ff < FEATURES);
            let t_total = dstates[t + FEATURES * HEAD + at_table];
            for (var row = lane; row < ROWS; row += LANES) {
                let at = row * TILE + ff;
                let gradient = dphi[at] + t_total;
                let product = weight * feature(row, packed);
                phi[at] = product;
                gate_sums[row] += product * gradient;
                pull_back(row, 0u, packed, weight * gradient);
            }
        }
        workgroupBarrier();
        for (var c = 0u; c < HEAD; c += 4u * LANES) {
            column = c + 4u * lane;
            take_all_dv();
            values_product(TILE / 4u, lane);
            keep_all_dv();
        }
        workgroupBarrier();
    }
    for (var row = lane; row < rows; row += LANES) {
        let out = (key + row) * KEY_WIDTH;
        var decay = 1.0;
        if GATED == 1u { decay = gate_decay(key_gate(group.z * params.stride + end - 1u), key_gate(key + row)); }
        for (var i = 0u; i < SOURCE; i++) { dkeys[out + S_OFFSET + i] += decay * dfactors[i * ROW_TILE + row]; }
        for (var c = 0u; c < HEAD; c++) { dkeys[out + V_OFFSET + c] += decay * dv[row * HEAD + c]; }
        if GATED == 1u { dkeys[out + V_OFFSET + HEAD] -= decay * gate_sums[row]; }
    }
}
