// $ += the outer products of a step: of invocation (x, y) vectors_$() vectors a row. The importing shader
// says where its rows 4 r .. 4 r + 3 of the left operand are: left_of_$(k, r), such as staged_left.
fn multiply_$() {
    // In fours, which every driver unrolls: not all do it with loops as large as these, and loads want
    // company.
    for (var k = 0u; k < DEPTH; k += 4u) {
        for (var j = 0u; j < 4u; j++) { outer_$(k + j); }
    }
}
fn outer_$(k: u32) {
    let wide = GROUP_X * vectors_$();
    let right = buffer * (RIGHT_SIZE / 2u) + k * wide + here.x;
    var b = array<vec4<f32>, 4>(); // [vectors_$()]
    for (var c = 0u; c < vectors_$(); c++) { b[c] = tile_right[right + c * GROUP_X]; }
    for (var r = 0u; r < ROWS / 4u; r++) {
        let a = left_of_$(k, r);
        for (var c = 0u; c < vectors_$(); c++) {
            let at = 4u * r * vectors_$() + c;
            $[at] = fma(vec4<f32>(a.x), b[c], $[at]);
            $[at + vectors_$()] = fma(vec4<f32>(a.y), b[c], $[at + vectors_$()]);
            $[at + 2u * vectors_$()] = fma(vec4<f32>(a.z), b[c], $[at + 2u * vectors_$()]);
            $[at + 3u * vectors_$()] = fma(vec4<f32>(a.w), b[c], $[at + 3u * vectors_$()]);
        }
    }
}
