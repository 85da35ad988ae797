// What an MLP applies to its hidden units (SPEC §9). CPU twin: kernels/cpu/activation.rs.
#import gelu
override ACTIVATION: u32;   // 0 gelu, tanh form; 1 gelu; 2 silu; 3 relu

// e^-x²/2 is kept from the tail of the normal distribution: Φ(-|x|) by erfc of Abramowitz & Stegun 7.1.26, off by
// at most 8e-8.
fn normal_tail4(x: vec4<f32>, e: vec4<f32>) -> vec4<f32> {
    let t = 1.0 / (1.0 + 0.23164190 * abs(x));
    return 0.5 * e * t * (0.254829592 + t * (-0.284496736 + t * (1.421413741 + t * (-1.453152027 + t * 1.061405429))));
}
fn activation4(x: vec4<f32>) -> vec4<f32> {
    if ACTIVATION == 1u {
        let tail = normal_tail4(x, exp(max(-0.5 * x * x, vec4<f32>(-80.0))));
        return x * select(1.0 - tail, tail, x < vec4<f32>());
    }
    // The exponent is bounded because infinity may be anything on some drivers.
    if ACTIVATION == 2u { return x / (1.0 + exp(min(-x, vec4<f32>(80.0)))); }
    if ACTIVATION == 3u { return max(x, vec4<f32>()); }
    return gelu4(x);
}
fn activation(x: f32) -> f32 { return activation4(vec4<f32>(x)).x; }
