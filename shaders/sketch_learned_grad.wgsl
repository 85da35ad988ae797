// Gradient of the learned sketch (SPEC §1): into dqkv, and partial sums of the gradients of weights and norms.
//
// Ladder. Reference: kernels/sketch_learned_grad.rs. Kept activations would be some thousand floats a token and head. Here a
// workgroup computes ROW_TILE vectors' net again into its slab of storage (which caches hold; workgroup memory of the floor could
// not), walks it backwards, and adds to partial sums that are its own: every weight belongs to one invocation, nothing is atomic.
#import lanes
struct Params { vectors: u32, lanes: u32, tokens: u32, lane_base: u32 }
override SIZE: u32;            // r
override HIDDEN: u32;          // e r
override LEVELS: u32;
override INPUT_NORMED: u32;
override ROW_TILE: u32;
override WIDTH: u32;           // max(HEAD, SIZE)
override WEIGHTS: u32;         // numbers in w
override SLAB: u32;            // numbers in a slab: WEIGHTS, norms [4, HEAD], the tile
override SLABS: u32;
const THREADS: u32 = 256u;

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> qkv: array<f32>;              // [rows, QKV_WIDTH]
@group(0) @binding(2) var<storage, read> lanes: array<Lane>;           // [lanes]
@group(0) @binding(3) var<storage, read> norms: array<f32>;            // [4, HEAD]
@group(0) @binding(4) var<storage, read> rotations: array<vec2<f32>>;  // [4 * 256, HEAD / 2]
@group(0) @binding(5) var<storage, read> w: array<f32>;                // two branches of levels of norm [2, i], up [HIDDEN, i], down [SIZE, HIDDEN]
@group(0) @binding(6) var<storage, read> dsketch: array<f32>;          // [2, lanes, HEADS, tokens, SIZE]
@group(0) @binding(7) var<storage, read_write> slabs: array<f32>;      // [SLABS, SLAB]
@group(0) @binding(8) var<storage, read_write> dqkv: array<f32>;       // [rows, QKV_WIDTH]

#import head_vector
#import head_vector_backward
#import vector_place
#import sketch_vectors
#import sketch_levels
#import gelu
#import gelu_slope

fn forward(l: Level, local: u32) {
    if local < ROW_TILE {
        var sum = 0.0;
        for (var i = 0u; i < l.width; i++) { sum += slabs[l.x + local * l.width + i]; }
        let mean = sum / f32(l.width);
        var square = 0.0;
        for (var i = 0u; i < l.width; i++) {
            let d = slabs[l.x + local * l.width + i] - mean;
            square += d * d;
        }
        slabs[l.moments + 2u * local] = mean;
        slabs[l.moments + 2u * local + 1u] = inverseSqrt(square / f32(l.width) + 1e-5);
    }
    sync();
    for (var i = local; i < ROW_TILE * l.width; i += THREADS) {
        let c = i % l.width;
        slabs[l.normed + i] = standard(l, i) * w[l.norm + c] + w[l.norm + l.width + c];
    }
    sync();
    let up = l.norm + 2u * l.width;
    for (var i = local; i < ROW_TILE * HIDDEN; i += THREADS) {
        let row = l.normed + i / HIDDEN * l.width;
        let weight = up + i % HIDDEN * l.width;
        var sum = 0.0;
        for (var c = 0u; c < l.width; c++) { sum += slabs[row + c] * w[weight + c]; }
        slabs[l.units + i] = sum;
        slabs[l.hidden + i] = gelu(sum);
    }
    sync();
    let down = up + HIDDEN * l.width;
    for (var i = local; i < ROW_TILE * SIZE; i += THREADS) {
        let row = l.hidden + i / SIZE * HIDDEN;
        let weight = down + i % SIZE * HIDDEN;
        var sum = 0.0;
        for (var k = 0u; k < HIDDEN; k++) { sum += slabs[row + k] * w[weight + k]; }
        slabs[l.y + i] = sum;
    }
    sync();
}

// Element i of the level's standardised input.
fn standard(l: Level, i: u32) -> f32 {
    let row = l.moments + i / l.width * 2u;
    return (slabs[l.x + i] - slabs[row]) * slabs[row + 1u];
}

// From dy [ROW_TILE, SIZE]: the slab's sums at `sums`, and dx [ROW_TILE, width], added to what is there where `add`. Uses up
// dhidden [ROW_TILE, HIDDEN], dnormed [ROW_TILE, WIDTH] and the level's normed input.
fn backward(l: Level, sums: u32, dy: u32, dx: u32, add: bool, dhidden: u32, dnormed: u32, local: u32) {
    let up = l.norm + 2u * l.width;
    let down = up + HIDDEN * l.width;
    for (var i = local; i < SIZE * HIDDEN; i += THREADS) {
        var sum = 0.0;
        for (var t = 0u; t < ROW_TILE; t++) { sum += slabs[dy + t * SIZE + i / HIDDEN] * slabs[l.hidden + t * HIDDEN + i % HIDDEN]; }
        slabs[sums + down + i] += sum;
    }
    for (var i = local; i < ROW_TILE * HIDDEN; i += THREADS) {
        var sum = 0.0;
        for (var o = 0u; o < SIZE; o++) { sum += slabs[dy + i / HIDDEN * SIZE + o] * w[down + o * HIDDEN + i % HIDDEN]; }
        slabs[dhidden + i] = sum * gelu_slope(slabs[l.units + i]);
    }
    sync();
    for (var i = local; i < HIDDEN * l.width; i += THREADS) {
        var sum = 0.0;
        for (var t = 0u; t < ROW_TILE; t++) { sum += slabs[dhidden + t * HIDDEN + i / l.width] * slabs[l.normed + t * l.width + i % l.width]; }
        slabs[sums + up + i] += sum;
    }
    for (var i = local; i < ROW_TILE * l.width; i += THREADS) {
        var sum = 0.0;
        for (var k = 0u; k < HIDDEN; k++) { sum += slabs[dhidden + i / l.width * HIDDEN + k] * w[up + k * l.width + i % l.width]; }
        slabs[dnormed + i] = sum;
    }
    sync();
    for (var c = local; c < l.width; c += THREADS) {
        var weight = 0.0;
        var bias = 0.0;
        for (var t = 0u; t < ROW_TILE; t++) {
            let d = slabs[dnormed + t * l.width + c];
            weight += d * standard(l, t * l.width + c);
            bias += d;
        }
        slabs[sums + l.norm + c] += weight;
        slabs[sums + l.norm + l.width + c] += bias;
    }
    if local < ROW_TILE {
        // The two means LayerNorm's gradient takes, where the normed input is no longer needed.
        var g_sum = 0.0;
        var gx_sum = 0.0;
        for (var c = 0u; c < l.width; c++) {
            let g = slabs[dnormed + local * l.width + c] * w[l.norm + c];
            g_sum += g;
            gx_sum += g * standard(l, local * l.width + c);
        }
        slabs[l.normed + 2u * local] = g_sum / f32(l.width);
        slabs[l.normed + 2u * local + 1u] = gx_sum / f32(l.width);
    }
    sync();
    for (var i = local; i < ROW_TILE * l.width; i += THREADS) {
        let row = l.normed + i / l.width * 2u;
        let g = slabs[dnormed + i] * w[l.norm + i % l.width] - slabs[row] - standard(l, i) * slabs[row + 1u];
        let d = g * slabs[l.moments + i / l.width * 2u + 1u];
        if add { slabs[dx + i] += d; } else { slabs[dx + i] = d; }
    }
    sync();
}

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) { differentiate(group.x, local); }
