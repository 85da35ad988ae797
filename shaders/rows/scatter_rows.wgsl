// Rows of a call to the slots of its lanes: y[slot(lane)] = x[lane].
#import lanes
struct Params { lane_base: u32 }
override WIDTH: u32;

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;               // [lanes, WIDTH]
@group(0) @binding(2) var<storage, read> lanes: array<Lane>;          // [lanes]
@group(0) @binding(3) var<storage, read_write> y: array<f32>;         // [slots, WIDTH]

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    if id.x >= WIDTH { return; }
    y[lanes[params.lane_base + id.y].slot * WIDTH + id.x] = x[id.y * WIDTH + id.x];
}
