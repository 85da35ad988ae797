// dφ(k_j), dv̂_j and dG_j through the states after the block, as in scan_grad_keys.wgsl, a subgroup ROWS
// keys: products as in shared/subgroup_sums.wgsl.
#import gate_sum
struct Params { tokens: u32, blocks: u32, stride: u32 }
override HEAD: u32;
override BLOCK: u32;
override KEY_WIDTH: u32;
override S_OFFSET: u32;        // column of the feature source in a key row
override V_OFFSET: u32;
override GATED: u32;
const TILE: u32 = 4u * LANES;  // features at a time: columns of dphi

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> keys: array<vec4<f32>>;            // [lanes, HEADS, stride, KEY_WIDTH]
@group(0) @binding(2) var<storage, read> dstates: array<vec4<f32>>;         // [lanes, HEADS, blocks, FEATURES * (HEAD + 1)]
@group(0) @binding(3) var<storage, read> table: array<u32>;                 // [2 * FEATURES]
@group(0) @binding(4) var<storage, read_write> dkeys: array<vec4<f32>>;     // [lanes, HEADS, stride, KEY_WIDTH]
#import subgroup_product states
#import subgroup_outer values
#import subgroup_columns dphi
#import subgroup_vectors dv
#import feature_quads
#import feature_quads_grad
const QUADS: u32 = ROWS / 4u;

var<workgroup> decays: array<f32, ROWS>;            // of the rows, to the block's end
var<workgroup> gate_sums: array<vec4<f32>, LANES>;  // ⟨dv̂_j, v̂_j⟩ [SHARES, QUADS]

var<private> key: u32;         // row of the first key
var<private> last_row: u32;    // rows after it repeat it and are not written
var<private> t: u32;           // where T begins
var<private> column: u32;      // first of this invocation's four: in the tile of features, or of the outputs
var<private> start: u32;       // first feature of the tile

fn key_gate(row: u32) -> vec2<f32> { return keys[(row * KEY_WIDTH + V_OFFSET + HEAD) / 4u].xy; }
fn source_at(row: u32, c: u32) -> vec4<f32> { return keys[((key + min(row, last_row)) * KEY_WIDTH + S_OFFSET) / 4u + c]; }
fn source_one(quad: u32) -> vec4<f32> { return vec4<f32>(1.0); }
fn add_to_source(row: u32, c: u32, d: vec4<f32>) { dkeys[((key + row) * KEY_WIDTH + S_OFFSET) / 4u + c] += decays[row] * d; }
fn state_part(f: u32, c: u32) -> vec4<f32> { return dstates[(t + min(f, FEATURES - 1u) * HEAD + c) / 4u]; }
fn states_left(row: u32, k: u32) -> vec4<f32> { return keys[((key + min(row, last_row)) * KEY_WIDTH + V_OFFSET) / 4u + k]; }
fn states_right(k: u32) -> mat4x4<f32> {
    let f = start + column;
    let c = 4u * k;
    return transpose(mat4x4<f32>(state_part(f, c), state_part(f + 1u, c), state_part(f + 2u, c), state_part(f + 3u, c)));
}
// The features, where their gradients were. Those after the last count nothing.
fn values_left(f: u32) -> mat4x4<f32> {
    let at = f * QUADS;
    return mat4x4<f32>(dphi[at], dphi[at + 1u], dphi[at + 2u], dphi[at + 3u]);
}
fn values_right(f: u32) -> vec4<f32> { return state_part(start + f, min(column, HEAD - 4u)); }

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(subgroup_invocation_id) lane: u32) {
    let first = group.y * BLOCK + group.x * ROWS;
    let end = min((group.y + 1u) * BLOCK, params.tokens);
    if first >= end { return; }
    let rows = min(ROWS, end - first);
    key = group.z * params.stride + first;
    last_row = rows - 1u;
    t = (group.z * params.blocks + group.y) * FEATURES * (HEAD + 1u);
    let quad = lane % QUADS;
    let share = lane / QUADS;
    stage_sources(lane);
    clear_dsources(lane);
    clear_all_dv(lane);
    let last_gate = key_gate(group.z * params.stride + end - 1u);
    for (var row = lane; row < ROWS; row += LANES) {
        decays[row] = 1.0;
        if GATED == 1u { decays[row] = gate_decay(last_gate, key_gate(key + min(row, last_row))); }
    }
    var gate_sum = vec4<f32>();
    workgroupBarrier();
    for (var f = 0u; f < FEATURES; f += TILE) {
        start = f;
        column = 4u * lane;
        clear_sums();
        states_product(HEAD / 4u, lane);
        keep_columns_dphi();
        workgroupBarrier();
        for (var ff = share; ff < TILE; ff += SHARES) {
            let at = min(f + ff, FEATURES - 1u);
            let packed = table[at];
            let weight = select(0.0, key_weight(at), f + ff < FEATURES);
            let gradient = dphi[ff * QUADS + quad] + dstates[(t + FEATURES * HEAD + at) / 4u][at % 4u];
            let phi = weight * feature_quad(packed, quad);
            dphi[ff * QUADS + quad] = phi;
            gate_sum += phi * gradient;
            pull_back_quad(packed, share, quad, weight * gradient);
        }
        workgroupBarrier();
        for (var c = 0u; c < HEAD; c += 4u * LANES) {
            column = c + 4u * lane;
            take_all_dv();
            values_outer(TILE, lane);
            keep_all_dv();
        }
        workgroupBarrier();
    }
    gate_sums[lane] = gate_sum;
    workgroupBarrier();
    give_dsources(rows, lane);
    for (var i = lane; i < rows * HEAD / 4u; i += LANES) {
        let row = i / (HEAD / 4u);
        dkeys[((key + row) * KEY_WIDTH + V_OFFSET) / 4u + i % (HEAD / 4u)] += decays[row] * dv[i];
    }
    if GATED == 1u {
        for (var row = lane; row < rows; row += LANES) {
            var sum = 0.0;
            for (var i = row / 4u; i < LANES; i += QUADS) { sum += gate_sums[i][row % 4u]; }
            dkeys[((key + row) * KEY_WIDTH + V_OFFSET + HEAD) / 4u].x -= decays[row] * sum;
        }
    }
}
