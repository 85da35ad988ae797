// A product [rows, inner] [inner, columns], a tile a workgroup.
//
// The importing shader gives inner(part), row_count(), vectors() (of four columns of the result), store(row,
// vector, sum), and blocks of 4 x 4 of the operands, column j of the matrix for inner index k + j, zero where
// that is not below inner(slice): left_block(row, k), right_block(vector, k). Vectors are clamped before.
//
// Ladder, H100 (Vulkan), f32, prototypes, GFLOP/s of 61 100 at 1024^3 | 4096 x 256 x 768 | 1024 x 256 x 256:
//   vectors along k, dot products, two barriers    20 300 | 19 900 |  4 600  (replaced)
//   the same without bounds checks                 22 200 | 21 700 |  5 000
//   dot products, prefetched, two buffers, 8x8     31 900 | 30 900 |  7 000
//   outer products, prefetched, 64x64, 8x4         31 300 | 30 900 | 10 800  chosen for large
//   the same in 4x4, 256 invocations               28 800 | 28 200 | 11 000
//   64x32, 4x4                                     25 300 | 24 900 | 15 300  chosen for small
//   this file, 64x64, 4x4 (as chosen there)        19 500                     128 of 256 invocations stage
//   64x64, 8x8, loops written out                  33 600 | 33 000 |  7 100  in loops: slow
#import matrix_tile
#ifdef MIXED
#import cooperative_size
#import cooperative_product whole
#else
#import outer_products sum
#import tile_product whole
#endif
var<private> corner: vec2<u32>; // first row and vector of the tile
var<private> slice: u32;        // the part of the inner indices, where kernels cut those

#ifdef MIXED
fn left_place_whole(z: u32) -> vec2<u32> { return inner_first(z); }
fn right_place_whole(z: u32) -> vec2<u32> { return inner_first(z); }
#else
fn left_of_sum(k: u32, r: u32) -> vec4<f32> { return staged_left(k, r); }
fn multiply_whole() { multiply_sum(); }
#endif
fn vectors_whole() -> u32 { return vectors_sum(); }
fn left_whole(row: u32, k: u32) -> mat4x4<f32> { return left_block(corner.x + row, k); }
fn right_whole(vector: u32, k: u32) -> mat4x4<f32> {
    return right_block(min(corner.y + vector, vectors() - 1u), k);
}

#ifdef MIXED
@compute @workgroup_size(INVOCATIONS)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(local_invocation_index) index: u32,
    @builtin(subgroup_id) number: u32,
) {
    subgroup = number;
    here = vec3<u32>(index % GROUP_X, index / GROUP_X, index);
#else
@compute @workgroup_size(GROUP_X, GROUP_Y)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(local_invocation_id) local: vec3<u32>,
    @builtin(local_invocation_index) index: u32,
) {
    here = vec3<u32>(local.xy, index);
#endif
    slice = group.z;
    corner = vec2<u32>(group.y * GROUP_Y * ROWS, group.x * (GROUP_X * COLUMNS / 4u));
    add_whole(inner(group.z));
#ifdef MIXED
    gather_whole();
#endif
    // No early exit: a loop that may break is not unrolled, and the sums would live in memory.
    for (var r = 0u; r < ROWS; r++) {
        let row = corner.x + row_of(r);
        for (var c = 0u; c < COLUMNS / 4u; c++) {
            let vector = corner.y + vector_of(c);
            if row < row_count() && vector < vectors() { store(row, vector, sum[r * (COLUMNS / 4u) + c]); }
        }
    }
}
