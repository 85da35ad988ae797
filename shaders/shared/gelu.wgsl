// GELU, tanh form (SPEC §2). The argument is clamped because tanh of a large number is NaN on some
// drivers that compute it as a quotient of exponentials.
fn gelu4(x: vec4<f32>) -> vec4<f32> {
    let t = tanh(clamp(0.7978845608028654 * (x + 0.044715 * x * x * x), vec4<f32>(-15.0), vec4<f32>(15.0)));
    return 0.5 * x * (1.0 + t);
}
fn gelu(x: f32) -> f32 { return gelu4(vec4<f32>(x)).x; }
