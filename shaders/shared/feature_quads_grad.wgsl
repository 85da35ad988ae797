// What the gradients of features give to the vectors they were built from, four rows at a time
// (feature_quads.wgsl). A subgroup takes SHARES features at a time, QUADS invocations each; every share has
// sums of its own, so that nothing is added by two. Needs add_to_source(row, c, d), which adds to elements 4
// c .. 4 c + 3 of the gradient of a row's vector.
const SHARES: u32 = LANES / QUADS;
override SOURCE_SHARES: u32;   // SHARES * SOURCE_VECTORS
var<workgroup> dsources: array<vec4<f32>, SOURCE_SHARES>; // [SHARES, SOURCE + EXTENDED, QUADS]

fn clear_dsources(lane: u32) {
    for (var i = lane; i < SOURCE_SHARES; i += LANES) { dsources[i] = vec4<f32>(); }
}
// The product rule.
fn pull_back_quad(packed: u32, share: u32, quad: u32, dphi: vec4<f32>) {
    for (var k = 0u; k < ORDER; k++) {
        var product = dphi;
        for (var m = 0u; m < ORDER; m++) {
            if m != k { product *= sources[((packed >> (8u * m)) & 255u) * QUADS + quad]; }
        }
        dsources[share * SOURCE_VECTORS + ((packed >> (8u * k)) & 255u) * QUADS + quad] += product;
    }
}
fn dsource(at: u32) -> vec4<f32> {
    var sum = vec4<f32>();
    for (var share = 0u; share < SHARES; share++) { sum += dsources[share * SOURCE_VECTORS + at]; }
    return sum;
}
// To the gradients of the first `rows` vectors.
fn give_dsources(rows: u32, lane: u32) {
    for (var i = lane; i < QUADS * SOURCE / 4u; i += LANES) {
        let quad = i % QUADS;
        let c = i / QUADS;
        let at = 4u * c * QUADS + quad;
        let gradients = transpose(mat4x4<f32>(dsource(at), dsource(at + QUADS), dsource(at + 2u * QUADS), dsource(at + 3u * QUADS)));
        for (var r = 0u; r < 4u; r++) {
            if 4u * quad + r < rows { add_to_source(4u * quad + r, c, gradients[r]); }
        }
    }
}
