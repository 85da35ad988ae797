// permutations: [TAYLOR|PARTS]
// One token a lane against the constant state: the ring's rows exactly, everything before through Zᵀφ(q)
// (SPEC §1). PARTS: only the latter, joined with what attention_dense_decode made of the keys that are near, in
// place of a dispatch for N and one that adds (estimates of docs/GAUGE.md for SmolLM2-135M's shape, NVIDIA | AMD |
// Apple | Adreno: 14.5 | 12.8 | 25.6 | 76 -> 11.3 | 10.0 | 19.8 | 57 us). A workgroup takes SHARE queries of a (lane,
// key head): it reads the state once for them, which is the floor of a decoding step.
#import lanes
#import gate_sum
#import head_layout
struct Params { lane_base: u32 }
override LOCAL: u32;           // width of the vector that affinities read
override LOCAL_OFFSET: u32;    // its column in query and key rows
override BIAS: f32;            // β
override SHARE: u32;           // queries of a workgroup, at most 8
override QUERY_NUMBERS: u32;   // SHARE * QUERY_WIDTH
override AFFINITIES: u32;      // SHARE * THREADS
override SPLITS: u32;          // parts of a query
const THREADS: u32 = 256u;

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> queries: array<f32>;        // [lanes, HEADS, 1, GROUP, QUERY_WIDTH]
@group(0) @binding(2) var<storage, read> ring: array<vec4<f32>>;     // [slots, HEADS, ring rows, KEY_WIDTH]
@group(0) @binding(3) var<storage, read> lanes: array<Lane>;         // [lanes]
@group(0) @binding(4) var<storage, read> table: array<u32>;          // [2 * FEATURES]
@group(0) @binding(5) var<storage, read> state: array<vec4<f32>>;    // [slots, HEADS, STATE]
#ifdef PARTS
@group(0) @binding(6) var<storage, read> parts: array<vec4<f32>>;    // [lanes, HEADS * GROUP, SPLITS, HEAD + 4]
@group(0) @binding(7) var<storage, read_write> o: array<vec4<f32>>;  // [lanes, HEADS * GROUP * HEAD]
#else
@group(0) @binding(6) var<storage, read_write> o: array<vec4<f32>>;
#endif

var<workgroup> source: array<f32, QUERY_NUMBERS>;
var<workgroup> affinities: array<f32, AFFINITIES>;  // [SHARE, THREADS]
var<workgroup> sums: array<vec4<f32>, THREADS>;
var<workgroup> totals: array<f32, THREADS>;
#import feature_rows
#import local_affinity

#ifdef PARTS
// The largest score of the near parts of query q of the workgroup.
fn highest_of(q: u32) -> f32 {
    var highest = -3.0e38;
    for (var s = 0u; s < SPLITS; s++) { highest = max(highest, affinities[2u * (q * SPLITS + s) + 1u]); }
    return highest;
}
#endif

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let lane = lanes[params.lane_base + group.x / HEADS];
    let slot_head = lane.slot * HEADS + group.x % HEADS;
    let ring_first = slot_head * (NEAR * BLOCK + SINKS);
    let own = lane.position % (NEAR * BLOCK);              // the token's own row is already there
    let first = ring_first + own / BLOCK * BLOCK;          // row of its block's first token
#ifdef PARTS
    let rows = 0u;
#else
    let rows = own % BLOCK + 1u;
