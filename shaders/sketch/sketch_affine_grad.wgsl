// permutations: [VECTORS]
// Gradient of the affine sketch (SPEC §10): the net again, a tile of vectors at a time, and back through it.
//
// Ladder. Reference: kernels/sketch/sketch_affine_grad.rs. Here: a workgroup has one side of one key head of a
// share of the rows, and its part of a slab; a weight's gradient is one invocation's. Not tiled in registers yet.
// VECTORS: the vectors have a gradient too, and their norms.
#import lanes
#import head_layout
struct Params { tokens: u32, lane_base: u32, rows: u32, share: u32, first: u32 }
override X_NORMED: bool;
override ROW_TILE: u32;        // vectors of a tile, at most THREADS
override UNITS: u32;           // of the hidden layer at a time
override VECTOR_SIZE: u32;     // ROW_TILE * HEAD
override UNITS_SIZE: u32;      // ROW_TILE * UNITS
override OUTPUT_SIZE: u32;     // ROW_TILE * SIZE
override AT_ONCE: u32;         // vectors of a dispatch, from its `first` on
override WEIGHTS: u32;         // of all heads
override SLAB: u32;            // numbers of a slab: weights, then norms [2, HEADS, 4, HEAD] if there are any
const THREADS: u32 = 128u;

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> qkv: array<f32>;              // [rows, QKV_WIDTH]
@group(0) @binding(2) var<storage, read> lanes: array<Lane>;           // [lanes]
@group(0) @binding(3) var<storage, read> norms: array<f32>;            // [4, HEAD]
@group(0) @binding(4) var<storage, read> rotations: array<vec2<f32>>;  // [4 * 256, HEAD / 2]
@group(0) @binding(5) var<storage, read> w: array<f32>;                // [2, HEADS], as net_of has them
@group(0) @binding(6) var<storage, read> dsketch: array<f32>;          // [vectors, SIZE]
@group(0) @binding(7) var<storage, read_write> slabs: array<f32>;      // [shares, SLAB]
#ifdef VECTORS
@group(0) @binding(8) var<storage, read_write> dqkv: array<f32>;       // [rows, QKV_WIDTH]
#endif

var<workgroup> vector: array<f32, VECTOR_SIZE>;     // [ROW_TILE, HEAD], d = x - mean
var<workgroup> dx: array<f32, VECTOR_SIZE>;         // [ROW_TILE, HEAD]
var<workgroup> hidden: array<f32, UNITS_SIZE>;      // [ROW_TILE, UNITS]
var<workgroup> units: array<f32, UNITS_SIZE>;       // gradients of A d
var<workgroup> products: array<f32, UNITS_SIZE>;    // what units give ⟨dplain, plain⟩
var<workgroup> dplain: array<f32, OUTPUT_SIZE>;     // [ROW_TILE, SIZE]
var<workgroup> gain: array<f32, ROW_TILE>;
var<workgroup> dlog: array<f32, ROW_TILE>;          // a half where the gain may move, then its log's gradient
// Of each vector: where its projection begins, and its position; its moments, then the two means that its norm's
// gradient takes.
var<workgroup> places: array<vec2<u32>, ROW_TILE>;
var<workgroup> moments: array<vec4<f32>, ROW_TILE>;
#import head_vector
#import head_vector_backward
#import gelu_with_slope
#import affine_net

