// dx (+)= dy W: the gradient of a linear layer's input.
struct Params { rows: u32, first_column: u32 }
override K: u32;            // rows of W: columns of dy that belong to it
override N: u32;            // columns of W and dx, a multiple of 4
override STRIDE: u32;       // columns of dy (more than K where W is a shard)
override ACCUMULATE: u32;   // 1: dx is added to

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> dy: array<f32>;               // [rows, STRIDE]
@group(0) @binding(2) var<storage, read> w: array<vec4<f32>>;          // [K, N]
@group(0) @binding(3) var<storage, read_write> dx: array<vec4<f32>>;   // [rows, N]

fn row_count() -> u32 { return params.rows; }
fn inner() -> u32 { return K; }
fn vectors() -> u32 { return N / 4u; }
fn left(row: u32, k: u32) -> f32 { return dy[row * STRIDE + params.first_column + k]; }
fn right(k: u32, vector: u32) -> vec4<f32> { return w[k * (N / 4u) + vector]; }
fn store(row: u32, vector: u32, sum: vec4<f32>) {
    let at = row * (N / 4u) + vector;
    if ACCUMULATE == 1u { dx[at] += sum; } else { dx[at] = sum; }
}
fn staged(i: u32) -> vec2<u32> { return vec2<u32>(i / STEP, i % STEP); }
#import outer_tile
