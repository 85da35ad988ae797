// Gradient of the random sketch (SPEC §1): into dqkv, and partial sums of the gradients of the norms; the
// matrices are fixed. A workgroup computes ROW_TILE vectors' tree again into its slab of storage and walks it
// from the root to the leaves.
#import sketch_grad_bindings
#import sketch_tree
const THREADS: u32 = 128u;
const ROW_TILE: u32 = 16u;

#import sketch_vectors

// Of every node the slab holds the left product, the right product, the value and its gradient, [ROW_TILE,
// SIZE] each.
fn node_at(nodes: u32, node: u32, what: u32) -> u32 { return nodes + (node * 4u + what) * ROW_TILE * SIZE; }

fn matrix_at(node: u32) -> u32 {
    return 2u * SIZE * (min(node, LEAVES) * HEAD + (max(node, LEAVES) - LEAVES) * SIZE);
}

// Where the two inputs of a node lie, and how wide they are.
fn inputs_of(x: u32, nodes: u32, node: u32) -> vec3<u32> {
    if node < LEAVES { return vec3<u32>(x, x, HEAD); }
    let child = 2u * (node - LEAVES);
    return vec3<u32>(node_at(nodes, child, 2u), node_at(nodes, child + 1u, 2u), SIZE);
}

@compute @workgroup_size(128)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let sums = group.x * SLAB;
    let x = sums + 4u * HEAD;              // [ROW_TILE, HEAD]
    let dx = x + ROW_TILE * HEAD;          // [ROW_TILE, HEAD]
    let nodes = dx + ROW_TILE * HEAD;
    let count = 2u * LEAVES - 1u;
    clear(sums, 4u * HEAD, local);
    for (var tile = 0u; tile < TILES; tile++) {
        let first = first_vector(group.x, tile);
        if first >= params.vectors { break; }
        load_vectors(first, x, local);
        for (var node = 0u; node < count; node++) {
            let source = inputs_of(x, nodes, node);
            let matrix = matrix_at(node);
            for (var i = local; i < ROW_TILE * SIZE; i += THREADS) {
                let row = i / SIZE * source.z;
                let column = matrix + i % SIZE;
                var a = 0.0;
                var b = 0.0;
                for (var c = 0u; c < source.z; c++) {
                    a += slabs[source.x + row + c] * w[column + c * SIZE];
                    b += slabs[source.y + row + c] * w[column + (source.z + c) * SIZE];
                }
                slabs[node_at(nodes, node, 0u) + i] = a;
                slabs[node_at(nodes, node, 1u) + i] = b;
                slabs[node_at(nodes, node, 2u) + i] = a * b * GAIN;
            }
            // The children of a node are done long before it; only the next node's inputs must wait.
            sync();
        }
        for (var i = local; i < ROW_TILE * SIZE; i += THREADS) {
            var d = 0.0;
            if first + i / SIZE < params.vectors { d = dsketch[first * SIZE + i]; }
            slabs[node_at(nodes, count - 1u, 3u) + i] = d;
        }
        for (var i = local; i < ROW_TILE * HEAD; i += THREADS) { slabs[dx + i] = 0.0; }
        sync();
        for (var above = count; above > 0u; above--) {
            let node = above - 1u;
            let width = inputs_of(x, nodes, node).z;
            let matrix = matrix_at(node);
            let child = 2u * (max(node, LEAVES) - LEAVES);
            // dleft = gain dy * right, dright = gain dy * left; an invocation takes one element of an input.
            for (var i = local; i < ROW_TILE * width; i += THREADS) {
                let row = i / width * SIZE;
                let weights = matrix + i % width * SIZE;
                var a = 0.0;
                var b = 0.0;
                for (var o = 0u; o < SIZE; o++) {
                    let d = slabs[node_at(nodes, node, 3u) + row + o] * GAIN;
                    a += d * slabs[node_at(nodes, node, 1u) + row + o] * w[weights + o];
                    b += d * slabs[node_at(nodes, node, 0u) + row + o] * w[weights + width * SIZE + o];
                }
                if node < LEAVES {
                    slabs[dx + i] += a + b;
                } else {
                    slabs[node_at(nodes, child, 3u) + i] = a;
                    slabs[node_at(nodes, child + 1u, 3u) + i] = b;
                }
            }
            sync();
        }
        store_vectors(first, dx, sums, local);
    }
}
