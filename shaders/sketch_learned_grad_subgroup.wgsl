// Gradient of the learned sketch as in sketch_learned_grad.wgsl, a subgroup a slab: every matrix of the net, forwards and
// backwards, is met in products as in shared/subgroup_sums.wgsl, whose operands are found by offset and strides.
#import lanes
struct Params { vectors: u32, lanes: u32, tokens: u32, lane_base: u32 }
override SIZE: u32;            // r
override HIDDEN: u32;          // e r
override LEVELS: u32;
override INPUT_NORMED: u32;
override WIDTH: u32;           // max(HEAD, SIZE)
override WEIGHTS: u32;         // numbers in w
override SLAB: u32;            // numbers in a slab: WEIGHTS, norms [4, HEAD], the tile
override SLABS: u32;

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> qkv: array<f32>;              // [rows, QKV_WIDTH]
@group(0) @binding(2) var<storage, read> lanes: array<Lane>;           // [lanes]
@group(0) @binding(3) var<storage, read> norms: array<f32>;            // [4, HEAD]
@group(0) @binding(4) var<storage, read> rotations: array<vec2<f32>>;  // [4 * 256, HEAD / 2]
@group(0) @binding(5) var<storage, read> w: array<f32>;                // two branches of levels of norm [2, i], up [HIDDEN, i], down [SIZE, HIDDEN]
@group(0) @binding(6) var<storage, read> dsketch: array<f32>;          // [2, lanes, HEADS, tokens, SIZE]
@group(0) @binding(7) var<storage, read_write> slabs: array<f32>;      // [SLABS, SLAB]
@group(0) @binding(8) var<storage, read_write> dqkv: array<f32>;       // [rows, QKV_WIDTH]
#import subgroup_product weights
#import subgroup_product inputs
#import subgroup_rows tile
const ROW_TILE: u32 = ROWS;
const THREADS: u32 = LANES;

#import head_vector
#import head_vector_backward
#import vector_place
#import sketch_vectors
#import sketch_levels
#import gelu
#import gelu_slope

// The left operand is in the slab; the right one in w or in the slab; the result goes to the slab.
struct Operand { at: u32, row: u32, column: u32 } // offset, distance of rows, distance of columns
var<private> left: Operand;
var<private> right: Operand;
var<private> result: u32;      // first row of the result
var<private> rows: u32;        // rows of the tile that there are
var<private> columns: u32;     // of the result
var<private> first: u32;       // column of the tile's first
var<private> column: u32;      // first of this invocation's four, in the tile

fn left_part(row: u32, k: u32) -> vec4<f32> {
    let at = left.at + min(row, rows - 1u) * left.row + 4u * k * left.column;
    return vec4<f32>(slabs[at], slabs[at + left.column], slabs[at + 2u * left.column], slabs[at + 3u * left.column]);
}
fn right_at(k: u32) -> u32 { return right.at + k * right.row + min(first + column, columns - 4u) * right.column; }
fn weights_left(row: u32, k: u32) -> vec4<f32> { return left_part(row, k); }
fn inputs_left(row: u32, k: u32) -> vec4<f32> { return left_part(row, k); }
fn weights_row(k: u32) -> vec4<f32> {
    let at = right_at(k);
    return vec4<f32>(w[at], w[at + right.column], w[at + 2u * right.column], w[at + 3u * right.column]);
}
fn inputs_row(k: u32) -> vec4<f32> {
    let at = right_at(k);
    return vec4<f32>(slabs[at], slabs[at + right.column], slabs[at + 2u * right.column], slabs[at + 3u * right.column]);
}
fn weights_right(k: u32) -> mat4x4<f32> {
    return mat4x4<f32>(weights_row(4u * k), weights_row(4u * k + 1u), weights_row(4u * k + 2u), weights_row(4u * k + 3u));
}
fn inputs_right(k: u32) -> mat4x4<f32> {
    return mat4x4<f32>(inputs_row(4u * k), inputs_row(4u * k + 1u), inputs_row(4u * k + 2u), inputs_row(4u * k + 3u));
}

// result [ROWS, width] = left right, right in w. KEEP_UNITS: the GELU of it behind it; TIMES_SLOPE: times the GELU's slope at `units`.
const KEEP_UNITS: u32 = 1u;
const TIMES_SLOPE: u32 = 2u;
fn multiply(width: u32, steps: u32, how: u32, units: u32, lane: u32) {
    rows = ROWS;
    columns = width;
    column = 4u * lane;
    for (var c = 0u; c < width; c += tile_columns) {
        first = c;
        clear_sums();
        weights_product(steps, lane);
        keep_all_tile();
        workgroupBarrier();
        for (var i = lane; i < tile_size; i += LANES) {
            let at = i / tile_columns * width + c + i % tile_columns;
            if c + i % tile_columns < width {
                var value = tile[i];
                if how == KEEP_UNITS { slabs[result + ROWS * width + at] = gelu(value); }
                if how == TIMES_SLOPE { value *= gelu_slope(slabs[units + at]); }
                slabs[result + at] = value;
            }
        }
        workgroupBarrier();
    }
}
// slabs at `into` [height, width] += dyᵀ x of the tile: the gradient of a matrix. dy [ROWS, height], x [ROWS, width] at the given places.
fn add_outer(dy: u32, height: u32, x: u32, width: u32, into: u32, lane: u32) {
    columns = width;
    column = 4u * lane;
    right = Operand(x, width, 1u);
    for (var row = 0u; row < height; row += ROWS) {
        rows = min(ROWS, height - row);
        left = Operand(dy + row, 1u, height);
        for (var c = 0u; c < width; c += tile_columns) {
            first = c;
            clear_sums();
            inputs_product(ROWS / 4u, lane);
            keep_all_tile();
            workgroupBarrier();
            for (var i = lane; i < tile_size; i += LANES) {
                let at = row + i / tile_columns;
                if at < height && c + i % tile_columns < width { slabs[into + at * width + c + i % tile_columns] += tile[i]; }
            }
            workgroupBarrier();
        }
    }
}

