// permutations: [LOAD]
// Between calls a lane's last blocks of key rows, and its sinks, live in the ring (state). LOAD puts them at
// the head of the call's window, and the sinks at its end where they are not in its blocks; STORE takes back
// what stays. Four floats an invocation.
#import lanes
#import head_layout
struct Params { tokens: u32, lane_base: u32, window: u32 }

@group(0) @binding(0) var<uniform> params: Params;
#ifdef LOAD
@group(0) @binding(1) var<storage, read> lanes: array<Lane>;              // [lanes]
@group(0) @binding(2) var<storage, read> ring: array<vec4<f32>>;          // [slots, HEADS, ring rows, KEY_WIDTH]
@group(0) @binding(3) var<storage, read_write> keys: array<vec4<f32>>;    // [lanes, HEADS, window, KEY_WIDTH]
#else
@group(0) @binding(1) var<storage, read> lanes: array<Lane>;
@group(0) @binding(2) var<storage, read> keys: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> ring: array<vec4<f32>>;
#endif

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let row = id.x / (KEY_WIDTH / 4u);
    let column = id.x % (KEY_WIDTH / 4u);
    let lane = lanes[params.lane_base + id.z / HEADS];
    let ring_rows = NEAR * BLOCK;                          // the sinks come behind them
    let ring_first = (lane.slot * HEADS + id.z % HEADS) * (ring_rows + SINKS);
    let window_first = id.z * params.window;
    let own = LEAD * BLOCK + lane.ring;                    // the window's row of the call's first token
#ifdef LOAD
    // Rows of the window before the call's, but those before the text.
    var ring_row = (lane.position + row - own) % ring_rows;
    var window_row = row;
    if row >= ring_rows {
        // A window that begins with the text has its sinks in its blocks.
        let block = (lane.position - lane.ring) / BLOCK;   // that the ring is filling
        if block <= LEAD || row >= ring_rows + SINKS { return; }
        ring_row = row;
        window_row = params.window - SINKS + row - ring_rows;
    } else if row >= own || lane.position + row < own {
        return;
    }
    let to = (window_first + window_row) * (KEY_WIDTH / 4u) + column;
    keys[to] = ring[(ring_first + ring_row) * (KEY_WIDTH / 4u) + column];
#else
    let end = lane.position + params.tokens;
    let oldest = (max((end - 1u) / BLOCK + 1u, NEAR) - NEAR) * BLOCK;
    var at = max(lane.position, oldest) + row;
    var ring_row = at % ring_rows;
    if row >= ring_rows {
        at = row - ring_rows;
        ring_row = row;
        if at < lane.position || at >= SINKS { return; }
    }
    if at >= end { return; }
    let source = (window_first + own + at - lane.position) * (KEY_WIDTH / 4u) + column;
    ring[(ring_first + ring_row) * (KEY_WIDTH / 4u) + column] = keys[source];
#endif
}
