// dφ(k_j) = e^{g_last - g_j} T_l v̂_j through the features to the vector they are of, dv̂_j += e^{g_last -
// g_j} T_lᵀ φ(k_j), and dG_j -= ⟨dv̂_j, v̂_j⟩, with T = dH; added to what is there.
//
// Ladder. Reference: kernels/scan/scan_grad_keys.rs. Here: a workgroup owns ROW_TILE keys of one block; φ and
// dφ of TILE features are built in workgroup memory and never leave it.
#import gate_sum
#import head_layout
struct Params { tokens: u32, blocks: u32, stride: u32 }
override VALUE_ITEMS: u32;     // vectors of dv an invocation holds, at most 8

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> keys: array<f32>;           // [lanes, HEADS, stride, KEY_WIDTH]
@group(0) @binding(2) var<storage, read> dstates: array<vec4<f32>>;  // [lanes, HEADS, blocks, STATE]
@group(0) @binding(3) var<storage, read> table: array<u32>;          // [2 * FEATURES]
@group(0) @binding(4) var<storage, read_write> dkeys: array<f32>;    // [lanes, HEADS, stride, KEY_WIDTH]

var<workgroup> v: array<vec4<f32>, STAGED_VALUES>;
var<workgroup> decay: array<f32, ROW_TILE>;
var<workgroup> phi: array<f32, TILE_FEATURES>;
var<workgroup> dphi: array<f32, TILE_FEATURES>;
#import feature_columns

fn key_gate(row: u32) -> vec2<f32> {
    let at = row * KEY_WIDTH + G_OFFSET;
    return vec2<f32>(keys[at], keys[at + 1u]);
}

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let first = group.y * BLOCK + group.x * ROW_TILE;
    let end = min((group.y + 1u) * BLOCK, params.tokens);
    if first >= end { return; }
    let rows = min(ROW_TILE, end - first);
    let key = group.z * params.stride + first;             // row of the first key
    for (var i = local; i < ROW_TILE * SOURCE; i += THREADS) {
        let row = i / SOURCE;
        var value = 0.0;
        if row < rows { value = keys[(key + row) * KEY_WIDTH + SOURCE_OFFSET + i % SOURCE]; }
        factors[i % SOURCE * ROW_TILE + row] = value;
        dfactors[i] = 0.0;
    }
    for (var i = local; i < ROW_TILE * (HEAD / 4u); i += THREADS) {
        let row = i / (HEAD / 4u);
        var value = vec4<f32>();
        if row < rows {
            let at = (key + row) * KEY_WIDTH + V_OFFSET + i % (HEAD / 4u) * 4u;
            value = vec4<f32>(keys[at], keys[at + 1u], keys[at + 2u], keys[at + 3u]);
        }
        v[i] = value;
    }
    if local < ROW_TILE {
        decay[local] = 1.0;
        if GATED && local < rows {
            decay[local] = gate_decay(key_gate(group.z * params.stride + end - 1u), key_gate(key + local));
        }
        // The state has no sinks.
        if first + local < SINKS { decay[local] = 0.0; }
    }
    workgroupBarrier();
    let t = (group.z * params.blocks + group.y) * FEATURES * (HEAD + 1u);
    // This invocation computes one feature of a tile for rows own, own + apart, ..; then it has one row, of
    // which it takes every feature of its group.
    let own = local / TILE;
    let apart = THREADS / TILE;
    let own_row = local % ROW_TILE;
    let own_group = local / ROW_TILE;
    var dv = array<vec4<f32>, 8>();
    var gate = 0.0;                                        // ⟨dv̂_j, v̂_j⟩ of its own row and features
    for (var start = 0u; start < FEATURES; start += TILE) {
        let f = start + local % TILE;
        let count = min(TILE, FEATURES - start);
        var value = array<f32, 8>();
        if f < FEATURES {
            for (var c = 0u; c < HEAD / 4u; c++) {
                let t_f = dstates[(t + f * HEAD) / 4u + c];
                for (var k = 0u; k < SHARE; k++) {
                    value[k] += dot(v[(own + k * apart) * (HEAD / 4u) + c], t_f);
                }
            }
            let t_total = dstates[(t + FEATURES * HEAD + f) / 4u][f % 4u];
            for (var k = 0u; k < SHARE; k++) { value[k] += t_total; }
        }
        for (var k = 0u; k < SHARE; k++) { dphi[(own + k * apart) * PITCH + local % TILE] = value[k]; }
        workgroupBarrier();
        for (var ff = own_group; ff < count; ff += GROUPS) {
            let at = own_row * PITCH + ff;
            let scale = key_scale(start + ff);
            let product = scale * feature(own_row, table[start + ff]);
            gate += product * dphi[at];
            phi[at] = product;
            dphi[at] *= scale;
        }
        workgroupBarrier();
        for (var ff = 0u; ff < count; ff++) {
            pull_back(own_row, own_group, table[start + ff], dphi[own_row * PITCH + ff]);
            for (var k = 0u; k < VALUE_ITEMS; k++) {
                let item = local + k * THREADS;
                let phi_f = phi[(item / (HEAD / 4u)) % ROW_TILE * PITCH + ff];
                dv[k] += phi_f * dstates[(t + (start + ff) * HEAD) / 4u + item % (HEAD / 4u)];
            }
        }
        workgroupBarrier();
    }
    for (var i = local; i < rows * SOURCE; i += THREADS) {
        let row = i / SOURCE;
        dkeys[(key + row) * KEY_WIDTH + SOURCE_OFFSET + i % SOURCE] +=
            decay[row] * dfactors[i % SOURCE * ROW_TILE + row];
    }
    for (var k = 0u; k < VALUE_ITEMS; k++) {
        let item = local + k * THREADS;
        let row = item / (HEAD / 4u);
        if row < rows {
            let at = (key + row) * KEY_WIDTH + V_OFFSET + item % (HEAD / 4u) * 4u;
            for (var c = 0u; c < 4u; c++) { dkeys[at + c] += decay[row] * dv[k][c]; }
        }
    }
    if GATED {
        phi[own_row * PITCH + own_group] = gate;
        workgroupBarrier();
        if local < rows {
            var sum = 0.0;
            for (var i = 0u; i < GROUPS; i++) { sum += phi[local * PITCH + i]; }
            dkeys[(key + local) * KEY_WIDTH + G_OFFSET] -= decay[local] * sum;
        }
    }
}
