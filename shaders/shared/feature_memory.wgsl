// The features' vectors in rows of $, from the number `at` on. Straight from memory: caches serve them faster
// than workgroup memory does (H100, the far part of scan_output: half of the time).
#import features
fn factor(at: u32, index: u32) -> f32 {
    if EXTENDED && index == SOURCE { return 1.0; }
    return $[(at + index) / 4u][(at + index) % 4u];
}
