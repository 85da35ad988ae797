// dH from dZ: dH_last = the carry, dH_{l-1} = dZ_l + e^{g_last(l)} dH_l; what comes before the first block
// is the new carry. Where more than a query's own block is near, a state is first read NEAR - 1 blocks
// later than it ends, behind their decay. One invocation four numbers of the state, as in scan_prefix.
#import gate_sum
#import head_layout
struct Params { blocks: u32, stride: u32, tokens: u32 }
override STATE: u32;           // numbers a head: FEATURES * (HEAD + 1)

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> dprefix: array<vec4<f32>>; // [lanes, HEADS, blocks, STATE]
@group(0) @binding(2) var<storage, read> keys: array<f32>; // [lanes, HEADS, stride, KEY_WIDTH]
@group(0) @binding(3) var<storage, read_write> dstates: array<vec4<f32>>; // [lanes, HEADS, blocks, STATE]
@group(0) @binding(4) var<storage, read_write> carry: array<vec4<f32>>; // [lanes, HEADS, STATE]

fn decay_of(block: u32, window: u32) -> f32 {
    let g = (window + min((block + 1u) * BLOCK, params.tokens) - 1u) * KEY_WIDTH + G_OFFSET;
    return gate_decay(vec2<f32>(keys[g], keys[g + 1u]), vec2<f32>());
}

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let item = id.x;
    if item >= STATE / 4u { return; }
    var t = carry[id.z * (STATE / 4u) + item];
    let window = id.z * params.stride;
    for (var l = params.blocks; l > 0u; l--) {
        let block = l - 1u;
        dstates[(id.z * params.blocks + block) * (STATE / 4u) + item] = t;
        if GATED { t *= decay_of(block, window); }
        // The queries that are the first to read the state before this block.
        let readers = block + NEAR - 1u;
        if readers < params.blocks {
            var between = 1.0;
            if GATED && NEAR > 1u {
                for (var b = block; b < readers; b++) { between *= decay_of(b, window); }
            }
            t += between * dprefix[(id.z * params.blocks + readers) * (STATE / 4u) + item];
        }
    }
    carry[id.z * (STATE / 4u) + item] = t;
}
