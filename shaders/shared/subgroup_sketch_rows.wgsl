// The learned sketch's backward pass between its products (sketch_levels.wgsl), vector by vector, a row at a
// time by the subgroup.

// Vector c of a row of the level's standardised input.
fn standard(l: Level, row: u32, c: u32) -> vec4<f32> {
    let moments = slabs[(l.moments + 2u * row) / 4u];
    let m = select(moments.xy, moments.zw, row % 2u == 1u);
    return (slabs[(l.x + row * l.width) / 4u + c] - m.x) * m.y;
}
fn sum_of(v: vec4<f32>) -> f32 { return subgroupAdd(v.x + v.y + v.z + v.w); }

// LayerNorm of a level's input.
fn norm_rows(l: Level, lane: u32) {
    let vectors = l.width / 4u;
    for (var row = 0u; row < ROW_TILE; row++) {
        let x = l.x / 4u + row * vectors;
        var sum = vec4<f32>();
        for (var c = lane; c < vectors; c += LANES) { sum += slabs[x + c]; }
        let mean = sum_of(sum) / f32(l.width);
        var square = vec4<f32>();
        for (var c = lane; c < vectors; c += LANES) {
            let d = slabs[x + c] - mean;
            square += d * d;
        }
        let scale = inverseSqrt(sum_of(square) / f32(l.width) + 1e-5);
        if lane == 0u {
            put_slab(l.moments + 2u * row, mean);
            put_slab(l.moments + 2u * row + 1u, scale);
        }
        for (var c = lane; c < vectors; c += LANES) {
            slabs[l.normed / 4u + row * vectors + c] = (slabs[x + c] - mean) * scale * w[l.norm / 4u + c] + w[l.norm / 4u + vectors + c];
        }
    }
    sync();
}

// Its gradient: the slab's sums of its weights at `sums`, and dx [ROW_TILE, width], added to what is there
// where `more`.
fn norm_rows_back(l: Level, sums: u32, dx: u32, more: bool, dnormed: u32, lane: u32) {
    let vectors = l.width / 4u;
    for (var c = lane; c < vectors; c += LANES) {
        var weight = vec4<f32>();
        var bias = vec4<f32>();
        for (var t = 0u; t < ROW_TILE; t++) {
            let d = slabs[dnormed / 4u + t * vectors + c];
            weight += d * standard(l, t, c);
            bias += d;
        }
        let at = (sums + l.norm) / 4u + c;
        slabs[at] += weight;
        slabs[at + vectors] += bias;
    }
    for (var row = 0u; row < ROW_TILE; row++) {
        var g_sum = vec4<f32>();
        var gx_sum = vec4<f32>();
        for (var c = lane; c < vectors; c += LANES) {
            let g = slabs[dnormed / 4u + row * vectors + c] * w[l.norm / 4u + c];
            g_sum += g;
            gx_sum += g * standard(l, row, c);
        }
        let g_mean = sum_of(g_sum) / f32(l.width);
        let gx_mean = sum_of(gx_sum) / f32(l.width);
        let scale = slab(l.moments + 2u * row + 1u);
        for (var c = lane; c < vectors; c += LANES) {
            let g = slabs[dnormed / 4u + row * vectors + c] * w[l.norm / 4u + c];
            var d = (g - g_mean - standard(l, row, c) * gx_mean) * scale;
            let at = dx / 4u + row * vectors + c;
            if more { d += slabs[at]; }
            slabs[at] = d;
        }
    }
    sync();
}

// From the outputs of both branches a and b, s = √r tanh(ab / √r): their gradients [2, ROW_TILE, SIZE].
fn split_branches(first: u32, left: u32, right: u32, dbranch: u32, lane: u32) {
    let root = sqrt(f32(SIZE));
    let vectors = SIZE / 4u;
    for (var i = lane; i < ROW_TILE * vectors; i += LANES) {
        let a = slabs[left / 4u + i];
        let b = slabs[right / 4u + i];
        let t = tanh(clamp(a * b / root, vec4<f32>(-15.0), vec4<f32>(15.0)));
        var d = vec4<f32>();
        if first + i / vectors < params.vectors { d = dsketch[first * vectors + i] * (1.0 - t * t); }
        slabs[dbranch / 4u + i] = d * b;
        slabs[dbranch / 4u + ROW_TILE * vectors + i] = d * a;
    }
}
