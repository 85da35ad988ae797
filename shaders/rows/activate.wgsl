// z = act(y), or gated: z = act(y[.., :WIDTH]) * y[.., WIDTH:]; four columns an invocation.
#import grid
#import activation
struct Params { rows: u32 }
override WIDTH: u32;
override GATED: bool;

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> y: array<vec4<f32>>;         // [rows, WIDTH], gated [rows, 2 * WIDTH]
@group(0) @binding(2) var<storage, read_write> z: array<vec4<f32>>;   // [rows, WIDTH]

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
        z[item] = activation4(y[item]);
        return;
    }
    let gate = row * (WIDTH / 2u) + column;
    z[item] = activation4(y[gate]) * y[gate + WIDTH / 4u];
}
