// Gradient of the token embedding: table[id] += sum of dx over the rows of that id. `order` holds the rows
// sorted by id; the workgroup at the start of a run of equal ids adds up the run, in its order, and the
// others have nothing to do.
#import grid
struct Params { rows: u32, shard_first: u32, shard_rows: u32 }
override WIDTH: u32;        // columns, a multiple of 4

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> order: array<u32>;                // [rows]
@group(0) @binding(2) var<storage, read> ids: array<u32>;                  // [rows]
@group(0) @binding(3) var<storage, read> dx: array<vec4<f32>>;             // [rows, WIDTH]
@group(0) @binding(4) var<storage, read_write> table: array<vec4<f32>>;    // [shard_rows, WIDTH]

// The row at a place of the order, whatever a caller gave.
fn row_at(place: u32) -> u32 { return min(order[place], params.rows - 1u); }

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let first = grid_index(group, groups);
    if first >= params.rows { return; }
    let id = ids[row_at(first)];
    if id < params.shard_first || id >= params.shard_first + params.shard_rows { return; }
    if first > 0u {
        if ids[row_at(first - 1u)] == id { return; }
    }
    for (var c = local; c < WIDTH / 4u; c += 64u) {
        var sum = vec4<f32>();
        for (var at = first; at < params.rows; at++) {
            let row = row_at(at);
            if ids[row] != id { break; }
            sum += dx[row * (WIDTH / 4u) + c];
        }
        table[(id - params.shard_first) * (WIDTH / 4u) + c] += sum;
    }
}