// Pair i of dx of a row, before the rotation of normed vectors.
fn dx_pair(row: u32, i: u32) -> vec2<f32> {
    let at = row * HEAD + pair_places(i);
    let d = vec2<f32>(dx[at.x], dx[at.y]);
    if X_NORMED { return normed_gradient(d, places[row].y, i, true); }
    return d;
}

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let side = group.y;
    let head = group.z;
    let net = net_of(side, head);
    let slab = group.x * SLAB;
    let slab_norms = slab + WEIGHTS + (side * HEADS + head) * 4u * HEAD;
    let own = select(KEY_WEIGHTS, QUERY_WEIGHTS, side == 0u);
    if params.first == 0u {
        for (var i = local; i < own; i += THREADS) { slabs[slab + net.mean + i] = 0.0; }
    }
    if X_NORMED && params.first == 0u {
        for (var i = local; i < 4u * HEAD; i += THREADS) { slabs[slab_norms + i] = 0.0; }
    }
    let begin = min(group.x * params.share, params.rows) * net.gains + params.first;
    let end = min(min((group.x + 1u) * params.share, params.rows) * net.gains, begin + AT_ONCE);
    for (var first = begin; first < end; first += ROW_TILE) {
        let count = min(ROW_TILE, end - first);
        workgroupBarrier();
        storageBarrier();
        if local < ROW_TILE {
            let v = min(first + local, end - 1u);
            let at = v / net.gains;
            let position = lanes[params.lane_base + at / params.tokens].position + at % params.tokens;
            let base = head_base(at, side, head * net.gains + v % net.gains);
            places[local] = vec2<u32>(base, position);
            if X_NORMED { moments[local] = vec4<f32>(head_moments(base, position), 0.0, 0.0); }
        }
        workgroupBarrier();
        for (var i = local; i < ROW_TILE * (HEAD / 2u); i += THREADS) {
            let row = i / (HEAD / 2u);
            let c = i % (HEAD / 2u);
            let at = places[row];
            var pair = raw_pair(at.x, at.y, c);
            if X_NORMED { pair = exact_pair(at.x, moments[row].xy, side, at.y, c); }
            let to = pair_places(c);
            vector[row * HEAD + to.x] = pair.x;
            vector[row * HEAD + to.y] = pair.y;
        }
        workgroupBarrier();
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
        for (var i = local; i < ROW_TILE * HEAD; i += THREADS) { vector[i] -= w[net.mean + i % HEAD]; }
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
        // What is linear: into dx, and ⟨dplain, plain⟩, which the hidden units add to.
        for (var i = local; i < ROW_TILE * HEAD; i += THREADS) {
            var sum = 0.0;
            for (var output = 0u; output < SIZE; output++) {
                sum += w[net.linear + output * HEAD + i % HEAD] * dplain[i / HEAD * SIZE + output];
            }
            dx[i] = sum;
        }
        for (var i = local; i < SIZE; i += THREADS) {
            var sum = 0.0;
            for (var row = 0u; row < count; row++) { sum += dplain[row * SIZE + i]; }
            slabs[slab + net.base + i] += sum;
        }
        for (var i = local; i < SIZE * HEAD; i += THREADS) {
            var sum = 0.0;
            for (var row = 0u; row < count; row++) {
                sum += dplain[row * SIZE + i / HEAD] * vector[row * HEAD + i % HEAD];
            }
            slabs[slab + net.linear + i] += sum;
        }
        workgroupBarrier();
        var inner = 0.0;                                   // of this invocation's row
        if local < ROW_TILE {
            for (var c = 0u; c < HEAD; c++) { inner += dx[local * HEAD + c] * vector[local * HEAD + c]; }
            for (var output = 0u; output < SIZE; output++) {
                inner += w[net.base + output] * dplain[local * SIZE + output];
            }
        }
        for (var start = 0u; start < HIDDEN; start += UNITS) {
            let here = min(UNITS, HIDDEN - start);
            workgroupBarrier();
            for (var i = local; i < ROW_TILE * here; i += THREADS) {
                let row = i / here;
                let unit = i % here;
                var sum = 0.0;
                for (var c = 0u; c < HEAD; c++) {
                    sum += w[net.up + (start + unit) * HEAD + c] * vector[row * HEAD + c];
                }
                let both = gelu_with_slope4(vec4<f32>(sum));
                var given = 0.0;
                for (var output = 0u; output < SIZE; output++) {
                    given += w[net.down + output * HIDDEN + start + unit] * dplain[row * SIZE + output];
                }
                hidden[row * UNITS + unit] = both.value.x;
                units[row * UNITS + unit] = given * both.slope.x;
                products[row * UNITS + unit] = given * both.value.x;
            }
            workgroupBarrier();
            if local < ROW_TILE {
                for (var u = 0u; u < here; u++) { inner += products[local * UNITS + u]; }
            }
            for (var i = local; i < here * HEAD; i += THREADS) {
                var sum = 0.0;
                for (var row = 0u; row < count; row++) {
                    sum += units[row * UNITS + i / HEAD] * vector[row * HEAD + i % HEAD];
                }
                slabs[slab + net.up + start * HEAD + i] += sum;
            }
            for (var i = local; i < SIZE * here; i += THREADS) {
                var sum = 0.0;
                for (var row = 0u; row < count; row++) {
                    sum += dplain[row * SIZE + i / here] * hidden[row * UNITS + i % here];
                }
                slabs[slab + net.down + i / here * HIDDEN + start + i % here] += sum;
            }
            for (var i = local; i < ROW_TILE * HEAD; i += THREADS) {
                var sum = 0.0;
                for (var u = 0u; u < here; u++) {
                    sum += w[net.up + (start + u) * HEAD + i % HEAD] * units[i / HEAD * UNITS + u];
                }
                dx[i] += sum;
            }
        }
        if local < ROW_TILE { dlog[local] *= inner; }
        workgroupBarrier();
        for (var c = local; c < HEAD; c += THREADS) {
            var sum = 0.0;
            for (var row = 0u; row < count; row++) { sum += dx[row * HEAD + c]; }
            slabs[slab + net.mean + c] -= sum;
        }
        for (var i = local; i < net.gains * HEAD; i += THREADS) {
            let mean = w[net.mean + i % HEAD];
            var sum = 0.0;
            for (var row = 0u; row < count; row++) {
                if (first + row) % net.gains == i / HEAD {
                    sum += dlog[row] * (vector[row * HEAD + i % HEAD] + mean);
                }
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
#ifdef VECTORS
        workgroupBarrier();
        for (var i = local; i < ROW_TILE * HEAD; i += THREADS) {
            let m = (first + i / HEAD) % net.gains;
            dx[i] += dlog[i / HEAD] * w[net.tilt + m * HEAD + i % HEAD];
        }
        workgroupBarrier();
        if X_NORMED && local < count {
            let at = places[local];
            var g_sum = 0.0;
            var gx_sum = 0.0;
            for (var i = 0u; i < HEAD / 2u; i++) {
                let g = dx_pair(local, i) * norm_weights(side, i, true);
                g_sum += g.x + g.y;
                gx_sum += dot(g, standard_pair(at.x, moments[local].xy, at.y, i, true));
            }
            let level = select(0.0, g_sum, NORM_CENTRED) / f32(HEAD);
            moments[local] = vec4<f32>(moments[local].xy, level, gx_sum / f32(HEAD));
        }
        workgroupBarrier();
        // With norms an invocation keeps its columns: nothing is added by two.
        let across = select(count * (HEAD / 2u), HEAD / 2u, X_NORMED);
        for (var item = local; item < across; item += THREADS) {
            let i = item % (HEAD / 2u);
            let to = raw_places(i, X_NORMED);
            let rows = select(1u, count, X_NORMED);
            for (var t = item / (HEAD / 2u); t < item / (HEAD / 2u) + rows; t++) {
                let at = places[t];
                var d = dx_pair(t, i);
                if X_NORMED {
                    let m = moments[t];
                    let x = standard_pair(at.x, m.xy, at.y, i, true);
                    let norm = slab_norms + norm_row(side) * HEAD + normed_places(i, true);
                    slabs[norm.x] += d.x * x.x;
                    slabs[norm.y] += d.y * x.y;
                    slabs[norm.x + HEAD] += d.x;
                    slabs[norm.y + HEAD] += d.y;
                    d = m.y * (d * norm_weights(side, i, true) - m.z - x * m.w);
                }
                if ROPE == 1u { d = turn_back(d, at.y, i); }
                dqkv[at.x + to.x] += d.x;
                dqkv[at.x + to.y] += d.y;
            }
        }
#endif
    }
}
