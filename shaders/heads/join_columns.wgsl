// permutations: [GATE]
// Queries, keys and values of three tensors (and gate logits of a fourth) as the columns of one, the layout
// in which a model's joined projection leaves them: qkv[row] = [q[row] | k[row] | v[row] | gate[row] | 0 ..].
// One invocation a vector of the result.
#import grid
#import head_layout
struct Params { rows: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> q: array<vec4<f32>>;           // [rows, HEADS * GROUP * HEAD]
@group(0) @binding(2) var<storage, read> k: array<vec4<f32>>;           // [rows, HEADS * HEAD]
@group(0) @binding(3) var<storage, read> v: array<vec4<f32>>;           // [rows, HEADS * HEAD]
#ifdef GATE
@group(0) @binding(4) var<storage, read> gate: array<f32>;              // [rows, HEADS]
@group(0) @binding(5) var<storage, read_write> qkv: array<vec4<f32>>;   // [rows, QKV_WIDTH]
#else
@group(0) @binding(4) var<storage, read_write> qkv: array<vec4<f32>>;   // [rows, QKV_WIDTH]
#endif

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) count: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let at = grid_index(group, count) * 64u + local;
    let row = at / (QKV_WIDTH / 4u);
    let column = at % (QKV_WIDTH / 4u);
    if row >= params.rows { return; }
    let part = HEADS * HEAD / 4u;   // vectors of k and of v
    let queries = part * GROUP;
    var value = vec4<f32>();
    if column < queries {
        value = q[row * queries + column];
    } else if column < queries + part {
        value = k[row * part + column - queries];
    } else if column < queries + 2u * part {
        value = v[row * part + column - queries - part];
    }
#ifdef GATE
    // The logits may take more columns than q does (many narrow heads), so they are found by their own
    // offset.
    if column >= queries + 2u * part {
        let head = (column - queries - 2u * part) * 4u;
        for (var i = 0u; i < min(4u, HEADS - head); i++) { value[i] = gate[row * HEADS + head + i]; }
    }
#endif
    qkv[at] = value;
}
