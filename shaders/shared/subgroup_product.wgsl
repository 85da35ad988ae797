// sums += left right, four along the inner dimension a step. Needs $_left(row, k) -> vec4<f32>, left[row, 4 k
// ..], and $_right(k) -> mat4x4<f32>, whose vector i holds this invocation's four columns of right[4 k + i].
#import subgroup_sums
fn $_product(steps: u32, lane: u32) {
    for (var k = 0u; k < steps; k++) {
        let b = $_right(k);
#ifdef SUBGROUP4
        let a0 = $_left(0u + lane, k);
        s0 = multiply_add(s0, b, subgroupBroadcast(a0, 0u));
        s1 = multiply_add(s1, b, subgroupBroadcast(a0, 1u));
        s2 = multiply_add(s2, b, subgroupBroadcast(a0, 2u));
        s3 = multiply_add(s3, b, subgroupBroadcast(a0, 3u));
        let a1 = $_left(4u + lane, k);
        s4 = multiply_add(s4, b, subgroupBroadcast(a1, 0u));
        s5 = multiply_add(s5, b, subgroupBroadcast(a1, 1u));
        s6 = multiply_add(s6, b, subgroupBroadcast(a1, 2u));
        s7 = multiply_add(s7, b, subgroupBroadcast(a1, 3u));
        let a2 = $_left(8u + lane, k);
        s8 = multiply_add(s8, b, subgroupBroadcast(a2, 0u));
        s9 = multiply_add(s9, b, subgroupBroadcast(a2, 1u));
        s10 = multiply_add(s10, b, subgroupBroadcast(a2, 2u));
        s11 = multiply_add(s11, b, subgroupBroadcast(a2, 3u));
        let a3 = $_left(12u + lane, k);
        s12 = multiply_add(s12, b, subgroupBroadcast(a3, 0u));
        s13 = multiply_add(s13, b, subgroupBroadcast(a3, 1u));
        s14 = multiply_add(s14, b, subgroupBroadcast(a3, 2u));
        s15 = multiply_add(s15, b, subgroupBroadcast(a3, 3u));
#else
        let a0 = $_left(0u + lane, k);
        s0 = multiply_add(s0, b, subgroupBroadcast(a0, 0u));
        s1 = multiply_add(s1, b, subgroupBroadcast(a0, 1u));
        s2 = multiply_add(s2, b, subgroupBroadcast(a0, 2u));
        s3 = multiply_add(s3, b, subgroupBroadcast(a0, 3u));
        s4 = multiply_add(s4, b, subgroupBroadcast(a0, 4u));
        s5 = multiply_add(s5, b, subgroupBroadcast(a0, 5u));
        s6 = multiply_add(s6, b, subgroupBroadcast(a0, 6u));
        s7 = multiply_add(s7, b, subgroupBroadcast(a0, 7u));
        let a1 = $_left(8u + lane, k);
        s8 = multiply_add(s8, b, subgroupBroadcast(a1, 0u));
        s9 = multiply_add(s9, b, subgroupBroadcast(a1, 1u));
        s10 = multiply_add(s10, b, subgroupBroadcast(a1, 2u));
        s11 = multiply_add(s11, b, subgroupBroadcast(a1, 3u));
        s12 = multiply_add(s12, b, subgroupBroadcast(a1, 4u));
        s13 = multiply_add(s13, b, subgroupBroadcast(a1, 5u));
        s14 = multiply_add(s14, b, subgroupBroadcast(a1, 6u));
        s15 = multiply_add(s15, b, subgroupBroadcast(a1, 7u));
#endif
    }
}
