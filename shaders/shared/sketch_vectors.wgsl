// A tile of vectors of the random sketch's gradient in a slab of storage, loaded from the
// projections and, once their gradient is known, handed back to them. A workgroup of THREADS owns slab
// `group.x`; `sums` of it starts with the partial sums. Needs sketch_grad_bindings, INPUT_NORMED,
// ROW_TILE, at most THREADS; x [ROW_TILE, HEAD] and dx lie at the given places.
#import head_vector
#import head_vector_backward
#import vector_place
// Of each vector: its moments, then the two means that LayerNorm's gradient takes; its vector_place, which
// takes six divisions.
var<workgroup> head: array<vec4<f32>, ROW_TILE>;
var<workgroup> places: array<vec3<u32>, ROW_TILE>;

fn sync() {
    workgroupBarrier();
    storageBarrier();
}

// First vector of a slab's tile: slabs take tiles in turn.
fn first_vector(slab: u32, tile: u32) -> u32 {
    return (slab + (params.first_tile + tile) * params.slabs) * ROW_TILE;
}

// Zeroes a slab's sums before its first tile.
fn clear(sums: u32, count: u32, local: u32) {
    if params.first_tile == 0u {
        for (var i = local; i < count; i += THREADS) { slabs[sums + i] = 0.0; }
    }
    sync();
}

// Moments of the tile's head vectors, then the vectors as the sketch saw them.
fn load_vectors(first: u32, x: u32, local: u32) {
    for (var row = local; row < ROW_TILE; row += THREADS) {
        let at = vector_place(min(first + row, params.vectors - 1u));
        places[row] = at;
        if INPUT_NORMED { head[row] = vec4<f32>(head_moments(at.x, at.z), 0.0, 0.0); }
    }
    workgroupBarrier();
    for (var i = local; i < ROW_TILE * (HEAD / 2u); i += THREADS) {
        let row = i / (HEAD / 2u);
        let c = i % (HEAD / 2u);
        let at = places[row];
        var pair = vec2<f32>();
        if INPUT_NORMED {
            pair = normed_pair(at.x, head[row].xy, at.y, at.z, c);
        } else {
            pair = raw_pair(at.x, at.z, c);
        }
        let to = pair_places(c);
        slabs[x + row * HEAD + to.x] = pair.x;
        slabs[x + row * HEAD + to.y] = pair.y;
    }
    sync();
}

// dqkv += what the tile's dx gives the projections; the slab's `norms` += what it gives the norms.
fn store_vectors(first: u32, dx: u32, sums: u32, local: u32) {
    let count = min(ROW_TILE, params.vectors - first);
    if INPUT_NORMED {
        if local < count {
            let row = local;
            let at = places[row];
            var g_sum = 0.0;
            var gx_sum = 0.0;
            for (var i = 0u; i < HEAD / 2u; i++) {
                let at_dx = pair_places(i);
                let d = vec2<f32>(slabs[dx + row * HEAD + at_dx.x], slabs[dx + row * HEAD + at_dx.y]);
                let g = d * norm_weights(at.y, i, false);
                g_sum += g.x + g.y;
                gx_sum += dot(g, standard_pair(at.x, head[row].xy, at.z, i, false));
            }
            let level = select(0.0, g_sum, NORM_CENTRED) / f32(HEAD);
            head[row] = vec4<f32>(head[row].xy, level, gx_sum / f32(HEAD));
        }
    }
    workgroupBarrier();
    // An invocation keeps its columns: nothing is added by two.
    for (var i = local; i < HEAD / 2u; i += THREADS) {
        let at_dx = pair_places(i);
        let to = raw_places(i, false);
        // What counts is no index into places: IR3 would write the loop out, as often as that has rows.
        for (var left = count; left > 0u; left--) {
            let t = count - left;
            let at = places[t];
            var d = vec2<f32>(slabs[dx + t * HEAD + at_dx.x], slabs[dx + t * HEAD + at_dx.y]);
            if INPUT_NORMED {
                let m = head[t];
                let x = standard_pair(at.x, m.xy, at.z, i, false);
                let norm = sums + norm_row(at.y) * HEAD;
                slabs[norm + at_dx.x] += d.x * x.x;
                slabs[norm + at_dx.y] += d.y * x.y;
                slabs[norm + HEAD + at_dx.x] += d.x;
                slabs[norm + HEAD + at_dx.y] += d.y;
                d = m.y * (d * norm_weights(at.y, i, false) - m.z - x * m.w);
            }
            if ROPE == 1u { d = turn_back(d, at.z, i); }
            dqkv[at.x + to.x] += d.x;
            dqkv[at.x + to.y] += d.y;
        }
    }
    sync();
}
