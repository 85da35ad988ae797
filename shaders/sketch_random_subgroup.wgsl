// The random sketch as in sketch_random.wgsl, a subgroup a tile of ROWS vectors: products as in
// shared/subgroup_sums.wgsl, whose left operands lie in workgroup memory. GFLOP/s on lavapipe 22.3 at h = 64,
// r = 32, p = 4, two hyperthreads, a slow hour:
//   sketch_random   0.36
//   here            3.5
#import lanes
struct Params { vectors: u32, lanes: u32, tokens: u32, lane_base: u32 }
override SIZE: u32;            // r
override LEAVES: u32;          // degree / 4
override GAIN: f32;
override INPUT_NORMED: u32;

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> qkv: array<f32>;              // [rows, QKV_WIDTH]
@group(0) @binding(2) var<storage, read> lanes: array<Lane>;           // [lanes]
@group(0) @binding(3) var<storage, read> norms: array<f32>;            // [4, HEAD]
@group(0) @binding(4) var<storage, read> rotations: array<vec2<f32>>;  // [4 * 256, HEAD / 2]
@group(0) @binding(5) var<storage, read> w: array<vec4<f32>>;          // [nodes, 2, HEAD or SIZE, SIZE]
@group(0) @binding(6) var<storage, read_write> sketch: array<vec4<f32>>; // [2, lanes, HEADS, tokens, SIZE]
#import subgroup_product node
#import subgroup_vectors vector
#import subgroup_vectors values

// vector [ROWS, HEAD]; values [ROWS, 2 LEAVES SIZE]: of a level's nodes and of the level below in turns.
#import head_vector
#import vector_place
#import subgroup_sketch_input

var<private> matrix: u32;      // in w, in vectors
var<private> from_values: bool; // the left operand: values at `source`, or the vector
var<private> source: u32;
var<private> column: u32;      // first of this invocation's four

fn node_left(row: u32, k: u32) -> vec4<f32> {
    if from_values { return values[row * (values_columns / 4u) + source + k]; }
    return vector[row * (HEAD / 4u) + k];
}
fn node_right(k: u32) -> mat4x4<f32> {
    let at = matrix + 4u * k * (SIZE / 4u) + min(column, SIZE - 4u) / 4u;
    return mat4x4<f32>(w[at], w[at + SIZE / 4u], w[at + 2u * (SIZE / 4u)], w[at + 3u * (SIZE / 4u)]);
}

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(subgroup_invocation_id) lane: u32) {
    let first = (group.y * groups.x + group.x) * ROWS;
    if first >= params.vectors { return; }
    load_vectors(first, lane);
    workgroupBarrier();
    var below = LEAVES;        // where the level below begins, in nodes
    var level = 0u;            // and this level
    for (var nodes = LEAVES; nodes > 0u; nodes = nodes / 2u) {
        let width = select(SIZE, HEAD, nodes == LEAVES);
        from_values = nodes != LEAVES;
        for (var node = 0u; node < nodes; node++) {
            for (var c = 0u; c < SIZE; c += 4u * LANES) {
                // The left product, then times the right one where it is kept.
                for (var side = 0u; side < 2u; side++) {
                    source = (below + 2u * node + side) * (SIZE / 4u);
                    column = c + 4u * lane;
                    clear_sums();
                    node_product(width / 4u, lane);
                    matrix += width * (SIZE / 4u);
                    column = select(values_columns, (level + node) * SIZE + c + 4u * lane, c + 4u * lane < SIZE);
                    if side == 0u { keep_all_values(); } else { multiply_all_values(); }
                }
                matrix -= 2u * width * (SIZE / 4u);
            }
            matrix += 2u * width * (SIZE / 4u);
        }
        workgroupBarrier();
        below = level;
        level = LEAVES - level;
    }
    for (var i = lane; i < ROWS * (SIZE / 4u); i += LANES) {
        let row = i / (SIZE / 4u);
        if first + row < params.vectors { sketch[first * (SIZE / 4u) + i] = values[row * (values_columns / 4u) + below * (SIZE / 4u) + i % (SIZE / 4u)]; }
    }
}

fn multiply_values(row: u32, sum: vec4<f32>) {
    if column < values_columns { values[(row * values_columns + column) / 4u] *= sum * GAIN; }
}
fn multiply_all_values() {
    multiply_values(0u, s0);
    multiply_values(1u, s1);
    multiply_values(2u, s2);
    multiply_values(3u, s3);
    multiply_values(4u, s4);
    multiply_values(5u, s5);
    multiply_values(6u, s6);
    multiply_values(7u, s7);
    multiply_values(8u, s8);
    multiply_values(9u, s9);
    multiply_values(10u, s10);
    multiply_values(11u, s11);
    multiply_values(12u, s12);
    multiply_values(13u, s13);
    multiply_values(14u, s14);
    multiply_values(15u, s15);
}
