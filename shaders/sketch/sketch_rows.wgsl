// A token's rows of attention with the learned sketch in them, when decoding: the work of sketch_learned and of
// pack_heads in one dispatch. The first workgroups have ROWS vectors each and write their sketches; then each has one
// vector of a token, query, key or value, and writes what needs no net.
//
// Ladder. Reference: kernels/sketch/sketch_rows.rs. Estimates of docs/GAUGE.md for a token of the built-in model
// (4 layers), NVIDIA | AMD | Apple | Adreno, us:
//   sketch_learned, then pack_heads  56 | 47 | 110 | 338
//   both at once                     41 | 31 | 78 | 232
#import lanes
#import gate_sum
#import sketch_net
struct Params { vectors: u32, lanes: u32, tokens: u32, lane_base: u32, stride: u32 }
const THREADS: u32 = 128u;

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> qkv: array<f32>;              // [lanes, QKV_WIDTH]
@group(0) @binding(2) var<storage, read> lanes: array<Lane>;           // [lanes]
@group(0) @binding(3) var<storage, read> norms: array<f32>;            // [4, HEAD]
@group(0) @binding(4) var<storage, read> rotations: array<vec2<f32>>;  // [4 * 256, HEAD / 2]
@group(0) @binding(5) var<storage, read> w: array<vec4<f32>>;          // as sketch_learned has them
@group(0) @binding(6) var<storage, read_write> queries: array<f32>;    // [lanes, HEADS, 1, GROUP, QUERY_WIDTH]
@group(0) @binding(7) var<storage, read_write> keys: array<f32>;       // [slots, HEADS, ring rows, KEY_WIDTH]
#import sketch_vectors_few
#import pack_rows

// Number i of a vector's sketch to its row.
fn write_sketch(v: u32, i: u32, value: f32) {
    let of_keys = params.lanes * HEADS * GROUP;
    if v < of_keys {
        queries[v * QUERY_WIDTH + S_OFFSET + i] = value;
        return;
    }
    let at = (v - of_keys) / HEADS;
    write_key(place_of(at, lanes[params.lane_base + at], 0u, (v - of_keys) % HEADS), S_OFFSET + i, value);
}

@compute @workgroup_size(128)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let index = group.y * groups.x + group.x;
    let nets = (params.vectors + ROWS - 1u) / ROWS;
    if index < nets {
        run_net(index * ROWS, local);
        for (var round = 0u; round < rounds(ROWS * SIZE); round++) {
            let i = local + round * THREADS;
            let v = index * ROWS + i / SIZE;
            if i < ROWS * SIZE && v < params.vectors { write_sketch(v, i % SIZE, sketched(i / SIZE, i % SIZE)); }
        }
        return;
    }
    let of_token = HEADS * GROUP + 2u * HEADS;
    let at = (index - nets) / of_token;
    if at >= params.lanes { return; }
    let all = (index - nets) % of_token;
    let part = part_of(all);
    let lane = lanes[params.lane_base + at];
    let base = head_base(at, part.x, select(part.y, all, part.x == 0u));
    var moments = vec2<f32>();
    if X_NORMED && part.x < 2u { moments = moments_of(local, base, lane.position); }
    if local >= WIDTH { return; }
    let place = place_of(at, lane, 0u, part.y);
    if part.x == 2u {
        write_value(place, lane, base, local);
    } else {
        write_vector(place, lane, part.x, all, base, moments, local);
    }
}
