// What attention_dense and scan_output share: ROW_TILE queries against keys up to their own, tile by tile,
// and the outputs. With SOFTMAX a running maximum (flash style), else local_affinity and gates. Needs
// params.tokens, queries, keys, o and keep(row, token, total), which may store the normaliser of a row.
#import head_layout
override LOCAL: u32;           // width of the vector that affinities read
override LOCAL_OFFSET: u32;    // its column in query and key rows
override BIAS: f32;            // β
override CHUNK: u32;           // vectors of LOCAL staged at once, a divisor of LOCAL / 4
#import row_tile
#import row_tile_product near
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
}

// SOFTMAX: running maximum and what sums so far are to be multiplied with; else the gate sum.
var<workgroup> row_state: array<vec2<f32>, ROW_TILE>;
var<private> dots: array<vec4<f32>, 16>;           // [ROWS, KEYS]

fn value_near(first: u32, key: u32, vector: u32) -> vec4<f32> {
    return keys[((first + key) * KEY_WIDTH + V_OFFSET) / 4u + vector];
}
fn gate_of_key(near: Near, key: u32) -> vec2<f32> {
    return keys[((near.keys + min(key, near.end - 1u)) * KEY_WIDTH + G_OFFSET) / 4u].xy;
}

// Rows outside of the call are computed from its first or last one, and not stored.
fn query_vector(near: Near, row: u32, column: u32, vector: u32) -> vec4<f32> {
    let own = clamp(near.row + i32(row), 0, i32(params.tokens * GROUP) - 1);
    return queries[((near.queries + u32(own)) * QUERY_WIDTH + column) / 4u + vector];
}

fn keep_row_gates(near: Near) {
    if !GATED { return; }
    for (var row = here.z; row < ROW_TILE; row += GROUP_X * GROUP_Y) {
        row_state[row] = gate_of_key(near, (near.own + row) / GROUP);
    }
}

// dots += the inner products of CHUNK vectors. staged: queries [CHUNK, ROW_TILE + 1], keys [CHUNK, TILE + 1].
fn add_dots() {
    for (var c = 0u; c < CHUNK; c++) {
        let key = CHUNK * (ROW_TILE + 1u) + c * (TILE + 1u);
        for (var k = 0u; k < KEYS; k++) {
            let j = tile_keys(k) + vec4<u32>(key);
            let b0 = staged[j.x];
            let b1 = staged[j.y];
            let b2 = staged[j.z];
            let b3 = staged[j.w];
            for (var r = 0u; r < ROWS; r++) {
                let a = staged[c * (ROW_TILE + 1u) + row_of(r)];
                let d = dots[r * KEYS + k];
                dots[r * KEYS + k] = vec4<f32>(
                    d.x + a.x * b0.x + a.y * b0.y + a.z * b0.z + a.w * b0.w,
                    d.y + a.x * b1.x + a.y * b1.y + a.z * b1.z + a.w * b1.w,
                    d.z + a.x * b2.x + a.y * b2.y + a.z * b2.z + a.w * b2.w,
                    d.w + a.x * b3.x + a.y * b3.y + a.z * b3.z + a.w * b3.w
                );
            }
        }
    }
}

// Inner products of a tile of keys into affinities: none for those a row does not see.
fn relate(near: Near, start: u32) {
    for (var k = 0u; k < KEYS; k++) {
        let j = tile_keys(k) + vec4<u32>(start);
#ifndef SOFTMAX
        var gates = array<vec2<f32>, 4>();
        if GATED {
            gates = array<vec2<f32>, 4>(
                gate_of_key(near, j.x), gate_of_key(near, j.y), gate_of_key(near, j.z), gate_of_key(near, j.w)
            );
        }
#endif
        for (var r = 0u; r < ROWS; r++) {
            let d = dots[r * KEYS + k];
            let seen = j < vec4<u32>(min(near.end, (near.own + row_of(r)) / GROUP + 1u));
#ifdef SOFTMAX
            dots[r * KEYS + k] = select(vec4<f32>(-3.0e38), SCALE * d, seen);
#else
            var w = vec4<f32>(
                local_affinity(d.x), local_affinity(d.y), local_affinity(d.z), local_affinity(d.w)
            );
            if GATED {
                let own = row_state[row_of(r)];
                w *= vec4<f32>(
                    gate_decay(own, gates[0]), gate_decay(own, gates[1]),
                    gate_decay(own, gates[2]), gate_decay(own, gates[3])
                );
            }
            dots[r * KEYS + k] = select(vec4<f32>(), w, seen);
#endif
        }
    }
}

