// gelu.wgsl's GELU and its derivative, by one tanh. The derivative is 0 or 1 far out, and x clamped there: x (1 - t^2) would be a large
// number times a rounding error.
struct Gelu { value: vec4<f32>, slope: vec4<f32> }
fn gelu_with_slope4(wide: vec4<f32>) -> Gelu {
    let x = clamp(wide, vec4<f32>(-10.0), vec4<f32>(10.0));
    let t = tanh(clamp(0.7978845608028654 * (x + 0.044715 * x * x * x), vec4<f32>(-15.0), vec4<f32>(15.0)));
    let half = 0.5 * (1.0 + t);
    return Gelu(wide * half, half + 0.5 * x * (1.0 - t * t) * (0.7978845608028654 * (1.0 + 0.134145 * x * x)));
}
