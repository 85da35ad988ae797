// Gradient rows: dN_i = [do_i | -⟨do_i, o_i⟩] / D_i, then ⟨dN_i, N_i⟩ = ⟨do_i, o_i⟩ β / D_i, then the gate
// sum; for softmax D = 1 and the log-sum-exp takes the place of the gate sum. One invocation a
// query.
#import head_layout
struct Params { tokens: u32, stride: u32 }
override SOFTMAX: bool;
override BIAS: f32;            // β

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> dout: array<vec4<f32>>; // [rows, HEADS * GROUP * HEAD]
@group(0) @binding(2) var<storage, read> o: array<vec4<f32>>; // [rows, HEADS * GROUP * HEAD]
@group(0) @binding(3) var<storage, read> normaliser: array<f32>; // [lanes, HEADS, tokens, GROUP], or the log-sum-exp
@group(0) @binding(4) var<storage, read> keys: array<f32>; // [lanes, HEADS, stride, KEY_WIDTH]
@group(0) @binding(5) var<storage, read_write> drows: array<vec4<f32>>; // [lanes, HEADS, tokens, GROUP, HEAD + 4]

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let token = id.x / GROUP;
    if token >= params.tokens { return; }
    let key_head = (id.z / HEADS * params.tokens + token) * HEADS + id.z % HEADS;
    let place = (key_head * GROUP + id.x % GROUP) * (HEAD / 4u);
    let in_call = id.z * params.tokens * GROUP + id.x;
    let row = in_call * (HEAD / 4u + 1u);
    let kept = normaliser[in_call];
    var scale = 1.0;
    if !SOFTMAX { scale = 1.0 / kept; }
    var inner = 0.0;
    for (var c = 0u; c < HEAD / 4u; c++) {
        let d = dout[place + c];
        inner += dot(d, o[place + c]);
        drows[row + c] = d * scale;
    }
    var known = vec2<f32>();
    if SOFTMAX { known.x = kept; }
    if GATED && !SOFTMAX {
        let g = (id.z * params.stride + token) * KEY_WIDTH + G_OFFSET;
        known = vec2<f32>(keys[g], keys[g + 1u]);
    }
    drows[row + HEAD / 4u] = vec4<f32>(-inner * scale, inner * BIAS * scale, known);
}
