// permutations: [VECTORS]
// Gradient of the affine sketch (SPEC §10): the net again, a tile of vectors at a time, and back through it.
// VECTORS: the vectors have a gradient too, and their norms.
//
// Ladder. Reference: kernels/sketch/sketch_affine_grad.rs. An invocation a number of each product: a
// multiply-add loads two words; by the gauge 5 % of the inner loop's instructions are multiply-adds. Here:
// a workgroup has one side of one key head of a share of the rows, and its part of a slab; activations of
// ROW_TILE vectors lie in its memory, four vectors side by side, weights come from buffers, which caches
// hold, and each product goes through registers in blocks of 4 x 4. Not measured on a real GPU yet.
#import lanes
#import head_layout
// Outputs are SIZE: a bound that compilers know makes them write loops out until registers no longer suffice.
struct Params { tokens: u32, lane_base: u32, rows: u32, share: u32, first: u32, outputs: u32 }
override X_NORMED: bool;
override ROW_TILE: u32;        // vectors of a tile, a multiple of 4, at most THREADS
override UNITS: u32;           // of the hidden layer at a time, a multiple of 4
override VECTOR_SIZE: u32;     // ROW_TILE / 4 * HEAD
override UNITS_SIZE: u32;      // ROW_TILE / 4 * UNITS
override OUTPUT_SIZE: u32;     // ROW_TILE / 4 * SIZE
override PARTS_SIZE: u32;      // ROW_TILE / 4 * max(HEAD, UNITS) / 4
override AT_ONCE: u32;         // vectors of a dispatch, from its `first` on
override WEIGHTS: u32;         // of all heads
override SLAB: u32;            // numbers of a slab: weights, then norms [2, HEADS, 4, HEAD] if there are any
const THREADS: u32 = 64u;

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> qkv: array<f32>;              // [rows, QKV_WIDTH]
@group(0) @binding(2) var<storage, read> lanes: array<Lane>;           // [lanes]
@group(0) @binding(3) var<storage, read> norms: array<f32>;            // [4, HEAD]
@group(0) @binding(4) var<storage, read> rotations: array<vec2<f32>>;  // [4 * 256, HEAD / 2]
@group(0) @binding(5) var<storage, read> w: array<vec4<f32>>;          // [2, HEADS], as net_of has them
@group(0) @binding(6) var<storage, read> dsketch: array<vec4<f32>>;    // [vectors, SIZE]
@group(0) @binding(7) var<storage, read_write> slabs: array<f32>;      // [shares, SLAB]
#ifdef VECTORS
@group(0) @binding(8) var<storage, read_write> dqkv: array<f32>;       // [rows, QKV_WIDTH]
#endif

// Columns of ROW_TILE / 4 blocks of four vectors.
var<workgroup> vector: array<vec4<f32>, VECTOR_SIZE>;   // [HEAD]: x, then d = x - mean
var<workgroup> dx: array<vec4<f32>, VECTOR_SIZE>;       // [HEAD]
var<workgroup> hidden: array<vec4<f32>, UNITS_SIZE>;    // [UNITS]
var<workgroup> units: array<vec4<f32>, UNITS_SIZE>;     // [UNITS], gradients of A d
var<workgroup> dplain: array<vec4<f32>, OUTPUT_SIZE>;   // [SIZE]
var<workgroup> inner_parts: array<vec4<f32>, PARTS_SIZE>; // what four of them give ⟨dplain, plain⟩
var<workgroup> gain: array<f32, ROW_TILE>;
var<workgroup> dlog: array<f32, ROW_TILE>;          // a half where the gain may move, then its log's gradient
// Of each vector: where its projection begins, its position, its row in the sketch; its moments, then the two
// means that its norm's gradient takes.
var<workgroup> places: array<vec3<u32>, ROW_TILE>;
var<workgroup> moments: array<vec4<f32>, ROW_TILE>;
#import head_vector
#import head_vector_backward
#import gelu_with_slope
#import affine_net

