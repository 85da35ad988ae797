// permutations: [IN_PLACE]
// c = a + b, or b += a. Four elements an invocation, neighbours side by side; any number of elements, so no
// vectors.
#import grid
const ELEMENTS: u32 = 256u;   // of a workgroup
struct Params { elements: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> a: array<f32>;
#ifdef IN_PLACE
@group(0) @binding(2) var<storage, read_write> b: array<f32>;
#else
@group(0) @binding(2) var<storage, read> b: array<f32>;
@group(0) @binding(3) var<storage, read_write> c: array<f32>;
#endif

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let first = grid_index(group, groups) * ELEMENTS + local;
    for (var i = first; i < min(first + ELEMENTS, params.elements); i += 64u) {
#ifdef IN_PLACE
        b[i] += a[i];
#else
        c[i] = a[i] + b[i];
#endif
    }
}
