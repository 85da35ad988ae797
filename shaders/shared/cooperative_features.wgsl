// Scales of features in mixed precision, through shared/cooperative_tile.wgsl. Needs shared/feature_memory.wgsl and a
// tile.
// The largest number of the vector from the number `at` on.
fn largest_factor(at: u32) -> f32 {
    var most = select(0.0, 1.0, EXTENDED);
    for (var c = 0u; c < SOURCE; c++) { most = max(most, abs(factor(at, c))); }
    return most;
}
// A power of two that no feature of such vectors is above.
fn features_above(most: f32) -> f32 {
    let power = power_above(most);
    var all = 1.0;
    for (var k = 0u; k < ORDER; k++) { all *= power; }
    return all;
}
// The largest of what the invocations of a workgroup have.
fn largest_of_all(own: f32) -> f32 {
    tile_left[here.z] = vec4<f32>(own);
    workgroupBarrier();
    var most = 0.0;
    for (var i = 0u; i < INVOCATIONS; i++) { most = max(most, tile_left[i].x); }
    workgroupBarrier();
    return most;
}
