// The features' vectors in rows of $, from the number `at` on. Straight from memory: caches serve them faster
// than workgroup memory does (H100, the far part of scan_output: half of the time).
#import features
fn factor(at: u32, index: u32) -> f32 {
    // No branch: it would stand at every factor of every feature, and SwiftShader's compiler took minutes and
    // gigabytes over them.
    let i = at + select(index, min(index, SOURCE - 1u), EXTENDED);
    return select($[i / 4u][i % 4u], 1.0, EXTENDED & (index == SOURCE));
}
