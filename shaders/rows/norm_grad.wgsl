// Gradients of LayerNorm: dx (+)= (g - mean(g) - n mean(g n)) / deviation, g = dy weight, n = (x - mean) /
// deviation; RMSNorm: without the means of x and g; and the sums of dy n and dy over the 64 tokens of a part of a lane, the norm's own gradient. One
// workgroup a part: first the moments of its rows, 4 invocations a row; then its columns, 64 invocations
// across and 4 down, so that the sums stay in registers.
#import grid
struct Params { tokens: u32, parts: u32, total: u32 }
override WIDTH: u32;        // a multiple of 4
override ACCUMULATE: bool;  // dx is added to
override CENTRED: bool;     // LayerNorm; RMSNorm has no mean
override EPS: f32;

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<vec4<f32>>;              // [lanes, tokens, WIDTH]
@group(0) @binding(2) var<storage, read> norm: array<vec4<f32>>;           // [2, WIDTH] weight, bias
@group(0) @binding(3) var<storage, read> dy: array<vec4<f32>>;             // [lanes, tokens, WIDTH]
@group(0) @binding(4) var<storage, read_write> partial: array<vec4<f32>>;  // [lanes * parts, 2, WIDTH]
@group(0) @binding(5) var<storage, read_write> dx: array<vec4<f32>>;       // [lanes, tokens, WIDTH]

const PART: u32 = 64u;      // tokens of a part
const THREADS: u32 = 256u;
var<workgroup> moments: array<vec4<f32>, PART>;      // mean, 1 / deviation, mean(g), mean(g n)
var<workgroup> weights: array<vec4<f32>, THREADS>;   // sums of one invocation
var<workgroup> biases: array<vec4<f32>, THREADS>;

fn quarters(row: u32) -> vec4<f32> {
    let at = row * 4u;
    return weights[at] + weights[at + 1u] + weights[at + 2u] + weights[at + 3u];
}

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let part = grid_index(group, groups);
    if part >= params.total { return; }
    let first = part % params.parts * PART;
    let count = min(max(first, params.tokens) - first, PART);
    let base = (part / params.parts * params.tokens + first) * (WIDTH / 4u);

    let mine = local / 4u;
    let start = base + mine * (WIDTH / 4u);
    var sum = vec4<f32>();
    if mine < count {
        for (var c = local % 4u; c < WIDTH / 4u; c += 4u) { sum += x[start + c]; }
    }
    weights[local] = sum;
    workgroupBarrier();
    let mean = select(0.0, dot(quarters(mine), vec4<f32>(1.0)) / f32(WIDTH), CENTRED);
    workgroupBarrier();
    var square = 0.0;
    var level = 0.0;
    var along = 0.0;
    if mine < count {
        for (var c = local % 4u; c < WIDTH / 4u; c += 4u) {
            let d = x[start + c] - mean;
            let g = dy[start + c] * norm[c];
            square += dot(d, d);
            level += dot(g, vec4<f32>(1.0));
            along += dot(g, d);
        }
    }
    weights[local] = vec4<f32>(square, level, along, 0.0);
    workgroupBarrier();
    if local % 4u == 0u {
        let total = quarters(mine) / f32(WIDTH);
        let scale = inverseSqrt(total.x + EPS);
        moments[mine] = vec4<f32>(mean, scale, select(0.0, total.y, CENTRED), total.z * scale);
    }
    workgroupBarrier();

    for (var left = 0u; left < WIDTH / 4u; left += 64u) {
        let c = left + local % 64u;
        var dweight = vec4<f32>();
        var dbias = vec4<f32>();
        if c < WIDTH / 4u {
            let weight = norm[c];
            // What counts is no index into moments: IR3 would write the loop out, as often as that has rows.
            for (var above = 0u; above + local / 64u < count; above += 4u) {
                let row = above + local / 64u;
                let at = base + row * (WIDTH / 4u) + c;
                let m = moments[row];
                let n = (x[at] - m.x) * m.y;
                let d = dy[at];
                dweight += d * n;
                dbias += d;
                let value = (d * weight - m.z - n * m.w) * m.y;
                if ACCUMULATE { dx[at] += value; } else { dx[at] = value; }
            }
        }
        weights[local] = dweight;
        biases[local] = dbias;
        workgroupBarrier();
        if local < 64u && c < WIDTH / 4u {
            let to = part * (WIDTH / 2u) + c;
            partial[to] =
                weights[local] + weights[local + 64u] + weights[local + 128u] + weights[local + 192u];
            partial[to + WIDTH / 4u] =
                biases[local] + biases[local + 64u] + biases[local + 128u] + biases[local + 192u];
        }
        workgroupBarrier();
    }
}
