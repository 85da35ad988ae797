// $ += products of a tile's columns in `memory` with weights, a block of 4 x 4 of these at a time: of this
// invocation's vectors, four columns. Weights come straight from their buffer, which caches hold: neighbours
// read the same ones. Whoever calls says which fours of inner indices are added.
var<private> $: mat4x4<f32>;                   // a column of vectors each
// Weights lie along inner indices: those of column j from `at + j stride` on.
fn along_$(left: u32, first: u32, end: u32, at: u32, stride: u32) {
    for (var k = first; k < end; k++) {
        var b = mat4x4<f32>();
        for (var j = 0u; j < 4u; j++) { b[j] = w[at + j * stride + k]; }
        b = transpose(b);
        for (var i = 0u; i < 4u; i++) { outer_$(left + (4u * k + i) * PITCH, b[i]); }
    }
}
// Weights lie along columns: those of inner index k from `at + k stride` on.
fn across_$(left: u32, first: u32, end: u32, at: u32, stride: u32) {
    for (var k = first; k < end; k++) {
        var b = mat4x4<f32>();
        for (var i = 0u; i < 4u; i++) { b[i] = w[at + (4u * k + i) * stride]; }
        for (var i = 0u; i < 4u; i++) { outer_$(left + (4u * k + i) * PITCH, b[i]); }
    }
}
fn outer_$(left: u32, b: vec4<f32>) {
    let a = memory[left + four];
    $[0] = fma(a, vec4<f32>(b.x), $[0]);
    $[1] = fma(a, vec4<f32>(b.y), $[1]);
    $[2] = fma(a, vec4<f32>(b.z), $[2]);
    $[3] = fma(a, vec4<f32>(b.w), $[3]);
}
// As columns from `at` on in memory.
fn store_$(at: u32) {
    for (var j = 0u; j < 4u; j++) { memory[at + j * PITCH + four] = $[j]; }
}
