// Features as in features.wgsl, four rows at a time: where a vector costs little more than a number. The
// rows' vectors lie transposed in workgroup memory, sources [SOURCE + EXTENDED, QUADS]. Needs QUADS,
// source_at(row, c), elements 4 c .. 4 c + 3 of a row's vector, and source_one(quad), the 1 that may be
// appended to each of four rows.
override SOURCE: u32;
override FEATURES: u32;
override ORDER: u32;
override EXTENDED: u32;
override SOURCE_VECTORS: u32;  // (SOURCE + EXTENDED) * QUADS
var<workgroup> sources: array<vec4<f32>, SOURCE_VECTORS>;

fn stage_sources(lane: u32) {
    for (var i = lane; i < SOURCE / 4u * QUADS; i += LANES) {
        let quad = i % QUADS;
        let c = i / QUADS;
        let columns = transpose(mat4x4<f32>(
            source_at(4u * quad, c),
            source_at(4u * quad + 1u, c),
            source_at(4u * quad + 2u, c),
            source_at(4u * quad + 3u, c)
        ));
        for (var e = 0u; e < 4u; e++) { sources[(4u * c + e) * QUADS + quad] = columns[e]; }
    }
    if EXTENDED == 1u {
        for (var quad = lane; quad < QUADS; quad += LANES) { sources[SOURCE * QUADS + quad] = source_one(quad); }
    }
}
fn feature_quad(packed: u32, quad: u32) -> vec4<f32> {
    var value = sources[(packed & 255u) * QUADS + quad];
    if ORDER > 1u { value *= sources[((packed >> 8u) & 255u) * QUADS + quad]; }
    if ORDER > 2u { value *= sources[((packed >> 16u) & 255u) * QUADS + quad]; }
    if ORDER > 3u { value *= sources[(packed >> 24u) * QUADS + quad]; }
    return value;
}
fn key_weight(f: u32) -> f32 { return bitcast<f32>(table[FEATURES + f]); }
