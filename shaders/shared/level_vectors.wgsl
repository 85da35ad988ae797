// The vectors of a tile of the learned sketch's gradient, from the projections into columns of `memory`, and
// their gradients back to the projections and the norms. Needs sketch_grad_bindings, INPUT_NORMED, ROW_TILE,
// at most THREADS, PITCH, and params.pairs, which is HEAD / 2.
#import head_vector
#import head_vector_backward
#import vector_place
// Of each vector: its moments, then the two means that LayerNorm's gradient takes; its vector_place, which
// takes six divisions.
var<workgroup> head: array<vec4<f32>, ROW_TILE>;
var<workgroup> places: array<vec3<u32>, ROW_TILE>;

fn input_pair(row: u32, i: u32) -> vec2<f32> {
    let at = places[row];
    if INPUT_NORMED { return normed_pair(at.x, head[row].xy, at.y, at.z, i); }
    return raw_pair(at.x, at.z, i);
}

// Those beyond the last are computed like it.
fn load_vectors(first: u32, local: u32) {
    for (var row = local; row < ROW_TILE; row += THREADS) {
        let at = vector_place(min(first + row, params.vectors - 1u));
        places[row] = at;
        if INPUT_NORMED { head[row] = vec4<f32>(head_moments(at.x, at.z), 0.0, 0.0); }
    }
    workgroupBarrier();
    for (var i = local; i < ROW_TILE / 4u * (HEAD / 2u); i += THREADS) {
        let rows = i % (ROW_TILE / 4u);
        let c = i / (ROW_TILE / 4u);
        let p0 = input_pair(4u * rows, c);
        let p1 = input_pair(4u * rows + 1u, c);
        let p2 = input_pair(4u * rows + 2u, c);
        let p3 = input_pair(4u * rows + 3u, c);
        let to = pair_places(c);
        memory[to.x * PITCH + rows] = vec4<f32>(p0.x, p1.x, p2.x, p3.x);
        memory[to.y * PITCH + rows] = vec4<f32>(p0.y, p1.y, p2.y, p3.y);
    }
    workgroupBarrier();
}

// Pair i of the gradient of a vector, which lies from `dx` on in memory.
fn dx_pair(dx: u32, row: u32, i: u32) -> vec2<f32> {
    let at = pair_places(i) * PITCH + row / 4u;
    return vec2<f32>(memory[dx + at.x][row % 4u], memory[dx + at.y][row % 4u]);
}
fn standard(row: u32, i: u32) -> vec2<f32> {
    return standard_pair(places[row].x, head[row].xy, places[row].z, i, false);
}

// dqkv += what the tile's dx gives the projections; the slab's `sums` += what it gives the norms.
fn store_vectors(first: u32, dx: u32, sums: u32, local: u32) {
    let count = min(ROW_TILE, params.vectors - first);
    if INPUT_NORMED && local < count {
        var g_sum = 0.0;
        var gx_sum = 0.0;
        for (var i = 0u; i < params.pairs; i++) {
            let g = dx_pair(dx, local, i) * norm_weights(places[local].y, i, false);
            g_sum += g.x + g.y;
            gx_sum += dot(g, standard(local, i));
        }
        let level = select(0.0, g_sum, NORM_CENTRED) / f32(HEAD);
        head[local] = vec4<f32>(head[local].xy, level, gx_sum / f32(HEAD));
    }
    workgroupBarrier();
    for (var item = local; item < count * (HEAD / 2u); item += THREADS) {
        let row = item / (HEAD / 2u);
        let i = item % (HEAD / 2u);
        let at = places[row];
        let to = raw_places(i, false);
        var d = dx_pair(dx, row, i);
        if INPUT_NORMED {
            let m = head[row];
            d = m.y * (d * norm_weights(at.y, i, false) - m.z - standard(row, i) * m.w);
        }
        if ROPE == 1u { d = turn_back(d, at.z, i); }
        dqkv[at.x + to.x] += d.x;
        dqkv[at.x + to.y] += d.y;
    }
    if INPUT_NORMED {
        // An invocation keeps its columns: nothing is added by two.
        for (var i = local; i < HEAD / 2u; i += THREADS) {
            var of_queries = vec4<f32>();
            var of_keys = vec4<f32>();
            // What counts is no index into places: IR3 would write the loop out, as often as that has rows.
            for (var left = count; left > 0u; left--) {
                let row = count - left;
                let d = dx_pair(dx, row, i);
                let given = vec4<f32>(d * standard(row, i), d);
                if places[row].y == 0u { of_queries += given; } else { of_keys += given; }
            }
            add_norms(sums + norm_row(0u) * HEAD, i, of_queries);
            add_norms(sums + norm_row(1u) * HEAD, i, of_keys);
        }
    }
    workgroupBarrier();
}
fn add_norms(norm: u32, i: u32, given: vec4<f32>) {
    let at = pair_places(i);
    slabs[norm + at.x] += given.x;
    slabs[norm + at.y] += given.y;
    slabs[norm + HEAD + at.x] += given.z;
    slabs[norm + HEAD + at.y] += given.w;
}
