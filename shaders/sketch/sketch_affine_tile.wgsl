// The affine sketch of many vectors: s(x) = e^{γ(x) / 2} (c + W d + B gelu(A d)), d = x - mean, γ = α +
// ⟨u, x⟩ (SPEC §10). For few vectors: sketch_affine.wgsl.
//
// Ladder. Reference: kernels/sketch/sketch_affine.rs. sketch_affine.wgsl, where an invocation has an output
// at a time: a multiply-add loads two words; by the gauge 5 % of the inner loop's instructions are
// multiply-adds. Here: a workgroup takes ROW_TILE vectors of one side of one head, which stay in workgroup
// memory; the matrices pass by in steps, and the hidden layer goes from the registers of one product into
// the other (shared/register_operand.wgsl), 4 GROUP_X units at a time, as in sketch_learned_tile.wgsl. Not
// measured on a real GPU yet.
#import lanes
#import head_layout
struct Params { tokens: u32, lane_base: u32, lanes: u32 }
override X_NORMED: bool;
override ROW_TILE: u32;        // GROUP_Y * ROWS
override VECTOR_SIZE: u32;     // ROW_TILE / 4 times HEAD, which is rounded up to whole steps

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> qkv: array<f32>;                // [rows, QKV_WIDTH]
@group(0) @binding(2) var<storage, read> lanes: array<Lane>;             // [lanes]
@group(0) @binding(3) var<storage, read> norms: array<f32>;              // [4, HEAD]
@group(0) @binding(4) var<storage, read> rotations: array<vec2<f32>>;    // [4 * 256, HEAD / 2]
@group(0) @binding(5) var<storage, read> w: array<vec4<f32>>;            // [2, HEADS], as net_of has them
@group(0) @binding(6) var<storage, read_write> sketch: array<vec4<f32>>; // [vectors, SIZE]

#import matrix_tile
#import register_operand
#import outer_products dots
#import outer_products sum
#import right_product up
#import right_product down
#import right_product linear
#import head_vector
#import gelu
#import affine_net

// [HEAD in whole steps, ROW_TILE / 4]: x, then d, four vectors side by side.
var<workgroup> vector: array<vec4<f32>, VECTOR_SIZE>;
// Of each vector: where its projection begins, and its position; its moments; e^{γ / 2}.
var<workgroup> places: array<vec2<u32>, ROW_TILE>;
var<workgroup> moments: array<vec2<f32>, ROW_TILE>;
var<workgroup> gain: array<f32, ROW_TILE>;
var<private> net: Net;
var<private> side: u32;
var<private> first_unit: u32;                  // of the hidden layer
var<private> first_inner: u32;                 // of the step

