// sum + a·b as four fused multiply-adds; `sum + dot(a, b)` takes compilers five instructions.
fn dot_add(sum: f32, a: vec4<f32>, b: vec4<f32>) -> f32 {
    var s = sum;
    s += a.x * b.x;
    s += a.y * b.y;
    s += a.z * b.z;
    s += a.w * b.w;
    return s;
}
