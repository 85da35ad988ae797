// permutations: [SOFTMAX|SOFTMAX+FULL|SOFTMAX+CAUSAL|SOFTMAX+NEAR_ONLY|TAYLOR|TAYLOR+FULL|TAYLOR+CAUSAL|FULL|CAUSAL]
// The baselines with a key-value cache: softmax (flash style: tiles, running maximum, nothing of size n x n
// in memory) and the exact polynomial kernel. Queries of one call against all keys of the slot up to their
// own position; FULL: against all keys of the window; CAUSAL: against those of the window up to their own
// (training), and the normaliser is kept, or the log-sum-exp; NEAR_ONLY: against those of the window that are
// near, and the sinks, joined with what a state knows of all others (SPEC §10).
//
// Ladder. Reference: kernels/dense/attention_dense.rs. Naive tiles: an affinity and a vector of v loaded for
// each multiply-add of four. Tiles in registers that read v from memory: 23 % of the H100's peak. Here: both
// products as outer products from staged steps (shared/near_keys.wgsl, shared/matrix_tile.wgsl); not measured
// on a real GPU yet.
#import lanes
#import gate_sum
struct Params { tokens: u32, lane_base: u32, stride: u32, parts: u32 }

@group(0) @binding(0) var<uniform> params: Params;
// [lanes, HEADS, tokens, GROUP, QUERY_WIDTH]
@group(0) @binding(1) var<storage, read> queries: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> keys: array<vec4<f32>>; // [slots or lanes, HEADS, stride, KEY_WIDTH]
@group(0) @binding(3) var<storage, read> lanes: array<Lane>; // [lanes]
#ifdef NEAR_ONLY
@group(0) @binding(4) var<storage, read> far: array<vec4<f32>>; // [lanes, HEADS, tokens, GROUP, HEAD + 4]
@group(0) @binding(5) var<storage, read> rotations: array<vec2<f32>>; // [4 * 256, HEAD / 2]
@group(0) @binding(6) var<storage, read_write> o: array<vec4<f32>>; // [rows, HEADS * GROUP * HEAD]
@group(0) @binding(7) var<storage, read_write> normaliser: array<f32>; // [lanes, HEADS, tokens, GROUP]
#else
@group(0) @binding(4) var<storage, read_write> o: array<vec4<f32>>; // [rows, HEADS * GROUP * HEAD]
#ifdef CAUSAL
@group(0) @binding(5) var<storage, read_write> normaliser: array<f32>; // [lanes, HEADS, tokens, GROUP]
#endif
#endif
#import near_keys

fn keep(row: u32, query: u32, all: f32) {
#ifdef NEAR_ONLY
    normaliser[query] = row_state[row].x + log(all);
#endif
#ifdef CAUSAL
#ifdef SOFTMAX
    normaliser[query] = row_state[row].x + log(all);
#else
    normaliser[query] = BIAS + all;
#endif
#endif
}

@compute @workgroup_size(GROUP_X, GROUP_Y)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(local_invocation_id) local: vec3<u32>,
    @builtin(local_invocation_index) index: u32
) {
    here = vec3<u32>(local.xy, index);
    let lane = lanes[params.lane_base + group.z / HEADS];
    let head = group.z % HEADS;
#ifdef NEAR_ONLY
    let block = group.y;
    // Rows are of queries, GROUP a token.
    let end = (lane.ring + params.tokens) * GROUP;
    let tile = group.x / params.parts * ROW_TILE;          // first row of the tile in its block
    let first = block * BLOCK * GROUP + tile;
    let rows = min(BLOCK * GROUP - tile, ROW_TILE);
    // Nothing of this tile belongs to the call.
    if first >= end || first + rows <= lane.ring * GROUP { return; }
    let first_block = (lane.position - lane.ring) / BLOCK;
    let before = min(NEAR - 1u, min(first_block + block, block + LEAD)); // near blocks before its own
    let window = group.z * params.stride;
    let queries_first = group.z * params.tokens * GROUP;
    let row = i32(first) - i32(lane.ring * GROUP);
    let vector = group.x % params.parts * (GROUP_X * COLUMNS / 4u);
    var later = 0u;
    if SINKS > 0u && first_block + block >= NEAR {
        // A window that begins with the text has its sinks in its blocks.
        let in_blocks = (LEAD - min(first_block, LEAD)) * BLOCK;
        let sinks = select(params.stride - SINKS, in_blocks, first_block <= LEAD);
        near = Near(queries_first, row, window + sinks, SINKS * GROUP, SINKS, vector, 0u);
        if SINK_REACH > 0u {
            let block_first = (first_block + block) * BLOCK;
            turn_sinks((window + sinks) * KEY_WIDTH + LOCAL_OFFSET, block_first, index, GROUP_X * GROUP_Y);
        }
        add_near_keys(SINKS, SINK_REACH > 0u);
        later = 1u;
    }
    let keys_end =
        before * BLOCK + min((tile + rows - 1u) / GROUP + 1u, lane.ring + params.tokens - block * BLOCK);
    let oldest = (block + LEAD - before) * BLOCK;
    near = Near(queries_first, row, window + oldest, before * BLOCK * GROUP + tile, keys_end, vector, later);
    add_near_keys(keys_end, false);
#else
    let tile = group.x * ROW_TILE;
    let queries_end = params.tokens * GROUP;
    if tile >= queries_end { return; }
    let rows = min(ROW_TILE, queries_end - tile);
    // Key rows of the slot, or of the call's own window.
    var first = (lane.slot * HEADS + head) * params.stride;
    var own = lane.position * GROUP + tile;
#ifdef FULL
    first = group.z * params.stride;
    own = queries_end;
#endif
#ifdef CAUSAL
    first = group.z * params.stride;
    own = tile;
#endif
#ifdef FULL
    let end = params.tokens;
#else
    let end = (own + rows - 1u) / GROUP + 1u;
#endif
    near =
        Near(group.z * queries_end, i32(tile), first, own, end, group.y * (GROUP_X * COLUMNS / 4u), 0u);
#ifndef SOFTMAX
    keep_row_gates();
#endif
    add_near_keys(end, false);
#endif
    share_totals(vec4<f32>());
    store_outputs(rows, group.z / HEADS, head);
}
