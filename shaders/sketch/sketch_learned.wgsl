// The learned sketch of few vectors (SPEC §1): two branches of levels x (LN -> Linear(i -> e r) -> GELU ->
// Linear(e r -> r)), s = sqrt(r) tanh(left * right / sqrt(r)), of the query and key vectors straight from the
// projections. For many vectors: sketch_learned_tile.wgsl.
//
// Ladder. Reference: kernels/sketch/sketch_learned.rs. Estimates of docs/GAUGE.md for a token of the built-in
// model (8 vectors, 4 layers), NVIDIA | AMD | Apple | Adreno, us:
//   4 vectors a workgroup, 8 units an invocation, branch after branch  77 | 53 | 81 | 250 (415 spills)
//   a vector a workgroup, a unit an invocation, both branches at once  34 | 27 | 52 | 170
// What it does is wait: for weights, at barriers. So there are as many workgroups as vectors, until those are
// enough for a device; then a weight that is read counts for the ROWS vectors of a workgroup.
#import lanes
#import sketch_net
struct Params { vectors: u32, lanes: u32, tokens: u32, lane_base: u32 }
const THREADS: u32 = 128u;

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> qkv: array<f32>;              // [rows, QKV_WIDTH]
@group(0) @binding(2) var<storage, read> lanes: array<Lane>;           // [lanes]
@group(0) @binding(3) var<storage, read> norms: array<f32>;            // [4, HEAD]
@group(0) @binding(4) var<storage, read> rotations: array<vec2<f32>>;  // [4 * 256, HEAD / 2]
// Two branches of levels of norm [2, i], up [HIDDEN, i], down [SIZE, HIDDEN].
@group(0) @binding(5) var<storage, read> w: array<vec4<f32>>;
@group(0) @binding(6) var<storage, read_write> sketch: array<f32>;     // [vectors, SIZE]

#import sketch_vectors_few

@compute @workgroup_size(128)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let first = (group.y * groups.x + group.x) * ROWS;
    if first >= params.vectors { return; }
    run_net(first, local);
    for (var round = 0u; round < rounds(ROWS * SIZE); round++) {
        let i = local + round * THREADS;
        if i < ROWS * SIZE && first + i / SIZE < params.vectors {
            sketch[first * SIZE + i] = sketched(i / SIZE, i % SIZE);
        }
    }
}
