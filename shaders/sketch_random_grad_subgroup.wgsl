// Gradient of the random sketch as in sketch_random_grad.wgsl, a subgroup a slab: every product of the tree,
// forwards and backwards, as in shared/subgroup_sums.wgsl (ladder: shared/subgroup_vectors.wgsl).
#import sketch_grad_bindings vec4<f32>
#import subgroup_slab_product
const ROW_TILE: u32 = 16u;
const THREADS: u32 = LANES;

#import slab_vectors
#import sketch_vectors
#import sketch_nodes

fn multiply(operand: u32, inner: u32, matrix: Operand, into: u32, width: u32, lane: u32) {
    left = Operand(operand, inner, 1u);
    right = matrix;
    result = into;
    multiply_slab(width, inner, lane);
}

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(subgroup_invocation_id) lane: u32) {
    let sums = group.x * SLAB;
    let x = sums + 4u * HEAD;              // [ROW_TILE, HEAD]
    let dx = x + ROW_TILE * HEAD;          // [ROW_TILE, HEAD]
    let nodes = dx + ROW_TILE * HEAD;
    let count = 2u * LEAVES - 1u;
    let vectors = ROW_TILE * SIZE / 4u;    // of a part of a node
    clear(sums, 4u * HEAD, lane);
    for (var tile = 0u; tile < TILES; tile++) {
        let first = first_vector(group.x, tile);
        if first >= params.vectors { break; }
        load_vectors(first, x, lane);
        adding = false;
        for (var node = 0u; node < count; node++) {
            let source = inputs_of(x, nodes, node);
            let matrix = matrix_at(node);
            for (var side = 0u; side < 2u; side++) {
                multiply(source[side], source.z, Operand(matrix + side * source.z * SIZE, SIZE, 1u), node_at(nodes, node, side), SIZE, lane);
            }
            sync();
            let at = node_at(nodes, node, 0u) / 4u;
            for (var i = lane; i < vectors; i += LANES) { slabs[at + 2u * vectors + i] = slabs[at + i] * slabs[at + vectors + i] * GAIN; }
            sync();
        }
        let root = node_at(nodes, count - 1u, 3u) / 4u;
        for (var i = lane; i < vectors; i += LANES) {
            var d = vec4<f32>();
            if first + i / (SIZE / 4u) < params.vectors { d = dsketch[first * (SIZE / 4u) + i]; }
            slabs[root + i] = d;
        }
        for (var i = lane; i < ROW_TILE * HEAD / 4u; i += LANES) { slabs[dx / 4u + i] = vec4<f32>(); }
        sync();
        for (var above = count; above > 0u; above--) {
            let node = above - 1u;
            let width = inputs_of(x, nodes, node).z;
            let matrix = matrix_at(node);
            let child = 2u * (max(node, LEAVES) - LEAVES);
            // dleft = gain dy * right, dright = gain dy * left, in their places.
            let at = node_at(nodes, node, 0u) / 4u;
            for (var i = lane; i < vectors; i += LANES) {
                let d = slabs[at + 3u * vectors + i] * GAIN;
                let a = slabs[at + i];
                slabs[at + i] = d * slabs[at + vectors + i];
                slabs[at + vectors + i] = d * a;
            }
            sync();
            adding = node < LEAVES;
            for (var side = 0u; side < 2u; side++) {
                let into = select(node_at(nodes, child + side, 3u), dx, adding);
                multiply(node_at(nodes, node, side), SIZE, Operand(matrix + side * width * SIZE, 1u, SIZE), into, width, lane);
                sync();
            }
        }
        store_vectors(first, dx, sums, lane);
    }
}
