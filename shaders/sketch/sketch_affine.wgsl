// s(x) = e^{γ(x) / 2} (c + W d + B gelu(A d)), d = x - mean, γ = α + ⟨u, x⟩ (SPEC §10): queries and keys of
// each key head by weights of their own. Of few vectors: a workgroup has those of one side of one head in its
// memory, an invocation an output at a time, so that many share the little there is to do. The ladder is in
// sketch_affine_tile.wgsl.
#import lanes
#import head_layout
struct Params { tokens: u32, lane_base: u32, lanes: u32 }
override X_NORMED: bool;
override ROW_TILE: u32;        // vectors of a workgroup, at most THREADS
override UNITS: u32;           // of the hidden layer at a time
override VECTOR_SIZE: u32;     // ROW_TILE * HEAD
override UNITS_SIZE: u32;      // ROW_TILE * UNITS
override OUTPUT_SIZE: u32;     // ROW_TILE * SIZE
const THREADS: u32 = 128u;

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> qkv: array<f32>;              // [rows, QKV_WIDTH]
@group(0) @binding(2) var<storage, read> lanes: array<Lane>;           // [lanes]
@group(0) @binding(3) var<storage, read> norms: array<f32>;            // [4, HEAD]
@group(0) @binding(4) var<storage, read> rotations: array<vec2<f32>>;  // [4 * 256, HEAD / 2]
@group(0) @binding(5) var<storage, read> w: array<f32>;                // [2, HEADS], as net_of has them
@group(0) @binding(6) var<storage, read_write> sketch: array<f32>;     // [vectors, SIZE]

var<workgroup> vector: array<f32, VECTOR_SIZE>;     // [ROW_TILE, HEAD]
var<workgroup> hidden: array<f32, UNITS_SIZE>;      // [ROW_TILE, UNITS]
var<workgroup> outputs: array<f32, OUTPUT_SIZE>;    // [ROW_TILE, SIZE]
var<workgroup> gain: array<f32, ROW_TILE>;
var<workgroup> moments: array<vec2<f32>, ROW_TILE>;
#import head_vector
#import gelu
#import affine_net

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let side = group.y;
    let lane = group.z / HEADS;
    let head = group.z % HEADS;
    let net = net_of(side, head);
    let vectors = params.tokens * net.gains;
    let first = group.x * ROW_TILE;
    if first >= vectors { return; }
    let position = lanes[params.lane_base + lane].position;
    if X_NORMED && local < ROW_TILE {
        let v = min(first + local, vectors - 1u);
        let token = v / net.gains;
        let base = head_base(lane * params.tokens + token, side, head * net.gains + v % net.gains);
        moments[local] = head_moments(base, position + token);
    }
    workgroupBarrier();
    for (var i = local; i < ROW_TILE * (HEAD / 2u); i += THREADS) {
        let row = i / (HEAD / 2u);
        let c = i % (HEAD / 2u);
        let v = min(first + row, vectors - 1u);
        let token = v / net.gains;
        let base = head_base(lane * params.tokens + token, side, head * net.gains + v % net.gains);
        var pair = raw_pair(base, position + token, c);
        if X_NORMED { pair = exact_pair(base, moments[row], side, position + token, c); }
        let to = pair_places(c);
        vector[row * HEAD + to.x] = pair.x;
        vector[row * HEAD + to.y] = pair.y;
    }
    workgroupBarrier();
    for (var row = local; row < ROW_TILE; row += THREADS) {
        let m = min(first + row, vectors - 1u) % net.gains;
        var log_gain = w[net.level + m];
        for (var c = 0u; c < HEAD; c++) { log_gain += w[net.tilt + m * HEAD + c] * vector[row * HEAD + c]; }
        gain[row] = exp(0.5 * clamp(log_gain, -MOST_GAIN, MOST_GAIN));
    }
    workgroupBarrier();
    for (var i = local; i < ROW_TILE * HEAD; i += THREADS) { vector[i] -= w[net.mean + i % HEAD]; }
    workgroupBarrier();
    // An invocation keeps its outputs.
    for (var i = local; i < ROW_TILE * SIZE; i += THREADS) {
        let output = i % SIZE;
        var sum = w[net.base + output];
        for (var c = 0u; c < HEAD; c++) {
            sum += w[net.linear + output * HEAD + c] * vector[i / SIZE * HEAD + c];
        }
        outputs[i] = sum;
    }
    for (var start = 0u; start < HIDDEN; start += UNITS) {
        let units = min(UNITS, HIDDEN - start);
        for (var i = local; i < ROW_TILE * units; i += THREADS) {
            let row = i / units;
            let unit = i % units;
            var sum = 0.0;
            for (var c = 0u; c < HEAD; c++) {
                sum += w[net.up + (start + unit) * HEAD + c] * vector[row * HEAD + c];
            }
            hidden[row * UNITS + unit] = gelu4(vec4<f32>(sum)).x;
        }
        workgroupBarrier();
        for (var i = local; i < ROW_TILE * SIZE; i += THREADS) {
            let down = net.down + i % SIZE * HIDDEN + start;
            var sum = 0.0;
            for (var u = 0u; u < units; u++) { sum += w[down + u] * hidden[i / SIZE * UNITS + u]; }
            outputs[i] += sum;
        }
        workgroupBarrier();
    }
    let keys = params.lanes * HEADS * params.tokens * GROUP;
    let to = (group.z * vectors + first + select(keys, 0u, side == 0u)) * SIZE;
    for (var i = local; i < min(ROW_TILE, vectors - first) * SIZE; i += THREADS) {
        sketch[to + i] = gain[i / SIZE] * outputs[i];
    }
}
