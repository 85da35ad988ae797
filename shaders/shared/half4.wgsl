// Weights as vectors of four: plain f32, or halves packed in pairs (SPEC §5: f16 is storage only).
#ifdef F16
alias Weight4 = vec2<u32>;
fn weight4(w: Weight4) -> vec4<f32> { return vec4<f32>(unpack2x16float(w.x), unpack2x16float(w.y)); }
#else
alias Weight4 = vec4<f32>;
fn weight4(w: Weight4) -> vec4<f32> { return w; }
#endif
