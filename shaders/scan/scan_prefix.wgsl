// permutations: [CARRY|CARRY+KEEP|TOTAL]
// Exclusive prefix over blocks: Z_0 = the state, Z_{l+1} = e^{g_last(l)} Z_l + H_l. Where more than a
// query's own block is near, Z_l ends NEAR - 1 blocks before the queries' block, and the prefix is Z_l behind
// the decay of those between.
// One invocation four numbers of the state; blocks of a call are few, heads and features many.
// CARRY: the last one is the slot's new state; KEEP: the one after all blocks is the state of another slot.
// TOTAL (not causal): one Z = Σ_l H_l over all blocks.
#import lanes
#import gate_sum
#import head_layout
struct Params { blocks: u32, lane_base: u32, stride: u32, tokens: u32, given: u32, lanes: u32 }
override STATE: u32;           // numbers a head: FEATURES * (HEAD + 1)

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> states: array<vec4<f32>>; // [lanes, HEADS, given, STATE]
@group(0) @binding(2) var<storage, read> keys: array<f32>; // [lanes, HEADS, stride, KEY_WIDTH]
@group(0) @binding(3) var<storage, read> lanes: array<Lane>; // [lanes]
#ifdef TOTAL
@group(0) @binding(4) var<storage, read_write> prefix: array<vec4<f32>>; // [lanes, HEADS, STATE]
#else
#ifdef CARRY
@group(0) @binding(4) var<storage, read_write> prefix: array<vec4<f32>>; // [lanes, HEADS, blocks, STATE]
@group(0) @binding(5) var<storage, read_write> carried: array<vec4<f32>>; // [slots, HEADS, STATE]
#else
@group(0) @binding(4) var<storage, read> carried: array<vec4<f32>>;
@group(0) @binding(5) var<storage, read_write> prefix: array<vec4<f32>>;
#endif
#endif

// The decay of a block of the window, over its tokens before row `end`.
fn decay_of(block: u32, window: u32, end: u32) -> f32 {
    let g = (window + min((block + 1u) * BLOCK, end) - 1u) * KEY_WIDTH + G_OFFSET;
    return gate_decay(vec2<f32>(keys[g], keys[g + 1u]), vec2<f32>());
}

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let item = id.x;
    if item >= STATE / 4u { return; }
    let lane = lanes[params.lane_base + id.z / HEADS];
    let head = id.z % HEADS;
    var z = vec4<f32>();
#ifdef TOTAL
    for (var l = 0u; l < params.blocks; l++) {
        z += states[(id.z * params.blocks + l) * (STATE / 4u) + item];
    }
    prefix[id.z * (STATE / 4u) + item] = z;
#else
    let slot = (lane.slot * HEADS + head) * (STATE / 4u) + item;
    let first_block = (lane.position - lane.ring) / BLOCK;
    // At the start of a text the state is whatever an earlier text left.
    if first_block >= NEAR { z = carried[slot]; }
    let window = id.z * params.stride;
    let end = LEAD * BLOCK + lane.ring + params.tokens;    // of the window's rows
    let last = (lane.ring + params.tokens - 1u) / BLOCK;
    // Blocks of the window before this one are before the text.
    let begin = max(LEAD, first_block) - first_block;
    for (var l = 0u; l <= last; l++) {
        var between = 1.0;
        if GATED && NEAR > 1u {
            for (var b = max(max(l + LEAD + 1u, NEAR) - NEAR, begin); b < l + LEAD; b++) {
                between *= decay_of(b, window, end);
            }
        }
        prefix[(id.z * params.blocks + l) * (STATE / 4u) + item] = between * z;
#ifndef KEEP
        if l == last { break; }
#endif
        // The block that comes to lie behind the near ones, unless that is before the text.
        let leaves = l + 1u + LEAD;
        if leaves >= NEAR + begin {
            if GATED { z *= decay_of(leaves - NEAR, window, end); }
            z += states[(id.z * params.given + leaves - NEAR) * (STATE / 4u) + item];
        }
    }
#ifdef CARRY
#ifdef KEEP
    // A plan that keeps boundaries has a slot behind each lane's own, unless a caller chose others.
    let behind = slot + params.lanes * HEADS * (STATE / 4u);
    if behind < arrayLength(&carried) { carried[behind] = z; }
#else
    carried[slot] = z;
#endif
#endif
#endif
}
