//! The affinities of pairs inside a block. CPU twin of `shaders/shared/{local_affinity,local_slope}.wgsl`.

use crate::kernels::Real;
use crate::kernels::shader::shared;

/// Numbers that a loop over a degree takes side by side: inside of loops over many numbers, it would keep the
/// compiler from vectors.
const SIDE_BY_SIDE: usize = 16;

/// Of a row of `count` pairs, those to compute where the first `seen` are wanted: whole vectors.
pub(in crate::kernels) fn whole_vectors(seen: usize, count: usize) -> usize {
    seen.next_multiple_of(SIDE_BY_SIDE).min(count)
}

/// The non-negative affinity of a pair inside a block, a function of the inner product `t` (SPEC §1).
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum LocalAffinity {
    /// `(scale t)^degree`, degree even.
    Power {
        /// c
        scale: f64,
        /// p
        degree: usize,
    },
    /// `Σ_{m <= degree} (scale t)^m / m!`
    Taylor {
        /// c
        scale: f64,
        /// g
        degree: usize,
    },
}

impl LocalAffinity {
    /// The affinity of each inner product, in place.
    #[inline(always)]
    pub(in crate::kernels) fn apply<R: Real>(&self, t: &mut [R]) {
        let (chunks, rest) = t.as_chunks_mut::<SIDE_BY_SIDE>();
        for t in chunks {
            self.apply_to(t);
        }
        for t in rest.as_chunks_mut::<1>().0 {
            self.apply_to(t);
        }
    }

    #[inline(always)]
    fn apply_to<R: Real, const N: usize>(&self, t: &mut [R; N]) {
        let (LocalAffinity::Power { scale, degree } | LocalAffinity::Taylor { scale, degree }) = *self;
        let scale = R::of(scale);
        for t in t.iter_mut() {
            *t = scale * *t;
        }
        let mut w = [R::ONE; N];
        if self.taylor() {
            for m in (1..=degree).rev() {
                let m = R::of(m as f64);
                for i in 0..N {
                    w[i] = R::ONE + w[i] * t[i] / m;
                }
            }
        } else {
            for _ in 0..degree / 2 {
                for i in 0..N {
                    w[i] *= t[i] * t[i];
                }
            }
        }
        *t = w;
    }

    /// [`LocalAffinity::apply`], and the derivative of each affinity by its inner product.
    #[inline(always)]
    pub(in crate::kernels) fn apply_with_slope<R: Real>(&self, t: &mut [R], slope: &mut [R]) {
        let ((chunks, rest), (slopes, slopes_rest)) =
            (t.as_chunks_mut::<SIDE_BY_SIDE>(), slope.as_chunks_mut::<SIDE_BY_SIDE>());
        for (t, slope) in chunks.iter_mut().zip(slopes) {
            self.apply_with_slope_to(t, slope);
        }
        for (t, slope) in rest.as_chunks_mut::<1>().0.iter_mut().zip(slopes_rest.as_chunks_mut::<1>().0) {
            self.apply_with_slope_to(t, slope);
        }
    }

    #[inline(always)]
    fn apply_with_slope_to<R: Real, const N: usize>(&self, t: &mut [R; N], slope: &mut [R; N]) {
        let (LocalAffinity::Power { scale, degree } | LocalAffinity::Taylor { scale, degree }) = *self;
        let (by_product, factor) = (R::of(scale), R::of(scale * degree as f64));
        for t in t.iter_mut() {
            *t = by_product * *t;
        }
        let mut w = [R::ONE; N];
        if self.taylor() {
            // The derivative of a partial sum of exp is the one before it.
            let mut term = [R::ONE; N];
            *slope = [R::ZERO; N];
            for m in 1..=degree {
                let share = R::of(1.0 / m as f64);
                for i in 0..N {
                    term[i] *= t[i] * share;
                    slope[i] = by_product * w[i];
                    w[i] += term[i];
                }
            }
        } else {
            for _ in 1..degree / 2 {
                for i in 0..N {
                    w[i] *= t[i] * t[i];
                }
            }
            for i in 0..N {
                slope[i] = factor * t[i] * w[i];
                w[i] *= t[i] * t[i];
            }
        }
        *t = w;
    }

    /// The values of `shared/local_affinity.wgsl`.
    pub(in crate::kernels) fn overrides(&self) -> shared::LocalAffinity {
        let (LocalAffinity::Power { scale, degree } | LocalAffinity::Taylor { scale, degree }) = *self;
        shared::LocalAffinity { scale, degree }
    }

    /// The flag `TAYLOR`.
    pub(in crate::kernels) fn taylor(&self) -> bool {
        matches!(self, LocalAffinity::Taylor { .. })
    }
}
