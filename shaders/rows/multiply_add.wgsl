// What arithmetic a device can do at best: nothing but fused multiply-adds in registers, on two independent
// vectors of four an invocation, as many as the registers of a CPU hold for a subgroup of eight; 16 steps
// before the loop's own work comes again. x = x / 2 + a ends at 2 a, so that the result can be checked.
override STEPS: u32;           // a multiple of 16
struct Params { scale: f32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> sums: array<vec4<f32>>;

const ADD: vec4<f32> = vec4<f32>(1.0, 2.0, 3.0, 4.0);
fn four(x: vec4<f32>, m: vec4<f32>) -> vec4<f32> {
    return fma(fma(fma(fma(x, m, ADD), m, ADD), m, ADD), m, ADD);
}

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    // A uniform: a constant could be folded.
    let m = vec4<f32>(params.scale);
    var a = vec4<f32>(f32(id.x % 7u));
    var b = a + 1.0;
    for (var i = 0u; i < STEPS; i += 16u) {
        a = four(a, m); b = four(b, m);
        a = four(a, m); b = four(b, m);
        a = four(a, m); b = four(b, m);
        a = four(a, m); b = four(b, m);
    }
    if id.x < arrayLength(&sums) { sums[id.x] = a + b; }
}
