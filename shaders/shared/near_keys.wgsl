// What attention_dense and scan_output share: a tile of queries against keys up to their own, a tile of keys
// at a time, and the outputs. Inner products q kᵀ are sums in registers like those of the result; as weights
// they become the left operand of the product with v, step by step, without a place of their own. With
// SOFTMAX a running maximum (flash style), else local_affinity and gates. Needs params.tokens, queries, keys,
// o and keep(row, query, total), which may store the normaliser of a row. kernels/tiles/row_tile.rs chooses
// the cut.
#import head_layout
override LOCAL: u32;           // width of the vector that affinities read
override LOCAL_OFFSET: u32;    // its column in query and key rows
override BIAS: f32;            // β
override ROW_TILE: u32;        // GROUP_Y * ROWS
#import matrix_tile
#import register_operand
#import right_product values
#import outer_products sum
#import outer_products dots
#import tile_product dots
#ifdef NEAR_ONLY
#import tile_product sinks
#import sinks
#endif
#ifdef SOFTMAX
#import softmax
#else
#import local_affinity
#endif

// Rows are of queries, GROUP a token.
struct Near {
    queries: u32, // the first row of the sequence
    row: i32,     // the tile's first row, counted from that one
    keys: u32,    // row of the first key
    own: u32,     // the tile's first row, counted from those of the first key's token
    end: u32,     // keys that any row sees
    vector: u32,  // of the result, the tile's first
    later: u32,   // 1: keys before these were added
}
var<private> near: Near;
var<private> first_key: u32;                   // of the tile of keys

// SOFTMAX: running maximum and what sums so far are to be multiplied with; else the gate sum. At the end the
// total.
var<workgroup> row_state: array<vec2<f32>, ROW_TILE>;
var<private> total: array<vec4<f32>, 2>;       // [ROWS / 4], the part of this invocation's keys

// Rows outside of the call are computed from its first or last one, and not stored.
fn query_row(row: u32) -> u32 {
    return near.queries + u32(clamp(near.row + i32(row), 0, i32(params.tokens * GROUP) - 1));
}
fn key_row(key: u32) -> u32 { return near.keys + min(key, near.end - 1u); }
fn gate_of_key(key: u32) -> vec2<f32> { return keys[(key_row(key) * KEY_WIDTH + G_OFFSET) / 4u].xy; }

fn keep_row_gates() {
    if !GATED { return; }
    for (var row = here.z; row < ROW_TILE; row += GROUP_X * GROUP_Y) {
        row_state[row] = gate_of_key((near.own + row) / GROUP);
    }
}

fn left_of_dots(k: u32, r: u32) -> vec4<f32> { return staged_left(k, r); }
fn left_of_sum(k: u32, r: u32) -> vec4<f32> { return staged_left(k, r); }
fn query_at(row: u32, k: u32) -> vec4<f32> {
    return queries[(query_row(row) * QUERY_WIDTH + LOCAL_OFFSET + k) / 4u];
}
fn left_dots(row: u32, k: u32) -> mat4x4<f32> {
    if k >= LOCAL { return mat4x4<f32>(); }
    var block = mat4x4<f32>();
    for (var i = 0u; i < 4u; i++) { block[i] = query_at(row + i, k); }
    return transpose(block);
}
fn key_at(key: u32, k: u32) -> vec4<f32> {
    return keys[(key_row(first_key + key) * KEY_WIDTH + LOCAL_OFFSET + k) / 4u];
}
fn right_dots(vector: u32, k: u32) -> mat4x4<f32> {
    if k >= LOCAL { return mat4x4<f32>(); }
    var block = mat4x4<f32>();
    for (var j = 0u; j < 4u; j++) { block[j] = key_at(4u * vector + j, k); }
    return transpose(block);
}

