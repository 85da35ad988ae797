// The learned sketch's backward pass: how a tile lies in its slab, and the way through it, forwards and
// backwards. Needs sketch_vectors and what that needs, WEIGHTS, gelu_with_slope, the work between products
// (sketch_rows) and products on a tile:
//   multiply(width, inner, how, slopes, local): result [ROW_TILE, width] = left right, right in w
//   add_outer(dy, height, x, width, into, local): slabs at `into` [height, width] += dyᵀ x of the tile, the
//       gradient of a matrix; dy [ROW_TILE, height], x [ROW_TILE, width] at the given places
#import sketch_net

// Operands of products on a tile in a slab, of which the right one may be in w; the result goes to the slab.
struct Operand { at: u32, row: u32, column: u32 } // offset, distance of rows, distance of columns
var<private> left: Operand;
var<private> right: Operand;
var<private> result: u32;      // first row of the result
// How a product is kept: as it is; the slope of its GELU, and the GELU behind; times the slopes at `slopes`.
const KEEP: u32 = 0u;
const KEEP_GELU: u32 = 1u;
const TIMES_SLOPE: u32 = 2u;

// Where one level of one branch lies: its weights in w (and their sums in the slab), its activations in the
// slab.
struct Level {
    width: u32,
    norm: u32,     // in w; up and down follow
    x: u32,        // [ROW_TILE, width]: input
    moments: u32,  // [ROW_TILE, 2]
    normed: u32,   // [ROW_TILE, width]
    slopes: u32,   // [ROW_TILE, HIDDEN]: of the hidden layer's GELU
    hidden: u32,   // [ROW_TILE, HIDDEN], after it
    y: u32,        // [ROW_TILE, SIZE]
}

fn weights_of(width: u32) -> u32 { return 2u * width + HIDDEN * (width + SIZE); }

fn activations_of(width: u32) -> u32 { return ROW_TILE * (2u + width + 2u * HIDDEN + SIZE); }

fn level_at(x: u32, branch: u32, level: u32) -> Level {
    var l = Level();
    let first = x + ROW_TILE * HEAD + branch * (activations_of(HEAD) + (LEVELS - 1u) * activations_of(SIZE));
    if level == 0u {
        l.width = HEAD;
        l.norm = branch * (WEIGHTS / 2u);
        l.x = x;
        l.moments = first;
    } else {
        l.width = SIZE;
        l.norm = branch * (WEIGHTS / 2u) + weights_of(HEAD) + (level - 1u) * weights_of(SIZE);
        l.moments = first + activations_of(HEAD) + (level - 1u) * activations_of(SIZE);
        l.x = l.moments - ROW_TILE * SIZE; // the output of the level below
    }
    l.normed = l.moments + ROW_TILE * 2u;
    l.slopes = l.normed + ROW_TILE * l.width;
    l.hidden = l.slopes + ROW_TILE * HIDDEN;
    l.y = l.hidden + ROW_TILE * HIDDEN;
    return l;
}

fn forward(l: Level, local: u32) {
    norm_rows(l, local);
    let up = l.norm + 2u * l.width;
    for (var phase = 0u; phase < 2u; phase++) {
        // Up to the hidden layer, then down; one place in the code, because a product in it takes drivers
        // long to compile.
        left = Operand(l.normed, l.width, 1u);
        right = Operand(up, 1u, l.width);
        result = l.slopes;
        var width = HIDDEN;
        var inner = l.width;
        var how = KEEP_GELU;
        if phase == 1u {
            left = Operand(l.hidden, HIDDEN, 1u);
            right = Operand(up + HIDDEN * l.width, 1u, HIDDEN);
            result = l.y;
            width = SIZE;
            inner = HIDDEN;
            how = KEEP;
        }
        multiply(width, inner, how, l.slopes, local);
        sync();
    }
}

// From dy [ROW_TILE, SIZE]: the slab's sums at `sums`, and dx [ROW_TILE, width], added to what is there where
// `more`. Uses up dhidden [ROW_TILE, HIDDEN] and dnormed [ROW_TILE, max(HEAD, SIZE)].
fn backward(l: Level, sums: u32, dy: u32, dx: u32, more: bool, dhidden: u32, dnormed: u32, local: u32) {
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
            how = KEEP;
        }
        add_outer(d, height, x, width, sums + matrix, local);
        left = Operand(d, height, 1u);
        right = Operand(matrix, width, 1u);
        result = into;
        multiply(width, height, how, l.slopes, local);
        sync();
    }
    norm_rows_back(l, sums, dx, more, dnormed, local);
}

// The tiles of a slab in this dispatch.
fn differentiate(slab: u32, local: u32) {
    let sums = slab * SLAB;
    let x = sums + WEIGHTS + 4u * HEAD;
    let after = x + ROW_TILE * HEAD + 2u * (activations_of(HEAD) + (LEVELS - 1u) * activations_of(SIZE));
    let dbranch = after;                                // [2, ROW_TILE, SIZE]
    let dhidden = dbranch + 2u * ROW_TILE * SIZE;       // [ROW_TILE, HIDDEN]
    let dnormed = dhidden + ROW_TILE * HIDDEN;          // [ROW_TILE, max(HEAD, SIZE)]
    let dx = dnormed + ROW_TILE * max(HEAD, SIZE);      // [ROW_TILE, HEAD]
    clear(sums, WEIGHTS + 4u * HEAD, local);
    for (var tile = 0u; tile < TILES; tile++) {
        let first = first_vector(slab, tile);
        if first >= params.vectors { break; }
        load_vectors(first, x, local);
        for (var branch = 0u; branch < 2u; branch++) {
            for (var level = 0u; level < LEVELS; level++) { forward(level_at(x, branch, level), local); }
        }
        let left = level_at(x, 0u, LEVELS - 1u).y;
        let right = level_at(x, 1u, LEVELS - 1u).y;
        split_branches(first, left, right, dbranch, local);
        sync();
        for (var branch = 0u; branch < 2u; branch++) {
            let dy = dbranch + branch * ROW_TILE * SIZE;
            for (var above = LEVELS; above > 0u; above--) {
                let lowest = above == 1u;
                let l = level_at(x, branch, above - 1u);
                let into = select(dy, dx, lowest);
                backward(l, sums, dy, into, lowest && branch == 1u, dhidden, dnormed, local);
            }
        }
        store_vectors(first, dx, sums + WEIGHTS, local);
    }
}
