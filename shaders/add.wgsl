// c = a + b, or b += a.
#import grid
struct Params { vectors: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> a: array<vec4<f32>>;
#ifdef IN_PLACE
@group(0) @binding(2) var<storage, read_write> b: array<vec4<f32>>;
#else
@group(0) @binding(2) var<storage, read> b: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> c: array<vec4<f32>>;
#endif

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let item = grid_index(group, groups) * 64u + local;
    if item >= params.vectors { return; }
#ifdef IN_PLACE
    b[item] += a[item];
#else
    c[item] = a[item] + b[item];
#endif
}
