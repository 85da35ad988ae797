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
override X_NORMED: bool;       // rows carry x, and it is normed (softmax: it is the raw projection)
override SKETCH: u32;          // size of s, 0 without
override WIDTH: u32;           // invocations a vector: a power of 2, at most 32
override SPAN: u32;            // tokens of a workgroup, a multiple of THREADS / WIDTH
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
var<workgroup> parts: array<f32, THREADS>;

// The sum of what the WIDTH invocations of a vector have.
fn share(index: u32, mine: f32) -> f32 {
    parts[index] = mine;
    for (var half = WIDTH / 2u; half > 0u; half /= 2u) {
        workgroupBarrier();
        if index % WIDTH < half { parts[index] += parts[index + half]; }
    }
    workgroupBarrier();
    let sum = parts[index - index % WIDTH];
    workgroupBarrier();
    return sum;
}

// head_moments (shared/head_vector.wgsl), by all invocations of the vector.
fn moments_of(index: u32, base: u32, position: u32) -> vec2<f32> {
    var mean = 0.0;
    if NORM_CENTRED {
        var sum = 0.0;
        for (var i = index % WIDTH; i < HEAD / 2u; i += WIDTH) {
            let p = raw_pair(base, position, i);
            sum += p.x + p.y;
        }
        mean = share(index, sum) / f32(HEAD);
    }
    var square = 0.0;
    for (var i = index % WIDTH; i < HEAD / 2u; i += WIDTH) {
        let p = raw_pair(base, position, i) - mean;
        square += dot(p, p);
    }
    return vec2<f32>(mean, inverseSqrt(share(index, square) / f32(HEAD) + NORM_EPS));
}

struct Place {
    at: u32,      // the lane in the call
    token: u32,
    head: u32,    // the key head
    row: u32,     // where the key row begins
    sink: u32,    // where the ring keeps it as well, if it is a sink's; else the same
}

fn write_key(place: Place, column: u32, value: f32) {
    keys[place.row + column] = value;
    if SINKS > 0u && place.sink != place.row { keys[place.sink + column] = value; }
}

// The exact kernel's vector and the sketch of one query or key.
fn write_vector(place: Place, lane: Lane, part: u32, all: u32, base: u32, moments: vec2<f32>, x: u32) {
    let in_call = (place.at * HEADS + place.head) * params.tokens + place.token;
    let of_group = in_call * GROUP + all % GROUP;
    let query = of_group * QUERY_WIDTH;
    if S_OFFSET > 0u {
        for (var i = x; i < HEAD / 2u; i += WIDTH) {
            var pair = vec2<f32>();
            if X_NORMED {
                pair = exact_pair(base, moments, part, lane.position + place.token, i);
            } else {
                pair = raw_pair(base, lane.position + place.token, i);
            }
            let to = pair_places(i);
            if part == 0u {
                queries[query + to.x] = pair.x;
                queries[query + to.y] = pair.y;
            } else {
                write_key(place, to.x, pair.x);
                write_key(place, to.y, pair.y);
            }
        }
    }
#ifdef S
    let vector = select(params.lanes * HEADS * params.tokens * GROUP + in_call, of_group, part == 0u);
    for (var i = x; i < SKETCH; i += WIDTH) {
        if part == 0u {
            queries[query + S_OFFSET + i] = sketch[vector * SKETCH + i];
        } else {
            write_key(place, S_OFFSET + i, sketch[vector * SKETCH + i]);
        }
    }
#endif
}

// v, and by one invocation the gate sum.
fn write_value(place: Place, lane: Lane, base: u32, x: u32) {
    for (var i = x; i < HEAD; i += WIDTH) { write_key(place, V_OFFSET + i, qkv[base + i]); }
    if !GATED || x > 0u { return; }
#ifdef G
    let sum = sums[(place.at * HEADS + place.head) * params.tokens + place.token];
#else
    // One token a lane: the row before it is already there, no prefix pass is needed.
    var sum = vec2<f32>();
    let logit = qkv[(place.at * params.tokens + place.token) * QKV_WIDTH + GATE_OFFSET + place.head];
    let first = select(lane.position % BLOCK == 0u, lane.position + place.token == 0u, KEYS_AT == 2u);
    if !first {
        let before = place.row + G_OFFSET - KEY_WIDTH;
        sum = vec2<f32>(keys[before], keys[before + 1u]);
    }
    sum = gate_add(sum, logit);
#endif
    write_key(place, G_OFFSET, sum.x);
    write_key(place, G_OFFSET + 1u, sum.y);
}

@compute @workgroup_size(128)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) index: u32) {
    let all = group.y;
    let part = select(1u + (all - HEADS * GROUP) / HEADS, 0u, all < HEADS * GROUP);
    let head = select((all - HEADS * GROUP) % HEADS, all / GROUP, part == 0u);
    let at = group.z;
    let lane = lanes[params.lane_base + at];
    let x = index % WIDTH;
    let end = min((group.x + 1u) * SPAN, params.tokens);
    for (var start = group.x * SPAN; start < end; start += THREADS / WIDTH) {
        let token = start + index / WIDTH;
        // Nothing is written of those beyond the last.
        let base = head_base(
            at * params.tokens + min(token, params.tokens - 1u), part, select(head, all, part == 0u));
        let position = lane.position + min(token, params.tokens - 1u);
        var row = ((at * HEADS + head) * params.stride + LEAD * BLOCK + lane.ring + token) * KEY_WIDTH;
        let cached = (lane.slot * HEADS + head) * params.stride;
        if KEYS_AT == 1u { row = (cached + position % (NEAR * BLOCK)) * KEY_WIDTH; }
        if KEYS_AT == 2u { row = (cached + position) * KEY_WIDTH; }
        var sink = row;
        if KEYS_AT == 1u && position < SINKS { sink = (cached + NEAR * BLOCK + position) * KEY_WIDTH; }
        var moments = vec2<f32>();
        if X_NORMED && part < 2u { moments = moments_of(index, base, position); }
        if token < params.tokens {
            let place = Place(at, token, head, row, sink);
            if part == 2u {
                write_value(place, lane, base, x);
            } else {
                write_vector(place, lane, part, all, base, moments, x);
            }
        }
    }
}
