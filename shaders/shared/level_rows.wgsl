// LayerNorm of a level of the learned sketch and its gradient, four vectors of the tile at a time: an
// invocation has the same four, `four`, in all loops over numbers, and of the columns every apart()-th from
// `place` on. So a number in the slab that such a loop has stored is loaded by the same invocation.
var<workgroup> parts: array<vec4<f32>, THREADS>;
var<private> mean: vec4<f32>;                  // of the four vectors, and what they are scaled with
var<private> scale: vec4<f32>;

fn fours() -> u32 { return ROW_TILE / 4u; }
fn apart() -> u32 { return THREADS / fours(); }
fn weight(at: u32) -> f32 { return w[at / 4u][at % 4u]; }
fn place_of(column: u32) -> u32 { return column * PITCH + four; }

// Of a column of a tile in the slab.
fn kept(tile: u32, column: u32) -> vec4<f32> {
    let at = tile + column * ROW_TILE + 4u * four;
    return vec4<f32>(slabs[at], slabs[at + 1u], slabs[at + 2u], slabs[at + 3u]);
}
fn keep(tile: u32, column: u32, value: vec4<f32>) {
    let at = tile + column * ROW_TILE + 4u * four;
    for (var i = 0u; i < 4u; i++) { slabs[at + i] = value[i]; }
}

// What all invocations with the same vectors give.
fn together(value: vec4<f32>, local: u32) -> vec4<f32> {
    workgroupBarrier();
    parts[local] = value;
    workgroupBarrier();
    var sum = vec4<f32>();
    // Compilers that know how often this goes round load all of them at once.
    for (var i = four; i < THREADS; i += fours()) { sum += parts[i]; }
    return sum;
}

// The level's input, normed, into memory.
fn norm_rows(tile: u32, width: u32, norm: u32, local: u32) {
    var sum = vec4<f32>();
    for (var c = place; c < width; c += apart()) { sum += kept(tile, c); }
    mean = together(sum, local) / f32(width);
    sum = vec4<f32>();
    for (var c = place; c < width; c += apart()) {
        let d = kept(tile, c) - mean;
        sum += d * d;
    }
    scale = inverseSqrt(together(sum, local) / f32(width) + 1e-5);
    for (var c = place; c < width; c += apart()) {
        memory[place_of(c)] = (kept(tile, c) - mean) * scale * weight(norm + c) + weight(norm + width + c);
    }
    workgroupBarrier();
}

// From the gradient of the normed input, `splits` parts of it from `given` on in memory: the slab's sums of
// the norm's weights at `sums`, and the gradient of the input: of the lowest level at `given`, with what the
// branch before it left at `dx` of the slab, or left there; of others the gradient of the outputs below, at
// `below`.
struct Back { given: u32, splits: u32, below: u32, dx: u32, lowest: bool, last: bool }
fn norm_rows_back(way: Back, tile: u32, width: u32, norm: u32, sums: u32, local: u32) {
    var g_sum = vec4<f32>();
    var gx_sum = vec4<f32>();
    for (var c = place; c < width; c += apart()) {
        var d = vec4<f32>();
        for (var s = 0u; s < way.splits; s++) { d += memory[way.given + place_of(s * width + c)]; }
        memory[way.given + place_of(c)] = d;
        let x = (kept(tile, c) - mean) * scale;
        memory[place_of(c)] = x;
        let g = d * weight(norm + c);
        g_sum += g;
        gx_sum += g * x;
    }
    let g_mean = together(g_sum, local) / f32(width);
    for (var c = local; c < width; c += THREADS) {
        var of_weight = vec4<f32>();
        var of_bias = vec4<f32>();
        for (var i = 0u; i < filled; i++) {
            let d = memory[way.given + c * PITCH + i];
            of_weight += d * memory[c * PITCH + i];
            of_bias += d;
        }
        slabs[sums + norm + c] += dot(of_weight, vec4<f32>(1.0));
        slabs[sums + norm + width + c] += dot(of_bias, vec4<f32>(1.0));
    }
    let gx_mean = together(gx_sum, local) / f32(width);
    for (var c = place; c < width; c += apart()) {
        let at = way.given + place_of(c);
        var d = (memory[at] * weight(norm + c) - g_mean - memory[place_of(c)] * gx_mean) * scale;
        if !way.lowest {
            memory[way.below + place_of(c)] = d;
        } else if way.last {
            memory[at] = d + kept(way.dx, c);
        } else {
            keep(way.dx, c, d);
        }
    }
    workgroupBarrier();
}
