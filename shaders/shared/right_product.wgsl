// One product of a tile whose left operand is there already, or is put there by prepare_$(k) for the step
// from k on. The importing shader gives that, vectors_$(), multiply_$() and blocks of 4 x 4 of the right
// operand, as shared/tile_product.wgsl has them; those beyond the last inner index are read, and count
// nothing.
fn fetch_$(k: u32) {
    let wide = GROUP_X * vectors_$();
    if here.z < wide * (DEPTH / 4u) { next = right_$(here.z % wide, k + 4u * (here.z / wide)); }
}
fn add_$(inner: u32) {
    let wide = GROUP_X * vectors_$();
    fetch_$(0u);
    for (var k = 0u; k < inner; k += DEPTH) {
        buffer = 1u - buffer;
        prepare_$(k);
        if here.z < wide * (DEPTH / 4u) { keep_right(here.z, wide); }
        workgroupBarrier();
        fetch_$(k + DEPTH);
        multiply_$();
    }
}
