// The learned sketch of few vectors (SPEC §1): two branches of levels x (LN -> Linear(i -> e r) -> GELU ->
// Linear(e r -> r)), s = sqrt(r) tanh(left * right / sqrt(r)), of the query and key vectors straight from the
// projections. For many vectors: sketch_learned_tile.wgsl, where the ladder is.
//
// A workgroup takes ROW_TILE vectors through the whole net, the hidden layer in workgroup memory, CHUNK units
// at a time. Neighbours hold neighbouring vectors, so that they read different banks of workgroup memory and
// the same weights, which are read once for the ROWS vectors of an invocation.
#import lanes
#import sketch_net
struct Params { vectors: u32, lanes: u32, tokens: u32, lane_base: u32 }
override ACROSS: u32;          // invocations along vectors
override ROWS: u32;            // vectors of an invocation, ACROSS apart: 1 or 2
override ROW_TILE: u32;        // ACROSS * ROWS
override OUTPUTS: u32;         // outputs of an invocation, at most 8: ceil(SIZE ACROSS / THREADS)
override CHUNK: u32;           // UNITS * THREADS / ACROSS
override VECTOR_SIZE: u32;     // max(HEAD, SIZE) * ROW_TILE
override HIDDEN_SIZE: u32;     // CHUNK * ROW_TILE
const THREADS: u32 = 128u;
const UNITS: u32 = 8u;         // units of an invocation

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> qkv: array<f32>;              // [rows, QKV_WIDTH]
@group(0) @binding(2) var<storage, read> lanes: array<Lane>;           // [lanes]
@group(0) @binding(3) var<storage, read> norms: array<f32>;            // [4, HEAD]
@group(0) @binding(4) var<storage, read> rotations: array<vec2<f32>>;  // [4 * 256, HEAD / 2]
// Two branches of levels of norm [2, i], up [HIDDEN, i], down [SIZE, HIDDEN].
@group(0) @binding(5) var<storage, read> w: array<vec4<f32>>;
@group(0) @binding(6) var<storage, read_write> sketch: array<f32>;     // [vectors, SIZE]

// [max(HEAD, SIZE), ROW_TILE]: input of the level, normed in place.
var<workgroup> vector: array<f32, VECTOR_SIZE>;
var<workgroup> hidden: array<f32, HIDDEN_SIZE>;     // [CHUNK, ROW_TILE]
var<workgroup> moments: array<vec2<f32>, ROW_TILE>;
#import gelu
#import dot_add

fn vector_at(row: u32, c: u32) -> u32 { return c * ROW_TILE + row; }
#import sketch_input

// Numbers at, at + ROW_TILE, ... of vector, or of hidden.
fn four_of_vector(at: u32) -> vec4<f32> {
    let next = at + 2u * ROW_TILE;
    return vec4<f32>(vector[at], vector[at + ROW_TILE], vector[next], vector[next + ROW_TILE]);
}
fn four_of_hidden(at: u32) -> vec4<f32> {
    let next = at + 2u * ROW_TILE;
    return vec4<f32>(hidden[at], hidden[at + ROW_TILE], hidden[next], hidden[next + ROW_TILE]);
}

fn normalize_rows(width: u32, norm: u32, local: u32) {
    for (var row = local; row < ROW_TILE; row += THREADS) {
        var sum = 0.0;
        for (var c = 0u; c < width; c++) { sum += vector[c * ROW_TILE + row]; }
        let mean = sum / f32(width);
        var square = 0.0;
        for (var c = 0u; c < width; c++) {
            let d = vector[c * ROW_TILE + row] - mean;
            square += d * d;
        }
        moments[row] = vec2<f32>(mean, inverseSqrt(square / f32(width) + 1e-5));
    }
    workgroupBarrier();
    for (var i = local; i < ROW_TILE * width; i += THREADS) {
        let c = i / ROW_TILE;
        let m = moments[i % ROW_TILE];
        let bias = w[(norm + width + c) / 4u][c % 4u];
        vector[i] = (vector[i] - m.x) * m.y * w[(norm + c) / 4u][c % 4u] + bias;
    }
    workgroupBarrier();
}

@compute @workgroup_size(128)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let first = (group.y * groups.x + group.x) * ROW_TILE;
    if first >= params.vectors { return; }
    let row = local % ACROSS;
    let part = local / ACROSS;
    var left = array<f32, 16>(); // [OUTPUTS, ROWS] of the first branch
    var sum = array<f32, 16>();
    var at = 0u; // offset of the level in w
    for (var branch = 0u; branch < 2u; branch++) {
        load_sketch_input(first, local);
        for (var level = 0u; level < LEVELS; level++) {
            let width = select(SIZE, HEAD, level == 0u);
            normalize_rows(width, at, local);
            let up = at + 2u * width;
            let down = up + HIDDEN * width;
            for (var i = 0u; i < OUTPUTS * ROWS; i++) { sum[i] = 0.0; }
            for (var chunk = 0u; chunk < HIDDEN; chunk += CHUNK) {
                // Units beyond the last are computed like it and not read.
                let unit = chunk + part * UNITS;
                var acc = array<f32, 16>(); // [UNITS, ROWS]
                for (var c = 0u; c < width / 4u; c++) {
                    for (var r = 0u; r < ROWS; r++) {
                        let value = four_of_vector(4u * c * ROW_TILE + row + r * ACROSS);
                        for (var u = 0u; u < UNITS; u++) {
                            let weights = w[(up + min(unit + u, HIDDEN - 1u) * width) / 4u + c];
                            acc[u * ROWS + r] = dot_add(acc[u * ROWS + r], weights, value);
                        }
                    }
                }
                for (var i = 0u; i < UNITS * ROWS; i += 4u) {
                    let value = gelu4(vec4<f32>(acc[i], acc[i + 1u], acc[i + 2u], acc[i + 3u]));
                    for (var k = 0u; k < 4u; k++) {
                        let u = part * UNITS + (i + k) / ROWS;
                        hidden[u * ROW_TILE + row + (i + k) % ROWS * ACROSS] = value[k];
                    }
                }
                workgroupBarrier();
                for (var c = 0u; c < min(CHUNK, HIDDEN - chunk) / 4u; c++) {
                    for (var r = 0u; r < ROWS; r++) {
                        let value = four_of_hidden(4u * c * ROW_TILE + row + r * ACROSS);
                        for (var o = 0u; o < OUTPUTS; o++) {
                            let output = min(part * OUTPUTS + o, SIZE - 1u);
                            let weights = w[(down + output * HIDDEN + chunk) / 4u + c];
                            sum[o * ROWS + r] = dot_add(sum[o * ROWS + r], weights, value);
                        }
                    }
                }
                workgroupBarrier();
            }
            for (var i = 0u; i < OUTPUTS * ROWS; i++) {
                let output = part * OUTPUTS + i / ROWS;
                if output < SIZE { vector[output * ROW_TILE + row + i % ROWS * ACROSS] = sum[i]; }
            }
            workgroupBarrier();
            at = down + SIZE * HIDDEN;
        }
        if branch == 0u { left = sum; }
    }
    let root = sqrt(f32(SIZE));
    for (var i = 0u; i < OUTPUTS * ROWS; i++) {
        let output = part * OUTPUTS + i / ROWS;
        let v = first + row + i % ROWS * ACROSS;
        if output < SIZE && v < params.vectors {
            sketch[v * SIZE + output] = root * tanh(clamp(left[i] * sum[i] / root, -15.0, 15.0));
        }
    }
}
