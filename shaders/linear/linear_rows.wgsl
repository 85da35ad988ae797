// permutations: [F16|Q4|Q8] [NORM|NORM+BIAS|NORM+BIAS+UPDATE|NORM+GLU|BIAS|RESIDUAL|RESIDUAL+UPDATE|BIAS+RESIDUAL]
// y = f(x) W^T (+ bias) (+ residual) (+ low B^T, what an adapter adds), few rows: decoding, where reading W is
// the whole cost.
//
// Ladder. Reference: kernels/linear.rs. Here: 16 invocations share one column, so that they read 256
// contiguous bytes of W at a time, and each such vector serves ROWS rows; the norm of x (NORM) and the
// gated activation (GLU: W is [gate; up]) are fused, because a dispatch costs more than their arithmetic; so is
// the second half of an update, whose RANK is small.
#import weight_rows w
struct Params { rows: u32, first_column: u32 }
override K: u32;            // inner size, a multiple of 4
override N: u32;            // columns of y in this dispatch (W has 2 N rows with GLU)
override STRIDE: u32;       // columns of y
override ROWS: u32;    // rows a workgroup handles, at most 4
const THREADS: u32 = 128u;
const ACROSS: u32 = 16u;    // invocations that share a column
const COLUMNS: u32 = 8u;    // THREADS / ACROSS
override WIDTH: u32;            // K, for row_moments
override RANK: u32;             // of the update, a multiple of 4; 0 without

#import linear_rows_bindings
#ifdef NORM
#import row_moments
#endif
#ifdef GLU
#import activation
#endif
#ifdef GLU
var<workgroup> partial: array<vec2<f32>, THREADS>;
#else
var<workgroup> partial: array<f32, THREADS>;
#endif

@compute @workgroup_size(128)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let column = group.x * COLUMNS + local / ACROSS;
    let across = local % ACROSS;
    let first = group.y * ROWS;
#ifdef NORM
    var moments = array<vec2<f32>, 4>();
    for (var r = 0u; r < ROWS; r++) { moments[r] = row_moments(min(first + r, params.rows - 1u), local); }
#endif
    let w_row = min(column, N - 1u);
#ifdef GLU
    var sum = array<vec2<f32>, 4>();
#else
    var sum = array<f32, 4>();
#endif
    for (var k = across; k < K / 4u; k += ACROSS) {
        let b = w_row4(w_row, k, K / 4u);
#ifdef GLU
        let up = w_row4(N + w_row, k, K / 4u);
#endif
        for (var r = 0u; r < ROWS; r++) {
            var a = x[min(first + r, params.rows - 1u) * (K / 4u) + k];
#ifdef NORM
            a = (a - moments[r].x) * moments[r].y * norm[k] + norm[K / 4u + k];
#endif
#ifdef GLU
            sum[r] += vec2<f32>(dot(a, b), dot(a, up));
#else
            sum[r] += dot(a, b);
#endif
        }
    }
#ifdef UPDATE
    for (var k = across; k < RANK / 4u; k += ACROSS) {
        let b = update[w_row * (RANK / 4u) + k];
        for (var r = 0u; r < ROWS; r++) {
            sum[r] += dot(low[min(first + r, params.rows - 1u) * (RANK / 4u) + k], b);
        }
    }
#endif
    for (var r = 0u; r < ROWS; r++) {
        workgroupBarrier();
        partial[local] = sum[r];
        for (var step = ACROSS / 2u; step > 0u; step = step / 2u) {
            workgroupBarrier();
            if across < step { partial[local] += partial[local + step]; }
        }
        if across == 0u && column < N && first + r < params.rows {
            let out = (first + r) * STRIDE + params.first_column + column;
#ifdef GLU
            y[out] = activation(partial[local].x) * partial[local].y;
#else
            var value = partial[local];
#ifdef BIAS
            value += bias[params.first_column + column];
#endif
#ifdef RESIDUAL
            value += residual[out];
#endif
            y[out] = value;
#endif
        }
    }
}
