// Query and key vectors of one head as the kernels want them, from the raw projections qkv [rows, QKV_WIDTH]:
// rotated raw (ROPE = 1), then LayerNorm over the head (SPEC §1), then rotated normed (ROPE = 2).
// CPU twin: kernels/heads/layout.rs, HeadSource.
#import head_layout
override ROPE: u32;            // 0 none, 1 raw, 2 normed
override INTERLEAVED: bool;    // pairs (2i, 2i+1) in, first halves then second halves out
override SHARED_NORM: bool;    // keys use the queries' norm
#import rotation

// Where the projection of part 0 (query), 1 (key) or 2 (value) of a head begins.
fn head_base(row: u32, part: u32, head: u32) -> u32 { return row * QKV_WIDTH + (part * HEADS + head) * HEAD; }

fn turn(a: f32, b: f32, position: u32, i: u32) -> vec2<f32> {
    let r = rotation(position, i, HEAD / 2u);
    return vec2<f32>(a * r.x - b * r.y, b * r.x + a * r.y);
}

// Elements i and i + HEAD / 2 after the raw stage.
fn raw_pair(base: u32, position: u32, i: u32) -> vec2<f32> {
    if ROPE != 1u { return vec2<f32>(qkv[base + i], qkv[base + i + HEAD / 2u]); }
    if INTERLEAVED { return turn(qkv[base + 2u * i], qkv[base + 2u * i + 1u], position, i); }
    return turn(qkv[base + i], qkv[base + i + HEAD / 2u], position, i);
}

// Mean and reciprocal deviation of the raw vector.
fn head_moments(base: u32, position: u32) -> vec2<f32> {
    var sum = 0.0;
    for (var i = 0u; i < HEAD / 2u; i++) {
        let p = raw_pair(base, position, i);
        sum += p.x + p.y;
    }
    let mean = sum / f32(HEAD);
    var square = 0.0;
    for (var i = 0u; i < HEAD / 2u; i++) {
        let p = raw_pair(base, position, i) - mean;
        square += dot(p, p);
    }
    return vec2<f32>(mean, inverseSqrt(square / f32(HEAD) + 1e-5));
}

// norms [4, HEAD]: query weight, bias, key weight, bias.
fn normed(value: f32, moments: vec2<f32>, part: u32, j: u32) -> f32 {
    let at = select(part * 2u * HEAD, 0u, SHARED_NORM) + j;
    return (value - moments.x) * moments.y * norms[at] + norms[at + HEAD];
}

// Elements i and i + HEAD / 2 of the normed vector, not rotated.
fn normed_pair(base: u32, moments: vec2<f32>, part: u32, position: u32, i: u32) -> vec2<f32> {
    let p = raw_pair(base, position, i);
    return vec2<f32>(normed(p.x, moments, part, i), normed(p.y, moments, part, i + HEAD / 2u));
}

// Elements i and i + HEAD / 2 of what the exact kernel reads.
fn exact_pair(base: u32, moments: vec2<f32>, part: u32, position: u32, i: u32) -> vec2<f32> {
    if ROPE != 2u { return normed_pair(base, moments, part, position, i); }
    var a = i;
    var b = i + HEAD / 2u;
    if INTERLEAVED {
        a = 2u * i;
        b = 2u * i + 1u;
    }
    let pair = vec2<f32>(normed(qkv[base + a], moments, part, a), normed(qkv[base + b], moments, part, b));
    return turn(pair.x, pair.y, position, i);
}