#ifdef NEAR_ONLY
// The sinks as keys: of those that are turned.
fn vectors_sinks() -> u32 { return vectors_dots(); }
fn multiply_sinks() { multiply_dots(); }
fn left_sinks(row: u32, k: u32) -> mat4x4<f32> { return left_dots(row, k); }
fn right_sinks(vector: u32, k: u32) -> mat4x4<f32> {
    if k >= LOCAL { return mat4x4<f32>(); }
    var block = mat4x4<f32>();
    for (var j = 0u; j < 4u; j++) { block[j] = sink_vector(min(first_key + 4u * vector + j, SINKS - 1u), k); }
    return transpose(block);
}
#endif

// Inner products of a tile of keys into affinities: none for those a row does not see.
fn relate() {
    let j = vec4<u32>(first_key + 4u * here.x) + vec4<u32>(0u, 1u, 2u, 3u);
#ifndef SOFTMAX
    var gates = array<vec2<f32>, 4>();
    if GATED {
        gates =
            array<vec2<f32>, 4>(gate_of_key(j.x), gate_of_key(j.y), gate_of_key(j.z), gate_of_key(j.w));
    }
#endif
    for (var r = 0u; r < ROWS; r++) {
        let d = dots[r];
        let seen = j < vec4<u32>(min(near.end, (near.own + row_of(r)) / GROUP + 1u));
#ifdef SOFTMAX
        dots[r] = select(vec4<f32>(-3.0e38), SCALE * d, seen);
#else
        var w =
            vec4<f32>(local_affinity(d.x), local_affinity(d.y), local_affinity(d.z), local_affinity(d.w));
        if GATED {
            let own = row_state[row_of(r)];
            w *= vec4<f32>(
                gate_decay(own, gates[0]), gate_decay(own, gates[1]),
                gate_decay(own, gates[2]), gate_decay(own, gates[3])
            );
        }
        dots[r] = select(vec4<f32>(), w, seen);
#endif
    }
}

#ifdef SOFTMAX
// The maximum of a row goes through the left operand's place [ROW_TILE / 4, GROUP_X]; one invocation finds it
// for all.
fn raise() {
    // The last dot products read that place.
    workgroupBarrier();
    for (var r = 0u; r < ROWS / 4u; r++) {
        let d = dots_of(r);
        tile_left[(here.y + r * GROUP_Y) * GROUP_X + here.x] = max(max(d[0], d[1]), max(d[2], d[3]));
    }
    workgroupBarrier();
    for (var row = here.z; row < ROW_TILE; row += GROUP_X * GROUP_Y) {
        let before = select(row_state[row].x, -3.0e38, first_key + near.later == 0u);
        var high = before;
        for (var x = 0u; x < GROUP_X; x++) { high = max(high, tile_left[row / 4u * GROUP_X + x][row % 4u]); }
        row_state[row] = vec2<f32>(high, exp(before - high));
    }
    workgroupBarrier();
    for (var r = 0u; r < ROWS / 4u; r++) {
        let row = row_of(4u * r);
        total[r] *= vec4<f32>(
            row_state[row].y, row_state[row + 1u].y, row_state[row + 2u].y, row_state[row + 3u].y);
    }
    for (var r = 0u; r < ROWS; r++) {
        let state = row_state[row_of(r)];
        for (var c = 0u; c < COLUMNS / 4u; c++) { sum[r * (COLUMNS / 4u) + c] *= state.y; }
        dots[r] = exp(dots[r] - vec4<f32>(state.x));
    }
}
#endif

// Values of a tile's keys from key k on: keys from the end on have no weight.
fn value_at(key: u32, vector: u32) -> vec4<f32> {
    let at = min(near.vector + vector, HEAD / 4u - 1u);
    return keys[(key_row(first_key + key) * KEY_WIDTH + V_OFFSET) / 4u + at];
}
fn vectors_values() -> u32 { return vectors_sum(); }
fn multiply_values() { multiply_sum(); }
fn prepare_values(k: u32) { keep_columns(k); }
fn right_values(vector: u32, k: u32) -> mat4x4<f32> {
    var block = mat4x4<f32>();
    for (var j = 0u; j < 4u; j++) { block[j] = value_at(k + j, vector); }
    return block;
}

