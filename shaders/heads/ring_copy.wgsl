// permutations: [LOAD]
// Between calls a lane's last block of key rows lives in the ring (state). LOAD puts it at the head of the
// call's window, STORE takes the window's last block back. Four floats an invocation.
#import lanes
#import head_layout
struct Params { tokens: u32, lane_base: u32, window: u32 }

@group(0) @binding(0) var<uniform> params: Params;
#ifdef LOAD
@group(0) @binding(1) var<storage, read> lanes: array<Lane>;              // [lanes]
@group(0) @binding(2) var<storage, read> ring: array<vec4<f32>>;          // [slots, HEADS, BLOCK, KEY_WIDTH]
@group(0) @binding(3) var<storage, read_write> keys: array<vec4<f32>>;    // [lanes, HEADS, window, KEY_WIDTH]
#else
@group(0) @binding(1) var<storage, read> lanes: array<Lane>;
@group(0) @binding(2) var<storage, read> keys: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> ring: array<vec4<f32>>;
#endif

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let row = id.x / (KEY_WIDTH / 4u);
    let at = id.z / HEADS;
    let head = id.z % HEADS;
    let lane = lanes[params.lane_base + at];
    let ring_row = (lane.slot * HEADS + head) * BLOCK;
    let window_row = id.z * params.window;
    let column = id.x % (KEY_WIDTH / 4u);
#ifdef LOAD
    if row >= lane.ring { return; }
    let source = (ring_row + row) * (KEY_WIDTH / 4u) + column;
    keys[(window_row + row) * (KEY_WIDTH / 4u) + column] = ring[source];
#else
    let total = lane.ring + params.tokens;
    let first = (total - 1u) / BLOCK * BLOCK;
    if row >= total - first { return; }
    let source = (window_row + first + row) * (KEY_WIDTH / 4u) + column;
    ring[(ring_row + row) * (KEY_WIDTH / 4u) + column] = keys[source];
#endif
}
