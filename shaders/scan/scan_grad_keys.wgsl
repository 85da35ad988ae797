// dφ(k_j) = e^{g_last - g_j} T_l v̂_j through the features to the vector they are of, dv̂_j += e^{g_last -
// g_j} T_lᵀ φ(k_j), and dG_j -= ⟨dv̂_j, v̂_j⟩, with T = dH; added to what is there.
//
// Ladder. Reference: kernels/scan/scan_grad_keys.rs. Estimates of docs/GAUGE.md for 32k tokens, 4 heads of
// 64, sketch of 32, NVIDIA | AMD | Apple | Adreno, us (floors 295 | 586 | 6 875 | 24 750):
//   16 rows, φ and dφ of 32 features in workgroup memory, both multiplied from memory
//                                                                    2 005 | 1 978 | 45 954 | 165 421
//   tile products: dv from φ built on the way, dφ in registers; steps of 8    774 | 1 211 | 21 885 | 123 797
//   steps of 16, in all of 32 KB: half of an Apple core, of Adreno's processor   470 | 971 | 20 646 | 74 303
// Each of both products reads T once; φ's vectors and their gradients stay in workgroup memory. Not measured
// on a real GPU yet.
#import gate_sum
#import head_layout
struct Params { tokens: u32, blocks: u32, stride: u32 }
override PARTS: u32;           // of the columns of v, GROUP_X * COLUMNS each

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> keys: array<vec4<f32>>;          // [lanes, HEADS, stride, KEY_WIDTH]
@group(0) @binding(2) var<storage, read> dstates: array<vec4<f32>>;       // [lanes, HEADS, blocks, STATE]
@group(0) @binding(3) var<storage, read> table: array<u32>;               // [2 * FEATURES]
@group(0) @binding(4) var<storage, read_write> dkeys: array<vec4<f32>>;   // [lanes, HEADS, stride, KEY_WIDTH]
#import feature_tile
#import tile_product values

var<private> first_key: u32;                   // row of the tile's first key
var<private> rows: u32;                        // of the tile
var<private> first_vector: u32;                // of the part
var<private> normaliser: vec4<f32>;            // ⟨T's totals, φ⟩ of the rows and features it stages
var<private> first: u32;                       // the tile's first key in its window
var<private> last_gate: vec2<f32>;             // of the block

// Rows beyond the last are computed like it, and not stored.
fn key_vector(row: u32, column: u32) -> u32 {
    return ((first_key + min(row, rows - 1u)) * KEY_WIDTH + column) / 4u;
}
fn source_at(row: u32, vector: u32) -> vec4<f32> { return keys[key_vector(row, SOURCE_OFFSET) + vector]; }
fn value_at(row: u32, vector: u32) -> vec4<f32> { return keys[key_vector(row, V_OFFSET) + vector]; }
fn decay_at(row: u32) -> f32 {
    // The state has no sinks.
    if first + row < SINKS { return 0.0; }
    if GATED { return gate_decay(last_gate, keys[key_vector(row, G_OFFSET)].xy); }
    return 1.0;
}
fn state_at(vector: u32) -> vec4<f32> { return dstates[vector]; }
fn weight_at(row: u32) -> f32 { return 1.0; }
fn scales_at(f: u32) -> vec4<f32> {
    return vec4<f32>(key_scale(f), key_scale(f + 1u), key_scale(f + 2u), key_scale(f + 3u));
}

// sum = φ T, a part of the columns.
fn vectors_values() -> u32 { return vectors_sum(); }
fn multiply_values() { multiply_sum(); }
fn left_values(row: u32, k: u32) -> mat4x4<f32> {
    if k >= FEATURES { return mat4x4<f32>(); }
    var phi = mat4x4<f32>();
    for (var j = 0u; j < 4u; j++) { phi[j] = key_scale(k + j) * four_features(row / 4u, table[k + j]); }
    if first_vector == 0u { normaliser += phi * totals_at(k); }
    return phi;
}
fn right_values(vector: u32, k: u32) -> mat4x4<f32> {
    if k >= FEATURES { return mat4x4<f32>(); }
    let at = (state + k * HEAD) / 4u + min(first_vector + vector, HEAD / 4u - 1u);
    var block = mat4x4<f32>();
    for (var j = 0u; j < 4u; j++) { block[j] = state_at(at + j * (HEAD / 4u)); }
    return block;
}

// dv, and what it gives the gate: this invocation's share of rows in fours.
var<private> of_gate: array<vec4<f32>, 2>;     // [ROWS / 4]
fn store_values() {
    for (var r = 0u; r < ROWS; r++) {
        let row = row_of(r);
        let decay = slopes[row];
        for (var c = 0u; c < COLUMNS / 4u; c++) {
            let vector = first_vector + vector_of(c);
            if row < rows && vector < HEAD / 4u {
                let dv = decay * sum[r * (COLUMNS / 4u) + c];
                dkeys[key_vector(row, V_OFFSET) + vector] += dv;
                of_gate[r / 4u][r % 4u] += dot(dv, value_at(row, vector));
            }
        }
    }
}
fn store_gates() {
    let across = ROW_TILE / 4u;
    workgroupBarrier();
    for (var r = 0u; r < ROWS / 4u; r++) {
        tile_left[(here.y + r * GROUP_Y) * GROUP_X + here.x] = of_gate[r];
    }
    if here.z < left_blocks() { tile_right[here.z] = normaliser; }
    workgroupBarrier();
    if here.z < rows {
        let row = here.z;
        var all = 0.0;
        for (var i = 0u; i < DEPTH / 4u; i++) { all += tile_right[i * across + row / 4u][row % 4u]; }
        all *= slopes[row];
        for (var x = 0u; x < GROUP_X; x++) { all += tile_left[row / 4u * GROUP_X + x][row % 4u]; }
        dkeys[key_vector(row, G_OFFSET)].x -= all;
    }
    workgroupBarrier();
}

@compute @workgroup_size(GROUP_X, GROUP_Y)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(local_invocation_id) local: vec3<u32>,
    @builtin(local_invocation_index) index: u32
) {
    here = vec3<u32>(local.xy, index);
    let tile = group.y * BLOCK + group.x * ROW_TILE;
    let end = min((group.y + 1u) * BLOCK, params.tokens);
    // For browsers, what is private is not uniform: no barrier may depend on it.
    if tile >= end { return; }
    first = tile;
    rows = min(ROW_TILE, end - first);
    first_key = group.z * params.stride + first;
    state = (group.z * params.blocks + group.y) * FEATURES * (HEAD + 1u);
    if GATED { last_gate = keys[((group.z * params.stride + end - 1u) * KEY_WIDTH + G_OFFSET) / 4u].xy; }
    // Decays wait where the slopes will be.
    if index < ROW_TILE { slopes[index] = decay_at(index); }
    load_factors();
    for (var part = 0u; part < PARTS; part++) {
        first_vector = part * (GROUP_X * COLUMNS / 4u);
        clear_sum();
        add_values(FEATURES);
        store_values();
        workgroupBarrier();
    }
    if GATED { store_gates(); }
    find_slopes();
    for (var i = index; i < rows * (SOURCE / 4u); i += GROUP_X * GROUP_Y) {
        let row = i / (SOURCE / 4u);
        let vector = i % (SOURCE / 4u);
        dkeys[key_vector(row, SOURCE_OFFSET) + vector] += decay_at(row) * slopes_at(row, vector);
    }
}
