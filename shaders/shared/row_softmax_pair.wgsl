// Of the rows of logits and of teacher that begin at `first`: largest and sum of exp(x - largest) of the one,
// then of the other, by a workgroup of 128. Needs logits, teacher and VOCABULARY.
var<workgroup> scratch: array<vec2<f32>, 128>;

fn row_softmax_pair(first: u32, local: u32) -> vec4<f32> {
    var high = vec2<f32>(-3.0e38);
    for (var i = local; i < VOCABULARY; i += 128u) {
        high = max(high, vec2<f32>(logits[first + i], teacher[first + i]));
    }
    scratch[local] = high;
    for (var step = 64u; step > 0u; step = step / 2u) {
        workgroupBarrier();
        if local < step { scratch[local] = max(scratch[local], scratch[local + step]); }
    }
    workgroupBarrier();
    high = scratch[0];
    workgroupBarrier();
    var sum = vec2<f32>(0.0);
    for (var i = local; i < VOCABULARY; i += 128u) {
        sum += exp(vec2<f32>(logits[first + i], teacher[first + i]) - high);
    }
    scratch[local] = sum;
    for (var step = 64u; step > 0u; step = step / 2u) {
        workgroupBarrier();
        if local < step { scratch[local] += scratch[local + step]; }
    }
    workgroupBarrier();
    return vec4<f32>(high.x, scratch[0].x, high.y, scratch[0].y);
}
