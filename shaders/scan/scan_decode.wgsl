// permutations: [TAYLOR]
// One token a lane against the constant state: the ring's rows exactly, everything before through Zᵀφ(q)
// (SPEC §1). One workgroup a (lane, head): it reads the state once, which is the floor of a decoding step.
#import lanes
#import gate_sum
#import head_layout
struct Params { lane_base: u32 }
override LOCAL: u32;           // width of the vector that affinities read
override LOCAL_OFFSET: u32;    // its column in query and key rows
override BIAS: f32;            // β
const THREADS: u32 = 256u;

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> queries: array<f32>;        // [lanes, HEADS, 1, QUERY_WIDTH]
@group(0) @binding(2) var<storage, read> ring: array<vec4<f32>>;     // [slots, HEADS, BLOCK, KEY_WIDTH]
@group(0) @binding(3) var<storage, read> lanes: array<Lane>;         // [lanes]
@group(0) @binding(4) var<storage, read> table: array<u32>;          // [2 * FEATURES]
@group(0) @binding(5) var<storage, read> state: array<vec4<f32>>;    // [slots, HEADS, STATE]
@group(0) @binding(6) var<storage, read_write> o: array<vec4<f32>>;  // [lanes, HEADS * HEAD]

var<workgroup> source: array<f32, QUERY_WIDTH>;
var<workgroup> affinities: array<f32, THREADS>;
var<workgroup> sums: array<vec4<f32>, THREADS>;
var<workgroup> totals: array<f32, THREADS>;
#import feature_rows
#import local_affinity

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let lane = lanes[params.lane_base + group.x / HEADS];
    let slot_head = lane.slot * HEADS + group.x % HEADS;
    let rows = lane.ring % BLOCK + 1u;                     // the token's own row is already there
    let first = slot_head * BLOCK;
    let column = local % (HEAD / 4u);
    let part = local / (HEAD / 4u);
    let sharing = THREADS / (HEAD / 4u);                   // invocations that share four columns
    var sum = vec4<f32>();
    var total = 0.0;
    var decay = 1.0;
    var gate = vec2<f32>();
    if GATED {
        gate = ring[((first + rows - 1u) * KEY_WIDTH + G_OFFSET) / 4u].xy;
        decay = gate_decay(gate, vec2<f32>());
    }
    for (var i = local; i < LOCAL; i += THREADS) {
        source[i] = queries[group.x * QUERY_WIDTH + LOCAL_OFFSET + i];
    }
    workgroupBarrier();
    for (var start = 0u; start < rows; start += THREADS) {
        let j = start + local;
        var w = 0.0;
        if j < rows {
            var t = 0.0;
            let key = ((first + j) * KEY_WIDTH + LOCAL_OFFSET) / 4u;
            for (var c = 0u; c < LOCAL / 4u; c++) {
                let i = c * 4u;
                t += dot(ring[key + c], vec4<f32>(source[i], source[i + 1u], source[i + 2u], source[i + 3u]));
            }
            w = local_affinity(t);
            if GATED {
                w *= gate_decay(gate, ring[((first + j) * KEY_WIDTH + G_OFFSET) / 4u].xy);
            }
        }
        affinities[local] = w;
        workgroupBarrier();
        if part < sharing {
            for (var jj = part; jj < min(THREADS, rows - start); jj += sharing) {
                sum += affinities[jj] * ring[((first + start + jj) * KEY_WIDTH + V_OFFSET) / 4u + column];
                total += affinities[jj];
            }
        }
        workgroupBarrier();
    }
    // The far part is zero in the first block of a text.
    if lane.position >= BLOCK {
        for (var i = local; i < SOURCE; i += THREADS) {
            source[i] = queries[group.x * QUERY_WIDTH + SOURCE_OFFSET + i];
        }
        workgroupBarrier();
        let z = slot_head * FEATURES * (HEAD + 1u);
        if part < sharing {
            for (var f = part; f < FEATURES; f += sharing) {
                let p = decay * feature(0u, table[f]);
                sum += p * state[(z + f * HEAD) / 4u + column];
                total += p * state[(z + FEATURES * HEAD + f) / 4u][f % 4u];
            }
        }
    }
    sums[local] = sum;
    totals[local] = total;
    workgroupBarrier();
    if part == 0u {
        for (var i = 1u; i < sharing; i++) {
            sum += sums[local + i * (HEAD / 4u)];
            total += totals[local + i * (HEAD / 4u)];
        }
        o[group.x * (HEAD / 4u) + column] = sum / (BIAS + total);
    }
}
