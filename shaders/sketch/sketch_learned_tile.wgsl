// The learned sketch of many vectors (SPEC §1): two branches of levels x (LN -> Linear(i -> e r) -> GELU ->
// Linear(e r -> r)), s = sqrt(r) tanh(left * right / sqrt(r)), of the query and key vectors straight from the
// projections. For few vectors: sketch_learned.wgsl.
//
// Ladder. Reference: kernels/sketch/sketch_learned.rs. sketch_learned.wgsl, which reads weights from memory
// in its inner loops: 6.5 TFLOP/s on an H100 (11 % of the peak). Here: a workgroup takes ROW_TILE vectors
// through the net, which stay in workgroup memory; both matrices of a level pass by in steps, and the hidden
// layer goes from the registers of one product into the other (shared/register_operand.wgsl), 4 GROUP_X units
// at a time. Not measured on a real GPU yet.
#import lanes
#import sketch_net
struct Params { vectors: u32, lanes: u32, tokens: u32, lane_base: u32 }
override ROW_TILE: u32;        // GROUP_Y * ROWS
override VECTOR_SIZE: u32;     // ROW_TILE / 4 times max(HEAD, SIZE), which is rounded up to whole steps

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> qkv: array<f32>;              // [rows, QKV_WIDTH]
@group(0) @binding(2) var<storage, read> lanes: array<Lane>;           // [lanes]
@group(0) @binding(3) var<storage, read> norms: array<f32>;            // [4, HEAD]
@group(0) @binding(4) var<storage, read> rotations: array<vec2<f32>>;  // [4 * 256, HEAD / 2]
// Two branches of levels of norm [2, i], up [HIDDEN, i], down [SIZE, HIDDEN].
@group(0) @binding(5) var<storage, read> w: array<vec4<f32>>;
@group(0) @binding(6) var<storage, read_write> sketch: array<f32>;     // [vectors, SIZE]

#import matrix_tile
#import register_operand
#import outer_products dots
#import outer_products sum
#import right_product up
#import right_product down
#import head_vector
#import vector_place
#import gelu

// [max(HEAD, SIZE) in whole steps, ROW_TILE / 4]: input of the level, four vectors side by side, normed in
// place.
var<workgroup> vector: array<vec4<f32>, VECTOR_SIZE>;
var<workgroup> moments: array<vec2<f32>, ROW_TILE>;  // of the level's input
var<private> width: u32;                       // of the level's input
var<private> matrix: u32;                      // where the one at hand begins in w
var<private> first_unit: u32;                  // of the hidden layer
var<private> first_inner: u32;                 // of the step

// Where the vectors come from; those beyond the last are computed like it, and not stored.
var<workgroup> places: array<vec3<u32>, ROW_TILE>;
fn input_pair(row: u32, i: u32) -> vec2<f32> {
    let at = places[row];
    if INPUT_NORMED { return normed_pair(at.x, moments[row], at.y, at.z, i); }
    return raw_pair(at.x, at.z, i);
}
fn load_input() {
    for (var i = here.z; i < ROW_TILE / 4u * (HEAD / 2u); i += GROUP_X * GROUP_Y) {
        let rows = i % (ROW_TILE / 4u);
        let c = i / (ROW_TILE / 4u);
        let p0 = input_pair(4u * rows, c);
        let p1 = input_pair(4u * rows + 1u, c);
        let p2 = input_pair(4u * rows + 2u, c);
        let p3 = input_pair(4u * rows + 3u, c);
        let to = pair_places(c);
        vector[to.x * (ROW_TILE / 4u) + rows] = vec4<f32>(p0.x, p1.x, p2.x, p3.x);
        vector[to.y * (ROW_TILE / 4u) + rows] = vec4<f32>(p0.y, p1.y, p2.y, p3.y);
    }
    workgroupBarrier();
}

fn normalize_rows(norm: u32) {
    for (var row = here.z; row < ROW_TILE; row += GROUP_X * GROUP_Y) {
        var total = 0.0;
        for (var c = 0u; c < width; c++) { total += vector[c * (ROW_TILE / 4u) + row / 4u][row % 4u]; }
        let mean = total / f32(width);
        var square = 0.0;
        for (var c = 0u; c < width; c++) {
            let d = vector[c * (ROW_TILE / 4u) + row / 4u][row % 4u] - mean;
            square += d * d;
        }
        moments[row] = vec2<f32>(mean, inverseSqrt(square / f32(width) + 1e-5));
    }
    workgroupBarrier();
    // The last step may go beyond.
    let steps = (width + DEPTH - 1u) / DEPTH * DEPTH;
    for (var i = here.z; i < ROW_TILE / 4u * steps; i += GROUP_X * GROUP_Y) {
        let c = i / (ROW_TILE / 4u);
        if c >= width {
            vector[i] = vec4<f32>();
            continue;
        }
        let row = 4u * (i % (ROW_TILE / 4u));
        let m0 = moments[row];
        let m1 = moments[row + 1u];
        let m2 = moments[row + 2u];
        let m3 = moments[row + 3u];
        let bias = w[(norm + width + c) / 4u][c % 4u];
        vector[i] = (vector[i] - vec4<f32>(m0.x, m1.x, m2.x, m3.x)) * vec4<f32>(m0.y, m1.y, m2.y, m3.y) *
            w[(norm + c) / 4u][c % 4u] + bias;
    }
    workgroupBarrier();
}

