// Logits become the gradient of their divergence, dkl (softmax(logits) - softmax(teacher)), one workgroup a
// row.
#import grid
struct Params { rows: u32 }
override VOCABULARY: u32;

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> teacher: array<f32>;          // [rows, VOCABULARY]
@group(0) @binding(2) var<storage, read> dkl: array<f32>;              // [rows]
@group(0) @binding(3) var<storage, read_write> logits: array<f32>;     // [rows, VOCABULARY]

#import row_softmax_pair

@compute @workgroup_size(128)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let row = grid_index(group, groups);
    if row >= params.rows { return; }
    let first = row * VOCABULARY;
    let softmax = row_softmax_pair(first, local);
    let weight = dkl[row];
    for (var i = local; i < VOCABULARY; i += 128u) {
        let both = vec2<f32>(logits[first + i], teacher[first + i]) - softmax.xz;
        let own = exp(both) / softmax.yw;
        logits[first + i] = weight * (own.x - own.y);
    }
}
