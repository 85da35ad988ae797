// A pair of a query and a key: its affinity with the gate's decay, and ∂L/∂t, t = ⟨x_i, x_j⟩, from dw_ij =
// ⟨dN_i, v̂_j⟩. `known` is what the gradient row knows of the query: its gate sum, or for softmax its
// log-sum-exp.
#ifdef SOFTMAX
#import softmax
#else
#import gate_sum
#import local_slope
#endif
fn attention_pair(t: f32, dw: f32, known: vec2<f32>, key_gate: vec2<f32>) -> vec2<f32> {
#ifdef SOFTMAX
    let w = exp(SCALE * t - known.x);
    return vec2<f32>(w, SCALE * w * dw);
#else
    var decay = 1.0;
    if GATED { decay = gate_decay(known, key_gate); }
    return decay * vec2<f32>(local_affinity(t), local_slope(t) * dw);
#endif
}
