// The global norm of all gradients, and min(1, clip / norm): 1 where clip is not positive, 0 where the norm
// is not finite.
struct Params { sums: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> norms: array<f32>;           // [sums], of squares
@group(0) @binding(2) var<storage, read> settings: array<f32>;        // [8]: the last one is clip
@group(0) @binding(3) var<storage, read_write> result: array<f32>;    // [4]: norm, factor

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
        if settings[7] > 0.0 && norm > settings[7] { factor = settings[7] / norm; }
        // By its bits: compilers may assume that there is nothing but finite numbers.
        if (bitcast<u32>(norm) & 0x7f800000u) == 0x7f800000u { factor = 0.0; }
        result[0] = norm;
        result[1] = factor;
    }
}
