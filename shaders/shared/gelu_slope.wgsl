// Derivative of gelu: with gelu(x) = x s, s = sigmoid(2u), u = sqrt(2 / pi) (x + 0.044715 x³).
fn gelu_slope(x: f32) -> f32 {
    let s = 1.0 / (1.0 + exp(-1.5957691216057308 * (x + 0.044715 * x * x * x)));
    return s + x * s * (1.0 - s) * 1.5957691216057308 * (1.0 + 0.134145 * x * x);
}
