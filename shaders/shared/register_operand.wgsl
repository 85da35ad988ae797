// Sums in registers that become the left operand of the next product, without a place of their own: a column
// of them is an inner index there. Needs shared/matrix_tile.wgsl.
var<private> dots: array<vec4<f32>, 8>;        // [ROWS], of columns 4 x .. 4 x + 3 of 4 GROUP_X
fn vectors_dots() -> u32 { return 1u; }

// Of the invocation's rows 4 r .. 4 r + 3, a column a column.
fn dots_of(r: u32) -> mat4x4<f32> {
    return transpose(mat4x4<f32>(dots[4u * r], dots[4u * r + 1u], dots[4u * r + 2u], dots[4u * r + 3u]));
}
// Columns k .. k + DEPTH - 1 into the place of the left operand, by those who hold them.
fn keep_columns(k: u32) {
    let across = GROUP_Y * ROWS / 4u;
    let x = here.x - k / 4u;
    if x >= DEPTH / 4u { return; }
    for (var r = 0u; r < ROWS / 4u; r++) {
        let at = buffer * (LEFT_SIZE / 2u) + 4u * x * across + here.y + r * GROUP_Y;
        let columns = dots_of(r);
        for (var j = 0u; j < 4u; j++) { tile_left[at + j * across] = columns[j]; }
    }
}
