// norms[index, part] = sum of squares over a contiguous part of a gradient, one workgroup a part.
struct Params { index: u32 }
override ELEMENTS: u32;
override PART: u32;         // elements of a part
const PARTS: u32 = 64u;     // of a gradient

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> gradient: array<f32>;        // [ELEMENTS]
@group(0) @binding(2) var<storage, read_write> norms: array<f32>;     // [parameters, PARTS]

var<workgroup> sums: array<f32, 256>;

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    var sum = 0.0;
    let end = min((group.x + 1u) * PART, ELEMENTS);
    for (var i = group.x * PART + local; i < end; i += 256u) { sum += gradient[i] * gradient[i]; }
    sums[local] = sum;
    for (var step = 128u; step > 0u; step = step / 2u) {
        workgroupBarrier();
        if local < step { sums[local] += sums[local + step]; }
    }
    if local == 0u { norms[params.index * PARTS + group.x] = sums[0]; }
}
