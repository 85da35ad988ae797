// Gradient of activate: dy = dz act'(y), or gated: dy[.., :WIDTH] = dz up act'(gate), dy[.., WIDTH:] = dz
// act(gate); four columns an invocation.
#import grid
#import activation_with_slope
struct Params { rows: u32 }
override WIDTH: u32;
override GATED: bool;

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> y: array<vec4<f32>>;          // [rows, WIDTH], gated [rows, 2 * WIDTH]
@group(0) @binding(2) var<storage, read> dz: array<vec4<f32>>;         // [rows, WIDTH]
@group(0) @binding(3) var<storage, read_write> dy: array<vec4<f32>>;   // as y

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
    if !GATED {
        dy[item] = dz[item] * activation_with_slope4(y[item]).slope;
        return;
    }
    let gate = row * (WIDTH / 2u) + column;
    let up = gate + WIDTH / 4u;
    let curve = activation_with_slope4(y[gate]);
    dy[gate] = dz[item] * y[up] * curve.slope;
    dy[up] = dz[item] * curve.value;
}
