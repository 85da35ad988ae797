// gradient[i] += sum over parts of partial[part, OFFSET + i], a column an invocation: neighbours read
// neighbours.
#import grid
struct Params { parts: u32 }
override TOTAL: u32;
override OFFSET: u32;
override WIDTH: u32;

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> partial: array<f32>;        // [parts, TOTAL]
@group(0) @binding(2) var<storage, read_write> gradient: array<f32>; // [WIDTH]

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let column = grid_index(group, groups) * 64u + local;
    if column >= WIDTH { return; }
    var sum = 0.0;
    for (var part = 0u; part < params.parts; part++) {
        sum += partial[part * TOTAL + OFFSET + column];
    }
    gradient[column] += sum;
}
