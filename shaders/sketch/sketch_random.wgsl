// The random sketch (SPEC §1): a binary tree of nodes, node = gain * (a left) * (b right), the leaves with a
// = b = x, the others with a, b the two children. Matrices [nodes, 2, i, r], leaves first, then level by
// level to the root. A workgroup takes ROW_TILE vectors through the whole tree; the values of a level live in
// workgroup memory.
#import lanes
#import sketch_tree
struct Params { vectors: u32, lanes: u32, tokens: u32, lane_base: u32 }
override ROW_TILE: u32;
override VECTORS: u32;         // ROW_TILE * HEAD
override VALUES: u32;          // LEAVES * ROW_TILE * SIZE
const THREADS: u32 = 128u;

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> qkv: array<f32>;              // [rows, QKV_WIDTH]
@group(0) @binding(2) var<storage, read> lanes: array<Lane>;           // [lanes]
@group(0) @binding(3) var<storage, read> norms: array<f32>;            // [4, HEAD]
@group(0) @binding(4) var<storage, read> rotations: array<vec2<f32>>;  // [4 * 256, HEAD / 2]
@group(0) @binding(5) var<storage, read> w: array<f32>;                // [nodes, 2, HEAD or SIZE, SIZE]
@group(0) @binding(6) var<storage, read_write> sketch: array<f32>;     // [vectors, SIZE]

var<workgroup> vector: array<f32, VECTORS>;
var<workgroup> moments: array<vec2<f32>, ROW_TILE>;
var<workgroup> value: array<f32, VALUES>;  // [node, row, SIZE] of the level below
var<workgroup> next: array<f32, VALUES>;
fn vector_at(row: u32, c: u32) -> u32 { return row * HEAD + c; }
#import sketch_input

@compute @workgroup_size(128)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let first = (group.y * groups.x + group.x) * ROW_TILE;
    if first >= params.vectors { return; }
    load_sketch_input(first, local);
    for (var i = local; i < LEAVES * ROW_TILE * SIZE; i += THREADS) {
        let node = i / (ROW_TILE * SIZE);
        let row = i / SIZE % ROW_TILE;
        let column = i % SIZE;
        let matrix = node * 2u * HEAD * SIZE + column;
        var a = 0.0;
        var b = 0.0;
        for (var c = 0u; c < HEAD; c++) {
            let x = vector[row * HEAD + c];
            a += x * w[matrix + c * SIZE];
            b += x * w[matrix + (HEAD + c) * SIZE];
        }
        value[i] = a * b * GAIN;
    }
    workgroupBarrier();
    var offset = LEAVES * 2u * HEAD * SIZE;
    for (var nodes = LEAVES / 2u; nodes > 0u; nodes = nodes / 2u) {
        for (var i = local; i < nodes * ROW_TILE * SIZE; i += THREADS) {
            let node = i / (ROW_TILE * SIZE);
            let row = i / SIZE % ROW_TILE;
            let column = i % SIZE;
            let matrix = offset + node * 2u * SIZE * SIZE + column;
            let left = (2u * node * ROW_TILE + row) * SIZE;
            let right = ((2u * node + 1u) * ROW_TILE + row) * SIZE;
            var a = 0.0;
            var b = 0.0;
            for (var c = 0u; c < SIZE; c++) {
                a += value[left + c] * w[matrix + c * SIZE];
                b += value[right + c] * w[matrix + (SIZE + c) * SIZE];
            }
            next[i] = a * b * GAIN;
        }
        workgroupBarrier();
        for (var i = local; i < nodes * ROW_TILE * SIZE; i += THREADS) { value[i] = next[i]; }
        workgroupBarrier();
        offset += nodes * 2u * SIZE * SIZE;
    }
    for (var i = local; i < ROW_TILE * SIZE; i += THREADS) {
        if first + i / SIZE < params.vectors { sketch[first * SIZE + i] = value[i]; }
    }
}
