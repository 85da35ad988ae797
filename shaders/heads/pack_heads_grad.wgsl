// Gradient of the packed rows: dqueries and dkeys back to the projections, with the partial sums of the
// norms' gradients.
//
// A workgroup takes PARTIAL_ROWS tokens of a lane, one (part, head) after the other. First an invocation a
// token finds the moments of its vector and the two sums its LayerNorm needs; then an invocation a column
// walks over the tokens, writes their dqkv and keeps the column's share of the norms' gradients: no reduction
// crosses invocations.
#import lanes
struct Params { lanes: u32, tokens: u32, lane_base: u32, stride: u32 }
override X_NORMED: bool;       // rows carry x, and it is normed
override NORMS: u32;           // 4 HEAD
const PARTIAL_ROWS: u32 = 64u; // tokens of a workgroup, and its invocations

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> qkv: array<f32>;              // [rows, QKV_WIDTH]
@group(0) @binding(2) var<storage, read> lanes: array<Lane>;           // [lanes]
@group(0) @binding(3) var<storage, read> norms: array<f32>;            // [4, HEAD]
@group(0) @binding(4) var<storage, read> rotations: array<vec2<f32>>;  // [4 * 256, HEAD / 2]
@group(0) @binding(5) var<storage, read> dqueries: array<f32>; // [lanes, HEADS, tokens, GROUP, QUERY_WIDTH]
@group(0) @binding(6) var<storage, read> dkeys: array<f32>;            // [lanes, HEADS, stride, KEY_WIDTH]
@group(0) @binding(7) var<storage, read_write> dqkv: array<f32>;       // [rows, QKV_WIDTH]
@group(0) @binding(8) var<storage, read_write> dnorms: array<f32>;     // [lanes, parts, 4, HEAD]

var<workgroup> sums: array<f32, NORMS>;
// Of each token's vector: mean, 1 / deviation, mean of g, mean of g x̂.
var<workgroup> moments: array<vec4<f32>, PARTIAL_ROWS>;
#import head_vector
#import head_vector_backward

fn gradient_pair(part: u32, row: u32, i: u32) -> vec2<f32> {
    let at = pair_places(i);
    if part == 0u {
        return vec2<f32>(dqueries[row * QUERY_WIDTH + at.x], dqueries[row * QUERY_WIDTH + at.y]);
    }
    return vec2<f32>(dkeys[row * KEY_WIDTH + at.x], dkeys[row * KEY_WIDTH + at.y]);
}

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let at = group.z;
    let lane = lanes[params.lane_base + at];
    let first = group.x * PARTIAL_ROWS;
    let count = min(PARTIAL_ROWS, max(params.tokens, first) - first);
    for (var i = local; i < 4u * HEAD; i += PARTIAL_ROWS) { sums[i] = 0.0; }
    for (var part = 0u; part < 2u; part++) {
        let heads = select(HEADS, HEADS * GROUP, part == 0u);
        for (var head = 0u; head < heads; head++) {
            // Row of the first token, and rows from one token to the next.
            let queries = ((at * HEADS + head / GROUP) * params.tokens + first) * GROUP + head % GROUP;
            let keys = (at * HEADS + head) * params.stride + lane.ring + first;
            let rows = select(keys, queries, part == 0u);
            let apart = select(1u, GROUP, part == 0u);
            if X_NORMED {
                workgroupBarrier();
                if local < count {
                    let position = lane.position + first + local;
                    let base = head_base(at * params.tokens + first + local, part, head);
                    let m = head_moments(base, position);
                    var g_sum = 0.0;
                    var gx_sum = 0.0;
                    for (var i = 0u; i < HEAD / 2u; i++) {
                        let dy = normed_gradient(gradient_pair(part, rows + local * apart, i), position, i, true);
                        let g = dy * norm_weights(part, i, true);
                        g_sum += g.x + g.y;
                        gx_sum += dot(g, standard_pair(base, m, position, i, true));
                    }
                    moments[local] = vec4<f32>(m, select(0.0, g_sum, NORM_CENTRED) / f32(HEAD), gx_sum / f32(HEAD));
                }
                workgroupBarrier();
            }
            for (var i = local; i < HEAD / 2u; i += PARTIAL_ROWS) {
                var weight = vec2<f32>();
                var bias = vec2<f32>();
                let to = raw_places(i, true);
                for (var t = 0u; t < count; t++) {
                    let position = lane.position + first + t;
                    let base = head_base(at * params.tokens + first + t, part, head);
                    var dx = vec2<f32>();
                    if S_OFFSET > 0u {
                        dx = gradient_pair(part, rows + t * apart, i);
                        if X_NORMED {
                            let dy = normed_gradient(dx, position, i, true);
                            let m = moments[t];
                            let x = standard_pair(base, m.xy, position, i, true);
                            weight += dy * x;
                            bias += dy;
                            dx = m.y * (dy * norm_weights(part, i, true) - m.z - x * m.w);
                        }
                        if ROPE == 1u { dx = turn_back(dx, position, i); }
                    }
                    dqkv[base + to.x] = dx.x;
                    dqkv[base + to.y] = dx.y;
                }
                // Columns belong to one invocation each, whatever the head: no barrier is needed.
                if X_NORMED {
                    let norm = normed_places(i, true) + norm_row(part) * HEAD;
                    sums[norm.x] += weight.x;
                    sums[norm.y] += weight.y;
                    sums[norm.x + HEAD] += bias.x;
                    sums[norm.y + HEAD] += bias.y;
                }
            }
        }
    }
    // Values, and nothing for the gates.
    let values = (GROUP + 1u) * HEADS * HEAD;
    let width = QKV_WIDTH - values;
    for (var i = local; i < count * width; i += PARTIAL_ROWS) {
        let t = i / width;
        let c = i % width;
        var value = 0.0;
        if c < HEADS * HEAD {
            let row = (at * HEADS + c / HEAD) * params.stride + lane.ring + first + t;
            value = dkeys[row * KEY_WIDTH + V_OFFSET + c % HEAD];
        }
        dqkv[(at * params.tokens + first + t) * QKV_WIDTH + values + c] = value;
    }
    workgroupBarrier();
    let part_sums = (at * groups.x + group.x) * 4u * HEAD;
    for (var i = local; i < 4u * HEAD; i += PARTIAL_ROWS) { dnorms[part_sums + i] = sums[i]; }
}
