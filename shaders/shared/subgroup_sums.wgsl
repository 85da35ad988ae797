// Variants for devices whose subgroups are vectors of a CPU: all of LANES invocations. A workgroup is one
// subgroup and computes ROWS rows of a product, each invocation four columns. There a load costs as much for
// a subgroup as LANES loads, and a broadcast next to nothing: each value of the left operand is loaded by one
// invocation and broadcast.
//
// Measured on a product of 512 x 512 x 512, tiles by rows and columns of an invocation, best of four
// interleaved rounds of 15 (two hyperthreads of one core, GFLOP/s):
//                          lavapipe 22.3   lavapipe 25.0   SwiftShader
//   8x8 without subgroups       8.8             7.5            2.2
//   8x4                        10.4            12.8            2.6
//   8x8                        15.1            15.0            4.0
//   16x4                       19.7            20.5            3.7     chosen: compiles in half the time of
//   the next
//   32x4                       23.9            22.3
#import subgroup_lanes
const ROWS: u32 = 16u;

// Row r of the sums: this invocation's four columns. Variables of their own: an array could end up in memory.
var<private> s0: vec4<f32>;
var<private> s1: vec4<f32>;
var<private> s2: vec4<f32>;
var<private> s3: vec4<f32>;
var<private> s4: vec4<f32>;
var<private> s5: vec4<f32>;
var<private> s6: vec4<f32>;
var<private> s7: vec4<f32>;
var<private> s8: vec4<f32>;
var<private> s9: vec4<f32>;
var<private> s10: vec4<f32>;
var<private> s11: vec4<f32>;
var<private> s12: vec4<f32>;
var<private> s13: vec4<f32>;
var<private> s14: vec4<f32>;
var<private> s15: vec4<f32>;

fn clear_sums() {
    s0 = vec4<f32>();
    s1 = vec4<f32>();
    s2 = vec4<f32>();
    s3 = vec4<f32>();
    s4 = vec4<f32>();
    s5 = vec4<f32>();
    s6 = vec4<f32>();
    s7 = vec4<f32>();
    s8 = vec4<f32>();
    s9 = vec4<f32>();
    s10 = vec4<f32>();
    s11 = vec4<f32>();
    s12 = vec4<f32>();
    s13 = vec4<f32>();
    s14 = vec4<f32>();
    s15 = vec4<f32>();
}
