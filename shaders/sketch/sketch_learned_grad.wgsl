// Gradient of the learned sketch (SPEC §1): into dqkv, and partial sums of the gradients of weights and
// norms.
//
// Ladder. Reference: kernels/sketch/sketch_learned_grad.rs. Kept activations would be some thousand floats a
// token and head. First: both operands of every multiply-add from storage, in 32 workgroups: on an H100 626
// of 681 ms of a step of attention over 32k tokens. Then: activations of a tile in the workgroup's slab of
// storage, both operands of a product staged from there: by the gauge .8 words loaded for a multiply-add,
// and slabs so large that only 95 fitted a binding. Here: a workgroup takes ROW_TILE vectors through the net
// and back; their activations lie in its memory, four vectors side by side, CHUNK hidden units at a time,
// which the way back computes again (a sixth more operations), and products go through registers in blocks
// of 4 x 4. In the slab are its sums, so that nothing is atomic, the inputs and outputs of levels, and what
// would else keep registers over a product. Not measured on a real GPU yet.
#import lanes
#import sketch_net
struct Params {
    vectors: u32, lanes: u32, tokens: u32, lane_base: u32, slabs: u32, first_tile: u32,
    // SIZE and HEAD / 2: bounds that compilers know make them write loops out until registers no longer
    // suffice.
    outputs: u32, pairs: u32,
}
override WEIGHTS: u32;         // two branches of levels of norm [2, i], up [HIDDEN, i], down [SIZE, HIDDEN]
override TILES: u32;           // of a slab that a dispatch takes at most, from its first_tile on
override SLAB: u32;            // numbers of a slab: sums of weights, of norms [4, HEAD], then the tile's
override ROW_TILE: u32;        // vectors of a tile
override CHUNK: u32;           // hidden units at a time, a multiple of 4, at most 16 THREADS / ROW_TILE
override TALL: u32;            // rows of a block of a weight's gradient: 4 or 8
override PITCH: u32;           // ROW_TILE / 4, or one more: odd, so that columns begin in different banks
override MEMORY: u32;          // PITCH times (max(HEAD, SIZE) + SIZE + max(CHUNK, HEAD, SIZE))
const THREADS: u32 = 128u;

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> qkv: array<f32>;              // [rows, QKV_WIDTH]
@group(0) @binding(2) var<storage, read> lanes: array<Lane>;           // [lanes]
@group(0) @binding(3) var<storage, read> norms: array<f32>;            // [4, HEAD]
@group(0) @binding(4) var<storage, read> rotations: array<vec2<f32>>;  // [4 * 256, HEAD / 2]
@group(0) @binding(5) var<storage, read> w: array<vec4<f32>>;          // as WEIGHTS says
@group(0) @binding(6) var<storage, read> dsketch: array<f32>;          // [vectors, SIZE]
@group(0) @binding(7) var<storage, read_write> slabs: array<f32>;      // [slabs, SLAB]
@group(0) @binding(8) var<storage, read_write> dqkv: array<f32>;       // [rows, QKV_WIDTH]

// Columns of ROW_TILE / 4 vectors of four numbers, PITCH apart: the level's normed input; gradients of its
// outputs; hidden units, or what is made of them.
var<workgroup> memory: array<vec4<f32>, MEMORY>;
fn outputs_at() -> u32 { return max(HEAD, SIZE) * PITCH; }
fn hidden_at() -> u32 { return outputs_at() + SIZE * PITCH; }
var<private> four: u32;                        // this invocation's four vectors of the tile
var<private> place: u32;                       // where it stands among those that have the same
var<private> filled: u32;                      // fours of vectors that are not empty
#import level_products dots
#import level_products sum
#import level_rows
#import level_vectors
#import gelu_with_slope

// The slab's numbers at `into` [height, width] += what columns `left` and `right` of memory give: the
// gradient of a matrix. Columns of a block are far apart, so that neighbours read other banks and store side
// by side.
fn gain(left: u32, height: u32, right: u32, width: u32, into: u32, stride: u32, local: u32) {
    let wide = width / 4u;
    for (var block = local; block < wide * ((height + TALL - 1u) / TALL); block += THREADS) {
        let first = block / wide * TALL;
        let column = block % wide;
        var s = array<vec4<f32>, 8>();
        for (var i = 0u; i < filled; i++) {
            var b = mat4x4<f32>();
            for (var j = 0u; j < 4u; j++) { b[j] = memory[right + (column + j * wide) * PITCH + i]; }
            b = transpose(b);
            for (var y = 0u; y < TALL; y++) {
                let a = memory[left + min(first + y, height - 1u) * PITCH + i];
                s[y] = fma(vec4<f32>(a.x), b[0], s[y]);
                s[y] = fma(vec4<f32>(a.y), b[1], s[y]);
                s[y] = fma(vec4<f32>(a.z), b[2], s[y]);
                s[y] = fma(vec4<f32>(a.w), b[3], s[y]);
            }
        }
        for (var y = 0u; y < TALL; y++) {
            let at = into + (first + y) * stride + column;
            if first + y < height {
                for (var j = 0u; j < 4u; j++) { slabs[at + j * wide] += s[y][j]; }
            }
        }
    }
}

