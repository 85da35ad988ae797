// What the products of few rows read and write, and what is fused into them.
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<vec4<f32>>;          // [rows, K]
@group(0) @binding(2) var<storage, read> w: array<Weight4>;            // [N, K], with GLU [2 N, K]
#ifdef NORM
@group(0) @binding(3) var<storage, read> norm: array<vec4<f32>>;       // [2, K] weight, bias
#ifdef BIAS
@group(0) @binding(4) var<storage, read> bias: array<f32>;             // [STRIDE]
#ifdef UPDATE
@group(0) @binding(5) var<storage, read> low: array<vec4<f32>>;        // [rows, RANK]
@group(0) @binding(6) var<storage, read> update: array<vec4<f32>>;     // [N, RANK]
@group(0) @binding(7) var<storage, read_write> y: array<f32>;          // [rows, STRIDE]
#else
@group(0) @binding(5) var<storage, read_write> y: array<f32>;
#endif
#else
@group(0) @binding(4) var<storage, read_write> y: array<f32>;
#endif
#else
#ifdef BIAS
@group(0) @binding(3) var<storage, read> bias: array<f32>;
#ifdef RESIDUAL
@group(0) @binding(4) var<storage, read> residual: array<f32>;         // [rows, STRIDE]
@group(0) @binding(5) var<storage, read_write> y: array<f32>;
#else
@group(0) @binding(4) var<storage, read_write> y: array<f32>;
#endif
#else
#ifdef RESIDUAL
@group(0) @binding(3) var<storage, read> residual: array<f32>;         // [rows, STRIDE]
#ifdef UPDATE
@group(0) @binding(4) var<storage, read> low: array<vec4<f32>>;
@group(0) @binding(5) var<storage, read> update: array<vec4<f32>>;
@group(0) @binding(6) var<storage, read_write> y: array<f32>;
#else
@group(0) @binding(4) var<storage, read_write> y: array<f32>;
#endif
#else
@group(0) @binding(3) var<storage, read_write> y: array<f32>;
#endif
#endif
#endif
