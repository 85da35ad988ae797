// permutations: [S] [G]
// Gathers what the attention kernels read of a token into one row a head:
//   query row [x | s], key row [x | s | v | gate sum], x = the exact kernel's vector, s = the sketch.
// One row instead of five tensors, so that a kernel stays within 8 bindings (SPEC §6).
// A workgroup takes SPAN tokens of one (part, head, lane), part = query of a query head, key, value; WIDTH
// invocations side by side take the elements of a vector, so that neighbours read and write neighbours. An
// invocation a vector, the first form, took a fifth of the time of attention on an H100.
#import lanes
#import gate_sum
struct Params { lanes: u32, tokens: u32, lane_base: u32, stride: u32 }
override SPAN: u32;            // tokens of a workgroup, a multiple of THREADS / WIDTH

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> qkv: array<f32>;              // [rows, QKV_WIDTH]
@group(0) @binding(2) var<storage, read> lanes: array<Lane>;           // [lanes]
@group(0) @binding(3) var<storage, read> norms: array<f32>;            // [4, HEAD]
@group(0) @binding(4) var<storage, read> rotations: array<vec2<f32>>;  // [4 * 256, HEAD / 2]
#ifdef S
@group(0) @binding(5) var<storage, read> sketch: array<f32>;           // vectors of queries, then of keys
#ifdef G
@group(0) @binding(6) var<storage, read> sums: array<vec2<f32>>;       // [lanes, HEADS, tokens]
// [lanes, HEADS, tokens, GROUP, QUERY_WIDTH]
@group(0) @binding(7) var<storage, read_write> queries: array<f32>;
@group(0) @binding(8) var<storage, read_write> keys: array<f32>; // [lanes or slots, HEADS, stride, KEY_WIDTH]
#else
@group(0) @binding(6) var<storage, read_write> queries: array<f32>;
@group(0) @binding(7) var<storage, read_write> keys: array<f32>;
#endif
#else
#ifdef G
@group(0) @binding(5) var<storage, read> sums: array<vec2<f32>>;
@group(0) @binding(6) var<storage, read_write> queries: array<f32>;
@group(0) @binding(7) var<storage, read_write> keys: array<f32>;
#else
@group(0) @binding(5) var<storage, read_write> queries: array<f32>;
@group(0) @binding(6) var<storage, read_write> keys: array<f32>;
#endif
#endif
#import head_vector
const THREADS: u32 = 128u;
#import pack_rows

@compute @workgroup_size(128)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) index: u32) {
    let all = group.y;
    let part = part_of(all);
    let at = group.z;
    let lane = lanes[params.lane_base + at];
    let x = index % WIDTH;
    let end = min((group.x + 1u) * SPAN, params.tokens);
    for (var start = group.x * SPAN; start < end; start += THREADS / WIDTH) {
        let token = start + index / WIDTH;
        // Nothing is written of those beyond the last.
        let some = min(token, params.tokens - 1u);
        let base = head_base(at * params.tokens + some, part.x, select(part.y, all, part.x == 0u));
        var moments = vec2<f32>();
        if X_NORMED && part.x < 2u { moments = moments_of(index, base, lane.position + some); }
        if token < params.tokens {
            let place = place_of(at, lane, token, part.y);
            if part.x == 2u {
                write_value(place, lane, base, x);
            } else {
                write_vector(place, lane, part.x, all, base, moments, x);
            }
        }
    }
}
