// The finite features of a kernel: φ_f(u) = Π_m u[index_m(f)], ORDER factors from a vector of SOURCE
// elements, with 1 appended where EXTENDED (all monomials up to degree ORDER). table [2 * FEATURES]: four
// packed indices a feature, then the scales of the key side (2 off the diagonal of the packed symmetric
// square, multinomials for taylor). A state is [FEATURES, HEAD], then [FEATURES]: STATE numbers. Needs
// feature_rows, feature_memory or feature_tile: how the vectors lie.
override SOURCE: u32;
override SOURCE_OFFSET: u32;   // column of the vector in query and key rows
override FEATURES: u32;
override ORDER: u32;
override EXTENDED: bool;

fn feature(row: u32, packed: u32) -> f32 {
    var value = factor(row, packed & 255u);
    if ORDER > 1u { value *= factor(row, (packed >> 8u) & 255u); }
    if ORDER > 2u { value *= factor(row, (packed >> 16u) & 255u); }
    if ORDER > 3u { value *= factor(row, packed >> 24u); }
    return value;
}
fn key_scale(f: u32) -> f32 { return bitcast<f32>(table[FEATURES + f]); }
