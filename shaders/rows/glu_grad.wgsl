// Gradient of the gated GELU: dy[.., :WIDTH] = dz up gelu'(gate), dy[.., WIDTH:] = dz gelu(gate), four
// columns an invocation.
#import grid
#import gelu_with_slope
struct Params { rows: u32 }
override WIDTH: u32;

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> y: array<vec4<f32>>;          // [rows, 2 * WIDTH]
@group(0) @binding(2) var<storage, read> dz: array<vec4<f32>>;         // [rows, WIDTH]
@group(0) @binding(3) var<storage, read_write> dy: array<vec4<f32>>;   // [rows, 2 * WIDTH]

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let item = grid_index(group, groups) * 64u + local;
    let row = item / (WIDTH / 4u);
    let column = item % (WIDTH / 4u);
    if row >= params.rows { return; }
    let gate = row * (WIDTH / 2u) + column;
    let up = gate + WIDTH / 4u;
    let curve = gelu_with_slope4(y[gate]);
    dy[gate] = dz[item] * y[up] * curve.slope;
    dy[up] = dz[item] * curve.value;
}
