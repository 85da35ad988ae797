// partial[part, column] = sum of dy[.., column] over the tokens of one part of a lane. One invocation a sum:
// neighbours read neighbours.
#import grid
struct Params { tokens: u32, parts: u32, total: u32 }
override WIDTH: u32;
override PART: u32;         // tokens of a part

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> dy: array<f32>;              // [lanes, tokens, WIDTH]
@group(0) @binding(2) var<storage, read_write> partial: array<f32>;   // [total = lanes * parts, WIDTH]

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let item = grid_index(group, groups) * 64u + local;
    let part = item / WIDTH;
    if part >= params.total { return; }
    let lane = part / params.parts;
    let first = part % params.parts * PART;
    var sum = 0.0;
    for (var token = first; token < min(first + PART, params.tokens); token++) {
        sum += dy[(lane * params.tokens + token) * WIDTH + item % WIDTH];
    }
    partial[item] = sum;
}
