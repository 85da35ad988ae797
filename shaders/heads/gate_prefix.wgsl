// permutations: [CARRY] [CACHE]
// Prefix sums of log sigmoid(gate), which restart at every block (CACHE: never). A sum is kept as
// (integer, fraction), so that the difference of two sums is exact however long the text is.
// A workgroup a block: each invocation sums a run of its tokens, the sums of runs are added up in workgroup
// memory, and each goes over its run again from what is before it. One invocation a block, the first form,
// took a third of a prefill call by the gauge.
#import lanes
#import gate_sum
#import head_layout
struct Params { tokens: u32, lane_base: u32 }
override KEYS_STRIDE: u32;     // rows of one head in the carried keys: ring or cache

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> qkv: array<f32>;              // [rows, QKV_WIDTH]
@group(0) @binding(2) var<storage, read> lanes: array<Lane>;           // [lanes]
#ifdef CARRY
@group(0) @binding(3) var<storage, read> carried: array<f32>;       // [slots, HEADS, KEYS_STRIDE, KEY_WIDTH]
@group(0) @binding(4) var<storage, read_write> sums: array<vec2<f32>>; // [lanes, HEADS, tokens]
#else
@group(0) @binding(3) var<storage, read_write> sums: array<vec2<f32>>; // [lanes, HEADS, tokens]
#endif

fn logit(at: u32, token: u32, head: u32) -> f32 {
    return qkv[(at * params.tokens + token) * QKV_WIDTH + GATE_OFFSET + head];
}

const RUNS: u32 = 64u;
var<workgroup> runs: array<vec2<f32>, RUNS>;

fn sum_of(a: vec2<f32>, b: vec2<f32>) -> vec2<f32> {
    let fraction = a.y + b.y;
    return vec2<f32>(a.x + b.x + floor(fraction), fraction - floor(fraction));
}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) index: u32) {
    let block = group.x;
    let head = group.y;
    let at = group.z;
    let lane = lanes[params.lane_base + at];
    var sum = vec2<f32>();
#ifdef CACHE
    // Never restarts: goes on from the row before the call.
    var begin = 0u;
    let end = params.tokens;
#ifdef CARRY
    if lane.position > 0u {
        let row = ((lane.slot * HEADS + head) * KEYS_STRIDE + lane.position - 1u) * KEY_WIDTH + G_OFFSET;
        sum = vec2<f32>(carried[row], carried[row + 1u]);
    }
#endif
#else
    // Rows of the lane's window: the ring first, then the call's tokens.
    let first = block * BLOCK;
    let last = min(first + BLOCK, lane.ring + params.tokens);
    if last <= lane.ring { return; }
    var begin = 0u;
    let end = last - lane.ring;
    if first > lane.ring {
        begin = first - lane.ring;
    }
#ifdef CARRY
    if first < lane.ring {
        // Where the ring has the row of the token before.
        let before = (lane.position - 1u) % (NEAR * BLOCK);
        let row = ((lane.slot * HEADS + head) * KEYS_STRIDE + before) * KEY_WIDTH + G_OFFSET;
        sum = vec2<f32>(carried[row], carried[row + 1u]);
    }
#endif
#endif
    let length = (end - begin + RUNS - 1u) / RUNS;
    let first_of_run = min(begin + index * length, end);
    let end_of_run = min(first_of_run + length, end);
    var run = vec2<f32>();
    for (var i = first_of_run; i < end_of_run; i++) { run = gate_add(run, logit(at, i, head)); }
    runs[index] = run;
    for (var step = 1u; step < RUNS; step *= 2u) {
        workgroupBarrier();
        var more = vec2<f32>();
        if index >= step { more = runs[index - step]; }
        workgroupBarrier();
        runs[index] = sum_of(more, runs[index]);
    }
    workgroupBarrier();
    if index > 0u { sum = sum_of(sum, runs[index - 1u]); }
    for (var i = first_of_run; i < end_of_run; i++) {
        sum = gate_add(sum, logit(at, i, head));
        sums[(at * HEADS + head) * params.tokens + i] = sum;
    }
}
