// Mean (RMSNorm: none) and reciprocal deviation of row `row` of x [.., WIDTH], by all THREADS invocations of
// a workgroup.
override CENTRED: bool;     // LayerNorm; RMSNorm has no mean
override EPS: f32;
var<workgroup> moment: array<f32, THREADS>;
fn workgroup_sum(value: f32, local: u32) -> f32 {
    workgroupBarrier();
    moment[local] = value;
    for (var step = THREADS / 2u; step > 0u; step = step / 2u) {
        workgroupBarrier();
        if local < step { moment[local] += moment[local + step]; }
    }
    workgroupBarrier();
    return moment[0];
}
fn row_moments(row: u32, local: u32) -> vec2<f32> {
    var mean = 0.0;
    if CENTRED {
        var sum = vec4<f32>();
        for (var c = local; c < WIDTH / 4u; c += THREADS) { sum += x[row * (WIDTH / 4u) + c]; }
        mean = workgroup_sum(dot(sum, vec4<f32>(1.0)), local) / f32(WIDTH);
    }
    var square = 0.0;
    for (var c = local; c < WIDTH / 4u; c += THREADS) {
        let d = x[row * (WIDTH / 4u) + c] - mean;
        square += dot(d, d);
    }
    let variance = workgroup_sum(square, local) / f32(WIDTH);
    return vec2<f32>(mean, inverseSqrt(variance + EPS));
}