fn input_pair(row: u32, i: u32) -> vec2<f32> {
    let at = places[row];
    if X_NORMED { return exact_pair(at.x, moments[row], side, at.y, i); }
    return raw_pair(at.x, at.y, i);
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

// From x: gains of the rows, of the group's queries those of each; then d.
fn centre(first: u32) {
    for (var row = here.z; row < ROW_TILE; row += GROUP_X * GROUP_Y) {
        let m = (first + row) % net.gains;
        var log_gain = w[(net.level + m) / 4u][(net.level + m) % 4u];
        for (var c = 0u; c < HEAD; c++) {
            let tilt = w[(net.tilt + m * HEAD + c) / 4u][c % 4u];
            log_gain += tilt * vector[c * (ROW_TILE / 4u) + row / 4u][row % 4u];
        }
        gain[row] = exp(0.5 * clamp(log_gain, -MOST_GAIN, MOST_GAIN));
    }
    workgroupBarrier();
    // The last step may go beyond.
    let steps = (HEAD + DEPTH - 1u) / DEPTH * DEPTH;
    for (var i = here.z; i < ROW_TILE / 4u * steps; i += GROUP_X * GROUP_Y) {
        let c = i / (ROW_TILE / 4u);
        if c < HEAD {
            vector[i] -= w[(net.mean + c) / 4u][c % 4u];
        } else {
            vector[i] = vec4<f32>();
        }
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
fn up_at(unit: u32, k: u32) -> vec4<f32> { return w[(net.up + min(unit, HIDDEN - 1u) * HEAD + k) / 4u]; }
fn right_up(vector: u32, k: u32) -> mat4x4<f32> {
    if k >= HEAD { return mat4x4<f32>(); }
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
    return w[(net.down + min(output, SIZE - 1u) * HIDDEN + unit) / 4u];
}
fn right_down(vector: u32, k: u32) -> mat4x4<f32> {
    if first_unit + k >= HIDDEN { return mat4x4<f32>(); }
    var block = mat4x4<f32>();
    for (var j = 0u; j < 4u; j++) { block[j] = down_at(4u * vector + j, first_unit + k); }
    return transpose(block);
}

// sum += what the vectors themselves give them: a step of them goes to where left operands are.
fn vectors_linear() -> u32 { return vectors_sum(); }
fn multiply_linear() { multiply_sum(); }
fn prepare_linear(k: u32) {
    for (var i = here.z; i < DEPTH * (ROW_TILE / 4u); i += GROUP_X * GROUP_Y) {
        tile_left[buffer * (LEFT_SIZE / 2u) + i] = vector[k * (ROW_TILE / 4u) + i];
    }
}
fn linear_at(output: u32, k: u32) -> vec4<f32> {
    return w[(net.linear + min(output, SIZE - 1u) * HEAD + k) / 4u];
}
fn right_linear(vector: u32, k: u32) -> mat4x4<f32> {
    if k >= HEAD { return mat4x4<f32>(); }
    var block = mat4x4<f32>();
    for (var j = 0u; j < 4u; j++) { block[j] = linear_at(4u * vector + j, k); }
    return transpose(block);
}

@compute @workgroup_size(GROUP_X, GROUP_Y)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(local_invocation_id) local: vec3<u32>,
    @builtin(local_invocation_index) index: u32,
) {
    here = vec3<u32>(local.xy, index);
    let lane = group.z / HEADS;
    let head = group.z % HEADS;
    let gains = select(1u, GROUP, group.y == 0u);
    let vectors = params.tokens * gains;
    let first = group.x * ROW_TILE;
    if first >= vectors { return; }
    side = group.y;
    net = net_of(side, head);
    let position = lanes[params.lane_base + lane].position;
    for (var row = index; row < ROW_TILE; row += GROUP_X * GROUP_Y) {
        // Those beyond the last are computed like it, and not stored.
        let v = min(first + row, vectors - 1u);
        let token = v / gains;
        let base = head_base(lane * params.tokens + token, side, head * gains + v % gains);
        places[row] = vec2<u32>(base, position + token);
        if X_NORMED { moments[row] = head_moments(base, position + token); }
    }
    workgroupBarrier();
    load_input();
    centre(first);
    add_linear(HEAD);
    for (var unit = 0u; unit < HIDDEN; unit += 4u * GROUP_X) {
        first_unit = unit;
        for (var r = 0u; r < ROWS; r++) { dots[r] = vec4<f32>(); }
        add_up(HEAD);
        for (var r = 0u; r < ROWS; r++) { dots[r] = gelu4(dots[r]); }
        add_down(min(4u * GROUP_X, HIDDEN - unit));
    }
    let keys = params.lanes * HEADS * params.tokens * GROUP;
    let to = group.z * vectors + first + select(keys, 0u, group.y == 0u);
    for (var r = 0u; r < ROWS; r++) {
        let row = row_of(r);
        for (var c = 0u; c < COLUMNS / 4u; c++) {
            let output = vector_of(c);
            if output < SIZE / 4u && first + row < vectors {
                let plain = sum[r * (COLUMNS / 4u) + c] + w[net.base / 4u + output];
                sketch[(to + row) * (SIZE / 4u) + output] = gain[row] * plain;
            }
        }
    }
}