fn forward(l: Level, lane: u32) {
    for (var row = lane; row < ROWS; row += LANES) {
        let x = l.x + row * l.width;
        var sum = 0.0;
        for (var i = 0u; i < l.width; i++) { sum += slabs[x + i]; }
        let mean = sum / f32(l.width);
        var square = 0.0;
        for (var i = 0u; i < l.width; i++) {
            let d = slabs[x + i] - mean;
            square += d * d;
        }
        let scale = inverseSqrt(square / f32(l.width) + 1e-5);
        slabs[l.moments + 2u * row] = mean;
        slabs[l.moments + 2u * row + 1u] = scale;
        for (var i = 0u; i < l.width; i++) {
            slabs[l.normed + row * l.width + i] = (slabs[x + i] - mean) * scale * w[l.norm + i] + w[l.norm + l.width + i];
        }
    }
    sync();
    let up = l.norm + 2u * l.width;
    for (var phase = 0u; phase < 2u; phase++) {
        // Up to the hidden layer, then down; one place in the code, because a product in it takes drivers long to compile.
        left = Operand(l.normed, l.width, 1u);
        right = Operand(up, 1u, l.width);
        result = l.units;
        var width = HIDDEN;
        var steps = l.width / 4u;
        var how = KEEP_UNITS;
        if phase == 1u {
            left = Operand(l.hidden, HIDDEN, 1u);
            right = Operand(up + HIDDEN * l.width, 1u, HIDDEN);
            result = l.y;
            width = SIZE;
            steps = HIDDEN / 4u;
            how = 0u;
        }
        multiply(width, steps, how, l.units, lane);
        sync();
    }
}

// From dy [ROWS, SIZE]: the slab's sums at `sums`, and dx [ROWS, width], added to what is there where `more`. Uses up
// dhidden [ROWS, HIDDEN] and dnormed [ROWS, WIDTH].
fn backward(l: Level, sums: u32, dy: u32, dx: u32, more: bool, dhidden: u32, dnormed: u32, lane: u32) {
    let up = l.norm + 2u * l.width;
    for (var phase = 0u; phase < 2u; phase++) {
        // Back through the matrix down, then through the one up.
        var d = dy;
        var height = SIZE;
        var x = l.hidden;
        var width = HIDDEN;
        var matrix = up + HIDDEN * l.width;
        var into = dhidden;
        var how = TIMES_SLOPE;
        if phase == 1u {
            d = dhidden;
            height = HIDDEN;
            x = l.normed;
            width = l.width;
            matrix = up;
            into = dnormed;
            how = 0u;
        }
        add_outer(d, height, x, width, sums + matrix, lane);
        left = Operand(d, height, 1u);
        right = Operand(matrix, width, 1u);
        result = into;
        multiply(width, height / 4u, how, l.units, lane);
        sync();
    }
    for (var c = lane; c < l.width; c += LANES) {
        var weight = 0.0;
        var bias = 0.0;
        for (var t = 0u; t < ROWS; t++) {
            let d = slabs[dnormed + t * l.width + c];
            weight += d * standard(l, t, c);
            bias += d;
        }
        slabs[sums + l.norm + c] += weight;
        slabs[sums + l.norm + l.width + c] += bias;
    }
    for (var row = lane; row < ROWS; row += LANES) {
        var g_sum = 0.0;
        var gx_sum = 0.0;
        for (var c = 0u; c < l.width; c++) {
            let g = slabs[dnormed + row * l.width + c] * w[l.norm + c];
            g_sum += g;
            gx_sum += g * standard(l, row, c);
        }
        g_sum /= f32(l.width);
        gx_sum /= f32(l.width);
        for (var c = 0u; c < l.width; c++) {
            let g = slabs[dnormed + row * l.width + c] * w[l.norm + c] - g_sum - standard(l, row, c) * gx_sum;
            let d = g * slabs[l.moments + 2u * row + 1u];
            let at = dx + row * l.width + c;
            if more { slabs[at] += d; } else { slabs[at] = d; }
        }
    }
    sync();
}

// Element c of a row of the level's standardised input.
fn standard(l: Level, row: u32, c: u32) -> f32 {
    return (slabs[l.x + row * l.width + c] - slabs[l.moments + 2u * row]) * slabs[l.moments + 2u * row + 1u];
}

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(subgroup_invocation_id) lane: u32) { differentiate(group.x, lane); }
