//! The few vector operations that the hand-blocked loops need, for both float types at once.
//!
//! Elementwise loops are left to the compiler under [`vectorized`](super::vectorized). Sums are not:
//! it may not reorder them, and keeps arrays of partial sums in memory.

use bytemuck::Pod;
use pulp::Simd;

/// A float type with vectors.
pub trait Vector: Sized + Copy + 'static {
    /// The vector of an instruction set.
    type Of<S: Simd>: Pod;

    /// A vector of `x`.
    fn splat<S: Simd>(simd: S, x: Self) -> Self::Of<S>;
    /// Lane by lane `a · b + c`.
    fn fma<S: Simd>(simd: S, a: Self::Of<S>, b: Self::Of<S>, c: Self::Of<S>) -> Self::Of<S>;
    /// Lane by lane.
    fn vadd<S: Simd>(simd: S, a: Self::Of<S>, b: Self::Of<S>) -> Self::Of<S>;
    /// Lane by lane.
    fn vmul<S: Simd>(simd: S, a: Self::Of<S>, b: Self::Of<S>) -> Self::Of<S>;
    /// Sum of the lanes.
    fn vsum<S: Simd>(simd: S, a: Self::Of<S>) -> Self;
    /// The whole vectors of a slice, and the rest.
    fn split<S: Simd>(xs: &[Self]) -> (&[Self::Of<S>], &[Self]);
    /// The whole vectors of a slice, and the rest.
    fn split_mut<S: Simd>(xs: &mut [Self]) -> (&mut [Self::Of<S>], &mut [Self]);
    /// Lanes of a vector.
    #[inline(always)]
    fn lanes<S: Simd>() -> usize {
        size_of::<Self::Of<S>>() / size_of::<Self>()
    }
}

macro_rules! vector {
    ($float:ident, $of:ident, $splat:ident, $fma:ident, $add:ident, $mul:ident, $sum:ident, $split:ident, $split_mut:ident) => {
        impl Vector for $float {
            type Of<S: Simd> = S::$of;

            #[inline(always)]
            fn splat<S: Simd>(simd: S, x: Self) -> Self::Of<S> {
                simd.$splat(x)
            }
            #[inline(always)]
            fn fma<S: Simd>(simd: S, a: Self::Of<S>, b: Self::Of<S>, c: Self::Of<S>) -> Self::Of<S> {
                simd.$fma(a, b, c)
            }
            #[inline(always)]
            fn vadd<S: Simd>(simd: S, a: Self::Of<S>, b: Self::Of<S>) -> Self::Of<S> {
                simd.$add(a, b)
            }
            #[inline(always)]
            fn vmul<S: Simd>(simd: S, a: Self::Of<S>, b: Self::Of<S>) -> Self::Of<S> {
                simd.$mul(a, b)
            }
            #[inline(always)]
            fn vsum<S: Simd>(simd: S, a: Self::Of<S>) -> Self {
                simd.$sum(a)
            }
            #[inline(always)]
            fn split<S: Simd>(xs: &[Self]) -> (&[Self::Of<S>], &[Self]) {
                S::$split(xs)
            }
            #[inline(always)]
            fn split_mut<S: Simd>(xs: &mut [Self]) -> (&mut [Self::Of<S>], &mut [Self]) {
                S::$split_mut(xs)
            }
        }
    };
}

vector!(
    f32,
    f32s,
    splat_f32s,
    mul_add_e_f32s,
    add_f32s,
    mul_f32s,
    reduce_sum_f32s,
    as_simd_f32s,
    as_mut_simd_f32s
);
vector!(
    f64,
    f64s,
    splat_f64s,
    mul_add_e_f64s,
    add_f64s,
    mul_f64s,
    reduce_sum_f64s,
    as_simd_f64s,
    as_mut_simd_f64s
);
