// The baselines with a key-value cache: softmax (flash style: tiles, running maximum, nothing of size n x n in memory)
// and the exact polynomial kernel. Queries of one call against all keys of the slot up to their own position; FULL: against all
// keys of the window; CAUSAL: against those of the window up to their own (training).
//
// Ladder. Reference: kernels/attention_dense.rs. Here: a workgroup owns ROW_TILE queries and all columns; weights of 32 keys
// are built in workgroup memory, then multiplied with v from registers, as in scan_output.
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
override ROW_TILE: u32;
const THREADS: u32 = 128u;
const TILE: u32 = 32u;
override ITEMS: u32;          // vectors of the output an invocation holds
override STAGED: u32;         // ROW_TILE * HEAD
override TILE_WEIGHTS: u32;   // ROW_TILE * TILE
override WEIGHTS: u32;

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> queries: array<vec4<f32>>;         // [lanes, HEADS, tokens, QUERY_WIDTH]
@group(0) @binding(2) var<storage, read> keys: array<vec4<f32>>;            // [slots, HEADS, stride, KEY_WIDTH], or the window [lanes, ..]
@group(0) @binding(3) var<storage, read> lanes: array<Lane>;                // [lanes]
@group(0) @binding(4) var<storage, read_write> o: array<vec4<f32>>;         // [rows, HEADS * HEAD]
#ifdef CAUSAL
@group(0) @binding(5) var<storage, read_write> normaliser: array<f32>;      // [lanes, HEADS, tokens], or the log-sum-exp: for the gradient
#endif

var<workgroup> source: array<f32, STAGED>;
var<workgroup> weights: array<f32, TILE_WEIGHTS>;
var<workgroup> row_gate: array<vec2<f32>, ROW_TILE>;
#ifdef SOFTMAX
override SCALE: f32;
var<workgroup> highest: array<f32, ROW_TILE>;      // running maximum of each row
var<workgroup> rescale: array<f32, ROW_TILE>;      // what the sums so far are to be multiplied with
#else
#import local_weight
#endif

@compute @workgroup_size(128)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let lane = lanes[params.lane_base + group.z / HEADS];
    let head = group.z % HEADS;
    let tile = group.x * ROW_TILE;
    if tile >= params.tokens { return; }
    let rows = min(ROW_TILE, params.tokens - tile);
    // Key rows of the slot, or of the call's own window.
    var first = (lane.slot * HEADS + head) * params.stride;
    var position = lane.position;
#ifdef FULL
    first = group.z * params.stride;
#endif
#ifdef CAUSAL
    first = group.z * params.stride;
    position = 0u;
#endif
    for (var i = local; i < ROW_TILE * HEAD / 4u; i += THREADS) {
        let row = i / (HEAD / 4u);
        var value = vec4<f32>();
        if row < rows { value = queries[(group.z * params.tokens + tile + row) * (QUERY_WIDTH / 4u) + i % (HEAD / 4u)]; }
        source[i * 4u] = value.x;
        source[i * 4u + 1u] = value.y;
        source[i * 4u + 2u] = value.z;
        source[i * 4u + 3u] = value.w;
    }
    if local < ROW_TILE {
#ifdef SOFTMAX
        highest[local] = -3.0e38;
#endif
        if GATED == 1u { // never together with FULL: a gate is causal
            let row = first + position + tile + min(local, rows - 1u);
            row_gate[local] = keys[(row * KEY_WIDTH + V_OFFSET + HEAD) / 4u].xy;
        }
    }
    workgroupBarrier();
    var sum = array<vec4<f32>, 16>();
    var total = array<f32, 16>();
#ifdef FULL
    let end = params.tokens;
#else
    let end = position + tile + rows;
#endif
    for (var start = 0u; start < end; start += TILE) {
        let j = start + local % TILE;
        var dots = array<f32, 8>();
        if j < end {
            let key = (first + j) * (KEY_WIDTH / 4u);
            for (var c = 0u; c < HEAD / 4u; c++) {
                let k4 = keys[key + c];
                for (var k = 0u; k < WEIGHTS; k++) {
                    let at = (local / TILE + k * (THREADS / TILE)) * HEAD + c * 4u;
                    dots[k] += source[at] * k4.x + source[at + 1u] * k4.y + source[at + 2u] * k4.z + source[at + 3u] * k4.w;
                }
            }
        }
        for (var k = 0u; k < WEIGHTS; k++) {
            let row = local / TILE + k * (THREADS / TILE);
#ifdef FULL
            let seen = j < end;
#else
            let seen = j <= position + tile + row && j < end;
#endif
#ifdef SOFTMAX
            weights[row * TILE + local % TILE] = select(-3.0e38, SCALE * dots[k], seen);
#else
            var w = 0.0;
            if seen {
                w = local_weight(dots[k]);
                if GATED == 1u { w *= gate_decay(row_gate[row], keys[((first + j) * KEY_WIDTH + V_OFFSET + HEAD) / 4u].xy); }
            }
            weights[row * TILE + local % TILE] = w;
#endif
        }
        workgroupBarrier();
#ifdef SOFTMAX
        if local < ROW_TILE {
            var high = highest[local];
            for (var jj = 0u; jj < TILE; jj++) { high = max(high, weights[local * TILE + jj]); }
            rescale[local] = exp(highest[local] - high);
            highest[local] = high;
        }
        workgroupBarrier();
        for (var i = local; i < ROW_TILE * TILE; i += THREADS) { weights[i] = exp(weights[i] - highest[i / TILE]); }
        for (var k = 0u; k < ITEMS; k++) {
            let row = ((local + k * THREADS) / (HEAD / 4u)) % ROW_TILE;
            sum[k] *= rescale[row];
            total[k] *= rescale[row];
        }
        workgroupBarrier();
#endif
        for (var jj = 0u; jj < min(TILE, end - start); jj++) {
            let v = ((first + start + jj) * KEY_WIDTH + V_OFFSET) / 4u;
            for (var k = 0u; k < ITEMS; k++) {
                let item = local + k * THREADS;
                let w = weights[(item / (HEAD / 4u)) % ROW_TILE * TILE + jj];
                sum[k] += w * keys[v + item % (HEAD / 4u)];
                total[k] += w;
            }
        }
        workgroupBarrier();
    }
    for (var k = 0u; k < ITEMS; k++) {
        let item = local + k * THREADS;
        let row = item / (HEAD / 4u);
        if row < rows {
            let out = ((group.z / HEADS) * params.tokens + tile + row) * HEADS + head;
            o[out * (HEAD / 4u) + item % (HEAD / 4u)] = sum[k] / (BIAS + total[k]);
#ifdef CAUSAL
            if item % (HEAD / 4u) == 0u {
#ifdef SOFTMAX
                normaliser[group.z * params.tokens + tile + row] = highest[row] + log(total[k]);
#else
                normaliser[group.z * params.tokens + tile + row] = BIAS + total[k];
#endif
            }
#endif
        }
    }
}
