// permutations: [SOFTMAX|SOFTMAX+RING|TAYLOR]
// One token a lane against its whole cache (RING: against the near blocks of its ring, and the sinks), SHARE
// queries of a key head a workgroup. The cache is cut into SPLITS ranges, one workgroup each, so that a long
// cache is read by the whole device; attention_dense_merge adds the parts: each a sum, a total and a maximum.
#import lanes
#import gate_sum
#import head_layout
struct Params { lane_base: u32, stride: u32 }
override SPLITS: u32;
override SHARE: u32;           // queries of a workgroup, at most 8
override QUERY_NUMBERS: u32;   // SHARE * HEAD; twice that where sinks have a SINK_REACH
override AFFINITIES: u32;      // SHARE * THREADS
const THREADS: u32 = 256u;

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> queries: array<f32>;      // [lanes, HEADS, 1, GROUP, QUERY_WIDTH]
@group(0) @binding(2) var<storage, read> keys: array<vec4<f32>>;   // [slots, HEADS, stride, KEY_WIDTH]
@group(0) @binding(3) var<storage, read> lanes: array<Lane>;       // [lanes]
#ifdef RING
@group(0) @binding(4) var<storage, read> rotations: array<vec2<f32>>; // [4 * 256, HEAD / 2]
@group(0) @binding(5) var<storage, read_write> parts: array<f32>;  // [lanes, HEADS * GROUP, SPLITS, HEAD + 4]
#else
@group(0) @binding(4) var<storage, read_write> parts: array<f32>;
#endif

var<workgroup> source: array<f32, QUERY_NUMBERS>;
var<workgroup> affinities: array<f32, AFFINITIES>;  // [SHARE, THREADS]
var<workgroup> sums: array<vec4<f32>, THREADS>;
var<workgroup> totals: array<f32, THREADS>;
#ifdef SOFTMAX
#import softmax
#else
#import local_affinity
#endif

#ifdef RING
#import rotation
var<private> old_from: u32;
var<private> old_count: u32;
fn row_of_key(j: u32) -> u32 { return select(j + old_count, j, j < old_from); }
#else
fn row_of_key(j: u32) -> u32 { return j; }
#endif

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let lane = lanes[params.lane_base + group.y / HEADS];
    var rows = lane.position + 1u;                         // the token's own row is already there
#ifdef RING
    // Of its own block, rows behind its own are of an older one.
    let ring_rows = NEAR * BLOCK;
    let own_row = lane.position % ring_rows;
    let old = (own_row / BLOCK + 1u) * BLOCK - own_row - 1u;
    if lane.position >= ring_rows { rows = ring_rows - old + SINKS; }
    // For browsers, what is private is not uniform: no loop may end by it.
    old_from = own_row + 1u;
    old_count = old;
#endif
    let share = (rows + SPLITS - 1u) / SPLITS;
    let begin = group.x * share;
    let end = min(begin + share, rows);
    let first = (lane.slot * HEADS + group.y % HEADS) * params.stride;
    let column = local % (HEAD / 4u);
    let part = local / (HEAD / 4u);
    let sharing = THREADS / (HEAD / 4u);                   // invocations that share four columns
    let query = group.y * GROUP + group.z * SHARE;
    for (var i = local; i < SHARE * HEAD; i += THREADS) {
        source[i] = queries[(query + i / HEAD) * QUERY_WIDTH + i % HEAD];
    }
#ifdef RING
    // Sinks are no further away than SINK_REACH (shared/sinks.wgsl): for them, queries are turned back. Sinks come
    // last.
    if SINK_REACH > 0u && end + SINKS > rows {
        let by = max(lane.position / BLOCK * BLOCK, SINK_REACH) - SINK_REACH;
        for (var i = local; i < SHARE * (HEAD / 2u); i += THREADS) {
            let pair = i % (HEAD / 2u);
            let at = (query + i / (HEAD / 2u)) * QUERY_WIDTH + pair;
            let to = SHARE * HEAD + i / (HEAD / 2u) * HEAD + pair;
            let r = rotation(by, pair, HEAD / 2u);
            source[to] = queries[at] * r.x + queries[at + HEAD / 2u] * r.y;
            source[to + HEAD / 2u] = queries[at + HEAD / 2u] * r.x - queries[at] * r.y;
        }
    }
#endif
    workgroupBarrier();
    var gate = vec2<f32>();
    if GATED { gate = keys[((first + rows - 1u) * KEY_WIDTH + G_OFFSET) / 4u].xy; }
    var sum = array<vec4<f32>, 8>();
    var total = array<f32, 8>();
    var highest = array<f32, 8>();
    for (var q = 0u; q < SHARE; q++) { highest[q] = -3.0e38; }
    for (var start = begin; start < end; start += THREADS) {
        let j = start + local;
        var t = array<f32, 8>();
        if j < end {
#ifdef RING
            let of_key = select(0u, SHARE * HEAD, SINK_REACH > 0u && row_of_key(j) >= ring_rows);
#else
            let of_key = 0u;
#endif
            for (var c = 0u; c < HEAD / 4u; c++) {
                let x = keys[(first + row_of_key(j)) * (KEY_WIDTH / 4u) + c];
                for (var q = 0u; q < SHARE; q++) {
                    let i = of_key + q * HEAD + c * 4u;
                    t[q] += dot(x, vec4<f32>(source[i], source[i + 1u], source[i + 2u], source[i + 3u]));
                }
            }
        }
#ifdef SOFTMAX
        for (var q = 0u; q < SHARE; q++) {
            let w = select(-3.0e38, SCALE * t[q], j < end);
            totals[local] = w;
            for (var step = THREADS / 2u; step > 0u; step = step / 2u) {
                workgroupBarrier();
                if local < step { totals[local] = max(totals[local], totals[local + step]); }
            }
            workgroupBarrier();
            let high = max(highest[q], totals[0]);
            sum[q] *= exp(highest[q] - high);
            total[q] *= exp(highest[q] - high);
            highest[q] = high;
            affinities[q * THREADS + local] = exp(w - high);
            workgroupBarrier();
        }
#else
        var fade = 0.0;
        if j < end {
            fade = 1.0;
            if GATED { fade = gate_decay(gate, keys[((first + j) * KEY_WIDTH + G_OFFSET) / 4u].xy); }
        }
        for (var q = 0u; q < SHARE; q++) { affinities[q * THREADS + local] = fade * local_affinity(t[q]); }
        workgroupBarrier();
#endif
        if part < sharing {
            for (var jj = part; jj < min(THREADS, end - start); jj += sharing) {
                let v = keys[((first + row_of_key(start + jj)) * KEY_WIDTH + V_OFFSET) / 4u + column];
                for (var q = 0u; q < SHARE; q++) {
                    let w = affinities[q * THREADS + jj];
                    sum[q] += w * v;
                    total[q] += w;
                }
            }
        }
        workgroupBarrier();
    }
    for (var q = 0u; q < SHARE; q++) {
        workgroupBarrier();
        sums[local] = sum[q];
        totals[local] = total[q];
        workgroupBarrier();
        if part == 0u {
            var all = sum[q];
            var weight = total[q];
            for (var i = 1u; i < sharing; i++) {
                all += sums[local + i * (HEAD / 4u)];
                weight += totals[local + i * (HEAD / 4u)];
            }
            let out = ((query + q) * SPLITS + group.x) * (HEAD + 4u);
            for (var c = 0u; c < 4u; c++) { parts[out + column * 4u + c] = all[c]; }
            if column == 0u {
                parts[out + HEAD] = weight;
                parts[out + HEAD + 1u] = highest[q];
            }
        }
    }
}
