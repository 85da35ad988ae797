// permutations: [VECTORS]
// Gradient of the affine sketch (SPEC §10): the net again, a tile of vectors at a time, and back through it.
//
// Ladder. Reference: kernels/sketch/sketch_affine_grad.rs. Here: a workgroup has one side of one key head of a share of
// the rows, and its part of a slab; a weight's gradient is one invocation's. Not tiled in registers yet.
// VECTORS: the vectors have a gradient too.
#import lanes
#import head_layout
struct Params { tokens: u32, lane_base: u32, rows: u32, share: u32 }
override X_NORMED: bool;
override VECTOR_SIZE: u32;     // ROW_TILE * HEAD
override HIDDEN_SIZE: u32;     // ROW_TILE * HIDDEN
override SIZE_SIZE: u32;       // ROW_TILE * SIZE
override WEIGHTS: u32;         // of all heads
const THREADS: u32 = 128u;
const ROW_TILE: u32 = 16u;

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> qkv: array<f32>;              // [rows, QKV_WIDTH]
@group(0) @binding(2) var<storage, read> lanes: array<Lane>;           // [lanes]
@group(0) @binding(3) var<storage, read> norms: array<f32>;            // [4, HEAD]
@group(0) @binding(4) var<storage, read> rotations: array<vec2<f32>>;  // [4 * 256, HEAD / 2]
@group(0) @binding(5) var<storage, read> w: array<f32>;                // [2, HEADS], as net_of has them
@group(0) @binding(6) var<storage, read> dsketch: array<f32>;          // [vectors, SIZE]
@group(0) @binding(7) var<storage, read_write> slabs: array<f32>;      // [shares, WEIGHTS + 4 * HEAD]
#ifdef VECTORS
@group(0) @binding(8) var<storage, read_write> dqkv: array<f32>;       // [rows, QKV_WIDTH]
#endif

