// ROWS rows in workgroup memory, $ [ROWS, columns], where sums come from and go to. Needs `column`, the first
// of this invocation's four. What is done with sums is done here, in loops: code that stands once for every
// row takes drivers seconds to compile.
#import subgroup_sums
override $_columns: u32;
override $_size: u32;          // ROWS * columns
var<workgroup> $: array<f32, $_size>;

fn take_$(row: u32) -> vec4<f32> {
    let at = row * $_columns + min(column, $_columns - 4u);
    return vec4<f32>($[at], $[at + 1u], $[at + 2u], $[at + 3u]);
}
fn keep_$(row: u32, sum: vec4<f32>) {
    if column < $_columns {
        let at = row * $_columns + column;
        $[at] = sum.x;
        $[at + 1u] = sum.y;
        $[at + 2u] = sum.z;
        $[at + 3u] = sum.w;
    }
}
#import subgroup_all $
fn clear_all_$(lane: u32) {
    for (var i = lane; i < $_size; i += LANES) { $[i] = 0.0; }
}
