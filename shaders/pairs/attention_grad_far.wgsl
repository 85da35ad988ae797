// Gradient rows of what a state adds to exact softmax (SPEC §10): with L the log-sum-exp of both, dN_i =
// e^{-L_i} [do_i | -⟨do_i, o_i⟩], then ⟨dN_i, N_i⟩, then the gate sum. One invocation a query.
#import head_layout
struct Params { tokens: u32, stride: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> drows: array<vec4<f32>>; // [lanes, HEADS, tokens, GROUP, HEAD + 4]
@group(0) @binding(2) var<storage, read> far: array<vec4<f32>>; // [lanes, HEADS, tokens, GROUP, HEAD + 4]
@group(0) @binding(3) var<storage, read> keys: array<f32>; // [lanes, HEADS, stride, KEY_WIDTH]
@group(0) @binding(4) var<storage, read_write> dfar: array<vec4<f32>>; // [lanes, HEADS, tokens, GROUP, HEAD + 4]

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let token = id.x / GROUP;
    if token >= params.tokens { return; }
    let row = (id.z * params.tokens * GROUP + id.x) * (HEAD / 4u + 1u);
    let last = drows[row + HEAD / 4u];
    let share = exp(-last.z);
    var inner = share * last.x * far[row + HEAD / 4u].x;
    for (var c = 0u; c < HEAD / 4u; c++) {
        let d = share * drows[row + c];
        inner += dot(d, far[row + c]);
        dfar[row + c] = d;
    }
    var sum = vec2<f32>();
    if GATED {
        let g = (id.z * params.stride + token) * KEY_WIDTH + G_OFFSET;
        sum = vec2<f32>(keys[g], keys[g + 1u]);
    }
    dfar[row + HEAD / 4u] = vec4<f32>(share * last.x, inner, sum);
}