// dots = the units 4 GROUP_X of the hidden layer, before their activation.
fn left_of_dots(k: u32, r: u32) -> vec4<f32> {
    return vector[(first_inner + k) * (ROW_TILE / 4u) + here.y + r * GROUP_Y];
}
fn vectors_up() -> u32 { return 1u; }
fn multiply_up() { multiply_dots(); }
fn prepare_up(k: u32) { first_inner = k; }
fn up_at(unit: u32, k: u32) -> vec4<f32> { return w[(matrix + min(unit, HIDDEN - 1u) * width + k) / 4u]; }
fn right_up(vector: u32, k: u32) -> mat4x4<f32> {
    if k >= width { return mat4x4<f32>(); }
    var block = mat4x4<f32>();
    for (var j = 0u; j < 4u; j++) { block[j] = up_at(first_unit + 4u * vector + j, k); }
    return transpose(block);
}

// sum += what they give the outputs.
fn left_of_sum(k: u32, r: u32) -> vec4<f32> { return staged_left(k, r); }
fn vectors_down() -> u32 { return vectors_sum(); }
fn multiply_down() { multiply_sum(); }
fn prepare_down(k: u32) { keep_columns(k); }
fn down_at(output: u32, unit: u32) -> vec4<f32> {
    return w[(matrix + HIDDEN * width + min(output, SIZE - 1u) * HIDDEN + unit) / 4u];
}
fn right_down(vector: u32, k: u32) -> mat4x4<f32> {
    if first_unit + k >= HIDDEN { return mat4x4<f32>(); }
    var block = mat4x4<f32>();
    for (var j = 0u; j < 4u; j++) { block[j] = down_at(4u * vector + j, first_unit + k); }
    return transpose(block);
}

// The outputs are the next level's input.
fn keep_outputs() {
    for (var c = 0u; c < COLUMNS / 4u; c++) {
        let output = 4u * vector_of(c);
        for (var r = 0u; r < ROWS / 4u; r++) {
            let at = 4u * r * vectors_sum() + c;
            let wide = vectors_sum();
            let columns =
                transpose(mat4x4<f32>(sum[at], sum[at + wide], sum[at + 2u * wide], sum[at + 3u * wide]));
            let to = output * (ROW_TILE / 4u) + here.y + r * GROUP_Y;
            for (var j = 0u; j < 4u; j++) {
                if output < SIZE { vector[to + j * (ROW_TILE / 4u)] = columns[j]; }
            }
        }
    }
    workgroupBarrier();
}

fn store(at: u32, value: vec4<f32>, last: bool) {
    var s = value;
    if last {
        let left = vec4<f32>(sketch[at], sketch[at + 1u], sketch[at + 2u], sketch[at + 3u]);
        let root = sqrt(f32(SIZE));
        s = root * tanh(clamp(left * value / root, vec4<f32>(-15.0), vec4<f32>(15.0)));
    }
    for (var j = 0u; j < 4u; j++) { sketch[at + j] = s[j]; }
}

@compute @workgroup_size(GROUP_X, GROUP_Y)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_id) local: vec3<u32>,
    @builtin(local_invocation_index) index: u32,
) {
    here = vec3<u32>(local.xy, index);
    let first = (group.y * groups.x + group.x) * ROW_TILE;
    if first >= params.vectors { return; }
    var at = 0u; // of the level in w
    for (var branch = 0u; branch < 2u; branch++) {
        for (var row = index; row < ROW_TILE; row += GROUP_X * GROUP_Y) {
            let place = vector_place(min(first + row, params.vectors - 1u));
            places[row] = place;
            if INPUT_NORMED { moments[row] = head_moments(place.x, place.z); }
        }
        workgroupBarrier();
        load_input();
        for (var level = 0u; level < LEVELS; level++) {
            let inner = select(SIZE, HEAD, level == 0u);
            width = inner;
            normalize_rows(at);
            matrix = at + 2u * inner;
            for (var i = 0u; i < ROWS * (COLUMNS / 4u); i++) { sum[i] = vec4<f32>(); }
            for (var unit = 0u; unit < HIDDEN; unit += 4u * GROUP_X) {
                first_unit = unit;
                for (var r = 0u; r < ROWS; r++) { dots[r] = vec4<f32>(); }
                add_up(inner);
                for (var r = 0u; r < ROWS; r++) { dots[r] = gelu4(dots[r]); }
                add_down(min(4u * GROUP_X, HIDDEN - unit));
            }
            keep_outputs();
            at += 2u * inner + HIDDEN * (inner + SIZE);
        }
        // What the first branch gave waits where the result will be.
        for (var r = 0u; r < ROWS; r++) {
            let v = first + row_of(r);
            for (var c = 0u; c < COLUMNS / 4u; c++) {
                let output = 4u * vector_of(c);
                if output < SIZE && v < params.vectors {
                    store(v * SIZE + output, sum[r * (COLUMNS / 4u) + c], branch == 1u);
                }
            }
        }
    }
}
