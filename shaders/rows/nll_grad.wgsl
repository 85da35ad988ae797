// Logits become the gradient of their negative log-likelihood, dnll (softmax - onehot(target)), one workgroup
// a row; target 0xffffffff: not scored, 0.
#import grid
struct Params { rows: u32 }
override VOCABULARY: u32;

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> targets: array<u32>;          // [rows]
@group(0) @binding(2) var<storage, read> dnll: array<f32>;             // [rows]
@group(0) @binding(3) var<storage, read_write> logits: array<f32>;     // [rows, VOCABULARY]

#import row_softmax

@compute @workgroup_size(128)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let row = grid_index(group, groups);
    if row >= params.rows { return; }
    let first = row * VOCABULARY;
    let softmax = row_softmax(first, local); // largest, sum
    let id = targets[row];
    let weight = dnll[row];
    let scored = id < VOCABULARY;
    for (var i = local; i < VOCABULARY; i += 128u) {
        var value = 0.0;
        if scored { value = weight * (exp(logits[first + i] - softmax.x) / softmax.y - f32(i == id)); }
        logits[first + i] = value;
    }
}
