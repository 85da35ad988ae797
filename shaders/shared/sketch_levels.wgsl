// The learned sketch's backward pass: how a tile lies in its slab, and the way through it. Needs sketch_vectors and what that needs,
// SIZE, HIDDEN, LEVELS, WIDTH, WEIGHTS, SLAB and SLABS, dsketch, and a level's forward(level, local) and
// backward(level, sums, dy, dx, add, dhidden, dnormed, local).
// Where one level of one branch lies: its weights in w (and their sums in the slab), its activations in the slab.
struct Level {
    width: u32,
    norm: u32,     // in w; up and down follow
    x: u32,        // [ROW_TILE, width]: input
    moments: u32,  // [ROW_TILE, 2]
    normed: u32,   // [ROW_TILE, width]
    units: u32,    // [ROW_TILE, HIDDEN], before the GELU
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
    l.units = l.normed + ROW_TILE * l.width;
    l.hidden = l.units + ROW_TILE * HIDDEN;
    l.y = l.hidden + ROW_TILE * HIDDEN;
    return l;
}

// All tiles of a slab.
fn differentiate(slab: u32, local: u32) {
    let sums = slab * SLAB;
    let x = sums + WEIGHTS + 4u * HEAD;
    let after = x + ROW_TILE * HEAD + 2u * (activations_of(HEAD) + (LEVELS - 1u) * activations_of(SIZE));
    let dbranch = after;                                // [2, ROW_TILE, SIZE]
    let dhidden = dbranch + 2u * ROW_TILE * SIZE;       // [ROW_TILE, HIDDEN]
    let dnormed = dhidden + ROW_TILE * HIDDEN;          // [ROW_TILE, WIDTH]
    let dx = dnormed + ROW_TILE * WIDTH;                // [ROW_TILE, HEAD]
    for (var i = local; i < WEIGHTS + 4u * HEAD; i += THREADS) { slabs[sums + i] = 0.0; }
    sync();
    let root = sqrt(f32(SIZE));
    for (var first = slab * ROW_TILE; first < params.vectors; first += SLABS * ROW_TILE) {
        load_vectors(first, x, local);
        for (var branch = 0u; branch < 2u; branch++) {
            for (var level = 0u; level < LEVELS; level++) { forward(level_at(x, branch, level), local); }
        }
        let left = level_at(x, 0u, LEVELS - 1u).y;
        let right = level_at(x, 1u, LEVELS - 1u).y;
        for (var i = local; i < ROW_TILE * SIZE; i += THREADS) {
            let a = slabs[left + i];
            let b = slabs[right + i];
            let t = tanh(clamp(a * b / root, -15.0, 15.0));
            var d = 0.0;
            if first + i / SIZE < params.vectors { d = dsketch[first * SIZE + i] * (1.0 - t * t); }
            slabs[dbranch + i] = d * b;
            slabs[dbranch + ROW_TILE * SIZE + i] = d * a;
        }
        sync();
        for (var branch = 0u; branch < 2u; branch++) {
            let dy = dbranch + branch * ROW_TILE * SIZE;
            for (var above = LEVELS; above > 0u; above--) {
                let lowest = above == 1u;
                backward(level_at(x, branch, above - 1u), sums, dy, select(dy, dx, lowest), lowest && branch == 1u, dhidden, dnormed, local);
            }
        }
        store_vectors(first, dx, sums + WEIGHTS, local);
    }
}