// A level: its outputs from the normed input in memory, into `y` of the slab; or, from their gradients, the
// weights' and that of the input.
struct Level { width: u32, norm: u32, x: u32, y: u32, back: bool }
fn take(l: Level, way: Back, sums: u32, slopes: u32, local: u32) {
    let hidden = hidden_at();
    let up = l.norm + 2u * l.width;
    let down = up + HIDDEN * l.width;
    // Where columns are few, invocations share the inner indices of what comes out.
    let columns = select(SIZE, l.width, l.back);
    let wide = columns / 4u;
    let splits = max(min(apart() / wide, max(CHUNK, max(HEAD, SIZE)) / columns), 1u);
    let split = place / wide;
    let column = place % wide;
    sum = mat4x4<f32>();
    for (var start = 0u; start < HIDDEN; start += CHUNK) {
        let here = min(CHUNK, HIDDEN - start);
        let own = 4u * place < here;
        let of_split = (here / 4u + splits - 1u) / splits;
        let first = split * of_split;
        let end = min(first + of_split, here / 4u);
        if own {
            dots = mat4x4<f32>();
            along_dots(0u, 0u, l.width / 4u, (up + (start + 4u * place) * l.width) / 4u, l.width / 4u);
            for (var j = 0u; j < 4u; j++) {
                let curve = gelu_with_slope4(dots[j]);
                dots[j] = curve.value;
                if l.back { keep(slopes, 4u * place + j, curve.slope); }
            }
            store_dots(hidden + 4u * place * PITCH);
        }
        workgroupBarrier();
        if l.back {
            gain(outputs_at(), SIZE, hidden, here, sums + down + start, HIDDEN, local);
            dots = mat4x4<f32>();
            if own {
                let at = (down + start) / 4u + place;
                across_dots(outputs_at(), 0u, params.outputs / 4u, at, HIDDEN / 4u);
            }
            workgroupBarrier();
            if own {
                for (var j = 0u; j < 4u; j++) { dots[j] *= kept(slopes, 4u * place + j); }
                store_dots(hidden + 4u * place * PITCH);
            }
            workgroupBarrier();
            gain(hidden, here, 0u, l.width, sums + up + start * l.width, l.width, local);
            if split < splits {
                across_sum(hidden, first, end, (up + start * l.width) / 4u + column, l.width / 4u);
            }
        } else if split < splits {
            along_sum(hidden, first, end, (down + 4u * column * HIDDEN + start) / 4u, HIDDEN / 4u);
        }
        workgroupBarrier();
    }
    if split < splits { store_sum(hidden + (split * columns + 4u * column) * PITCH); }
    workgroupBarrier();
    if l.back {
        var given = way;
        given.splits = splits;
        norm_rows_back(given, l.x, l.width, l.norm, sums, local);
    } else {
        for (var c = place; c < SIZE; c += apart()) {
            var y = vec4<f32>();
            for (var s = 0u; s < splits; s++) { y += memory[hidden + place_of(s * SIZE + c)]; }
            keep(l.y, c, y);
        }
        workgroupBarrier();
    }
}

// From the outputs of both branches a and b, s = √r tanh(ab / √r): the gradient of one of them.
fn split_branches(first: u32, own: u32, other: u32) {
    let root = sqrt(f32(SIZE));
    for (var c = place; c < SIZE; c += apart()) {
        let b = kept(other, c);
        let t = tanh(clamp(kept(own, c) * b / root, vec4<f32>(-15.0), vec4<f32>(15.0)));
        var d = vec4<f32>();
        for (var i = 0u; i < 4u; i++) {
            let v = first + 4u * four + i;
            let given = dsketch[min(v, params.vectors - 1u) * SIZE + c];
            d[i] = select(0.0, given, v < params.vectors);
        }
        memory[outputs_at() + place_of(c)] = d * (1.0 - t * t) * b;
    }
}

// Where the outputs of a level lie in the slab.
fn outputs_of(tile: u32, branch: u32, level: u32) -> u32 {
    return tile + (HEAD + (branch * LEVELS + level) * SIZE) * ROW_TILE;
}

@compute @workgroup_size(128)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    four = local % fours();
    place = local / fours();
    let sums = group.x * SLAB;
    // Columns of ROW_TILE: inputs [HEAD], outputs, gradients of inputs [HEAD], slopes [CHUNK].
    let tile = sums + WEIGHTS + 4u * HEAD;
    if params.first_tile == 0u {
        for (var i = local; i < WEIGHTS + 4u * HEAD; i += THREADS) { slabs[sums + i] = 0.0; }
    }
    workgroupBarrier();
    storageBarrier();
    for (var at = 0u; at < TILES; at++) {
        let first = (group.x + (params.first_tile + at) * params.slabs) * ROW_TILE;
        if first >= params.vectors { break; }
        filled = (min(ROW_TILE, params.vectors - first) + 3u) / 4u;
        load_vectors(first, local);
        for (var c = place; c < HEAD; c += apart()) { keep(tile, c, memory[place_of(c)]); }
        for (var step = 0u; step < 4u * LEVELS; step++) {
            let back = step >= 2u * LEVELS;
            let of_branch = step % LEVELS;
            let level = select(of_branch, LEVELS - 1u - of_branch, back);
            let branch = step / LEVELS % 2u;
            if back && of_branch == 0u {
                let own = outputs_of(tile, branch, level);
                split_branches(first, own, outputs_of(tile, 1u - branch, level));
            }
            var l = Level(HEAD, branch * (WEIGHTS / 2u), tile, outputs_of(tile, branch, level), back);
            if level > 0u {
                l.width = SIZE;
                let above = (level - 1u) * (2u * SIZE + 2u * HIDDEN * SIZE);
                l.norm += 2u * HEAD + HIDDEN * (HEAD + SIZE) + above;
                l.x = outputs_of(tile, branch, level - 1u);
            }
            norm_rows(l.x, l.width, l.norm, local);
            let dx = outputs_of(tile, 2u, 0u);
            let way = Back(hidden_at(), 1u, outputs_at(), dx, level == 0u, branch == 1u);
            take(l, way, sums, dx + HEAD * ROW_TILE, local);
        }
        store_vectors(first, hidden_at(), sums + WEIGHTS, local);
    }
}
