// Scales of the blocks of a row in few bits: as tensor/quant.rs lays them out.
override ROW_WORDS: u32;    // words of a row
override SCALES: u32;       // words before its scales
override BLOCK: u32;        // vectors of four values that share a scale
override WIDE: bool;        // scales are floats, else halves
override MINIMUM: bool;     // each block has a minimum
override OFFSET: f32;       // what is taken from the values of 4 bits

fn scale_word(block: u32) -> u32 {
    if WIDE { return block * select(1u, 2u, MINIMUM); }
    return select(block / 2u, block, MINIMUM);
}
fn minimum_word(block: u32) -> u32 { return scale_word(block) + select(0u, 1u, WIDE && MINIMUM); }
fn block_scale(word: u32, block: u32) -> f32 {
    if WIDE { return bitcast<f32>(word); }
    let pair = unpack2x16float(word);
    return select(pair.x, pair.y, !MINIMUM && block % 2u == 1u);
}
fn block_minimum(word: u32) -> f32 {
    if !MINIMUM { return 0.0; }
    if WIDE { return bitcast<f32>(word); }
    return unpack2x16float(word).y;
}
