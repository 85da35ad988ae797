// Products on a tile in a slab (slab_vectors) by a subgroup, whose sums start from and go to the slab. The
// right operand, in w, lies along columns or along the inner dimension. Needs slabs and w in vectors, and
// ROW_TILE.
#import operands
#import subgroup_product slab
#import subgroup_all slab

var<private> first_row: u32;   // of the product's tile
var<private> height: u32;      // of the result
var<private> columns: u32;     // of the result
var<private> first: u32;       // column of the tile's first
var<private> column: u32;      // first of this invocation's four, in the tile
var<private> adding: bool;     // to what is there

fn result_at(row: u32, c: u32) -> u32 { return (result + (first_row + row) * columns + c) / 4u; }
fn take_slab(row: u32) -> vec4<f32> { return slabs[result_at(min(row, height - 1u - first_row), min(first + column, columns - 4u))]; }
fn keep_slab(row: u32, sum: vec4<f32>) {
    if first_row + row < height && first + column < columns { slabs[result_at(row, first + column)] = sum; }
}
fn start_slab() {
    if adding { take_all_slab(); } else { clear_sums(); }
}
fn slab_left(row: u32, k: u32) -> vec4<f32> { return slabs[(left.at + (first_row + row) * left.row) / 4u + k]; }
fn slab_right(k: u32) -> mat4x4<f32> {
    let c = min(first + column, columns - 4u);
    let along_inner = right.row == 1u;
    let at = (right.at + select(4u * k * right.row + c, c * right.column + 4u * k, along_inner)) / 4u;
    let next = max(right.row, right.column) / 4u;
    let vectors = mat4x4<f32>(w[at], w[at + next], w[at + 2u * next], w[at + 3u * next]);
    if along_inner { return transpose(vectors); }
    return vectors;
}
fn multiply_slab(width: u32, inner: u32, lane: u32) {
    height = ROW_TILE;
    columns = width;
    column = 4u * lane;
    // Beside the variables, values that compilers know to be the same in all invocations.
    for (var rows = 0u; rows < ROW_TILE; rows += ROWS) {
        first_row = rows;
        for (var c = 0u; c < width; c += 4u * LANES) {
            first = c;
            start_slab();
            slab_product(inner / 4u, lane);
            keep_all_slab();
        }
    }
}
