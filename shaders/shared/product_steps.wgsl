// Over all inner indices, DEPTH at a time: while a step is multiplied, the next one's numbers are on their way. The
// buffer it begins with is free, since the product before ended with the other one.
fn add_$(inner: u32) {
    fetch_$(0u);
    keep_$();
    workgroupBarrier();
    for (var k = 0u; k < inner; k += DEPTH) {
        let more = k + DEPTH < inner;
        if more { fetch_$(k + DEPTH); }
        multiply_$();
        if more {
            keep_$();
            workgroupBarrier();
        }
    }
}
