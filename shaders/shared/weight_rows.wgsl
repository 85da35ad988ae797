// Rows of the weights $ as vectors of four: plain f32; halves packed in pairs; integers of 4 or 8 bits, with a
// scale for each block (tensor/quant.rs). SPEC §5: storage only, arithmetic is in f32.
#ifdef Q4
#import few_bits
alias Weight4 = u32;
fn $_row4(row: u32, vector: u32, vectors: u32) -> vec4<f32> {
    let base = row * ROW_WORDS;
    let word = $[base + vector / 8u * 4u + vector % 4u] >> (vector % 8u / 4u * 4u);
    let q = vec4<u32>(word, word >> 8u, word >> 16u, word >> 24u) & vec4<u32>(15u);
    let block = vector / BLOCK;
    let scale = block_scale($[base + SCALES + scale_word(block)], block);
    let minimum = block_minimum($[base + SCALES + minimum_word(block)]);
    return (vec4<f32>(q) - OFFSET) * scale + minimum;
}
#else
#ifdef Q8
#import few_bits
alias Weight4 = u32;
fn $_row4(row: u32, vector: u32, vectors: u32) -> vec4<f32> {
    let base = row * ROW_WORDS;
    let word = $[base + vector];
    // With the sign bit turned, a byte is the number plus 128.
    let turned = word ^ 0x80808080u;
    let q = vec4<u32>(turned, turned >> 8u, turned >> 16u, turned >> 24u) & vec4<u32>(255u);
    let block = vector / BLOCK;
    let scale = block_scale($[base + SCALES + scale_word(block)], block);
    let minimum = block_minimum($[base + SCALES + minimum_word(block)]);
    return (vec4<f32>(q) - 128.0) * scale + minimum;
}
#else
#ifdef F16
alias Weight4 = vec2<u32>;
fn $_row4(row: u32, vector: u32, vectors: u32) -> vec4<f32> {
    let w = $[row * vectors + vector];
    return vec4<f32>(unpack2x16float(w.x), unpack2x16float(w.y));
}
#else
alias Weight4 = vec4<f32>;
fn $_row4(row: u32, vector: u32, vectors: u32) -> vec4<f32> { return $[row * vectors + vector]; }
#endif
#endif
#endif
