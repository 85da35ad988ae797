// Of each row |y - t|² and |t|², 0 at positions before FIRST. One invocation a row.
#import lanes
#import grid
struct Params { rows: u32, tokens: u32, lane_base: u32 }
override WIDTH: u32;           // columns, a multiple of 4
override FIRST: u32;           // first position that counts

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> y: array<vec4<f32>>;              // [rows, WIDTH]
@group(0) @binding(2) var<storage, read> t: array<vec4<f32>>;              // [rows, WIDTH]
@group(0) @binding(3) var<storage, read> lanes: array<Lane>;               // [lanes]
@group(0) @binding(4) var<storage, read_write> errors: array<vec2<f32>>;   // [rows]

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let row = grid_index(group, groups) * 64u + local;
    if row >= params.rows { return; }
    let position = lanes[params.lane_base + row / params.tokens].position + row % params.tokens;
    var sums = vec2<f32>();
    if position >= FIRST {
        for (var c = 0u; c < WIDTH / 4u; c++) {
            let target_value = t[row * (WIDTH / 4u) + c];
            let difference = y[row * (WIDTH / 4u) + c] - target_value;
            sums += vec2<f32>(dot(difference, difference), dot(target_value, target_value));
        }
    }
    errors[row] = sums;
}
