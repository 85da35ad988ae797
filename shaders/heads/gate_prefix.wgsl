// permutations: [CARRY] [CACHE]
// Prefix sums of log sigmoid(gate), which restart at every block (CACHE: never). A sum is kept as
// (integer, fraction), so that the difference of two sums is exact however long the text is.
// One invocation a block: a block is short, and there are lanes * heads * blocks of them.
#import lanes
#import gate_sum
#import head_layout
struct Params { lanes: u32, tokens: u32, lane_base: u32, blocks: u32 }
override KEYS_STRIDE: u32;     // rows of one head in the carried keys: ring or cache

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> qkv: array<f32>;              // [rows, QKV_WIDTH]
@group(0) @binding(2) var<storage, read> lanes: array<Lane>;           // [lanes]
#ifdef CARRY
@group(0) @binding(3) var<storage, read> carried: array<f32>;       // [slots, HEADS, KEYS_STRIDE, KEY_WIDTH]
@group(0) @binding(4) var<storage, read_write> sums: array<vec2<f32>>; // [lanes, HEADS, tokens]
#else
@group(0) @binding(3) var<storage, read_write> sums: array<vec2<f32>>; // [lanes, HEADS, tokens]
#endif

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let block = id.x % params.blocks;
    let head = id.x / params.blocks % HEADS;
    let at = id.x / (params.blocks * HEADS);
    if at >= params.lanes { return; }
    let lane = lanes[params.lane_base + at];
    var sum = vec2<f32>();
#ifdef CACHE
    // Never restarts: goes on from the row before the call.
    var i = 0u;
    let end = params.tokens;
#ifdef CARRY
    if lane.position > 0u {
        let row = ((lane.slot * HEADS + head) * KEYS_STRIDE + lane.position - 1u) * KEY_WIDTH + G_OFFSET;
        sum = vec2<f32>(carried[row], carried[row + 1u]);
    }
#endif
#else
    // Rows of the lane's window: the ring first, then the call's tokens.
    let first = block * BLOCK;
    let last = min(first + BLOCK, lane.ring + params.tokens);
    if last <= lane.ring { return; }
    var i = 0u;
    let end = last - lane.ring;
    if first > lane.ring {
        i = first - lane.ring;
    }
#ifdef CARRY
    if first < lane.ring {
        let row = ((lane.slot * HEADS + head) * KEYS_STRIDE + lane.ring - 1u) * KEY_WIDTH + G_OFFSET;
        sum = vec2<f32>(carried[row], carried[row + 1u]);
    }
#endif
#endif
    for (; i < end; i++) {
        let logit = qkv[(at * params.tokens + i) * QKV_WIDTH + GATE_OFFSET + head];
        sum = gate_add(sum, logit);
        sums[(at * HEADS + head) * params.tokens + i] = sum;
    }
}
