// KL(softmax(teacher) | softmax(logits)) of each row, in nats, one workgroup a row.
#import grid
struct Params { rows: u32 }
override VOCABULARY: u32;

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> logits: array<f32>;          // [rows, VOCABULARY]
@group(0) @binding(2) var<storage, read> teacher: array<f32>;         // [rows, VOCABULARY]
@group(0) @binding(3) var<storage, read_write> kl: array<f32>;        // [rows]

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
    let norms = vec2<f32>(softmax.x + log(softmax.y), softmax.z + log(softmax.w));
    var sum = 0.0;
    for (var i = local; i < VOCABULARY; i += 128u) {
        // Logarithms of both, not their sums over the row: these would cancel.
        let own = vec2<f32>(logits[first + i], teacher[first + i]) - norms;
        sum += exp(own.y) * (own.y - own.x);
    }
    workgroupBarrier();
    scratch[local] = vec2<f32>(sum, 0.0);
    for (var step = 64u; step > 0u; step = step / 2u) {
        workgroupBarrier();
        if local < step { scratch[local] += scratch[local + step]; }
    }
    workgroupBarrier();
    if local == 0u { kl[row] = scratch[0].x; }
}
