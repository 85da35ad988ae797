// Gradient of the learned sketch (SPEC §1): into dqkv, and partial sums of the gradients of weights and
// norms.
//
// Ladder. Reference: kernels/sketch/sketch_learned_grad.rs. Kept activations would be some thousand floats a
// token and head. Here a workgroup computes ROW_TILE vectors' net again into its slab of storage (which
// caches hold; workgroup memory of the floor could not), walks it backwards, and adds to partial sums that
// are its own: nothing is atomic. All its products go through one function that stages both operands in
// workgroup memory. Not measured on a real GPU: on an H100 the version before it, which loaded both operands
// of every multiply-add from storage in 32 workgroups, took 626 of 681 ms of a step of attention over 32k
// tokens.
#import sketch_grad_bindings
// Numbers in w: two branches of levels of norm [2, i], up [HIDDEN, i], down [SIZE, HIDDEN].
override WEIGHTS: u32;
const THREADS: u32 = 256u;
const ROW_TILE: u32 = 32u;
const SHARES: u32 = 4u;

#import sketch_vectors
#import sketch_levels
#import sketch_rows
#import gelu_with_slope

// A tile of a product: ROW_TILE rows and COLUMNS columns, STEP along the inner dimension at a time.
const COLUMNS: u32 = 64u;
const STEP: u32 = 32u;
// A row takes one vector more than it has: neighbours that store different rows then do not meet in a memory
// bank.
const LEFT: u32 = STEP / 4u + 1u;
const RIGHT: u32 = COLUMNS / 4u + 1u;
const LEFT_SIZE: u32 = ROW_TILE * LEFT;
const RIGHT_SIZE: u32 = STEP * RIGHT;
// [ROW_TILE, LEFT], vectors along the inner dimension; [STEP, RIGHT], vectors along columns.
var<workgroup> tile_left: array<vec4<f32>, LEFT_SIZE>;
var<workgroup> tile_right: array<vec4<f32>, RIGHT_SIZE>;
// This invocation's sums: rows 2 (local / 16) and the next, columns 4 (local % 16) and three more.
var<private> s0: vec4<f32>;
var<private> s1: vec4<f32>;

fn left_vector(row: u32, k: u32) -> vec4<f32> {
    let at = left.at + row * left.row + k * left.column;
    let step = left.column;
    return vec4<f32>(slabs[at], slabs[at + step], slabs[at + 2u * step], slabs[at + 3u * step]);
}
fn right_vector(in_w: bool, k: u32, column: u32) -> vec4<f32> {
    let at = right.at + k * right.row + column * right.column;
    let step = right.column;
    if in_w { return vec4<f32>(w[at], w[at + step], w[at + 2u * step], w[at + 3u * step]); }
    return vec4<f32>(slabs[at], slabs[at + step], slabs[at + 2u * step], slabs[at + 3u * step]);
}

// The tile at (first_row, first_column) of left right [height, width]. Whatever the strides, neighbours load
// neighbours.
fn product(in_w: bool, first_row: u32, first_column: u32, height: u32, width: u32, inner: u32, local: u32) {
    s0 = vec4<f32>();
    s1 = vec4<f32>();
    let x = local / 16u * 2u * LEFT;
    let y = local % 16u;
    for (var first = 0u; first < inner; first += STEP) {
        var row = local / (STEP / 4u);
        var k = local % (STEP / 4u);
        if left.row == 1u {
            row = local % ROW_TILE;
            k = local / ROW_TILE;
        }
        var value = vec4<f32>();
        if first_row + row < height && first + 4u * k < inner {
            value = left_vector(first_row + row, first + 4u * k);
        }
        tile_left[row * LEFT + k] = value;
        for (var i = local; i < STEP * (COLUMNS / 4u); i += THREADS) {
            var inside = i / (COLUMNS / 4u);
            var column = i % (COLUMNS / 4u);
            if right.row == 1u {
                inside = i % STEP;
                column = i / STEP;
            }
            value = vec4<f32>();
            if first + inside < inner && first_column + 4u * column < width {
                value = right_vector(in_w, first + inside, first_column + 4u * column);
            }
            tile_right[inside * RIGHT + column] = value;
        }
        workgroupBarrier();
        for (var k4 = 0u; k4 < STEP / 4u; k4++) {
            let a0 = tile_left[x + k4];
            let a1 = tile_left[x + LEFT + k4];
            let b0 = tile_right[4u * k4 * RIGHT + y];
            let b1 = tile_right[(4u * k4 + 1u) * RIGHT + y];
            let b2 = tile_right[(4u * k4 + 2u) * RIGHT + y];
            let b3 = tile_right[(4u * k4 + 3u) * RIGHT + y];
            s0 += a0.x * b0;
            s0 += a0.y * b1;
            s0 += a0.z * b2;
            s0 += a0.w * b3;
            s1 += a1.x * b0;
            s1 += a1.y * b1;
            s1 += a1.z * b2;
            s1 += a1.w * b3;
        }
        workgroupBarrier();
    }
}

fn put(at: u32, value: vec4<f32>) {
    slabs[at] = value.x;
    slabs[at + 1u] = value.y;
    slabs[at + 2u] = value.z;
    slabs[at + 3u] = value.w;
}

fn keep(at: u32, sum: vec4<f32>, width: u32, how: u32, slopes: u32) {
    var value = sum;
    if how == KEEP_GELU {
        let curve = gelu_with_slope4(sum);
        put(result + ROW_TILE * width + at, curve.value);
        value = curve.slope;
    }
    if how == TIMES_SLOPE {
        let u = slopes + at;
        value *= vec4<f32>(slabs[u], slabs[u + 1u], slabs[u + 2u], slabs[u + 3u]);
    }
    put(result + at, value);
}

fn multiply(width: u32, inner: u32, how: u32, slopes: u32, local: u32) {
    for (var c = 0u; c < width; c += COLUMNS) {
        product(true, 0u, c, ROW_TILE, width, inner, local);
        let column = c + local % 16u * 4u;
        if column < width {
            let at = local / 16u * 2u * width + column;
            keep(at, s0, width, how, slopes);
            keep(at + width, s1, width, how, slopes);
        }
    }
}

fn add(at: u32, sum: vec4<f32>) {
    slabs[at] += sum.x;
    slabs[at + 1u] += sum.y;
    slabs[at + 2u] += sum.z;
    slabs[at + 3u] += sum.w;
}

fn add_outer(dy: u32, height: u32, x: u32, width: u32, into: u32, local: u32) {
    left = Operand(dy, 1u, height);
    right = Operand(x, width, 1u);
    for (var row = 0u; row < height; row += ROW_TILE) {
        for (var c = 0u; c < width; c += COLUMNS) {
            product(false, row, c, height, width, ROW_TILE, local);
            let at = row + local / 16u * 2u;
            let column = c + local % 16u * 4u;
            if column < width {
                if at < height { add(into + at * width + column, s0); }
                if at + 1u < height { add(into + (at + 1u) * width + column, s1); }
            }
        }
    }
}

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    differentiate(group.x, local);
}