#ifdef SOFTMAX
// The maximum of a row goes through the place of its coefficients; one invocation finds it for all.
fn raise(start: u32) {
    for (var r = 0u; r < ROWS; r++) {
        var high = dots[r * KEYS];
        for (var k = 1u; k < KEYS; k++) { high = max(high, dots[r * KEYS + k]); }
        coefficients[coefficient_at(row_of(r), here.x)] = high;
    }
    workgroupBarrier();
    for (var row = here.z; row < ROW_TILE; row += GROUP_X * GROUP_Y) {
        let before = select(row_state[row].x, -3.0e38, start == 0u);
        var high = vec4<f32>(before);
        for (var x = 0u; x < GROUP_X; x++) { high = max(high, coefficients[coefficient_at(row, x)]); }
        let highest = max(max(high.x, high.y), max(high.z, high.w));
        row_state[row] = vec2<f32>(highest, exp(before - highest));
    }
    workgroupBarrier();
    for (var r = 0u; r < ROWS; r++) {
        let state = row_state[row_of(r)];
        total[r] *= state.y;
        for (var c = 0u; c < VECTORS; c++) { sum[r * VECTORS + c] *= state.y; }
        for (var k = 0u; k < KEYS; k++) { dots[r * KEYS + k] = exp(dots[r * KEYS + k] - vec4<f32>(state.x)); }
    }
}
#endif

fn add_near_keys(near: Near) {
    for (var start = 0u; start < near.end; start += TILE) {
        for (var i = 0u; i < ROWS * KEYS; i++) { dots[i] = vec4<f32>(); }
        for (var chunk = 0u; chunk < LOCAL / 4u; chunk += CHUNK) {
            if chunk > 0u { workgroupBarrier(); }
            // Queries that are staged as a whole stay.
            if start == 0u || CHUNK < LOCAL / 4u {
                for (var i = here.z; i < ROW_TILE * CHUNK; i += GROUP_X * GROUP_Y) {
                    staged[i % CHUNK * (ROW_TILE + 1u) + i / CHUNK] =
                        query_vector(near, i / CHUNK, LOCAL_OFFSET, chunk + i % CHUNK);
                }
            }
            for (var i = here.z; i < TILE * CHUNK; i += GROUP_X * GROUP_Y) {
                let key = near.keys + min(start + i / CHUNK, near.end - 1u);
                staged[CHUNK * (ROW_TILE + 1u) + i % CHUNK * (TILE + 1u) + i / CHUNK] =
                    keys[(key * KEY_WIDTH + LOCAL_OFFSET) / 4u + chunk + i % CHUNK];
            }
            workgroupBarrier();
            add_dots();
        }
        relate(near, start);
#ifdef SOFTMAX
        raise(start);
#endif
        for (var r = 0u; r < ROWS; r++) {
            for (var k = 0u; k < KEYS; k++) {
                let w = dots[r * KEYS + k];
                total[r] += w.x + w.y + w.z + w.w;
                coefficients[coefficient_at(row_of(r), k * GROUP_X + here.x)] = w;
            }
        }
        workgroupBarrier();
        add_near(near.keys, start, near.end);
    }
}

// Those of the tile's first `rows` rows that belong to the call.
fn store_outputs(near: Near, rows: u32, lane: u32, head: u32) {
    share_totals();
    for (var r = 0u; r < ROWS; r++) {
        let row = row_of(r);
        let own = near.row + i32(row);
        if row < rows && own >= 0 && own < i32(params.tokens * GROUP) {
            let all = row_total(row);
            let token = lane * params.tokens + u32(own) / GROUP;
            let to = ((token * HEADS + head) * GROUP + u32(own) % GROUP) * (HEAD / 4u);
            for (var c = 0u; c < VECTORS; c++) {
                let vector = here.x + c * GROUP_X;
                if vector < HEAD / 4u {
                    o[to + vector] = sum[r * VECTORS + c] / (BIAS + all);
                }
            }
            if here.x == 0u { keep(row, near.queries + u32(own), all); }
        }
    }
}
