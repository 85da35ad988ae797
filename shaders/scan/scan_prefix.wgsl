// permutations: [CARRY|CARRY+KEEP|TOTAL]
// Exclusive prefix over blocks: Z_0 = the state, Z_{l+1} = e^{g_last(l)} Z_l + H_l.
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
    // At the start of a text the state is whatever an earlier text left.
    if lane.position > lane.ring { z = carried[slot]; }
    let end = lane.ring + params.tokens;
    let last = (end - 1u) / BLOCK;
    for (var l = 0u; l <= last; l++) {
        prefix[(id.z * params.blocks + l) * (STATE / 4u) + item] = z;
#ifndef KEEP
        if l == last { break; }
#endif
        if GATED {
            let g = (id.z * params.stride + min((l + 1u) * BLOCK, end) - 1u) * KEY_WIDTH + G_OFFSET;
            z *= gate_decay(vec2<f32>(keys[g], keys[g + 1u]), vec2<f32>());
        }
        z += states[(id.z * params.given + l) * (STATE / 4u) + item];
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
