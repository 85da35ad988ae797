// dy = 2 (y - t) / Σ |t|² of the rows that count (transfer_error). A workgroup adds up the norm, and takes ROWS rows.
#import lanes
#import grid
struct Params { rows: u32, tokens: u32, lane_base: u32 }
override WIDTH: u32;           // columns, a multiple of 4
override FIRST: u32;           // first position that counts
const ROWS: u32 = 16u;
const THREADS: u32 = 128u;

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> y: array<vec4<f32>>;          // [rows, WIDTH]
@group(0) @binding(2) var<storage, read> t: array<vec4<f32>>;          // [rows, WIDTH]
@group(0) @binding(3) var<storage, read> errors: array<vec2<f32>>;     // [rows]
@group(0) @binding(4) var<storage, read> lanes: array<Lane>;           // [lanes]
@group(0) @binding(5) var<storage, read_write> dy: array<vec4<f32>>;   // [rows, WIDTH]

var<workgroup> norms: array<f32, THREADS>;

@compute @workgroup_size(THREADS)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let first = grid_index(group, groups) * ROWS;
    if first >= params.rows { return; }
    var sum = 0.0;
    for (var row = local; row < params.rows; row += THREADS) { sum += errors[row].y; }
    norms[local] = sum;
    for (var half = THREADS / 2u; half > 0u; half /= 2u) {
        workgroupBarrier();
        if local < half { norms[local] += norms[local + half]; }
    }
    workgroupBarrier();
    let norm = norms[0];
    let factor = select(0.0, 2.0 / norm, norm > 0.0);
    let count = min(ROWS, params.rows - first);
    for (var i = local; i < count * (WIDTH / 4u); i += THREADS) {
        let row = first + i / (WIDTH / 4u);
        let position = lanes[params.lane_base + row / params.tokens].position + row % params.tokens;
        let at = first * (WIDTH / 4u) + i;
        dy[at] = select(0.0, factor, position >= FIRST) * (y[at] - t[at]);
    }
}
