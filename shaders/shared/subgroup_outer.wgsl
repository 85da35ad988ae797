// sums += left right where an invocation has the left operand of one inner index, a vector for four rows, and LANES inner indices are
// a step: for operands that are built, not loaded, without a place in memory. Needs $_left(i) -> mat4x4<f32>, vector q is left[4 q ..
// 4 q + 4, i], and $_right(i) -> vec4<f32>, this invocation's four columns of right[i].
#import subgroup_sums
fn $_add(a: mat4x4<f32>, b: vec4<f32>) {
    s0 = fma(b, vec4<f32>(a[0].x), s0);
    s1 = fma(b, vec4<f32>(a[0].y), s1);
    s2 = fma(b, vec4<f32>(a[0].z), s2);
    s3 = fma(b, vec4<f32>(a[0].w), s3);
    s4 = fma(b, vec4<f32>(a[1].x), s4);
    s5 = fma(b, vec4<f32>(a[1].y), s5);
    s6 = fma(b, vec4<f32>(a[1].z), s6);
    s7 = fma(b, vec4<f32>(a[1].w), s7);
    s8 = fma(b, vec4<f32>(a[2].x), s8);
    s9 = fma(b, vec4<f32>(a[2].y), s9);
    s10 = fma(b, vec4<f32>(a[2].z), s10);
    s11 = fma(b, vec4<f32>(a[2].w), s11);
    s12 = fma(b, vec4<f32>(a[3].x), s12);
    s13 = fma(b, vec4<f32>(a[3].y), s13);
    s14 = fma(b, vec4<f32>(a[3].z), s14);
    s15 = fma(b, vec4<f32>(a[3].w), s15);
}
fn $_outer(count: u32, lane: u32) {
    for (var i = 0u; i < count; i += LANES) {
        let a = $_left(i + lane);
        $_add(mat4x4<f32>(subgroupBroadcast(a[0], 0u), subgroupBroadcast(a[1], 0u), subgroupBroadcast(a[2], 0u), subgroupBroadcast(a[3], 0u)), $_right(i));
        $_add(mat4x4<f32>(subgroupBroadcast(a[0], 1u), subgroupBroadcast(a[1], 1u), subgroupBroadcast(a[2], 1u), subgroupBroadcast(a[3], 1u)), $_right(i + 1u));
        $_add(mat4x4<f32>(subgroupBroadcast(a[0], 2u), subgroupBroadcast(a[1], 2u), subgroupBroadcast(a[2], 2u), subgroupBroadcast(a[3], 2u)), $_right(i + 2u));
        $_add(mat4x4<f32>(subgroupBroadcast(a[0], 3u), subgroupBroadcast(a[1], 3u), subgroupBroadcast(a[2], 3u), subgroupBroadcast(a[3], 3u)), $_right(i + 3u));
#ifndef SUBGROUP4
        $_add(mat4x4<f32>(subgroupBroadcast(a[0], 4u), subgroupBroadcast(a[1], 4u), subgroupBroadcast(a[2], 4u), subgroupBroadcast(a[3], 4u)), $_right(i + 4u));
        $_add(mat4x4<f32>(subgroupBroadcast(a[0], 5u), subgroupBroadcast(a[1], 5u), subgroupBroadcast(a[2], 5u), subgroupBroadcast(a[3], 5u)), $_right(i + 5u));
        $_add(mat4x4<f32>(subgroupBroadcast(a[0], 6u), subgroupBroadcast(a[1], 6u), subgroupBroadcast(a[2], 6u), subgroupBroadcast(a[3], 6u)), $_right(i + 6u));
        $_add(mat4x4<f32>(subgroupBroadcast(a[0], 7u), subgroupBroadcast(a[1], 7u), subgroupBroadcast(a[2], 7u), subgroupBroadcast(a[3], 7u)), $_right(i + 7u));
#endif
    }
}