#endif
    let column = local % (HEAD / 4u);
    let part = local / (HEAD / 4u);
    let sharing = THREADS / (HEAD / 4u);                   // invocations that share four columns
    let query = group.x * GROUP + group.y * SHARE;
    var sum = array<vec4<f32>, 8>();
    var total = array<f32, 8>();
    var decay = 1.0;
    var gate = vec2<f32>();
    if GATED {
        gate = ring[((ring_first + own) * KEY_WIDTH + G_OFFSET) / 4u].xy;
        decay = gate_decay(gate, vec2<f32>());
        // Blocks between its own and the state.
        for (var i = 1u; i < NEAR; i++) {
            let other = (own / BLOCK + i) % NEAR;
            if lane.position >= NEAR * BLOCK {
                let last = ring[((ring_first + (other + 1u) * BLOCK - 1u) * KEY_WIDTH + G_OFFSET) / 4u].xy;
                decay *= gate_decay(last, vec2<f32>());
            }
        }
    }
    for (var i = local; i < SHARE * LOCAL; i += THREADS) {
        source[i] = queries[(query + i / LOCAL) * QUERY_WIDTH + LOCAL_OFFSET + i % LOCAL];
    }
    workgroupBarrier();
    for (var start = 0u; start < rows; start += THREADS) {
        let j = start + local;
        var t = array<f32, 8>();
        var fade = 0.0;
        if j < rows {
            let key = ((first + j) * KEY_WIDTH + LOCAL_OFFSET) / 4u;
            for (var c = 0u; c < LOCAL / 4u; c++) {
                let x = ring[key + c];
                for (var q = 0u; q < SHARE; q++) {
                    let i = q * LOCAL + c * 4u;
                    t[q] += dot(x, vec4<f32>(source[i], source[i + 1u], source[i + 2u], source[i + 3u]));
                }
            }
            fade = 1.0;
            if GATED { fade = gate_decay(gate, ring[((first + j) * KEY_WIDTH + G_OFFSET) / 4u].xy); }
        }
        for (var q = 0u; q < SHARE; q++) { affinities[q * THREADS + local] = fade * local_affinity(t[q]); }
        workgroupBarrier();
        if part < sharing {
            for (var jj = part; jj < min(THREADS, rows - start); jj += sharing) {
                let v = ring[((first + start + jj) * KEY_WIDTH + V_OFFSET) / 4u + column];
                for (var q = 0u; q < SHARE; q++) {
                    let w = affinities[q * THREADS + jj];
                    sum[q] += w * v;
                    total[q] += w;
                }
            }
        }
        workgroupBarrier();
    }
    // The far part is zero in the first blocks of a text.
    if lane.position >= NEAR * BLOCK {
        for (var i = local; i < SHARE * SOURCE; i += THREADS) {
            source[i] = queries[(query + i / SOURCE) * QUERY_WIDTH + SOURCE_OFFSET + i % SOURCE];
        }
        workgroupBarrier();
        let z = slot_head * FEATURES * (HEAD + 1u);
        if part < sharing {
            for (var f = part; f < FEATURES; f += sharing) {
                let packed = table[f];
                let z_f = state[(z + f * HEAD) / 4u + column];
                let z_total = state[(z + FEATURES * HEAD + f) / 4u][f % 4u];
                for (var q = 0u; q < SHARE; q++) {
                    let p = decay * feature(q, packed);
                    sum[q] += p * z_f;
                    total[q] += p * z_total;
                }
            }
        }
    }
#ifdef PARTS
    // Total and largest score of the near parts; then an invocation joins some of them with its share of the far
    // part, which counts e^{-m}.
    for (var i = local; i < SHARE * SPLITS; i += THREADS) {
        let scores = parts[(query * SPLITS + i) * (HEAD / 4u + 1u) + HEAD / 4u];
        affinities[2u * i] = scores.x;
        affinities[2u * i + 1u] = scores.y;
    }
    workgroupBarrier();
    if part < sharing {
        for (var q = 0u; q < SHARE; q++) {
            let highest = highest_of(q);
            let share = exp(min(-highest, 80.0));
            sum[q] *= share;
            total[q] *= share;
            for (var s = part; s < SPLITS; s += sharing) {
                let i = q * SPLITS + s;
                let scale = exp(affinities[2u * i + 1u] - highest);
                sum[q] += scale * parts[(query * SPLITS + i) * (HEAD / 4u + 1u) + column];
                total[q] += scale * affinities[2u * i];
            }
        }
    }
#endif
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
            o[(query + q) * (HEAD / 4u) + column] = all / (BIAS + weight);
        }
    }
}
