// A sum of log gates as (integer, fraction in [0, 1)).
fn log_sigmoid(x: f32) -> f32 { return min(x, 0.0) - log(1.0 + exp(-abs(x))); }
fn gate_add(sum: vec2<f32>, logit: f32) -> vec2<f32> {
    let fraction = sum.y + log_sigmoid(logit);
    return vec2<f32>(sum.x + floor(fraction), fraction - floor(fraction));
}
// exp(a - b) of two sums, a later than b.
fn gate_decay(a: vec2<f32>, b: vec2<f32>) -> f32 { return exp(min((a.x - b.x) + (a.y - b.y), 0.0)); }
