// The global norm of all gradients, and min(1, clip / norm): 1 where clip is not positive, 0 where the norm
// is not finite.
#import optimizer
struct Params { sums: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> norms: array<f32>;           // [sums], of squares
@group(0) @binding(2) var<storage, read> settings: Settings;
@group(0) @binding(3) var<storage, read_write> result: Clip;

var<workgroup> sums: array<f32, 256>;

@compute @workgroup_size(256)
fn main(@builtin(local_invocation_index) local: u32) {
    var sum = 0.0;
    for (var i = local; i < params.sums; i += 256u) { sum += norms[i]; }
    sums[local] = sum;
    for (var step = 128u; step > 0u; step = step / 2u) {
        workgroupBarrier();
        if local < step { sums[local] += sums[local + step]; }
    }
    if local == 0u {
        let norm = sqrt(sums[0]);
        var factor = 1.0;
        if settings.clip > 0.0 && norm > settings.clip { factor = settings.clip / norm; }
        // By its bits: compilers may assume that there is nothing but finite numbers.
        if (bitcast<u32>(norm) & 0x7f800000u) == 0x7f800000u { factor = 0.0; }
        result.norm = norm;
        result.factor = factor;
    }
}
