// Gradient of the gate logits: the suffix sum of dG, times sigmoid(-logit). A workgroup a (lane, head): every
// invocation sums a run of tokens, the runs' sums are added up from the end, then every invocation walks its
// run backwards.
#import head_layout
struct Params { lanes: u32, tokens: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> qkv: array<f32>;          // [rows, QKV_WIDTH]
@group(0) @binding(2) var<storage, read> lanes: array<vec4<u32>>;  // [lanes]
@group(0) @binding(3) var<storage, read> dsums: array<vec2<f32>>;  // [lanes, HEADS, tokens]
@group(0) @binding(4) var<storage, read_write> dqkv: array<f32>;   // [rows, QKV_WIDTH]
@group(0) @binding(5) var<storage, read_write> carry: array<f32>;  // [lanes, HEADS]

var<workgroup> runs: array<f32, 64>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let at = group.x / HEADS;
    let head = group.x % HEADS;
    let run = (params.tokens + 63u) / 64u;
    let first = min(local * run, params.tokens);
    let end = min(first + run, params.tokens);
    var sum = 0.0;
    for (var t = first; t < end; t++) { sum += dsums[group.x * params.tokens + t].x; }
    runs[local] = sum;
    workgroupBarrier();
    var suffix = carry[group.x];
    for (var later = 63u; later > local; later--) { suffix += runs[later]; }
    for (var i = 0u; i < end - first; i++) {
        let t = end - 1u - i;
        suffix += dsums[group.x * params.tokens + t].x;
        let place = (at * params.tokens + t) * QKV_WIDTH + GATE_OFFSET + head;
        dqkv[place] += suffix / (1.0 + exp(qkv[place]));
    }
    // Nobody reads the carry any more: every invocation has its copy.
    workgroupBarrier();
    if local == 0u { carry[group.x] = suffix; }
}
