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
mod simd;
mod vector;

pub use gemm::{Mat, MatMut, matmul, matmul_parallel};
pub use layer_norm::{layer_norm, layer_norm_backward};
pub use parallel::{SharedMut, parallel_chunks, parallel_each, parallel_for, threads, with_scratch};
pub use parts::{blocks, ranges};
pub use simd::{
    axpy, dot, exp_slice, gelu_tanh, gelu_tanh_backward, gelu_tanh_with_slope, largest, multiply_adds,
    scaled_tanh, sum, vectorized, widen,
};

use std::fmt::Debug;
use std::iter::Sum;
use std::ops::{Add, AddAssign, Div, DivAssign, Mul, MulAssign, Neg, Sub, SubAssign};

/// `f32`, in which the engine computes, or `f64`, in which the oracle does.
pub trait Real:
    Copy
    + Default
    + Debug
    + PartialOrd
    + Send
    + Sync
    + 'static
    + bytemuck::Pod
    + Add<Output = Self>
    + Sub<Output = Self>
    + Mul<Output = Self>
    + Div<Output = Self>
    + Neg<Output = Self>
    + AddAssign
    + SubAssign
    + MulAssign
    + DivAssign
    + Sum
    + vector::Vector
{
    /// 0.
    const ZERO: Self;
    /// 1.
    const ONE: Self;
    /// Decays and gradients below it are taken as 0: what they are multiplied with would leave the normal
    /// numbers, with which CPUs are some ten times as slow. In `f64`, where nothing is left out, 0.
    const NEGLIGIBLE: Self;

    /// The nearest value to `x`.
    fn of(x: f64) -> Self;
    /// `x`, exactly.
    fn from_f32(x: f32) -> Self;
    /// `self`, exactly.
    fn f64(self) -> f64;

    /// e^self, by the standard library: correct to an ulp or so, not vectorisable.
    fn exp(self) -> Self;
    /// tanh, by the standard library.
    fn tanh(self) -> Self;
    /// Square root.
    fn sqrt(self) -> Self;
    /// Natural logarithm.
    fn ln(self) -> Self;
    /// Sine.
    fn sin(self) -> Self;
    /// Cosine.
    fn cos(self) -> Self;
    /// self^n.
    fn powi(self, n: i32) -> Self;
    /// `self · a + b`: one instruction inside [`vectorized`] (outside it on x86 a slow library call),
    /// two roundings on wasm, which has no fused form.
    fn mul_add(self, a: Self, b: Self) -> Self;
    /// The larger; the other one if one is NaN.
    fn max(self, other: Self) -> Self;
    /// The smaller; the other one if one is NaN.
    fn min(self, other: Self) -> Self;
    /// Absolute value.
    fn abs(self) -> Self;
    /// Neither infinite nor NaN.
    fn is_finite(self) -> bool;
    /// `self`, or 0 if it is [negligible](Self::NEGLIGIBLE).
    #[inline(always)]
    fn flushed(self) -> Self {
        if self.abs() < Self::NEGLIGIBLE { Self::ZERO } else { self }
    }

    /// e^self without branches, for loops inside [`vectorized`]: relative error 2e-7 in `f32`, the
    /// standard function in `f64`.
    fn exp_fast(self) -> Self;
    /// tanh without branches, for loops inside [`vectorized`]: relative error 4e-7 in `f32`, the
    /// standard function in `f64`.
    fn tanh_fast(self) -> Self;

    /// `ln(1 / (1 + e^-self))`, without overflow or cancellation.
    fn log_sigmoid(self) -> Self;
}

macro_rules! real {
    ($float:ident, $negligible:literal) => {
        impl Real for $float {
            const ZERO: Self = 0.0;
            const ONE: Self = 1.0;
            const NEGLIGIBLE: Self = $negligible;

            #[inline(always)]
            fn of(x: f64) -> Self {
                x as $float
            }
            #[inline(always)]
            fn from_f32(x: f32) -> Self {
                x as $float
            }
            #[inline(always)]
            fn f64(self) -> f64 {
                self as f64
            }
            #[inline(always)]
            fn exp(self) -> Self {
                $float::exp(self)
            }
            #[inline(always)]
            fn tanh(self) -> Self {
                $float::tanh(self)
            }
            #[inline(always)]
            fn sqrt(self) -> Self {
                $float::sqrt(self)
            }
            #[inline(always)]
            fn ln(self) -> Self {
                $float::ln(self)
            }
            #[inline(always)]
            fn sin(self) -> Self {
                $float::sin(self)
            }
            #[inline(always)]
            fn cos(self) -> Self {
                $float::cos(self)
            }
            #[inline(always)]
            fn powi(self, n: i32) -> Self {
                $float::powi(self, n)
            }
            #[inline(always)]
            fn mul_add(self, a: Self, b: Self) -> Self {
                if cfg!(target_arch = "wasm32") { self * a + b } else { $float::mul_add(self, a, b) }
            }
            #[inline(always)]
            fn max(self, other: Self) -> Self {
                $float::max(self, other)
            }
            #[inline(always)]
            fn min(self, other: Self) -> Self {
                $float::min(self, other)
            }
            #[inline(always)]
            fn abs(self) -> Self {
                $float::abs(self)
            }
            #[inline(always)]
            fn is_finite(self) -> bool {
                $float::is_finite(self)
            }
            #[inline(always)]
            fn exp_fast(self) -> Self {
                simd::fast::$float::exp(self)
            }
            #[inline(always)]
            fn tanh_fast(self) -> Self {
                simd::fast::$float::tanh(self)
            }
            #[inline]
            fn log_sigmoid(self) -> Self {
                $float::min(self, 0.0) - (-$float::abs(self)).exp().ln_1p()
            }
        }
    };
}

real!(f32, 1e-28);
real!(f64, 0.0);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_negligible_is_flushed_in_f32_alone() {
        assert_eq!([1e-30f32, -1e-30, 0.0, 1e-27, -1e-27].map(Real::flushed), [0.0, 0.0, 0.0, 1e-27, -1e-27]);
        assert_eq!([1e-300f64, -1e-30].map(Real::flushed), [1e-300, -1e-30]);
        assert!(f32::NAN.flushed().is_nan());
    }

    #[test]
    fn log_sigmoid_is_stable() {
        for x in [-1e4, -88.0, -20.0, -1.0, 0.0, 1.0, 20.0, 88.0, 1e4f64] {
            let want = if x < -30.0 { x } else { -(-x).exp().ln_1p() };
            assert!((x.log_sigmoid() - want).abs() <= 1e-13 * want.abs(), "f64 {x}");
            let got = (x as f32).log_sigmoid() as f64;
            assert!((got - want).abs() <= 2e-7 * want.abs() + 1e-38, "f32 {x}: {got} is not {want}");
        }
    }
}
