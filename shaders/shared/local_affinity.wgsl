// w(⟨x_i, x_j⟩): (SCALE t)^DEGREE, or with TAYLOR the partial sum of exp(SCALE t) up to DEGREE.
override SCALE: f32;
override DEGREE: u32;
fn local_affinity(t: f32) -> f32 {
    let s = SCALE * t;
#ifdef TAYLOR
    // Horner: 1 + s (1 + s/2 (1 + s/3 ...)).
    var w = 1.0;
    for (var m = DEGREE; m > 0u; m--) { w = 1.0 + w * s / f32(m); }
    return w;
#else
    // DEGREE is even.
    var w = 1.0;
    let square = s * s;
    for (var m = 0u; m < DEGREE / 2u; m++) { w *= square; }
    return w;
#endif
}
