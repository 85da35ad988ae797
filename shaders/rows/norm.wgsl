// LayerNorm or RMSNorm over the last dimension, one workgroup a row, two passes over a row that stays in cache.
#import grid
struct Params { rows: u32 }
override WIDTH: u32;

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<vec4<f32>>;         // [rows, WIDTH]
@group(0) @binding(2) var<storage, read> norm: array<vec4<f32>>;      // [2, WIDTH] weight, bias
@group(0) @binding(3) var<storage, read_write> y: array<vec4<f32>>;   // [rows, WIDTH]

const THREADS: u32 = 64u;
#import row_moments

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let row = grid_index(group, groups);
    if row >= params.rows { return; }
    let moments = row_moments(row, local);
    for (var c = local; c < WIDTH / 4u; c += THREADS) {
        let at = row * (WIDTH / 4u) + c;
        y[at] = (x[at] - moments.x) * moments.y * norm[c] + norm[WIDTH / 4u + c];
    }
}
