// The learned sketch (SPEC §1): two branches of levels x (LN -> Linear(i -> e r) -> GELU -> Linear(e r -> r)),
// s = sqrt(r) tanh(left * right / sqrt(r)), of the query and key vectors straight from the projections.
//
// Ladder. Reference: kernels/sketch_learned.rs. Unfused: a dozen dispatches and e r floats a token, head and level in
// memory. Here: a workgroup takes ROW_TILE vectors through the whole net; the hidden layer lives in workgroup memory,
// CHUNK units at a time, and each weight vector is read once for the rows an invocation holds.
#import lanes
struct Params { vectors: u32, lanes: u32, tokens: u32, lane_base: u32 }
override SIZE: u32;            // r
override HIDDEN: u32;          // e r
override LEVELS: u32;
override INPUT_NORMED: u32;    // the sketch sees the normed vector (0: the raw projection)
override ROW_TILE: u32;
override CHUNK: u32;
override WIDTH: u32;           // max(HEAD, SIZE)
override VECTORS: u32;         // ROW_TILE * WIDTH
override UNITS: u32;           // ROW_TILE * CHUNK
override OUTPUTS: u32;         // ROW_TILE * SIZE
const THREADS: u32 = 128u;

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> qkv: array<f32>;              // [rows, QKV_WIDTH]
@group(0) @binding(2) var<storage, read> lanes: array<Lane>;           // [lanes]
@group(0) @binding(3) var<storage, read> norms: array<f32>;            // [4, HEAD]
@group(0) @binding(4) var<storage, read> rotations: array<vec2<f32>>;  // [4 * 256, HEAD / 2]
@group(0) @binding(5) var<storage, read> w: array<vec4<f32>>;          // two branches of levels of norm [2, i], up [HIDDEN, i], down [SIZE, HIDDEN]
@group(0) @binding(6) var<storage, read_write> sketch: array<f32>;     // [2, lanes, HEADS, tokens, SIZE]

var<workgroup> vector: array<f32, VECTORS>;     // input of the level, normed in place
var<workgroup> hidden: array<f32, UNITS>;
var<workgroup> left: array<f32, OUTPUTS>;
var<workgroup> moments: array<vec2<f32>, ROW_TILE>;
#import head_vector
#import gelu
#import vector_place
#import sketch_input

fn normalize_rows(width: u32, norm: u32, local: u32) {
    workgroupBarrier();
    if local < ROW_TILE {
        var sum = 0.0;
        for (var i = 0u; i < width; i++) { sum += vector[local * WIDTH + i]; }
        let mean = sum / f32(width);
        var square = 0.0;
        for (var i = 0u; i < width; i++) {
            let d = vector[local * WIDTH + i] - mean;
            square += d * d;
        }
        moments[local] = vec2<f32>(mean, inverseSqrt(square / f32(width) + 1e-5));
    }
    workgroupBarrier();
    for (var i = local; i < ROW_TILE * width; i += THREADS) {
        let row = i / width;
        let c = i % width;
        let at = row * WIDTH + c;
        vector[at] = (vector[at] - moments[row].x) * moments[row].y * w[(norm + c) / 4u][c % 4u] + w[(norm + width + c) / 4u][c % 4u];
    }
    workgroupBarrier();
}

@compute @workgroup_size(128)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let first = (group.y * groups.x + group.x) * ROW_TILE;
    if first >= params.vectors { return; }
    var at = 0u; // offset of the level in w
    for (var branch = 0u; branch < 2u; branch++) {
        load_sketch_input(first, local);
        for (var level = 0u; level < LEVELS; level++) {
            var width = SIZE;
            if level == 0u { width = HEAD; }
            normalize_rows(width, at, local);
            let up = at + 2u * width;
            let down = up + HIDDEN * width;
            var sum = array<f32, 16>();
            for (var chunk = 0u; chunk < HIDDEN; chunk += CHUNK) {
                let units = min(CHUNK, HIDDEN - chunk);
                // hidden[row, unit]: an invocation keeps its unit and walks over rows.
                for (var i = local; i < CHUNK * 4u; i += THREADS) {
                    let unit = i % CHUNK;
                    let quarter = i / CHUNK; // a quarter of the rows
                    if unit < units {
                        var acc = array<f32, 4>();
                        for (var c = 0u; c < width / 4u; c++) {
                            let weight = w[(up + (chunk + unit) * width) / 4u + c];
                            for (var r = 0u; r < ROW_TILE / 4u; r++) {
                                let x = (quarter * (ROW_TILE / 4u) + r) * WIDTH + c * 4u;
                                acc[r] += weight.x * vector[x] + weight.y * vector[x + 1u] + weight.z * vector[x + 2u] + weight.w * vector[x + 3u];
                            }
                        }
                        for (var r = 0u; r < ROW_TILE / 4u; r++) { hidden[(quarter * (ROW_TILE / 4u) + r) * CHUNK + unit] = gelu(acc[r]); }
                    }
                }
                workgroupBarrier();
                for (var k = 0u; k < (ROW_TILE * SIZE + THREADS - 1u) / THREADS; k++) {
                    let item = local + k * THREADS;
                    if item < ROW_TILE * SIZE {
                        let row = item / SIZE;
                        let weights = (down + (item % SIZE) * HIDDEN + chunk) / 4u;
                        for (var c = 0u; c < units / 4u; c++) {
                            let x = row * CHUNK + c * 4u;
                            sum[k] += dot(w[weights + c], vec4<f32>(hidden[x], hidden[x + 1u], hidden[x + 2u], hidden[x + 3u]));
                        }
                    }
                }
                workgroupBarrier();
            }
            for (var k = 0u; k < (ROW_TILE * SIZE + THREADS - 1u) / THREADS; k++) {
                let item = local + k * THREADS;
                if item < ROW_TILE * SIZE { vector[item / SIZE * WIDTH + item % SIZE] = sum[k]; }
            }
            at = down + SIZE * HIDDEN;
            workgroupBarrier();
        }
        if branch == 0u {
            for (var i = local; i < ROW_TILE * SIZE; i += THREADS) { left[i] = vector[i / SIZE * WIDTH + i % SIZE]; }
            workgroupBarrier();
        }
    }
    let root = sqrt(f32(SIZE));
    for (var i = local; i < ROW_TILE * SIZE; i += THREADS) {
        if first + i / SIZE < params.vectors {
            let product = left[i] * vector[i / SIZE * WIDTH + i % SIZE] / root;
            sketch[first * SIZE + i] = root * tanh(clamp(product, -15.0, 15.0));
        }
    }
}
