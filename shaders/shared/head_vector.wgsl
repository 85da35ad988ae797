// Query and key vectors of one head as the kernels want them, from the raw projections qkv [rows, QKV_WIDTH]:
// rotated raw (ROPE = 1), then normed over the head (SPEC §1), then rotated normed (ROPE = 2). The first ROTATED
// elements are rotated.
// CPU twin: kernels/heads/layout.rs, HeadSource.
#import head_layout
override ROPE: u32;            // 0 none, 1 raw, 2 normed
override ROTATED: u32;         // with INTERLEAVED all of HEAD
override INTERLEAVED: bool;    // pairs (2i, 2i+1) in, first halves then second halves out
override SHARED_NORM: bool;    // keys use the queries' norm
override NORM_CENTRED: bool;   // LayerNorm; RMSNorm has no mean
override NORM_EPS: f32;
#import rotation

// Where the projection of a query head (part 0), or of a key head's key (1) or value (2) begins.
fn head_base(row: u32, part: u32, head: u32) -> u32 {
    let before = select(HEADS * (GROUP + part - 1u), 0u, part == 0u);
    return row * QKV_WIDTH + (before + head) * HEAD;
}

// The elements of pair i: those that are rotated come first.
fn pair_places(i: u32) -> vec2<u32> {
    if i < ROTATED / 2u { return vec2<u32>(i, i + ROTATED / 2u); }
    return vec2<u32>(i + ROTATED / 2u, i + HEAD / 2u);
}

fn turn(a: f32, b: f32, position: u32, i: u32) -> vec2<f32> {
    if i >= ROTATED / 2u { return vec2<f32>(a, b); }
    let r = rotation(position, i, ROTATED / 2u);
    return vec2<f32>(a * r.x - b * r.y, b * r.x + a * r.y);
}

// The elements of pair i after the raw stage.
fn raw_pair(base: u32, position: u32, i: u32) -> vec2<f32> {
    let at = pair_places(i);
    if ROPE != 1u { return vec2<f32>(qkv[base + at.x], qkv[base + at.y]); }
    if INTERLEAVED { return turn(qkv[base + 2u * i], qkv[base + 2u * i + 1u], position, i); }
    return turn(qkv[base + at.x], qkv[base + at.y], position, i);
}

// Mean (RMSNorm: none) and reciprocal deviation of the raw vector.
fn head_moments(base: u32, position: u32) -> vec2<f32> {
    var sum = 0.0;
    if NORM_CENTRED {
        for (var i = 0u; i < HEAD / 2u; i++) {
            let p = raw_pair(base, position, i);
            sum += p.x + p.y;
        }
    }
    let mean = sum / f32(HEAD);
    var square = 0.0;
    for (var i = 0u; i < HEAD / 2u; i++) {
        let p = raw_pair(base, position, i) - mean;
        square += dot(p, p);
    }
    return vec2<f32>(mean, inverseSqrt(square / f32(HEAD) + NORM_EPS));
}

// norms [4, HEAD]: query weight, bias, key weight, bias.
fn normed(value: f32, moments: vec2<f32>, part: u32, j: u32) -> f32 {
    let at = select(part * 2u * HEAD, 0u, SHARED_NORM) + j;
    return (value - moments.x) * moments.y * norms[at] + norms[at + HEAD];
}

// The elements of pair i of the normed vector, not rotated.
fn normed_pair(base: u32, moments: vec2<f32>, part: u32, position: u32, i: u32) -> vec2<f32> {
    let p = raw_pair(base, position, i);
    let at = pair_places(i);
    return vec2<f32>(normed(p.x, moments, part, at.x), normed(p.y, moments, part, at.y));
}

// The elements of pair i of what the exact kernel reads.
fn exact_pair(base: u32, moments: vec2<f32>, part: u32, position: u32, i: u32) -> vec2<f32> {
    if ROPE != 2u { return normed_pair(base, moments, part, position, i); }
    var at = pair_places(i);
    if INTERLEAVED { at = vec2<u32>(2u * i, 2u * i + 1u); }
    let pair = vec2<f32>(
        normed(qkv[base + at.x], moments, part, at.x), normed(qkv[base + at.y], moments, part, at.y)
    );
    return turn(pair.x, pair.y, position, i);
}
