// o_i = N_i[0..h] / (β + N_i[h]),  N_i = Σ_{j in block, j <= i} e^{g_i - g_j} w_ij v̂_j + e^{g_i} Z_lᵀ φ(q_i)   (SPEC §1).
//
// Ladder. Reference: kernels/scan_output.rs. Here: a workgroup owns ROW_TILE queries of one block and all columns; weights
// (then features) of a tile are built in workgroup memory, then multiplied with v (then Z) from registers.
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
override ROW_TILE: u32;
override STAGED: u32;         // ROW_TILE * max(LOCAL, SOURCE)
override TILE_WEIGHTS: u32;   // ROW_TILE * TILE
const THREADS: u32 = 128u;
const TILE: u32 = 32u;         // keys, then features, at a time
override ITEMS: u32;          // vectors of the output an invocation holds
override WEIGHTS: u32;

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

var<workgroup> source: array<f32, STAGED>;
var<workgroup> weights: array<f32, TILE_WEIGHTS>;
var<workgroup> row_gate: array<vec2<f32>, ROW_TILE>;
#import feature_rows
#import local_weight

fn stage(lane_head: u32, first_token: i32, offset: u32, width: u32, local: u32) {
    for (var i = local; i < ROW_TILE * width / 4u; i += THREADS) {
        let token = first_token + i32(i / (width / 4u));
        var value = vec4<f32>();
        if token >= 0 && token < i32(params.tokens) {
            value = queries[((lane_head * params.tokens + u32(token)) * QUERY_WIDTH + offset) / 4u + i % (width / 4u)];
        }
        source[i * 4u] = value.x;
        source[i * 4u + 1u] = value.y;
        source[i * 4u + 2u] = value.z;
        source[i * 4u + 3u] = value.w;
    }
}

@compute @workgroup_size(128)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let block = group.y;
    let lane = lanes[params.lane_base + group.z / HEADS];
    let head = group.z % HEADS;
    let end = lane.ring + params.tokens;                   // rows of this lane's window
    let tile = group.x * ROW_TILE;                         // first row of the tile in its block
    let first = block * BLOCK + tile;                      // in the window
    let rows = min(BLOCK - tile, ROW_TILE);
    // Nothing of this tile belongs to the call.
    if first >= end || first + rows <= lane.ring { return; }
    let block_row = group.z * params.stride + block * BLOCK;
    let first_token = i32(first) - i32(lane.ring);
    if GATED == 1u && local < ROW_TILE {
        row_gate[local] = vec2<f32>();
        if local < rows && first + local < end { row_gate[local] = keys[((block_row + tile + local) * KEY_WIDTH + V_OFFSET + HEAD) / 4u].xy; }
    }
    var sum = array<vec4<f32>, 16>();
    var total = array<f32, 16>();

#ifndef FAR_ONLY
    stage(group.z, first_token, LOCAL_OFFSET, LOCAL, local);
    workgroupBarrier();
    let keys_end = min(tile + rows, end - block * BLOCK);  // keys of the block that any row of the tile may see
    for (var start = 0u; start < keys_end; start += TILE) {
        let j = start + local % TILE;
        var dots = array<f32, 8>();
        if j < keys_end {
            let key = ((block_row + j) * KEY_WIDTH + LOCAL_OFFSET) / 4u;
            for (var c = 0u; c < LOCAL / 4u; c++) {
                let k4 = keys[key + c];
                for (var k = 0u; k < WEIGHTS; k++) {
                    let at = (local / TILE + k * (THREADS / TILE)) * LOCAL + c * 4u;
                    dots[k] += source[at] * k4.x + source[at + 1u] * k4.y + source[at + 2u] * k4.z + source[at + 3u] * k4.w;
                }
            }
        }
        for (var k = 0u; k < WEIGHTS; k++) {
            let row = local / TILE + k * (THREADS / TILE);
            var w = 0.0;
            if j <= tile + row && j < keys_end {
                w = local_weight(dots[k]);
                if GATED == 1u { w *= gate_decay(row_gate[row], keys[((block_row + j) * KEY_WIDTH + V_OFFSET + HEAD) / 4u].xy); }
            }
            weights[row * TILE + local % TILE] = w;
        }
        workgroupBarrier();
        for (var jj = 0u; jj < min(TILE, keys_end - start); jj++) {
            let v = ((block_row + start + jj) * KEY_WIDTH + V_OFFSET) / 4u;
            for (var k = 0u; k < ITEMS; k++) {
                let item = local + k * THREADS;
                let w = weights[(item / (HEAD / 4u)) % ROW_TILE * TILE + jj];
                sum[k] += w * keys[v + item % (HEAD / 4u)];
                total[k] += w;
            }
        }
        workgroupBarrier();
    }
#endif

    // The far part is zero in the first block of a text.
#ifdef FAR_ONLY
    let z = group.z * FEATURES * (HEAD + 1u);
    {
#else
    let z = (group.z * params.blocks + block) * FEATURES * (HEAD + 1u);
    if lane.position + block * BLOCK > lane.ring {
#endif
        stage(group.z, first_token, S_OFFSET, SOURCE, local);
        workgroupBarrier();
        for (var start = 0u; start < FEATURES; start += TILE) {
            let f = start + local % TILE;
            for (var k = 0u; k < WEIGHTS; k++) {
                let row = local / TILE + k * (THREADS / TILE);
                var value = 0.0;
                if f < FEATURES {
                    value = feature(row, table[f]);
                    if GATED == 1u { value *= gate_decay(row_gate[row], vec2<f32>()); }
                }
                weights[row * TILE + local % TILE] = value;
            }
            workgroupBarrier();
            for (var ff = 0u; ff < min(TILE, FEATURES - start); ff++) {
                let zrow = (z + (start + ff) * HEAD) / 4u;
                let z_total = prefix[(z + FEATURES * HEAD + start + ff) / 4u][(start + ff) % 4u];
                for (var k = 0u; k < ITEMS; k++) {
                    let item = local + k * THREADS;
                    let p = weights[(item / (HEAD / 4u)) % ROW_TILE * TILE + ff];
                    sum[k] += p * prefix[zrow + item % (HEAD / 4u)];
                    total[k] += p * z_total;
                }
            }
            workgroupBarrier();
        }
    }

    for (var k = 0u; k < ITEMS; k++) {
        let item = local + k * THREADS;
        let row = item / (HEAD / 4u);
        let token = first_token + i32(row);
        if row < rows && token >= 0 && token < i32(params.tokens) {
            let out = ((group.z / HEADS) * params.tokens + u32(token)) * HEADS + head;
            o[out * (HEAD / 4u) + item % (HEAD / 4u)] = sum[k] / (BIAS + total[k]);
#ifdef NORMALISER
            if item % (HEAD / 4u) == 0u { normaliser[group.z * params.tokens + u32(token)] = BIAS + total[k]; }
#endif
        }
    }
}
