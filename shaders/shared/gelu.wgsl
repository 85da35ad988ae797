// GELU, tanh form (SPEC §2): x (1 + tanh u) / 2 as x / (1 + e^-2u), the same number by one exponential and
// without cancellation for x < 0. The exponent is bounded because infinity may be anything on some drivers.
fn gelu4(x: vec4<f32>) -> vec4<f32> {
    let m = -1.5957691216057308 * (x + 0.044715 * x * x * x);
    return x / (1.0 + exp(min(m, vec4<f32>(80.0))));
}
fn gelu(x: f32) -> f32 { return gelu4(vec4<f32>(x)).x; }
