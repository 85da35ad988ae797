// One product of a tile. The importing shader gives vectors_$(), multiply_$(), which adds a step's outer
// products to its sums, and blocks of 4 x 4 of the operands, column j of the matrix for inner index k + j,
// zero where that is beyond the last: left_$(row, k), right_$(vector, k), both counted from the tile's first.
fn fetch_$(k: u32) {
    let across = GROUP_Y * ROWS / 4u;
    let wide = GROUP_X * vectors_$();
    let block = here.z - left_blocks();
    // Neighbours take neighbouring rows, or vectors, of the same inner indices.
    if here.z < left_blocks() {
        next = left_$(4u * (here.z % across), k + 4u * (here.z / across));
    } else if block < wide * (DEPTH / 4u) {
        next = right_$(block % wide, k + 4u * (block / wide));
    }
}
fn keep_$() {
    let wide = GROUP_X * vectors_$();
    let block = here.z - left_blocks();
    buffer = 1u - buffer;
    if here.z < left_blocks() {
        keep_left(here.z);
    } else if block < wide * (DEPTH / 4u) {
        keep_right(block, wide);
    }
}
#import product_steps $
