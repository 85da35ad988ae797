// The features' vectors in `staged`, one row after the other and behind each the 1 that may be appended to
// it, PITCH numbers apart: rows and elements that are read at once lie in different banks.
#import features
override PITCH: u32;           // more than SOURCE, a multiple of 4
fn factor(row: u32, index: u32) -> f32 {
    let at = row * PITCH + index;
    return staged[at / 4u][at % 4u];
}
fn features(row: u32, packed: vec4<u32>) -> vec4<f32> {
    return vec4<f32>(
        feature(row, packed.x), feature(row, packed.y), feature(row, packed.z), feature(row, packed.w)
    );
}
fn stage_vector(row: u32, vector: u32, value: vec4<f32>) {
    staged[row * (PITCH / 4u) + vector] = select(vec4<f32>(1.0), value, vector < SOURCE / 4u);
}
