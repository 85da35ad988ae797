// permutations: [RANGES]
// One AdamW step (PyTorch's order: decay, moments, step), an element an invocation. The gradient is cleared.
// A factor of 0 (the gradients are not finite) leaves everything else as it is.
#import grid
#import optimizer
struct Params { ranges: u32 }
override ELEMENTS: u32;
override DECAYED: bool;     // the weight decay applies, but for the ranges

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> settings: Settings;
@group(0) @binding(2) var<storage, read> clip: Clip;
#ifdef RANGES
@group(0) @binding(3) var<storage, read> ranges: array<vec2<u32>>;       // [ranges] start, end: without decay
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
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let i = grid_index(group, groups) * 64u + local;
    if i >= ELEMENTS { return; }
    if clip.factor == 0.0 {
        gradient[i] = 0.0;
        return;
    }
    var p = parameter[i];
    var decayed = DECAYED;
#ifdef RANGES
    for (var r = 0u; r < params.ranges; r++) {
        if i >= ranges[r].x && i < ranges[r].y { decayed = false; }
    }
#endif
    let s = settings;
    if decayed { p *= 1.0 - s.learning_rate * s.weight_decay; }
    let g = gradient[i] * clip.factor;
    let m = s.beta1 * first[i] + (1.0 - s.beta1) * g;
    let v = s.beta2 * second[i] + (1.0 - s.beta2) * g * g;
    parameter[i] = p - s.learning_rate * (m / s.gathered1) / (sqrt(v / s.gathered2) + s.eps);
    first[i] = m;
    second[i] = v;
    gradient[i] = 0.0;
}
