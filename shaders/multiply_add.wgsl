// What arithmetic a device can do at best: nothing but fused multiply-adds in registers, on eight independent vectors of four an
// invocation. x = x / 2 + a ends at 2 a, so that the result can be checked.
override STEPS: u32;
struct Params { scale: f32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> sums: array<vec4<f32>>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    // A uniform: a constant could be folded.
    let m = vec4<f32>(params.scale);
    let add = vec4<f32>(1.0, 2.0, 3.0, 4.0);
    var a = vec4<f32>(f32(id.x % 7u)); var b = a + 1.0; var c = a + 2.0; var d = a + 3.0;
    var e = a + 4.0; var f = a + 5.0; var g = a + 6.0; var h = a + 7.0;
    for (var i = 0u; i < STEPS; i++) {
        a = fma(a, m, add); b = fma(b, m, add); c = fma(c, m, add); d = fma(d, m, add);
        e = fma(e, m, add); f = fma(f, m, add); g = fma(g, m, add); h = fma(h, m, add);
    }
    if id.x < arrayLength(&sums) {
        sums[id.x] = (a + b + c + d) + (e + f + g + h);
    }
}
