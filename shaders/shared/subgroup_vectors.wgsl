// ROWS rows in workgroup memory, $ [ROWS, columns / 4], where sums come from and go to, as in subgroup_rows.wgsl but in vectors: a
// vector costs a software adapter little more than a number. Needs `column`, the first of this invocation's four.
//
// Ladder. A layer of attention over 2048 tokens, 4 heads of 64, sketch of 32, blocks of 256, on lavapipe 22.3 (two hyperthreads, a slow
// hour), ms; with it operands in storage became vectors too, and weights and features are built four at a time:
//                        numbers   vectors
//   attention_dense        745       350
//   sketch_learned         619       368
//   scan_states            206       120
//   scan_output            168       160     the features' factors are still single numbers
#import subgroup_sums
override $_columns: u32;
override $_vectors: u32;       // ROWS * columns / 4
var<workgroup> $: array<vec4<f32>, $_vectors>;

fn take_$(row: u32) -> vec4<f32> { return $[(row * $_columns + min(column, $_columns - 4u)) / 4u]; }
fn keep_$(row: u32, sum: vec4<f32>) {
    if column < $_columns { $[(row * $_columns + column) / 4u] = sum; }
}
fn take_all_$() {
    s0 = take_$(0u);
    s1 = take_$(1u);
    s2 = take_$(2u);
    s3 = take_$(3u);
    s4 = take_$(4u);
    s5 = take_$(5u);
    s6 = take_$(6u);
    s7 = take_$(7u);
    s8 = take_$(8u);
    s9 = take_$(9u);
    s10 = take_$(10u);
    s11 = take_$(11u);
    s12 = take_$(12u);
    s13 = take_$(13u);
    s14 = take_$(14u);
    s15 = take_$(15u);
}
fn keep_all_$() {
    keep_$(0u, s0);
    keep_$(1u, s1);
    keep_$(2u, s2);
    keep_$(3u, s3);
    keep_$(4u, s4);
    keep_$(5u, s5);
    keep_$(6u, s6);
    keep_$(7u, s7);
    keep_$(8u, s8);
    keep_$(9u, s9);
    keep_$(10u, s10);
    keep_$(11u, s11);
    keep_$(12u, s12);
    keep_$(13u, s13);
    keep_$(14u, s14);
    keep_$(15u, s15);
}
fn clear_all_$(lane: u32) {
    for (var i = lane; i < $_vectors; i += LANES) { $[i] = vec4<f32>(); }
}