// `end`: keys that any row sees; `sinks`: these are sinks, turned (NEAR_ONLY).
fn add_near_keys(end: u32, sinks: bool) {
    for (var start = 0u; start < end; start += 4u * GROUP_X) {
        first_key = start;
        for (var r = 0u; r < ROWS; r++) { dots[r] = vec4<f32>(); }
#ifdef NEAR_ONLY
        if sinks { add_sinks(LOCAL); } else { add_dots(LOCAL); }
#else
        add_dots(LOCAL);
#endif
        relate();
#ifdef SOFTMAX
        raise();
#endif
        for (var r = 0u; r < ROWS / 4u; r++) {
            let d = dots_of(r);
            total[r] += d[0] + d[1] + d[2] + d[3];
        }
        add_values(min(4u * GROUP_X, end - start));
    }
}

// The totals of rows, from what the invocations of a row hold of them and `far` of the rows 4 (i % across)
// .., which invocation i has staged.
fn share_totals(far: vec4<f32>) {
    let across = ROW_TILE / 4u;
    workgroupBarrier();
    for (var r = 0u; r < ROWS / 4u; r++) {
        tile_left[(here.y + r * GROUP_Y) * GROUP_X + here.x] = total[r];
    }
    if here.z < left_blocks() { tile_right[here.z] = far; }
    workgroupBarrier();
    for (var row = here.z; row < ROW_TILE; row += GROUP_X * GROUP_Y) {
        var all = 0.0;
        for (var x = 0u; x < GROUP_X; x++) { all += tile_left[row / 4u * GROUP_X + x][row % 4u]; }
        for (var i = 0u; i < DEPTH / 4u; i++) { all += tile_right[i * across + row / 4u][row % 4u]; }
        row_state[row].y = all;
    }
    workgroupBarrier();
}

// Those of the tile's first `rows` rows that belong to the call.
fn store_outputs(rows: u32, lane: u32, head: u32) {
    for (var r = 0u; r < ROWS; r++) {
        let row = row_of(r);
        let own = near.row + i32(row);
        if row < rows && own >= 0 && own < i32(params.tokens * GROUP) {
            let all = row_state[row].y;
#ifdef FAR_ROWS
            let to = (near.queries + u32(own)) * (HEAD / 4u + 1u);
            for (var c = 0u; c < COLUMNS / 4u; c++) {
                let vector = near.vector + vector_of(c);
                if vector < HEAD / 4u { far[to + vector] = sum[r * (COLUMNS / 4u) + c]; }
            }
            if near.vector + here.x == 0u { far[to + HEAD / 4u] = vec4<f32>(all, 0.0, 0.0, 0.0); }
#else
            let token = lane * params.tokens + u32(own) / GROUP;
            let to = ((token * HEADS + head) * GROUP + u32(own) % GROUP) * (HEAD / 4u);
#ifdef NEAR_ONLY
            // What a state knows, on the scale of the largest near score.
            let share = exp(min(-row_state[row].x, 80.0));
            let of_far = (near.queries + u32(own)) * (HEAD / 4u + 1u);
            let joined = all + share * far[of_far + HEAD / 4u].x;
#endif
            for (var c = 0u; c < COLUMNS / 4u; c++) {
                let vector = near.vector + vector_of(c);
#ifdef NEAR_ONLY
                if vector < HEAD / 4u {
                    o[to + vector] = (sum[r * (COLUMNS / 4u) + c] + share * far[of_far + vector]) / joined;
                }
#else
                if vector < HEAD / 4u { o[to + vector] = sum[r * (COLUMNS / 4u) + c] / (BIAS + all); }
#endif
            }
#ifdef NEAR_ONLY
            if near.vector + here.x == 0u { keep(row, near.queries + u32(own), joined); }
#else
            if near.vector + here.x == 0u { keep(row, near.queries + u32(own), all); }
#endif
#endif
        }
    }
}
