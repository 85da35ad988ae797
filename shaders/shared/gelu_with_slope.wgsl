// gelu.wgsl's GELU and its derivative by one exponential: with s = 1 / (1 + e^m), x s and s (1 - x m' (1 -
// s)), where 1 - s is e^m s, without cancellation for x > 0. Far out, where the slope is 0 or 1, x is clamped
// in it: x m' would be too large a number.
struct Curve { value: vec4<f32>, slope: vec4<f32> }
fn gelu_with_slope4(wide: vec4<f32>) -> Curve {
    let x = clamp(wide, vec4<f32>(-9.0), vec4<f32>(9.0));
    let square = x * x;
    let e = exp(-1.5957691216057308 * x * (1.0 + 0.044715 * square));
    let s = 1.0 / (1.0 + e);
    return Curve(wide * s, s * (1.0 + 1.5957691216057308 * x * (1.0 + 0.134145 * square) * e * s));
}
