// Gradients of the head vectors of shared/head_vector.wgsl. A vector is handled in pairs: pair i of the
// gradient dy holds the elements of pair_places(i) of what the exact kernel (EXACT) or the sketch read. CPU
// twin: kernels/heads/vector_grad.rs.

fn turn_back(d: vec2<f32>, position: u32, i: u32) -> vec2<f32> {
    if i >= ROTATED / 2u { return d; }
    let r = rotation(position, i, ROTATED / 2u);
    return vec2<f32>(d.x * r.x + d.y * r.y, d.y * r.x - d.x * r.y);
}

// Places of pair i in the normed vector: rotating normed interleaved pairs moves them.
fn normed_places(i: u32, exact: bool) -> vec2<u32> {
    if exact && ROPE == 2u && INTERLEAVED { return vec2<u32>(2u * i, 2u * i + 1u); }
    return pair_places(i);
}

// Places of pair i in the projection.
fn raw_places(i: u32, exact: bool) -> vec2<u32> {
    if ROPE == 1u && INTERLEAVED { return vec2<u32>(2u * i, 2u * i + 1u); }
    return normed_places(i, exact);
}

// Pair i of the vector before its norm, standardised.
fn standard_pair(base: u32, moments: vec2<f32>, position: u32, i: u32, exact: bool) -> vec2<f32> {
    var p = vec2<f32>();
    if ROPE == 1u {
        p = raw_pair(base, position, i);
    } else {
        let at = normed_places(i, exact);
        p = vec2<f32>(qkv[base + at.x], qkv[base + at.y]);
    }
    return (p - moments.x) * moments.y;
}

// Row of the norm's weight.
fn norm_row(part: u32) -> u32 { return select(2u * part, 0u, SHARED_NORM); }

// Gradient of pair i of the normed vector, and the norm's weights there.
fn normed_gradient(dy: vec2<f32>, position: u32, i: u32, exact: bool) -> vec2<f32> {
    if exact && ROPE == 2u { return turn_back(dy, position, i); }
    return dy;
}

fn norm_weights(part: u32, i: u32, exact: bool) -> vec2<f32> {
    let at = normed_places(i, exact) + norm_row(part) * HEAD;
    return vec2<f32>(norms[at.x], norms[at.y]);
}
