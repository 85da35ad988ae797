// One product of a tile in mixed precision. The importing shader gives what shared/tile_product.wgsl wants,
// left_place_$(z) and right_place_$(z), such as inner_first, and gets its sums by invocation from gather_$(). A
// number beyond 65 504 becomes infinite, and what comes of it no number, which is told; one below 3e-8 becomes
// zero.
var<private> parts_$: array<SumPart, 16>;      // of the subgroup's patch, [down, across_$()]
// Matrices of a patch.
fn down_$() -> u32 { return GROUP_Y * ROWS / (SIDE * PATCHES_DOWN); }
fn across_$() -> u32 { return 4u * GROUP_X * vectors_$() / (SIDE * PATCHES_ACROSS); }

fn fetch_$(k: u32) {
    let block = here.z - left_blocks();
    if here.z < left_blocks() {
        let at = left_place_$(here.z);
        next = left_$(4u * at.x, k + 4u * at.y);
    } else if block < GROUP_X * vectors_$() * (DEPTH / 4u) {
        let at = right_place_$(block);
        next = right_$(at.x, k + 4u * at.y);
    }
}
fn keep_$() {
    let block = here.z - left_blocks();
    buffer = 1u - buffer;
    let rows = transpose(next);
    if here.z < left_blocks() {
        let at = left_place_$(here.z);
        let to = buffer * (HALF_LEFT / 2u) + 4u * at.x * pitch() + at.y;
        for (var i = 0u; i < 4u; i++) { half_left[to + i * pitch()] = vec4<f16>(rows[i]); }
    } else if block < GROUP_X * vectors_$() * (DEPTH / 4u) {
        let at = right_place_$(block);
        let to = buffer * (HALF_RIGHT / 2u) + 4u * at.x * pitch() + at.y;
        for (var i = 0u; i < 4u; i++) { half_right[to + i * pitch()] = vec4<f16>(rows[i]); }
    }
}
fn multiply_$() {
    if subgroup < PATCHES_DOWN * PATCHES_ACROSS { multiply_patch_$(); }
}
// A function of its own: naga wants products in uniform control flow, and does not know that subgroups are.
fn multiply_patch_$() {
    let row = buffer * (HALF_LEFT / 2u) + subgroup / PATCHES_ACROSS * down_$() * SIDE * pitch();
    let column = buffer * (HALF_RIGHT / 2u) + subgroup % PATCHES_ACROSS * across_$() * SIDE * pitch();
    for (var k = 0u; k < DEPTH / 4u; k += SIDE / 4u) {
        var right = array<RightPart, 8>(); // [across_$()]
        for (var c = 0u; c < across_$(); c++) {
            right[c] = coopLoad<RightPart>(&half_right[column + c * SIDE * pitch() + k], pitch());
        }
        for (var r = 0u; r < down_$(); r++) {
            let left = coopLoadT<LeftPart>(&half_left[row + r * SIDE * pitch() + k], pitch());
            for (var c = 0u; c < across_$(); c++) {
                let at = r * across_$() + c;
                parts_$[at] = coopMultiplyAdd(left, right[c], parts_$[at]);
            }
        }
    }
}
#import product_steps $
// sum = what was summed, row by row through tile_left: as many rows at a time as it has room for. LEFT_SIZE is at
// least SIDE rows.
fn gather_$() {
    let wide = GROUP_X * vectors_$();
    let stripe = LEFT_SIZE / (wide * SIDE) * SIDE;
    let row = subgroup / PATCHES_ACROSS * down_$() * SIDE;
    let column = subgroup % PATCHES_ACROSS * across_$() * (SIDE / 4u);
    for (var first = 0u; first < GROUP_Y * ROWS; first += stripe) {
        workgroupBarrier();
        if subgroup < PATCHES_DOWN * PATCHES_ACROSS {
            for (var r = 0u; r < down_$(); r++) {
                let own = row + r * SIDE;
                if own >= first && own < first + stripe {
                    for (var c = 0u; c < across_$(); c++) {
                        let at = (own - first) * wide + column + c * (SIDE / 4u);
                        coopStoreT(parts_$[r * across_$() + c], &tile_left[at], wide);
                    }
                }
            }
        }
        workgroupBarrier();
        for (var r = 0u; r < ROWS; r++) {
            let own = row_of(r);
            for (var c = 0u; c < vectors_$(); c++) {
                if own >= first && own < first + stripe {
                    sum[r * vectors_$() + c] = tile_left[(own - first) * wide + vector_of(c)];
                }
            }
        }
    }
    // The place is free for others.
    workgroupBarrier();
}
