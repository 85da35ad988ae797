// permutations: [S] [G]
// Gathers what the attention kernels read of a token into one row a head:
//   query row [x | s], key row [x | s | v | gate sum], x = the exact kernel's vector, s = the sketch.
// One row instead of five tensors, so that a kernel stays within 8 bindings (SPEC §6).
// One invocation a (part, lane, head, token), part = query of a query head, key, value.
#import lanes
#import gate_sum
struct Params { lanes: u32, tokens: u32, lane_base: u32, stride: u32 }
override X_NORMED: bool;       // rows carry x, and it is normed (softmax: it is the raw projection)
override SKETCH: u32;          // size of s, 0 without
override KEYS_AT: u32;         // keys go to 0 the window [lanes], 1 the ring [slots], 2 the cache [slots]

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> qkv: array<f32>;              // [rows, QKV_WIDTH]
@group(0) @binding(2) var<storage, read> lanes: array<Lane>;           // [lanes]
@group(0) @binding(3) var<storage, read> norms: array<f32>;            // [4, HEAD]
@group(0) @binding(4) var<storage, read> rotations: array<vec2<f32>>;  // [4 * 256, HEAD / 2]
#ifdef S
@group(0) @binding(5) var<storage, read> sketch: array<f32>;           // vectors of queries, then of keys
#ifdef G
@group(0) @binding(6) var<storage, read> sums: array<vec2<f32>>;       // [lanes, HEADS, tokens]
@group(0) @binding(7) var<storage, read_write> queries: array<f32>; // [lanes, HEADS, tokens, GROUP, QUERY_WIDTH]
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

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let token = id.x;
    let part = select(1u + (id.y - HEADS * GROUP) / HEADS, 0u, id.y < HEADS * GROUP);
    let head = select((id.y - HEADS * GROUP) % HEADS, id.y / GROUP, part == 0u);
    let at = id.z;
    if token >= params.tokens { return; }
    let lane = lanes[params.lane_base + at];
    let position = lane.position + token;
    let base = head_base(at * params.tokens + token, part, select(head, id.y, part == 0u));
    let in_call = (at * HEADS + head) * params.tokens + token;
    var row = ((at * HEADS + head) * params.stride + lane.ring + token) * KEY_WIDTH;
    if KEYS_AT == 1u { row = ((lane.slot * HEADS + head) * params.stride + lane.ring % BLOCK) * KEY_WIDTH; }
    if KEYS_AT == 2u { row = ((lane.slot * HEADS + head) * params.stride + position) * KEY_WIDTH; }
    if part == 2u {
        for (var i = 0u; i < HEAD; i++) { keys[row + V_OFFSET + i] = qkv[base + i]; }
        if GATED {
            let g = row + G_OFFSET;
#ifdef G
            let sum = sums[in_call];
#else
            // One token a lane: the row before it is already there, no prefix pass is needed.
            var sum = vec2<f32>();
            let logit = qkv[(at * params.tokens + token) * QKV_WIDTH + GATE_OFFSET + head];
            let first = select(lane.ring % BLOCK == 0u, position == 0u, KEYS_AT == 2u);
            if !first { sum = vec2<f32>(keys[g - KEY_WIDTH], keys[g + 1u - KEY_WIDTH]); }
            sum = gate_add(sum, logit);
#endif
            keys[g] = sum.x;
            keys[g + 1u] = sum.y;
        }
        return;
    }
    var moments = vec2<f32>();
    if X_NORMED { moments = head_moments(base, position); }
    let of_group = in_call * GROUP + id.y % GROUP;
    let query = of_group * QUERY_WIDTH;
    if S_OFFSET > 0u {
        for (var i = 0u; i < HEAD / 2u; i++) {
            var pair = vec2<f32>();
            if X_NORMED {
                pair = exact_pair(base, moments, part, position, i);
            } else {
                pair = raw_pair(base, position, i);
            }
            let to = pair_places(i);
            if part == 0u {
                queries[query + to.x] = pair.x;
                queries[query + to.y] = pair.y;
            } else {
                keys[row + to.x] = pair.x;
                keys[row + to.y] = pair.y;
            }
        }
    }
#ifdef S
    let vector = select(params.lanes * HEADS * params.tokens * GROUP + in_call, of_group, part == 0u);
    let begin = vector * SKETCH;
    for (var i = 0u; i < SKETCH; i++) {
        if part == 0u {
            queries[query + S_OFFSET + i] = sketch[begin + i];
        } else {
            keys[row + S_OFFSET + i] = sketch[begin + i];
        }
    }
#endif
}
