// dW += dy^T x: the gradient of a linear layer's weights. Every workgroup goes over all rows: where dW is
// small and the rows are many, cutting the rows as well would keep more of a large GPU busy. Not done: it
// takes partial sums and another pass.
struct Params { rows: u32, first_column: u32 }
override M: u32;            // rows of dW: columns of dy that belong to it
override N: u32;            // columns of dW and x, a multiple of 4
override STRIDE: u32;       // columns of dy (more than M where W is a shard)

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> dy: array<f32>;               // [rows, STRIDE]
@group(0) @binding(2) var<storage, read> x: array<vec4<f32>>;          // [rows, N]
@group(0) @binding(3) var<storage, read_write> dw: array<vec4<f32>>;   // [M, N]

fn row_count() -> u32 { return M; }
fn inner() -> u32 { return params.rows; }
fn vectors() -> u32 { return N / 4u; }
fn left(row: u32, k: u32) -> f32 { return dy[k * STRIDE + params.first_column + row]; }
fn right(k: u32, vector: u32) -> vec4<f32> { return x[k * (N / 4u) + vector]; }
fn store(row: u32, vector: u32, sum: vec4<f32>) { dw[row * (N / 4u) + vector] += sum; }
fn staged(i: u32) -> vec2<u32> { return vec2<u32>(i % (GROUP_Y * ROWS), i / (GROUP_Y * ROWS)); }
#import outer_tile
