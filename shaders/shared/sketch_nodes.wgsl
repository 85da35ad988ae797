// The random sketch's backward pass: how the tree of a tile lies in its slab, and its matrices in w [nodes,
// 2, HEAD or SIZE, SIZE]. Needs ROW_TILE, SIZE and HEAD.
override LEAVES: u32;          // degree / 4
override GAIN: f32;

// Of every node the slab holds the left product, the right product, the value and its gradient, [ROW_TILE,
// SIZE] each.
fn node_at(nodes: u32, node: u32, what: u32) -> u32 { return nodes + (node * 4u + what) * ROW_TILE * SIZE; }

fn matrix_at(node: u32) -> u32 { return 2u * SIZE * (min(node, LEAVES) * HEAD + (max(node, LEAVES) - LEAVES) * SIZE); }

// Where the two inputs of a node lie, and how wide they are.
fn inputs_of(x: u32, nodes: u32, node: u32) -> vec3<u32> {
    if node < LEAVES { return vec3<u32>(x, x, HEAD); }
    let child = 2u * (node - LEAVES);
    return vec3<u32>(node_at(nodes, child, 2u), node_at(nodes, child + 1u, 2u), SIZE);
}
