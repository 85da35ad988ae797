// sums += left right where an invocation has the left operand of one inner index, a vector for four rows, and LANES inner indices are
// a step: for operands that are built, not loaded, without a place in memory. Needs $_left(i) -> mat4x4<f32>, vector q is left[4 q ..
// 4 q + 4, i], and $_right(i) -> vec4<f32>, this invocation's four columns of right[i].
//
// Four inner indices at a time: there are more sums than a CPU has registers, and one at a time, every multiply-add fetched and put back
// its sum.
#import subgroup_sums
// Of four rows, the left operand of four inner indices as four vectors along them.
fn $_rows(a0: vec4<f32>, a1: vec4<f32>, a2: vec4<f32>, a3: vec4<f32>) -> mat4x4<f32> { return transpose(mat4x4<f32>(a0, a1, a2, a3)); }
fn $_right4(i: u32) -> mat4x4<f32> { return mat4x4<f32>($_right(i), $_right(i + 1u), $_right(i + 2u), $_right(i + 3u)); }
fn $_outer(count: u32, lane: u32) {
    for (var i = 0u; i < count; i += LANES) {
        let a = $_left(i + lane);
        let b0 = $_right4(i);
        let r00 = $_rows(subgroupBroadcast(a[0], 0u), subgroupBroadcast(a[0], 1u), subgroupBroadcast(a[0], 2u), subgroupBroadcast(a[0], 3u));
        s0 = multiply_add(s0, b0, r00[0]);
        s1 = multiply_add(s1, b0, r00[1]);
        s2 = multiply_add(s2, b0, r00[2]);
        s3 = multiply_add(s3, b0, r00[3]);
        let r01 = $_rows(subgroupBroadcast(a[1], 0u), subgroupBroadcast(a[1], 1u), subgroupBroadcast(a[1], 2u), subgroupBroadcast(a[1], 3u));
        s4 = multiply_add(s4, b0, r01[0]);
        s5 = multiply_add(s5, b0, r01[1]);
        s6 = multiply_add(s6, b0, r01[2]);
        s7 = multiply_add(s7, b0, r01[3]);
        let r02 = $_rows(subgroupBroadcast(a[2], 0u), subgroupBroadcast(a[2], 1u), subgroupBroadcast(a[2], 2u), subgroupBroadcast(a[2], 3u));
        s8 = multiply_add(s8, b0, r02[0]);
        s9 = multiply_add(s9, b0, r02[1]);
        s10 = multiply_add(s10, b0, r02[2]);
        s11 = multiply_add(s11, b0, r02[3]);
        let r03 = $_rows(subgroupBroadcast(a[3], 0u), subgroupBroadcast(a[3], 1u), subgroupBroadcast(a[3], 2u), subgroupBroadcast(a[3], 3u));
        s12 = multiply_add(s12, b0, r03[0]);
        s13 = multiply_add(s13, b0, r03[1]);
        s14 = multiply_add(s14, b0, r03[2]);
        s15 = multiply_add(s15, b0, r03[3]);
#ifndef SUBGROUP4
        let b1 = $_right4(i + 4u);
        let r10 = $_rows(subgroupBroadcast(a[0], 4u), subgroupBroadcast(a[0], 5u), subgroupBroadcast(a[0], 6u), subgroupBroadcast(a[0], 7u));
        s0 = multiply_add(s0, b1, r10[0]);
        s1 = multiply_add(s1, b1, r10[1]);
        s2 = multiply_add(s2, b1, r10[2]);
        s3 = multiply_add(s3, b1, r10[3]);
        let r11 = $_rows(subgroupBroadcast(a[1], 4u), subgroupBroadcast(a[1], 5u), subgroupBroadcast(a[1], 6u), subgroupBroadcast(a[1], 7u));
        s4 = multiply_add(s4, b1, r11[0]);
        s5 = multiply_add(s5, b1, r11[1]);
        s6 = multiply_add(s6, b1, r11[2]);
        s7 = multiply_add(s7, b1, r11[3]);
        let r12 = $_rows(subgroupBroadcast(a[2], 4u), subgroupBroadcast(a[2], 5u), subgroupBroadcast(a[2], 6u), subgroupBroadcast(a[2], 7u));
        s8 = multiply_add(s8, b1, r12[0]);
        s9 = multiply_add(s9, b1, r12[1]);
        s10 = multiply_add(s10, b1, r12[2]);
        s11 = multiply_add(s11, b1, r12[3]);
        let r13 = $_rows(subgroupBroadcast(a[3], 4u), subgroupBroadcast(a[3], 5u), subgroupBroadcast(a[3], 6u), subgroupBroadcast(a[3], 7u));
        s12 = multiply_add(s12, b1, r13[0]);
        s13 = multiply_add(s13, b1, r13[1]);
        s14 = multiply_add(s14, b1, r13[2]);
        s15 = multiply_add(s15, b1, r13[3]);
#endif
    }
}
