// Adds the parts of attention_dense_decode: o = Σ e^{m_s - m} sum_s / (β + Σ e^{m_s - m} total_s). Where a state
// knows of other keys, scan_decode adds them to what it reads there.
#import head_layout
struct Params { lanes: u32 }
override SPLITS: u32;
override BIAS: f32;
override SOFTMAX: bool;

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> parts: array<f32>;    // [lanes, HEADS * GROUP, SPLITS, HEAD + 4]
@group(0) @binding(2) var<storage, read_write> o: array<f32>;  // [lanes, HEADS * GROUP * HEAD]

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    if id.x >= HEAD || id.y >= params.lanes * HEADS * GROUP { return; }
    let first = id.y * SPLITS * (HEAD + 4u);
    var highest = -3.0e38;
    for (var s = 0u; s < SPLITS; s++) { highest = max(highest, parts[first + s * (HEAD + 4u) + HEAD + 1u]); }
    var sum = 0.0;
    var total = 0.0;
    for (var s = 0u; s < SPLITS; s++) {
        let at = first + s * (HEAD + 4u);
        var scale = 1.0;
        if SOFTMAX { scale = exp(parts[at + HEAD + 1u] - highest); }
        sum += scale * parts[at + id.x];
        total += scale * parts[at + HEAD];
    }
    o[id.y * HEAD + id.x] = sum / (BIAS + total);
}
