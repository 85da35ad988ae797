// Takes columns out of dqueries (part 0) and dkeys (part 1; the only one if PARTS is 1): an invocation a row.
#import lanes
#import grid
#import head_layout
struct Params { lanes: u32, tokens: u32, lane_base: u32, stride: u32 }
override PARTS: u32;
override WIDTH: u32;           // columns taken
override QUERY_OFFSET: u32;    // the first of them in dqueries
override KEY_OFFSET: u32;      // the first of them in dkeys

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> lanes: array<Lane>;         // [lanes]
@group(0) @binding(2) var<storage, read> dqueries: array<f32>;       // [lanes, HEADS, tokens, GROUP, QUERY_WIDTH]
@group(0) @binding(3) var<storage, read> dkeys: array<f32>;          // [lanes, HEADS, stride, KEY_WIDTH]
@group(0) @binding(4) var<storage, read_write> columns: array<f32>;  // of queries, then of keys

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let row = grid_index(group, groups) * 64u + local;
    let keys = params.lanes * HEADS * params.tokens;
    let queries = select(0u, keys * GROUP, PARTS == 2u);
    if row >= queries + keys { return; }
    if row < queries {
        let source = row * QUERY_WIDTH + QUERY_OFFSET;
        for (var i = 0u; i < WIDTH; i++) { columns[row * WIDTH + i] = dqueries[source + i]; }
        return;
    }
    let in_call = row - queries;
    let lane_head = in_call / params.tokens;
    let ring = lanes[params.lane_base + lane_head / HEADS].ring;
    let key = lane_head * params.stride + ring + in_call % params.tokens;
    for (var i = 0u; i < WIDTH; i++) { columns[row * WIDTH + i] = dkeys[key * KEY_WIDTH + KEY_OFFSET + i]; }
}
