// s(x) = e^{γ(x) / 2} (c + W d + B gelu(A d)), d = x - mean, γ = α + ⟨u, x⟩ (SPEC §10): queries and keys of each key
// head by weights of their own.
//
// Ladder. Reference: kernels/sketch/sketch_affine.rs. Here: a workgroup has a tile of vectors of one side of one head
// in its memory, an invocation an output at a time. Not tiled in registers yet.
#import lanes
#import head_layout
struct Params { tokens: u32, lane_base: u32, lanes: u32 }
override X_NORMED: bool;
override VECTOR_SIZE: u32;     // ROW_TILE * HEAD
override HIDDEN_SIZE: u32;     // ROW_TILE * HIDDEN
const THREADS: u32 = 128u;
const ROW_TILE: u32 = 32u;

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> qkv: array<f32>;              // [rows, QKV_WIDTH]
@group(0) @binding(2) var<storage, read> lanes: array<Lane>;           // [lanes]
@group(0) @binding(3) var<storage, read> norms: array<f32>;            // [4, HEAD]
@group(0) @binding(4) var<storage, read> rotations: array<vec2<f32>>;  // [4 * 256, HEAD / 2]
@group(0) @binding(5) var<storage, read> w: array<f32>;                // [2, HEADS], as net_of has them
@group(0) @binding(6) var<storage, read_write> sketch: array<f32>;     // [vectors, SIZE]

var<workgroup> vector: array<f32, VECTOR_SIZE>;     // [ROW_TILE, HEAD]
var<workgroup> hidden: array<f32, HIDDEN_SIZE>;     // [ROW_TILE, HIDDEN]
var<workgroup> gain: array<f32, ROW_TILE>;
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
    for (var i = local; i < ROW_TILE * (HEAD / 2u); i += THREADS) {
        let row = i / (HEAD / 2u);
        let c = i % (HEAD / 2u);
        let v = min(first + row, vectors - 1u);
        let token = v / net.gains;
        let base = head_base(lane * params.tokens + token, side, head * net.gains + v % net.gains);
        var pair = raw_pair(base, position + token, c);
        if X_NORMED {
            pair = exact_pair(base, head_moments(base, position + token), side, position + token, c);
        }
        let to = pair_places(c);
        vector[row * HEAD + to.x] = pair.x;
        vector[row * HEAD + to.y] = pair.y;
    }
    workgroupBarrier();
    for (var i = local; i < ROW_TILE * HIDDEN; i += THREADS) {
        let row = i / HIDDEN;
        let unit = i % HIDDEN;
        var sum = 0.0;
        for (var c = 0u; c < HEAD; c++) {
            sum += w[net.up + unit * HEAD + c] * (vector[row * HEAD + c] - w[net.mean + c]);
        }
        hidden[i] = gelu4(vec4<f32>(sum)).x;
    }
    for (var row = local; row < ROW_TILE; row += THREADS) {
        let m = min(first + row, vectors - 1u) % net.gains;
        var log_gain = w[net.level + m];
        for (var c = 0u; c < HEAD; c++) { log_gain += w[net.tilt + m * HEAD + c] * vector[row * HEAD + c]; }
        gain[row] = exp(0.5 * clamp(log_gain, -MOST_GAIN, MOST_GAIN));
    }
    workgroupBarrier();
    for (var i = local; i < ROW_TILE * SIZE; i += THREADS) {
        let row = i / SIZE;
        let output = i % SIZE;
        if first + row < vectors {
            var sum = w[net.base + output];
            for (var c = 0u; c < HEAD; c++) {
                sum += w[net.linear + output * HEAD + c] * (vector[row * HEAD + c] - w[net.mean + c]);
            }
            for (var u = 0u; u < HIDDEN; u++) {
                sum += w[net.down + output * HIDDEN + u] * hidden[row * HIDDEN + u];
            }
            let keys = params.lanes * HEADS * params.tokens * GROUP;
            let at = group.z * vectors + first + row + select(keys, 0u, side == 0u);
            sketch[at * SIZE + output] = gain[row] * sum;
        }
    }
}
