// The features' vectors, one row after the other in `source`.
#import features
fn factor(row: u32, index: u32) -> f32 {
    if EXTENDED && index == SOURCE { return 1.0; }
    return source[row * SOURCE + index];
}
