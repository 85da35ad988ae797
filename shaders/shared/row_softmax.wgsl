// Largest logit of the row that begins at `first`, and the sum of exp(logit - largest), by a workgroup of
// 128. Needs logits and VOCABULARY.
var<workgroup> scratch: array<f32, 128>;

fn row_softmax(first: u32, local: u32) -> vec2<f32> {
    var high = -3.0e38;
    for (var i = local; i < VOCABULARY; i += 128u) { high = max(high, logits[first + i]); }
    scratch[local] = high;
    for (var step = 64u; step > 0u; step = step / 2u) {
        workgroupBarrier();
        if local < step { scratch[local] = max(scratch[local], scratch[local + step]); }
    }
    workgroupBarrier();
    high = scratch[0];
    workgroupBarrier();
    var sum = 0.0;
    for (var i = local; i < VOCABULARY; i += 128u) { sum += exp(logits[first + i] - high); }
    scratch[local] = sum;
    for (var step = 64u; step > 0u; step = step / 2u) {
        workgroupBarrier();
        if local < step { scratch[local] += scratch[local + step]; }
    }
    workgroupBarrier();
    return vec2<f32>(high, scratch[0]);
}