var<workgroup> vector: array<f32, VECTOR_SIZE>;     // [ROW_TILE, HEAD]
var<workgroup> hidden: array<f32, HIDDEN_SIZE>;     // [ROW_TILE, HIDDEN]
var<workgroup> units: array<f32, HIDDEN_SIZE>;      // slopes, then gradients of A d
var<workgroup> dplain: array<f32, SIZE_SIZE>;       // [ROW_TILE, SIZE]
var<workgroup> gain: array<f32, ROW_TILE>;
var<workgroup> dlog: array<f32, ROW_TILE>;
#import head_vector
#import gelu_with_slope
#import affine_net

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let side = group.y;
    let head = group.z;
    let net = net_of(side, head);
    let slab = group.x * (WEIGHTS + 4u * HEAD);
    let own = select(KEY_WEIGHTS, QUERY_WEIGHTS, side == 0u);
    for (var i = local; i < own; i += THREADS) { slabs[slab + net.mean + i] = 0.0; }
    for (var i = local; i < 4u * HEAD; i += THREADS) {
        if side == 0u && head == 0u { slabs[slab + WEIGHTS + i] = 0.0; }
    }
    let begin = min(group.x * params.share, params.rows) * net.gains;
    let end = min((group.x + 1u) * params.share, params.rows) * net.gains;
    for (var first = begin; first < end; first += ROW_TILE) {
        let count = min(ROW_TILE, end - first);
        workgroupBarrier();
        storageBarrier();
        for (var i = local; i < ROW_TILE * (HEAD / 2u); i += THREADS) {
            let row = i / (HEAD / 2u);
            let c = i % (HEAD / 2u);
            let v = min(first + row, end - 1u);
            let at = v / net.gains;
            let position = lanes[params.lane_base + at / params.tokens].position + at % params.tokens;
            let base = head_base(at, side, head * net.gains + v % net.gains);
            var pair = raw_pair(base, position, c);
            if X_NORMED { pair = exact_pair(base, head_moments(base, position), side, position, c); }
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
            let both = gelu_with_slope4(vec4<f32>(sum));
            hidden[i] = both.value.x;
            units[i] = both.slope.x;
        }
        for (var row = local; row < ROW_TILE; row += THREADS) {
            let m = min(first + row, end - 1u) % net.gains;
            var log_gain = w[net.level + m];
            for (var c = 0u; c < HEAD; c++) {
                log_gain += w[net.tilt + m * HEAD + c] * vector[row * HEAD + c];
            }
            let within = log_gain > -MOST_GAIN && log_gain < MOST_GAIN;
            gain[row] = exp(0.5 * clamp(log_gain, -MOST_GAIN, MOST_GAIN));
            dlog[row] = select(0.0, 0.5, within);
        }
        workgroupBarrier();
        for (var i = local; i < ROW_TILE * SIZE; i += THREADS) {
            let row = i / SIZE;
            let v = min(first + row, end - 1u);
            let at = v / net.gains;
            let of_head = (at / params.tokens * HEADS + head) * params.tokens + at % params.tokens;
            var place = of_head * GROUP + v % net.gains;
            if side == 1u { place = params.rows * HEADS * GROUP + of_head; }
            dplain[i] = select(0.0, gain[row] * dsketch[place * SIZE + i % SIZE], row < count);
        }
        workgroupBarrier();
        for (var row = local; row < ROW_TILE; row += THREADS) {
            var inner = 0.0;
            for (var output = 0u; output < SIZE; output++) {
                var plain = w[net.base + output];
                for (var c = 0u; c < HEAD; c++) {
                    plain += w[net.linear + output * HEAD + c] * (vector[row * HEAD + c] - w[net.mean + c]);
                }
                for (var u = 0u; u < HIDDEN; u++) {
                    plain += w[net.down + output * HIDDEN + u] * hidden[row * HIDDEN + u];
                }
                inner += plain * dplain[row * SIZE + output];
            }
            dlog[row] *= inner;
        }
        for (var i = local; i < ROW_TILE * HIDDEN; i += THREADS) {
            let row = i / HIDDEN;
            var sum = 0.0;
            for (var output = 0u; output < SIZE; output++) {
                sum += w[net.down + output * HIDDEN + i % HIDDEN] * dplain[row * SIZE + output];
            }
            units[i] *= sum;
        }
        workgroupBarrier();
        for (var i = local; i < SIZE; i += THREADS) {
            var sum = 0.0;
            for (var row = 0u; row < count; row++) { sum += dplain[row * SIZE + i]; }
            slabs[slab + net.base + i] += sum;
        }
        for (var i = local; i < SIZE * HEAD; i += THREADS) {
            let c = i % HEAD;
            var sum = 0.0;
            for (var row = 0u; row < count; row++) {
                sum += dplain[row * SIZE + i / HEAD] * (vector[row * HEAD + c] - w[net.mean + c]);
            }
            slabs[slab + net.linear + i] += sum;
        }
        for (var i = local; i < HIDDEN * HEAD; i += THREADS) {
            let c = i % HEAD;
            var sum = 0.0;
            for (var row = 0u; row < count; row++) {
                sum += units[row * HIDDEN + i / HEAD] * (vector[row * HEAD + c] - w[net.mean + c]);
            }
            slabs[slab + net.up + i] += sum;
        }
        for (var i = local; i < SIZE * HIDDEN; i += THREADS) {
            var sum = 0.0;
            for (var row = 0u; row < count; row++) {
                sum += dplain[row * SIZE + i / HIDDEN] * hidden[row * HIDDEN + i % HIDDEN];
            }
            slabs[slab + net.down + i] += sum;
        }
        for (var i = local; i < net.gains * HEAD; i += THREADS) {
            var sum = 0.0;
            for (var row = 0u; row < count; row++) {
                if (first + row) % net.gains == i / HEAD { sum += dlog[row] * vector[row * HEAD + i % HEAD]; }
            }
            slabs[slab + net.tilt + i] += sum;
        }
        for (var i = local; i < net.gains; i += THREADS) {
            var sum = 0.0;
            for (var row = 0u; row < count; row++) {
                if (first + row) % net.gains == i { sum += dlog[row]; }
            }
            slabs[slab + net.level + i] += sum;
        }
        workgroupBarrier();
        // dx, in the place of x.
        for (var i = local; i < ROW_TILE * HEAD; i += THREADS) {
            let row = i / HEAD;
            let c = i % HEAD;
            var sum = 0.0;
            for (var output = 0u; output < SIZE; output++) {
                sum += w[net.linear + output * HEAD + c] * dplain[row * SIZE + output];
            }
            for (var u = 0u; u < HIDDEN; u++) {
                sum += w[net.up + u * HEAD + c] * units[row * HIDDEN + u];
            }
            vector[i] = sum;
        }
        workgroupBarrier();
        for (var c = local; c < HEAD; c += THREADS) {
            var sum = 0.0;
            for (var row = 0u; row < count; row++) { sum += vector[row * HEAD + c]; }
            slabs[slab + net.mean + c] -= sum;
        }
#ifdef VECTORS
        workgroupBarrier();
        for (var i = local; i < ROW_TILE * (HEAD / 2u); i += THREADS) {
            let row = i / (HEAD / 2u);
            let c = i % (HEAD / 2u);
            if row < count {
                let v = first + row;
                let at = v / net.gains;
                let position = lanes[params.lane_base + at / params.tokens].position + at % params.tokens;
                let base = head_base(at, side, head * net.gains + v % net.gains);
                let to = pair_places(c);
                let m = v % net.gains;
                let d = vec2<f32>(vector[row * HEAD + to.x], vector[row * HEAD + to.y]) +
                    dlog[row] * vec2<f32>(w[net.tilt + m * HEAD + to.x], w[net.tilt + m * HEAD + to.y]);
                dqkv[base + to.x] += d.x;
                dqkv[base + to.y] += d.y;
                _ = position;
            }
        }
#endif
    }
}
