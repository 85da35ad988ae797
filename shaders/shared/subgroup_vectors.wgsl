// ROWS rows in workgroup memory, $ [ROWS, columns / 4], where sums come from and go to, as in
// subgroup_rows.wgsl but in vectors: a vector costs a software adapter little more than a number. Needs
// `column`, the first of this invocation's four.
//
// Ladder. A layer of attention over 2048 tokens, 4 heads of 64, sketch of 32, blocks of 256, on lavapipe 22.3
// (two hyperthreads, a slow hour), ms; with it operands in storage became vectors too, and weights and
// features are built four at a time:
//                        numbers   vectors
//   attention_dense        745       350
//   sketch_learned         619       368
//   scan_states            206       120
//   scan_output            168       160     the features' factors are still single numbers
//
// Then features four rows at a time (feature_quads.wgsl), products whose left operand is built in registers
// (subgroup_outer.wgsl) and slabs in vectors (subgroup_slab_product.wgsl); the least of two interleaved
// rounds of another slow hour, ms:
//                             before   after
//   scan_states                  95      57
//   scan_output                 164     117
//   scan_grad_queries           172      87
//   scan_grad_keys              434     146
//   sketch_learned_grad        3470    1560
//   sketch_random_grad         1100     175     before: sketch_random_grad.wgsl
//
// Then sums that go straight to their slab (subgroup_slab_product.wgsl), outer products by four inner indices
// (subgroup_outer.wgsl) and one exponential for a GELU and its slope; over 4096 tokens, on two cores of a Zen
// 4, the least of three interleaved rounds, ms:
//   sketch_learned_grad        1552    1280
//   sketch_random_grad          120     106
//   scan_output                  77      74
#import subgroup_sums
override $_columns: u32;
override $_vectors: u32;       // ROWS * columns / 4
var<workgroup> $: array<vec4<f32>, $_vectors>;

fn take_$(row: u32) -> vec4<f32> { return $[(row * $_columns + min(column, $_columns - 4u)) / 4u]; }
fn keep_$(row: u32, sum: vec4<f32>) {
    if column < $_columns { $[(row * $_columns + column) / 4u] = sum; }
}
#import subgroup_all $
fn clear_all_$(lane: u32) {
    for (var i = lane; i < $_vectors; i += LANES) { $[i] = vec4<f32>(); }
}
