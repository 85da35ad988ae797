// permutations: [F16|Q4|Q8] [SINUSOIDAL|LEARNED]
// Token embedding: x[row] = table[id] (+ position). One invocation per four columns.
// The table may be cut into shards of rows (a binding holds 128 MiB at the floor): each shard's dispatch
// writes the rows whose token it holds, the first one zeroes the others.
#import lanes
#import grid
#import weight_rows table
struct Params { rows: u32, tokens: u32, lane_base: u32, shard_first: u32, shard_rows: u32 }
override WIDTH: u32;        // columns
override BY_SLOT: bool;     // ids[slot] (decoding), not ids[row]

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> ids: array<u32>;                 // [rows] or [slots]
@group(0) @binding(2) var<storage, read> lanes: array<Lane>;              // [lanes]
@group(0) @binding(3) var<storage, read> table: array<Weight4>;           // [shard_rows, WIDTH]
#ifdef SINUSOIDAL
@group(0) @binding(4) var<storage, read> rotations: array<vec2<f32>>;     // [4 * 256, WIDTH / 2]
@group(0) @binding(5) var<storage, read_write> x: array<vec4<f32>>;       // [rows, WIDTH]
#import rotation
#else
#ifdef LEARNED
@group(0) @binding(4) var<storage, read> positions: array<vec4<f32>>;     // [.., WIDTH]
@group(0) @binding(5) var<storage, read_write> x: array<vec4<f32>>;       // [rows, WIDTH]
#else
@group(0) @binding(4) var<storage, read_write> x: array<vec4<f32>>;       // [rows, WIDTH]
#endif
#endif

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let item = grid_index(group, groups) * 64u + local;
    let row = item / (WIDTH / 4u);
    let column = item % (WIDTH / 4u);
    if row >= params.rows { return; }
    let lane = lanes[params.lane_base + row / params.tokens];
    var id = ids[row];
    if BY_SLOT { id = ids[lane.slot]; }
    var value = vec4<f32>();
    let here = id >= params.shard_first && id < params.shard_first + params.shard_rows;
    if here {
        value = table_row4(id - params.shard_first, column, WIDTH / 4u);
    } else if params.shard_first > 0u {
        return;
    }
#ifdef SINUSOIDAL
    if params.shard_first == 0u || here {
        let position = lane.position + row % params.tokens;
        let a = rotation(position, column * 2u, WIDTH / 2u);
        let b = rotation(position, column * 2u + 1u, WIDTH / 2u);
        value += vec4<f32>(a.y, a.x, b.y, b.x);
    }
#endif
#ifdef LEARNED
    if params.shard_first == 0u || here {
        let last = arrayLength(&positions) / (WIDTH / 4u) - 1u;
        value += positions[min(lane.position + row % params.tokens, last) * (WIDTH / 4u) + column];
    }
#endif
    x[row * (WIDTH / 4u) + column] = value;
}
