// The first tokens of a text, as a block of queries sees them: no further away than SINK_REACH tokens, so that a
// model meets no distance that it has not learned (SPEC §10). Their keys are turned on, as later tokens' are.
override SINK_NUMBERS: u32;    // SINKS * HEAD; 1 where there is no SINK_REACH
#import rotation
var<workgroup> sink_x: array<f32, SINK_NUMBERS>;

// `row`: where the first sink's key row begins; `first`: position of the first token of the queries' block.
fn turn_sinks(row: u32, first: u32, index: u32, invocations: u32) {
    let by = max(first, SINK_REACH) - SINK_REACH;
    for (var i = index; i < SINKS * (HEAD / 2u); i += invocations) {
        let sink = i / (HEAD / 2u);
        let pair = i % (HEAD / 2u);
        let at = row + sink * KEY_WIDTH + pair;
        let a = keys[at / 4u][at % 4u];
        let b = keys[(at + HEAD / 2u) / 4u][(at + HEAD / 2u) % 4u];
        let r = rotation(by, pair, HEAD / 2u);
        sink_x[sink * HEAD + pair] = a * r.x - b * r.y;
        sink_x[sink * HEAD + pair + HEAD / 2u] = b * r.x + a * r.y;
    }
    workgroupBarrier();
}

fn sink_vector(sink: u32, k: u32) -> vec4<f32> {
    let at = sink * HEAD + k;
    return vec4<f32>(sink_x[at], sink_x[at + 1u], sink_x[at + 2u], sink_x[at + 3u]);
}
