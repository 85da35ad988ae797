// Gradient of learned positions: table[p] += sum of dx over the lanes that have a token at p. A workgroup a
// position.
#import lanes
#import grid
struct Params { lanes: u32, tokens: u32, lane_base: u32, first: u32, count: u32 }
override WIDTH: u32;        // columns, a multiple of 4

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> lanes: array<Lane>;               // [lanes]
@group(0) @binding(2) var<storage, read> dx: array<vec4<f32>>;             // [lanes, tokens, WIDTH]
@group(0) @binding(3) var<storage, read_write> table: array<vec4<f32>>;    // [.., WIDTH]

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let at = grid_index(group, groups);
    if at >= params.count { return; }
    let position = params.first + at;
    if position >= arrayLength(&table) / (WIDTH / 4u) { return; }
    for (var c = local; c < WIDTH / 4u; c += 64u) {
        var sum = vec4<f32>();
        for (var i = 0u; i < params.lanes; i++) {
            let start = lanes[params.lane_base + i].position;
            if position >= start && position < start + params.tokens {
                sum += dx[(i * params.tokens + position - start) * (WIDTH / 4u) + c];
            }
        }
        table[position * (WIDTH / 4u) + c] += sum;
    }
}
