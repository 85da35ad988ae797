// Derivative of gelu.wgsl's GELU. It is 0 or 1 far out, and clamped there: x (1 - t^2) would be a large number times a rounding error.
fn gelu_slope4(wide: vec4<f32>) -> vec4<f32> {
    let x = clamp(wide, vec4<f32>(-10.0), vec4<f32>(10.0));
    let t = tanh(clamp(0.7978845608028654 * (x + 0.044715 * x * x * x), vec4<f32>(-15.0), vec4<f32>(15.0)));
    return 0.5 * (1.0 + t) + 0.5 * x * (1.0 - t * t) * (0.7978845608028654 * (1.0 + 0.134145 * x * x));
}
fn gelu_slope(x: f32) -> f32 { return gelu_slope4(vec4<f32>(x)).x; }
