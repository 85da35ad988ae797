// sums += left right where an invocation has the left operand of one inner index, a vector for four rows, and
// LANES inner indices are a step: for operands that are built, not loaded, without a place in memory. Needs
// $_left(i) -> mat4x4<f32>, vector q is left[4 q .. 4 q + 4, i], and $_right(i) -> vec4<f32>, this
// invocation's four columns of right[i].
//
// Four inner indices at a time: there are more sums than a CPU has registers, and one at a time, every
// multiply-add fetched and put back its sum.
#import subgroup_sums
fn $_right4(i: u32) -> mat4x4<f32> { return mat4x4<f32>($_right(i), $_right(i + 1u), $_right(i + 2u), $_right(i + 3u)); }
// sums += left right of four inner indices; vector j of a quad is left of its four rows at index j.
fn $_add(quad0: mat4x4<f32>, quad1: mat4x4<f32>, quad2: mat4x4<f32>, quad3: mat4x4<f32>, b: mat4x4<f32>) {
    let a0 = transpose(quad0);
    s0 = multiply_add(s0, b, a0[0]);
    s1 = multiply_add(s1, b, a0[1]);
    s2 = multiply_add(s2, b, a0[2]);
    s3 = multiply_add(s3, b, a0[3]);
    let a1 = transpose(quad1);
    s4 = multiply_add(s4, b, a1[0]);
    s5 = multiply_add(s5, b, a1[1]);
    s6 = multiply_add(s6, b, a1[2]);
    s7 = multiply_add(s7, b, a1[3]);
    let a2 = transpose(quad2);
    s8 = multiply_add(s8, b, a2[0]);
    s9 = multiply_add(s9, b, a2[1]);
    s10 = multiply_add(s10, b, a2[2]);
    s11 = multiply_add(s11, b, a2[3]);
    let a3 = transpose(quad3);
    s12 = multiply_add(s12, b, a3[0]);
    s13 = multiply_add(s13, b, a3[1]);
    s14 = multiply_add(s14, b, a3[2]);
    s15 = multiply_add(s15, b, a3[3]);
}
fn $_outer(count: u32, lane: u32) {
    for (var i = 0u; i < count; i += LANES) {
        let a = $_left(i + lane);
        $_add(
            mat4x4<f32>(subgroupBroadcast(a[0], 0u), subgroupBroadcast(a[0], 1u), subgroupBroadcast(a[0], 2u), subgroupBroadcast(a[0], 3u)),
            mat4x4<f32>(subgroupBroadcast(a[1], 0u), subgroupBroadcast(a[1], 1u), subgroupBroadcast(a[1], 2u), subgroupBroadcast(a[1], 3u)),
            mat4x4<f32>(subgroupBroadcast(a[2], 0u), subgroupBroadcast(a[2], 1u), subgroupBroadcast(a[2], 2u), subgroupBroadcast(a[2], 3u)),
            mat4x4<f32>(subgroupBroadcast(a[3], 0u), subgroupBroadcast(a[3], 1u), subgroupBroadcast(a[3], 2u), subgroupBroadcast(a[3], 3u)),
            $_right4(i)
        );
#ifndef SUBGROUP4
        $_add(
            mat4x4<f32>(subgroupBroadcast(a[0], 4u), subgroupBroadcast(a[0], 5u), subgroupBroadcast(a[0], 6u), subgroupBroadcast(a[0], 7u)),
            mat4x4<f32>(subgroupBroadcast(a[1], 4u), subgroupBroadcast(a[1], 5u), subgroupBroadcast(a[1], 6u), subgroupBroadcast(a[1], 7u)),
            mat4x4<f32>(subgroupBroadcast(a[2], 4u), subgroupBroadcast(a[2], 5u), subgroupBroadcast(a[2], 6u), subgroupBroadcast(a[2], 7u)),
            mat4x4<f32>(subgroupBroadcast(a[3], 4u), subgroupBroadcast(a[3], 5u), subgroupBroadcast(a[3], 6u), subgroupBroadcast(a[3], 7u)),
            $_right4(i + 4u)
        );
#endif
    }
}
