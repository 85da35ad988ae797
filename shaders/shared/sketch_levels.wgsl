// How a tile of the learned sketch's backward pass lies in its slab. Needs SIZE, HIDDEN, LEVELS, WEIGHTS and ROW_TILE.
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
