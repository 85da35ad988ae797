// What the products of many rows read and write.
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<vec4<f32>>;          // [rows, K]
@group(0) @binding(2) var<storage, read> w: array<Weight4>;            // [N, K]
#ifdef BIAS
@group(0) @binding(3) var<storage, read> bias: array<f32>;             // [STRIDE]
#ifdef RESIDUAL
@group(0) @binding(4) var<storage, read> residual: array<f32>;         // [rows, STRIDE]
@group(0) @binding(5) var<storage, read_write> y: array<f32>;          // [rows, STRIDE]
#else
@group(0) @binding(4) var<storage, read_write> y: array<f32>;          // [rows, STRIDE]
#endif
#else
#ifdef RESIDUAL
@group(0) @binding(3) var<storage, read> residual: array<f32>;         // [rows, STRIDE]
@group(0) @binding(4) var<storage, read_write> y: array<f32>;          // [rows, STRIDE]
#else
@group(0) @binding(3) var<storage, read_write> y: array<f32>;          // [rows, STRIDE]
#endif
#endif
