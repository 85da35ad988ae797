// The derivative of local_affinity by the inner product.
#import local_affinity
fn local_slope(t: f32) -> f32 {
    let s = SCALE * t;
#ifdef TAYLOR
    // The partial sum before it.
    var w = f32(min(DEGREE, 1u));
    for (var m = DEGREE; m > 1u; m--) { w = 1.0 + w * s / f32(m - 1u); }
    return SCALE * w;
#else
    var w = SCALE * f32(DEGREE) * s;
    for (var m = 1u; m < DEGREE / 2u; m++) { w *= s * s; }
    return w;
#endif
}
