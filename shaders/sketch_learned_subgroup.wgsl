// The learned sketch (SPEC §1), a subgroup a tile of ROWS vectors: every layer of the net is a product as in
// shared/subgroup_sums.wgsl, whose left operand, and the whole hidden layer, lie in workgroup memory.
//
// Ladder. Reference: kernels/sketch_learned.rs; for real GPUs sketch_learned.wgsl. GFLOP/s of `bench kernels
// --quick`, h = 48, r = 16, e = 4, 2 x 4 x 256 vectors, other work on the machine:
//                                                    lavapipe 22.3   lavapipe 25.0   SwiftShader
//   sketch_learned                                       0.33            0.72
//   here, a vector's place found for each element        1.8             3.0            0.84
//   once a row                                                           4.3
// h = 64, r = 32, e = 8, 2 x 4 x 2048 vectors on lavapipe 22.3, two cores of a Zen 4: 16.9 so, 18.8 with the
// vectors loaded once for both branches and a GELU by one exponential (the least times of four interleaved
// rounds).
#import lanes
struct Params { vectors: u32, lanes: u32, tokens: u32, lane_base: u32 }
override SIZE: u32;            // r
override HIDDEN: u32;          // e r
override LEVELS: u32;
override INPUT_NORMED: u32;    // the sketch sees the normed vector (0: the raw projection)
override OUTPUTS: u32;         // ROWS * SIZE / 4
override SEEN: u32;            // ROWS * HEAD / 4

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> qkv: array<f32>;              // [rows, QKV_vector_columns]
@group(0) @binding(2) var<storage, read> lanes: array<Lane>;           // [lanes]
@group(0) @binding(3) var<storage, read> norms: array<f32>;            // [4, HEAD]
@group(0) @binding(4) var<storage, read> rotations: array<vec2<f32>>;  // [4 * 256, HEAD / 2]
@group(0) @binding(5) var<storage, read> w: array<vec4<f32>>;          // two branches of levels of norm [2, i], up [HIDDEN, i], down [SIZE, HIDDEN]
@group(0) @binding(6) var<storage, read_write> sketch: array<vec4<f32>>; // [2, lanes, HEADS, tokens, SIZE]
#import subgroup_product up
#import subgroup_product down
#import subgroup_vectors vector
#import subgroup_vectors hidden

// vector: input of the level, normed in place, then its output; hidden: the hidden layer.
var<workgroup> left: array<vec4<f32>, OUTPUTS>;
var<workgroup> seen: array<vec4<f32>, SEEN>;       // [ROWS, HEAD / 4]: what the second branch starts from
#import head_vector
#import gelu
#import vector_place
#import subgroup_sketch_input

var<private> weights: u32;    // offset in w, in vectors, of the matrix that is multiplied with
var<private> inputs: u32;     // inputs of the level
var<private> column: u32;     // first of this invocation's four

fn weight_columns(k: u32, columns: u32, width: u32) -> mat4x4<f32> {
    let at = weights + min(vec4<u32>(column, column + 1u, column + 2u, column + 3u), vec4<u32>(columns - 1u)) * (width / 4u) + k;
    return transpose(mat4x4<f32>(w[at.x], w[at.y], w[at.z], w[at.w]));
}
fn up_left(row: u32, k: u32) -> vec4<f32> { return vector[row * (vector_columns / 4u) + k]; }
fn up_right(k: u32) -> mat4x4<f32> { return weight_columns(k, HIDDEN, inputs); }
fn down_left(row: u32, k: u32) -> vec4<f32> { return hidden[row * (HIDDEN / 4u) + k]; }
fn down_right(k: u32) -> mat4x4<f32> { return weight_columns(k, SIZE, HIDDEN); }

// LayerNorm of the level's input, each invocation the rows that it wrote itself or that a barrier passed on.
fn normalize_rows(norm: u32, lane: u32) {
    for (var row = lane; row < ROWS; row += LANES) {
        let x = row * (vector_columns / 4u);
        var sum = vec4<f32>();
        for (var i = 0u; i < inputs / 4u; i++) { sum += vector[x + i]; }
        let mean = (sum.x + sum.y + sum.z + sum.w) / f32(inputs);
        var square = 0.0;
        for (var i = 0u; i < inputs / 4u; i++) {
            let d = vector[x + i] - mean;
            square += dot(d, d);
        }
        let scale = inverseSqrt(square / f32(inputs) + 1e-5);
        for (var i = 0u; i < inputs / 4u; i++) { vector[x + i] = (vector[x + i] - mean) * scale * w[norm / 4u + i] + w[(norm + inputs) / 4u + i]; }
    }
    workgroupBarrier();
}

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(subgroup_invocation_id) lane: u32) {
    let first = (group.y * groups.x + group.x) * ROWS;
    if first >= params.vectors { return; }
    load_vectors(first, lane);
    var at = 0u; // offset of the level in w
    for (var branch = 0u; branch < 2u; branch++) {
        // Each invocation the rows that it loaded.
        for (var row = lane; row < ROWS; row += LANES) {
            for (var i = 0u; i < HEAD / 4u; i++) {
                let kept = row * (HEAD / 4u) + i;
                let here = row * (vector_columns / 4u) + i;
                if branch == 0u { seen[kept] = vector[here]; } else { vector[here] = seen[kept]; }
            }
        }
        for (var level = 0u; level < LEVELS; level++) {
            // Beside the variable, a value that compilers know to be the same in all invocations.
            let width = select(SIZE, HEAD, level == 0u);
            inputs = width;
            normalize_rows(at, lane);
            let up = at + 2u * width;
            let down = up + HIDDEN * width;
            weights = up / 4u;
            for (var unit = 0u; unit < HIDDEN; unit += 4u * LANES) {
                column = unit + 4u * lane;
                clear_sums();
                up_product(width / 4u, lane);
                keep_all_hidden();
            }
            workgroupBarrier();
            for (var i = lane; i < hidden_vectors; i += LANES) { hidden[i] = gelu4(hidden[i]); }
            workgroupBarrier();
            weights = down / 4u;
            for (var output = 0u; output < SIZE; output += 4u * LANES) {
                column = output + 4u * lane;
                clear_sums();
                down_product(HIDDEN / 4u, lane);
                keep_all_vector();
            }
            workgroupBarrier();
            at = down + SIZE * HIDDEN;
        }
        if branch == 0u {
            for (var i = lane; i < OUTPUTS; i += LANES) { left[i] = vector[i / (SIZE / 4u) * (vector_columns / 4u) + i % (SIZE / 4u)]; }
            workgroupBarrier();
        }
    }
    let root = sqrt(f32(SIZE));
    for (var i = lane; i < OUTPUTS; i += LANES) {
        if first + i / (SIZE / 4u) < params.vectors {
            let product = left[i] * vector[i / (SIZE / 4u) * (vector_columns / 4u) + i % (SIZE / 4u)] / root;
            sketch[first * (SIZE / 4u) + i] = root * tanh(clamp(product, vec4<f32>(-15.0), vec4<f32>(15.0)));
        }
    }
}
