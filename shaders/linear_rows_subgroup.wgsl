// y = f(x) W^T (+ bias) (+ residual), few rows, for devices whose subgroups are vectors of a CPU
// (shared/subgroup_sums.wgsl): an invocation owns four columns and goes along x alone. What linear_rows.wgsl
// does on such a device is mostly waiting at barriers; loading x once and broadcasting it was faster to run
// and far slower to compile.
#import half4
#import gelu
#import subgroup_lanes
struct Params { rows: u32, first_column: u32 }
override K: u32;            // inner size, a multiple of 4
override N: u32;            // columns of y in this dispatch (W has 2 N rows with GLU)
override STRIDE: u32;       // columns of y
override ROWS: u32;         // rows a workgroup handles, at most 4

#import linear_rows_bindings

var<private> column: u32;   // of this invocation; its others are LANES apart

fn columns_at(first: u32, k: u32) -> mat4x4<f32> {
    let row = first + min(vec4<u32>(column, column + LANES, column + 2u * LANES, column + 3u * LANES), vec4<u32>(N - 1u));
    let at = row * (K / 4u) + k;
    return transpose(mat4x4<f32>(weight4(w[at.x]), weight4(w[at.y]), weight4(w[at.z]), weight4(w[at.w])));
}

#ifdef NORM
// Mean and reciprocal deviation of a row of x.
fn row_moments(row: u32, lane: u32) -> vec2<f32> {
    var sum = 0.0;
    for (var k = lane; k < K / 4u; k += LANES) { sum += dot(x[row * (K / 4u) + k], vec4<f32>(1.0)); }
    let mean = subgroupAdd(sum) / f32(K);
    var square = 0.0;
    for (var k = lane; k < K / 4u; k += LANES) {
        let d = x[row * (K / 4u) + k] - mean;
        square += dot(d, d);
    }
    return vec2<f32>(mean, inverseSqrt(subgroupAdd(square) / f32(K) + 1e-5));
}
#endif

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(subgroup_invocation_id) lane: u32) {
    column = group.x * 4u * LANES + lane;
    let first = group.y * ROWS;
#ifdef NORM
    var moments = array<vec2<f32>, 4>();
    for (var r = 0u; r < ROWS; r++) { moments[r] = row_moments(min(first + r, params.rows - 1u), lane); }
#endif
    var sums = array<vec4<f32>, 4>();
#ifdef GLU
    var ups = array<vec4<f32>, 4>();
#endif
    for (var k = 0u; k < K / 4u; k++) {
        let b = columns_at(0u, k);
#ifdef GLU
        let up = columns_at(N, k);
#endif
        for (var r = 0u; r < ROWS; r++) {
            var a = x[min(first + r, params.rows - 1u) * (K / 4u) + k];
#ifdef NORM
            a = (a - moments[r].x) * moments[r].y * norm[k] + norm[K / 4u + k];
#endif
            sums[r] = multiply_add(sums[r], b, a);
#ifdef GLU
            ups[r] = multiply_add(ups[r], up, a);
#endif
        }
    }
    for (var r = 0u; r < ROWS; r++) {
#ifdef GLU
        let value = gelu4(sums[r]) * ups[r];
#else
        let value = sums[r];
#endif
        for (var c = 0u; c < 4u; c++) {
            let at = column + c * LANES;
            if at < N && first + r < params.rows {
                let out = (first + r) * STRIDE + params.first_column + at;
                var total = value[c];
#ifdef BIAS
                total += bias[params.first_column + at];
#endif
#ifdef RESIDUAL
                total += residual[out];
#endif
                y[out] = total;
            }
        }
    }
}
