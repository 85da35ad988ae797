// permutations: [RANGES]
// One AdamW step (PyTorch's order: decay, moments, step), an element an invocation. The gradient is cleared.
// A factor of 0 (the gradients are not finite) leaves everything else as it is.
#import grid
struct Params { ranges: u32 }
override ELEMENTS: u32;
override DECAYED: u32;      // 1: the weight decay applies, but for the ranges

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> settings: array<f32>;           // [8]: lr, beta1, beta2, eps, decay, 1 - beta1^t, 1 - beta2^t, clip
@group(0) @binding(2) var<storage, read> clip: array<f32>;               // [4]: norm, factor
#ifdef RANGES
@group(0) @binding(3) var<storage, read> ranges: array<vec2<u32>>;       // [ranges]: without decay, start and end
@group(0) @binding(4) var<storage, read_write> parameter: array<f32>;    // [ELEMENTS]
@group(0) @binding(5) var<storage, read_write> first: array<f32>;        // [ELEMENTS]
@group(0) @binding(6) var<storage, read_write> second: array<f32>;       // [ELEMENTS]
@group(0) @binding(7) var<storage, read_write> gradient: array<f32>;     // [ELEMENTS]
#else
@group(0) @binding(3) var<storage, read_write> parameter: array<f32>;    // [ELEMENTS]
@group(0) @binding(4) var<storage, read_write> first: array<f32>;        // [ELEMENTS]
@group(0) @binding(5) var<storage, read_write> second: array<f32>;       // [ELEMENTS]
@group(0) @binding(6) var<storage, read_write> gradient: array<f32>;     // [ELEMENTS]
#endif

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let i = grid_index(group, groups) * 64u + local;
    if i >= ELEMENTS { return; }
    if clip[1] == 0.0 {
        gradient[i] = 0.0;
        return;
    }
    var p = parameter[i];
    var decayed = DECAYED == 1u;
#ifdef RANGES
    for (var r = 0u; r < params.ranges; r++) {
        if i >= ranges[r].x && i < ranges[r].y { decayed = false; }
    }
#endif
    if decayed { p *= 1.0 - settings[0] * settings[4]; }
    let g = gradient[i] * clip[1];
    let m = settings[1] * first[i] + (1.0 - settings[1]) * g;
    let v = settings[2] * second[i] + (1.0 - settings[2]) * g * g;
    parameter[i] = p - settings[0] * (m / settings[5]) / (sqrt(v / settings[6]) + settings[3]);
    first[i] = m;
    second[i] = v;
    gradient[i] = 0.0;
}
