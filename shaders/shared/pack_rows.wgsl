// What a token has in the rows of attention: x, the sketch (S), v and the gate sum, written by WIDTH invocations a
// vector. CPU twin: kernels/heads/pack_heads.rs.
override X_NORMED: bool;       // rows carry x, and it is normed (softmax: it is the raw projection)
override SKETCH: u32;          // size of s, 0 without
override WIDTH: u32;           // invocations a vector: a power of 2, at most 32
override KEYS_AT: u32;         // keys go to 0 the window [lanes], 1 the ring [slots], 2 the cache [slots]
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

// Where a token's key row goes.
fn place_of(at: u32, lane: Lane, token: u32, head: u32) -> Place {
    let position = lane.position + token;
    var row = ((at * HEADS + head) * params.stride + LEAD * BLOCK + lane.ring + token) * KEY_WIDTH;
    let cached = (lane.slot * HEADS + head) * params.stride;
    if KEYS_AT == 1u { row = (cached + position % (NEAR * BLOCK)) * KEY_WIDTH; }
    if KEYS_AT == 2u { row = (cached + position) * KEY_WIDTH; }
    var sink = row;
    if KEYS_AT == 1u && position < SINKS { sink = (cached + NEAR * BLOCK + position) * KEY_WIDTH; }
    return Place(at, token, head, row, sink);
}

// Of vector `all` of a token [query heads, keys, values]: which part it is, and its key head.
fn part_of(all: u32) -> vec2<u32> {
    if all < HEADS * GROUP { return vec2<u32>(0u, all / GROUP); }
    return vec2<u32>(1u + (all - HEADS * GROUP) / HEADS, (all - HEADS * GROUP) % HEADS);
}
