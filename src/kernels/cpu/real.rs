//! The float type of twins, and its elementary functions.

use std::fmt::Debug;
use std::iter::Sum;
use std::ops::{Add, AddAssign, Div, DivAssign, Mul, MulAssign, Neg, Sub, SubAssign};

use super::vector::Vector;

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
    + Vector
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
    /// `self · a + b`: one instruction inside [`vectorized`](super::vectorized) (outside it on x86 a slow
    /// library call), two roundings on wasm, which has no fused form.
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

    /// e^self without branches, for loops inside [`vectorized`](super::vectorized): relative error 2e-7 in
    /// `f32`, the standard function in `f64`.
    fn exp_fast(self) -> Self;
    /// tanh without branches, for loops inside [`vectorized`](super::vectorized): relative error 4e-7 in
    /// `f32`, the standard function in `f64`.
    fn tanh_fast(self) -> Self;

    /// The normal distribution Φ, without branches in `f32`: off by at most 8e-8 (Abramowitz & Stegun 7.1.26).
    fn normal_cdf(self) -> Self;

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
                fast::$float::exp(self)
            }
            #[inline(always)]
            fn tanh_fast(self) -> Self {
                fast::$float::tanh(self)
            }
            #[inline(always)]
            fn normal_cdf(self) -> Self {
                fast::$float::normal_cdf(self)
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

/// Elementary functions without branches or calls.
mod fast {
    pub mod f32 {
        use super::super::Real;

        /// e^x, relative error below 1.5e-7: 2^n e^r with x = n ln 2 + r, |r| ≤ ln 2 / 2.
        /// Results that are not normal numbers are 0: on x86 they cost a microcode trap each.
        #[inline(always)]
        pub fn exp(x: f32) -> f32 {
            const LN_SMALLEST: f32 = -87.336_54;
            const LN_LARGEST: f32 = 88.722_84;

            // Adding 1.5 · 2^23 rounds to an integer, which then stands in the low bits of the sum.
            const ROUND: f32 = 12_582_912.0;
            let rounded = Real::mul_add(x, std::f32::consts::LOG2_E, ROUND);
            let n = rounded - ROUND;
            // ln 2 in two parts, the first of so few bits that n times it is exact even unfused.
            let r = Real::mul_add(n, -0.693_359_4, x);
            let r = Real::mul_add(n, 2.121_944_4e-4, r);

            // Minimax for (e^r - 1 - r) / r², error of e^r 3e-9.
            let p = Real::mul_add(0.001_381_46_f32, r, 0.008_368_717);
            let p = Real::mul_add(p, r, 0.041_668_39);
            let p = Real::mul_add(p, r, 0.166_665_21);
            let p = Real::mul_add(p, r, 0.499_999_94);
            let p = Real::mul_add(p * r, r, r) + 1.0;

            // Times 2^n, by adding n to the exponent; what this spoils outside the range is replaced.
            let y = f32::from_bits(p.to_bits().wrapping_add(rounded.to_bits() << 23));
            let y = if x < LN_SMALLEST { 0.0 } else { y };
            if x <= LN_LARGEST { y } else { x + f32::INFINITY }
        }

        /// tanh x, relative error below 4e-7, also near 0: x P(x²) / Q(x²), minimax on |x| ≤ 9.02 (2e-8),
        /// beyond which tanh is 1 in `f32`. All coefficients are positive, so nothing cancels.
        #[inline(always)]
        pub fn tanh(x: f32) -> f32 {
            const P: [f32; 5] = [1.0, 0.133_797_18, 0.003_494_034_8, 2.058_348_4e-5, 1.331_907_5e-8];
            const Q: [f32; 5] = [1.0, 0.467_130_33, 0.025_871_074, 3.283_093e-4, 7.762_020_6e-7];
            let x = if x > 9.02 { 9.02 } else { x };
            let x = if x < -9.02 { -9.02 } else { x };
            let z = x * x;
            let mut p = P[4];
            let mut q = Q[4];
            for i in (0..4).rev() {
                p = Real::mul_add(p, z, P[i]);
                q = Real::mul_add(q, z, Q[i]);
            }
            let t = x * p / q;
            let t = if t > 1.0 { 1.0 } else { t };
            if t < -1.0 { -1.0 } else { t }
        }

        /// Φ(x): half of erfc(|x| / √2) = t P(t) e^(-x²/2), t = 1 / (1 + p |x| / √2), or one less that. (A&S
        /// 7.1.26)
        #[inline(always)]
        pub fn normal_cdf(x: f32) -> f32 {
            const P: [f32; 5] = [0.254_829_6, -0.284_496_74, 1.421_413_7, -1.453_152, 1.061_405_4];
            let t = 1.0 / Real::mul_add(x.abs(), 0.231_641_9_f32, 1.0);
            let mut p = P[4];
            for i in (0..4).rev() {
                p = Real::mul_add(p, t, P[i]);
            }
            let tail = 0.5 * t * p * exp(-0.5 * x * x);
            if x < 0.0 { tail } else { 1.0 - tail }
        }
    }

    pub mod f64 {
        /// e^x by the standard library: the oracle wants accuracy, not speed.
        #[inline(always)]
        pub fn exp(x: f64) -> f64 {
            x.exp()
        }
        /// tanh x by the standard library.
        #[inline(always)]
        pub fn tanh(x: f64) -> f64 {
            x.tanh()
        }
        /// Φ(x) by libm's erfc.
        #[inline(always)]
        pub fn normal_cdf(x: f64) -> f64 {
            0.5 * libm::erfc(-x * std::f64::consts::FRAC_1_SQRT_2)
        }
    }
}

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
