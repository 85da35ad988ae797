// The learned sketch's backward pass between its products (sketch_levels.wgsl), number by number, SHARES
// invocations a row.

// What the invocations of a row add up. An array each, because some read while others already write the next.
const ROW_SHARES: u32 = ROW_TILE * SHARES;
var<workgroup> first_sums: array<f32, ROW_SHARES>;
var<workgroup> second_sums: array<f32, ROW_SHARES>;

fn first_sum(row: u32) -> f32 {
    var sum = 0.0;
    for (var i = 0u; i < SHARES; i++) { sum += first_sums[row * SHARES + i]; }
    return sum;
}
fn second_sum(row: u32) -> f32 {
    var sum = 0.0;
    for (var i = 0u; i < SHARES; i++) { sum += second_sums[row * SHARES + i]; }
    return sum;
}

// Element c of a row of the level's standardised input.
fn standard(l: Level, row: u32, c: u32) -> f32 {
    return (slabs[l.x + row * l.width + c] - slabs[l.moments + 2u * row]) * slabs[l.moments + 2u * row + 1u];
}

// LayerNorm of a level's input.
fn norm_rows(l: Level, local: u32) {
    for (var row = local / SHARES; row < ROW_TILE; row += THREADS / SHARES) {
        let x = l.x + row * l.width;
        var sum = 0.0;
        for (var c = local % SHARES; c < l.width; c += SHARES) { sum += slabs[x + c]; }
        first_sums[row * SHARES + local % SHARES] = sum;
    }
    workgroupBarrier();
    for (var row = local / SHARES; row < ROW_TILE; row += THREADS / SHARES) {
        let mean = first_sum(row) / f32(l.width);
        var square = 0.0;
        for (var c = local % SHARES; c < l.width; c += SHARES) {
            let d = slabs[l.x + row * l.width + c] - mean;
            square += d * d;
        }
        second_sums[row * SHARES + local % SHARES] = square;
    }
    workgroupBarrier();
    for (var row = local / SHARES; row < ROW_TILE; row += THREADS / SHARES) {
        let mean = first_sum(row) / f32(l.width);
        let scale = inverseSqrt(second_sum(row) / f32(l.width) + 1e-5);
        if local % SHARES == 0u {
            slabs[l.moments + 2u * row] = mean;
            slabs[l.moments + 2u * row + 1u] = scale;
        }
        for (var c = local % SHARES; c < l.width; c += SHARES) {
            let n = (slabs[l.x + row * l.width + c] - mean) * scale;
            slabs[l.normed + row * l.width + c] = n * w[l.norm + c] + w[l.norm + l.width + c];
        }
    }
    sync();
}

// Its gradient: the slab's sums of its weights at `sums`, and dx [ROW_TILE, width], added to what is there
// where `more`.
fn norm_rows_back(l: Level, sums: u32, dx: u32, more: bool, dnormed: u32, local: u32) {
    for (var c = local; c < l.width; c += THREADS) {
        var weight = 0.0;
        var bias = 0.0;
        for (var t = 0u; t < ROW_TILE; t++) {
            let d = slabs[dnormed + t * l.width + c];
            weight += d * standard(l, t, c);
            bias += d;
        }
        slabs[sums + l.norm + c] += weight;
        slabs[sums + l.norm + l.width + c] += bias;
    }
    for (var row = local / SHARES; row < ROW_TILE; row += THREADS / SHARES) {
        var g_sum = 0.0;
        var gx_sum = 0.0;
        for (var c = local % SHARES; c < l.width; c += SHARES) {
            let g = slabs[dnormed + row * l.width + c] * w[l.norm + c];
            g_sum += g;
            gx_sum += g * standard(l, row, c);
        }
        first_sums[row * SHARES + local % SHARES] = g_sum;
        second_sums[row * SHARES + local % SHARES] = gx_sum;
    }
    sync();
    for (var row = local / SHARES; row < ROW_TILE; row += THREADS / SHARES) {
        let g_mean = first_sum(row) / f32(l.width);
        let gx_mean = second_sum(row) / f32(l.width);
        for (var c = local % SHARES; c < l.width; c += SHARES) {
            let g = slabs[dnormed + row * l.width + c] * w[l.norm + c];
            let d = (g - g_mean - standard(l, row, c) * gx_mean) * slabs[l.moments + 2u * row + 1u];
            let at = dx + row * l.width + c;
            if more { slabs[at] += d; } else { slabs[at] = d; }
        }
    }
    sync();
}

// From the outputs of both branches a and b, s = √r tanh(ab / √r): their gradients [2, ROW_TILE, SIZE].
fn split_branches(first: u32, left: u32, right: u32, dbranch: u32, local: u32) {
    let root = sqrt(f32(SIZE));
    for (var i = local; i < ROW_TILE * SIZE; i += THREADS) {
        let a = slabs[left + i];
        let b = slabs[right + i];
        let t = tanh(clamp(a * b / root, -15.0, 15.0));
        var d = 0.0;
        if first + i / SIZE < params.vectors { d = dsketch[first * SIZE + i] * (1.0 - t * t); }
        slabs[dbranch + i] = d * b;
        slabs[dbranch + ROW_TILE * SIZE + i] = d * a;
    }
}
