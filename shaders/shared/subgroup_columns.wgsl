// Sums in workgroup memory by columns, $ [columns, QUADS], each vector four rows of a column. Needs `column`,
// the first of this invocation's four, and QUADS = ROWS / 4.
#import subgroup_sums
override $_columns: u32;
override $_vectors: u32;       // ROWS * columns / 4
var<workgroup> $: array<vec4<f32>, $_vectors>;

fn keep_quad_$(quad: u32, sums: mat4x4<f32>) {
    let columns = transpose(sums);
    for (var c = 0u; c < 4u; c++) { $[(column + c) * QUADS + quad] = columns[c]; }
}
fn keep_columns_$() {
    if column >= $_columns { return; }
    keep_quad_$(0u, mat4x4<f32>(s0, s1, s2, s3));
    keep_quad_$(1u, mat4x4<f32>(s4, s5, s6, s7));
    keep_quad_$(2u, mat4x4<f32>(s8, s9, s10, s11));
    keep_quad_$(3u, mat4x4<f32>(s12, s13, s14, s15));
}
