//! The numbers beneath the CPU twins: a float type, matrix products, vectorised loops, threads.
//!
//! A twin is written once for every [`Real`] and calls these; all `unsafe` of the CPU path is in
//! this module. Nothing here knows a tensor or a model.

mod activation;
mod few_rows;
mod gemm;
mod halves;
mod mat;
mod norm;
mod panels;
mod parallel;
mod parts;
#[cfg(not(target_arch = "wasm32"))]
mod pool;
mod real;
mod simd;
mod vector;

pub use activation::{Activation, gelu_tanh, gelu_tanh_with_slope};
pub use gemm::{matmul, matmul_parallel};
pub use halves::{half_dots, widen};
pub use mat::{Mat, MatMut};
pub use norm::Norm;
pub use panels::Panels;
use parallel::SharedMut;
pub use parallel::{parallel_chunks, parallel_each, parallel_for, threads, with_scratch};
pub use parts::{blocks, ranges};
pub use real::Real;
pub use simd::{axpy, dot, exp_slice, largest, multiply_adds, scaled_tanh, sum, vectorized};
