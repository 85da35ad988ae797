// activation.wgsl's functions and their derivatives, by one exponential each.
#import activation
#import gelu_with_slope
fn activation_with_slope4(x: vec4<f32>) -> Curve {
    if ACTIVATION == 1u {
        let e = exp(max(-0.5 * x * x, vec4<f32>(-80.0)));
        let tail = normal_tail4(x, e);
        let share = select(1.0 - tail, tail, x < vec4<f32>());
        return Curve(x * share, share + 0.3989422804014327 * x * e);
    }
    if ACTIVATION == 2u {
        let e = exp(min(-x, vec4<f32>(80.0)));
        let s = 1.0 / (1.0 + e);
        // 1 - s is e s, without cancellation for x > 0; far below zero, x e would be too large a number.
        return Curve(x * s, s * (1.0 + max(x, vec4<f32>(-40.0)) * e * s));
    }
    if ACTIVATION == 3u {
        return Curve(max(x, vec4<f32>()), select(vec4<f32>(), vec4<f32>(1.0), x > vec4<f32>()));
    }
    return gelu_with_slope4(x);
}
