//! The numbers beneath the CPU twins: a float type, matrix products, vectorised loops, threads.
//!
//! A twin is written once for every [`Real`] and calls these; all `unsafe` of the CPU path is in
//! this module. Nothing here knows a tensor or a model.

mod gemm;
mod layer_norm;
mod parallel;
mod parts;
#[cfg(not(target_arch = "wasm32"))]
mod pool;
mod real;
mod simd;
mod vector;

pub use gemm::{Mat, MatMut, matmul, matmul_parallel};
pub use layer_norm::{layer_norm, layer_norm_backward};
use parallel::SharedMut;
pub use parallel::{parallel_chunks, parallel_each, parallel_for, threads, with_scratch};
pub use parts::{blocks, ranges};
pub use real::Real;
pub use simd::{
    axpy, dot, exp_slice, gelu_tanh, gelu_tanh_backward, gelu_tanh_with_slope, largest, multiply_adds,
    scaled_tanh, sum, vectorized, widen,
};