fn input_pair(row: u32, side: u32, i: u32) -> vec2<f32> {
    let at = places[row];
    if X_NORMED { return exact_pair(at.x, moments[row].xy, side, at.y, i); }
    return raw_pair(at.x, at.y, i);
}

// Pair i of dx of a row, before the rotation of normed vectors.
fn dx_pair(row: u32, i: u32) -> vec2<f32> {
    let at = pair_places(i) * (ROW_TILE / 4u) + row / 4u;
    let d = vec2<f32>(dx[at.x][row % 4u], dx[at.y][row % 4u]);
    if X_NORMED { return normed_gradient(d, places[row].y, i, true); }
    return d;
}

fn weight(at: u32) -> f32 { return w[at / 4u][at % 4u]; }

// A block of 4 x 4 of a matrix of `width` columns gains such a one.
fn gain_block(matrix: u32, width: u32, block: mat4x4<f32>) {
    for (var i = 0u; i < 4u; i++) {
        let at = matrix + i * width;
        for (var j = 0u; j < 4u; j++) { slabs[at + j] += block[i][j]; }
    }
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
    let across = ROW_TILE / 4u;
    let begin = min(group.x * params.share, params.rows) * net.gains + params.first;
    let end = min(min((group.x + 1u) * params.share, params.rows) * net.gains, begin + AT_ONCE);
    for (var first = begin; first < end; first += ROW_TILE) {
        let count = min(ROW_TILE, end - first);
        let filled = (count + 3u) / 4u;                    // blocks of vectors that are not empty
        workgroupBarrier();
        storageBarrier();
        if local < ROW_TILE {
            let v = min(first + local, end - 1u);
            let at = v / net.gains;
            let position = lanes[params.lane_base + at / params.tokens].position + at % params.tokens;
            let base = head_base(at, side, head * net.gains + v % net.gains);
            let of_head = (at / params.tokens * HEADS + head) * params.tokens + at % params.tokens;
            let of_keys = params.rows * HEADS * GROUP + of_head;
            places[local] =
                vec3<u32>(base, position, select(of_keys, of_head * GROUP + v % net.gains, side == 0u));
            if X_NORMED { moments[local] = vec4<f32>(head_moments(base, position), 0.0, 0.0); }
        }
        workgroupBarrier();
        for (var i = local; i < across * (HEAD / 2u); i += THREADS) {
            let rows = i % across;
            let c = i / across;
            let p0 = input_pair(4u * rows, side, c);
            let p1 = input_pair(4u * rows + 1u, side, c);
            let p2 = input_pair(4u * rows + 2u, side, c);
            let p3 = input_pair(4u * rows + 3u, side, c);
            let to = pair_places(c);
            vector[to.x * across + rows] = vec4<f32>(p0.x, p1.x, p2.x, p3.x);
            vector[to.y * across + rows] = vec4<f32>(p0.y, p1.y, p2.y, p3.y);
        }
        workgroupBarrier();
        if local < ROW_TILE {
            let m = (first + local) % net.gains;
            var log_gain = weight(net.level + m);
            for (var c = 0u; c < HEAD; c++) {
                log_gain += weight(net.tilt + m * HEAD + c) * vector[c * across + local / 4u][local % 4u];
            }
            let bounded = log_gain > -MOST_GAIN && log_gain < MOST_GAIN;
            gain[local] = exp(0.5 * clamp(log_gain, -MOST_GAIN, MOST_GAIN));
            dlog[local] = select(0.0, 0.5, bounded);
        }
        workgroupBarrier();
        for (var i = local; i < across * HEAD; i += THREADS) {
            vector[i] -= weight(net.mean + i / across);
        }
        // Vectors beyond the last give nothing.
        for (var i = local; i < across * (SIZE / 4u); i += THREADS) {
            let rows = i % across;
            let output = i / across;
            var block = mat4x4<f32>();
            for (var j = 0u; j < 4u; j++) {
                let row = 4u * rows + j;
                let given = gain[row] * dsketch[places[row].z * (SIZE / 4u) + output];
                block[j] = select(vec4<f32>(), given, row < count);
            }
            block = transpose(block);
            for (var j = 0u; j < 4u; j++) { dplain[(4u * output + j) * across + rows] = block[j]; }
        }
        workgroupBarrier();
        // What is linear: into dx, the weights' gradients, and ⟨dplain, plain⟩, which the hidden units add to.
        for (var i = local; i < across * (HEAD / 4u); i += THREADS) {
            let rows = i % across;
            let c = i / across;
            var block = mat4x4<f32>();
            for (var output = 0u; output < params.outputs; output++) {
                let row = w[(net.linear + output * HEAD) / 4u + c];
                let d = dplain[output * across + rows];
                for (var j = 0u; j < 4u; j++) { block[j] += row[j] * d; }
            }
            var part = vec4<f32>();
            for (var j = 0u; j < 4u; j++) {
                dx[(4u * c + j) * across + rows] = block[j];
                part += block[j] * vector[(4u * c + j) * across + rows];
            }
            inner_parts[i] = part;
        }
        for (var i = local; i < SIZE; i += THREADS) {
            var sum = vec4<f32>();
            for (var rows = 0u; rows < filled; rows++) { sum += dplain[i * across + rows]; }
            slabs[slab + net.base + i] += sum.x + sum.y + sum.z + sum.w;
        }
        for (var i = local; i < SIZE / 4u * (HEAD / 4u); i += THREADS) {
            let c = i % (HEAD / 4u);
            let output = i / (HEAD / 4u);
            var block = mat4x4<f32>();
            for (var rows = 0u; rows < filled; rows++) {
                var d = mat4x4<f32>();
                for (var j = 0u; j < 4u; j++) { d[j] = vector[(4u * c + j) * across + rows]; }
                let row = 4u * output * across + rows;
                for (var j = 0u; j < 4u; j++) { block[j] += dplain[row + j * across] * d; }
            }
            gain_block(slab + net.linear + 4u * output * HEAD + 4u * c, HEAD, block);
        }
        workgroupBarrier();
        var inner = vec4<f32>();                           // of four rows of this invocation
        if local < across {
            for (var c = 0u; c < HEAD / 4u; c++) { inner += inner_parts[c * across + local]; }
            for (var output = 0u; output < params.outputs; output++) {
                inner += weight(net.base + output) * dplain[output * across + local];
            }
        }
        for (var start = 0u; start < HIDDEN; start += UNITS) {
            let here = min(UNITS, HIDDEN - start);
            workgroupBarrier();
            for (var i = local; i < across * (here / 4u); i += THREADS) {
                let rows = i % across;
                let unit = start + 4u * (i / across);
                var block = mat4x4<f32>();
                for (var c = 0u; c < HEAD / 4u; c++) {
                    var d = mat4x4<f32>();
                    for (var j = 0u; j < 4u; j++) { d[j] = vector[(4u * c + j) * across + rows]; }
                    let row = (net.up + unit * HEAD) / 4u + c;
                    for (var j = 0u; j < 4u; j++) { block[j] += d * w[row + j * (HEAD / 4u)]; }
                }
                var given = mat4x4<f32>();
                for (var output = 0u; output < params.outputs; output++) {
                    let row = w[(net.down + output * HIDDEN + unit) / 4u];
                    let d = dplain[output * across + rows];
                    for (var j = 0u; j < 4u; j++) { given[j] += row[j] * d; }
                }
                var part = vec4<f32>();
                for (var j = 0u; j < 4u; j++) {
                    let curve = gelu_with_slope4(block[j]);
                    let at = (unit - start + j) * across + rows;
                    hidden[at] = curve.value;
                    units[at] = given[j] * curve.slope;
                    part += given[j] * curve.value;
                }
                inner_parts[i] = part;
            }
            workgroupBarrier();
            if local < across {
                for (var u = 0u; u < here / 4u; u++) { inner += inner_parts[u * across + local]; }
            }
            for (var i = local; i < here / 4u * (HEAD / 4u); i += THREADS) {
                let c = i % (HEAD / 4u);
                let unit = 4u * (i / (HEAD / 4u));
                var block = mat4x4<f32>();
                for (var rows = 0u; rows < filled; rows++) {
                    var d = mat4x4<f32>();
                    for (var j = 0u; j < 4u; j++) { d[j] = vector[(4u * c + j) * across + rows]; }
                    for (var j = 0u; j < 4u; j++) { block[j] += units[(unit + j) * across + rows] * d; }
                }
                gain_block(slab + net.up + (start + unit) * HEAD + 4u * c, HEAD, block);
            }
            for (var i = local; i < SIZE / 4u * (here / 4u); i += THREADS) {
                let unit = 4u * (i % (here / 4u));
                let output = 4u * (i / (here / 4u));
                var block = mat4x4<f32>();
                for (var rows = 0u; rows < filled; rows++) {
                    var h = mat4x4<f32>();
                    for (var j = 0u; j < 4u; j++) { h[j] = hidden[(unit + j) * across + rows]; }
                    for (var j = 0u; j < 4u; j++) { block[j] += dplain[(output + j) * across + rows] * h; }
                }
                gain_block(slab + net.down + output * HIDDEN + start + unit, HIDDEN, block);
            }
            for (var i = local; i < across * (HEAD / 4u); i += THREADS) {
                let rows = i % across;
                let c = i / across;
                var block = mat4x4<f32>();
                for (var u = 0u; u < here; u++) {
                    let row = w[(net.up + (start + u) * HEAD) / 4u + c];
                    let d = units[u * across + rows];
                    for (var j = 0u; j < 4u; j++) { block[j] += row[j] * d; }
                }
                for (var j = 0u; j < 4u; j++) { dx[(4u * c + j) * across + rows] += block[j]; }
            }
        }
        if local < across {
            for (var j = 0u; j < 4u; j++) { dlog[4u * local + j] *= inner[j]; }
        }
        workgroupBarrier();
        for (var c = local; c < HEAD; c += THREADS) {
            var sum = vec4<f32>();
            for (var rows = 0u; rows < filled; rows++) { sum += dx[c * across + rows]; }
            slabs[slab + net.mean + c] -= sum.x + sum.y + sum.z + sum.w;
        }
        for (var i = local; i < net.gains * HEAD; i += THREADS) {
            let c = i % HEAD;
            let mean = weight(net.mean + c);
            var sum = 0.0;
            for (var row = 0u; row < ROW_TILE; row++) {
                if (first + row) % net.gains == i / HEAD {
                    sum += dlog[row] * (vector[c * across + row / 4u][row % 4u] + mean);
                }
            }
            slabs[slab + net.tilt + i] += sum;
        }
        for (var i = local; i < net.gains; i += THREADS) {
            var sum = 0.0;
            for (var row = 0u; row < ROW_TILE; row++) {
                if (first + row) % net.gains == i { sum += dlog[row]; }
            }
            slabs[slab + net.level + i] += sum;
        }
#ifdef VECTORS
        workgroupBarrier();
        for (var i = local; i < across * HEAD; i += THREADS) {
            let row = 4u * (i % across);
            var tilts = vec4<f32>();
            for (var j = 0u; j < 4u; j++) {
                let m = (first + row + j) % net.gains;
                tilts[j] = dlog[row + j] * weight(net.tilt + m * HEAD + i / across);
            }
            dx[i] += tilts;
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
        let items = select(count * (HEAD / 2u), HEAD / 2u, X_NORMED);
        for (var item = local; item < items; item += THREADS) {
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
