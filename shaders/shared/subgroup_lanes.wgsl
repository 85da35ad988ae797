// Invocations of a subgroup, which is a workgroup.
#ifdef SUBGROUP4
const LANES: u32 = 4u;
#else
const LANES: u32 = 8u;
#endif

// s + b a, fused: a driver may not fuse what is written apart.
fn multiply_add(s: vec4<f32>, b: mat4x4<f32>, a: vec4<f32>) -> vec4<f32> {
    return fma(b[3], vec4<f32>(a.w), fma(b[2], vec4<f32>(a.z), fma(b[1], vec4<f32>(a.y), fma(b[0], vec4<f32>(a.x), s))));
}
