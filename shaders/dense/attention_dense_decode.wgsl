// permutations: [SOFTMAX|TAYLOR]
// One query a lane against its whole cache. The cache is cut into SPLITS ranges, one workgroup each, so that
// a long cache is read by the whole device; attention_dense_merge adds the parts: each a sum, a total and a
// maximum.
#import lanes
#import gate_sum
#import head_layout
struct Params { lane_base: u32, stride: u32 }
override SPLITS: u32;
const THREADS: u32 = 256u;

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> queries: array<f32>;      // [lanes, HEADS, 1, QUERY_WIDTH]
@group(0) @binding(2) var<storage, read> keys: array<vec4<f32>>;   // [slots, HEADS, stride, KEY_WIDTH]
@group(0) @binding(3) var<storage, read> lanes: array<Lane>;       // [lanes]
@group(0) @binding(4) var<storage, read_write> parts: array<f32>;  // [lanes, HEADS, SPLITS, HEAD + 4]

var<workgroup> source: array<f32, HEAD>;
var<workgroup> affinities: array<f32, THREADS>;
var<workgroup> sums: array<vec4<f32>, THREADS>;
var<workgroup> totals: array<f32, THREADS>;
#ifdef SOFTMAX
#import softmax
#else
#import local_affinity
#endif

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let lane = lanes[params.lane_base + group.y / HEADS];
    let rows = lane.position + 1u;                         // the token's own row is already there
    let share = (rows + SPLITS - 1u) / SPLITS;
    let begin = group.x * share;
    let end = min(begin + share, rows);
    let first = (lane.slot * HEADS + group.y % HEADS) * params.stride;
    let column = local % (HEAD / 4u);
    let part = local / (HEAD / 4u);
    let sharing = THREADS / (HEAD / 4u);                   // invocations that share four columns
    for (var i = local; i < HEAD; i += THREADS) { source[i] = queries[group.y * QUERY_WIDTH + i]; }
    workgroupBarrier();
    var gate = vec2<f32>();
    if GATED { gate = keys[((first + rows - 1u) * KEY_WIDTH + G_OFFSET) / 4u].xy; }
    var sum = vec4<f32>();
    var total = 0.0;
    var highest = -3.0e38;
    for (var start = begin; start < end; start += THREADS) {
        let j = start + local;
        var w = -3.0e38;
#ifndef SOFTMAX
        w = 0.0;
#endif
        if j < end {
            var t = 0.0;
            for (var c = 0u; c < HEAD / 4u; c++) {
                let i = c * 4u;
                let x = vec4<f32>(source[i], source[i + 1u], source[i + 2u], source[i + 3u]);
                t += dot(keys[(first + j) * (KEY_WIDTH / 4u) + c], x);
            }
#ifdef SOFTMAX
            w = SCALE * t;
#else
            w = local_affinity(t);
            if GATED {
                w *= gate_decay(gate, keys[((first + j) * KEY_WIDTH + G_OFFSET) / 4u].xy);
            }
#endif
        }
        affinities[local] = w;
#ifdef SOFTMAX
        totals[local] = w;
        for (var step = THREADS / 2u; step > 0u; step = step / 2u) {
            workgroupBarrier();
            if local < step { totals[local] = max(totals[local], totals[local + step]); }
        }
        workgroupBarrier();
        let high = max(highest, totals[0]);
        sum *= exp(highest - high);
        total *= exp(highest - high);
        highest = high;
        affinities[local] = exp(affinities[local] - high);
#endif
        workgroupBarrier();
        if part < sharing {
            for (var jj = part; jj < min(THREADS, end - start); jj += sharing) {
                sum += affinities[jj] * keys[((first + start + jj) * KEY_WIDTH + V_OFFSET) / 4u + column];
                total += affinities[jj];
            }
        }
        workgroupBarrier();
    }
    sums[local] = sum;
    totals[local] = total;
    workgroupBarrier();
    if part == 0u {
        for (var i = 1u; i < sharing; i++) {
            sum += sums[local + i * (HEAD / 4u)];
            total += totals[local + i * (HEAD / 4u)];
        }
        let out = (group.y * SPLITS + group.x) * (HEAD + 4u);
        for (var c = 0u; c < 4u; c++) { parts[out + column * 4u + c] = sum[c]; }
        if column == 0u {
            parts[out + HEAD] = total;
            parts[out + HEAD + 1u] = highest;
        }
    }
}
