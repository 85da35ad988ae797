// The last row of each lane: y[lane] = x[lane * tokens + tokens - 1].
struct Params { lanes: u32, tokens: u32 }
override WIDTH: u32;

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<vec4<f32>>;         // [lanes * tokens, WIDTH]
@group(0) @binding(2) var<storage, read_write> y: array<vec4<f32>>;   // [lanes, WIDTH]

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    if id.x >= WIDTH / 4u || id.y >= params.lanes { return; }
    y[id.y * (WIDTH / 4u) + id.x] = x[(id.y * params.tokens + params.tokens - 1u) * (WIDTH / 4u) + id.x];
}
