//! Loops over slices, compiled for the widest vectors this CPU has.

use pulp::{Arch, Simd, WithSimd};

use super::Real;

/// Runs `f` compiled for the widest SIMD of this CPU, so that plain loops in it vectorise.
///
/// `f` and what it calls must be inlined here to profit: mark the closure and its helpers
/// `#[inline(always)]`. The dispatch costs some nanoseconds; put it around loops, not into them.
#[inline(always)]
pub fn vectorized<T>(f: impl FnOnce() -> T) -> T {
    Arch::new().dispatch(f)
}

/// `xs <- e^xs`.
pub fn exp_slice<R: Real>(xs: &mut [R]) {
    vectorized(
        #[inline(always)]
        || xs.iter_mut().for_each(|x| *x = x.exp_fast()),
    );
}

/// `xs <- scale · tanh(xs / scale)`.
pub fn scaled_tanh<R: Real>(xs: &mut [R], scale: R) {
    let inverse = R::ONE / scale;
    vectorized(
        #[inline(always)]
        || xs.iter_mut().for_each(|x| *x = scale * (*x * inverse).tanh_fast()),
    );
}

/// `Σ a_i b_i`.
pub fn dot<R: Real>(a: &[R], b: &[R]) -> R {
    assert_eq!(a.len(), b.len(), "dot: lengths differ");
    Arch::new().dispatch(Dot { a, b })
}

struct Dot<'a, R> {
    a: &'a [R],
    b: &'a [R],
}

impl<R: Real> WithSimd for Dot<'_, R> {
    type Output = R;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> R {
        dot_inline(simd, self.a, self.b)
    }
}

/// Sums are kept in this many vectors, enough to hide the latency of an addition.
const SUMS: usize = 4;

#[inline(always)]
pub(super) fn dot_inline<S: Simd, R: Real>(simd: S, a: &[R], b: &[R]) -> R {
    let (a, a_rest) = R::split::<S>(a);
    let (b, b_rest) = R::split::<S>(b);
    let (a_fours, a) = a.as_chunks::<SUMS>();
    let (b_fours, b) = b.as_chunks::<SUMS>();
    let zero = R::splat(simd, R::ZERO);
    let mut sums = [zero; SUMS];
    for (a, b) in a_fours.iter().zip(b_fours) {
        for i in 0..SUMS {
            sums[i] = R::fma(simd, a[i], b[i], sums[i]);
        }
    }
    for (&a, &b) in a.iter().zip(b) {
        sums[0] = R::fma(simd, a, b, sums[0]);
    }
    let rest: R = a_rest.iter().zip(b_rest).map(|(&a, &b)| a * b).sum();
    add_up::<S, R>(simd, sums) + rest
}

#[inline(always)]
pub(super) fn sum_inline<S: Simd, R: Real>(simd: S, x: &[R]) -> R {
    let (x, rest) = R::split::<S>(x);
    let (fours, x) = x.as_chunks::<SUMS>();
    let mut sums = [R::splat(simd, R::ZERO); SUMS];
    for x in fours {
        for i in 0..SUMS {
            sums[i] = R::vadd(simd, sums[i], x[i]);
        }
    }
    for &x in x {
        sums[0] = R::vadd(simd, sums[0], x);
    }
    add_up::<S, R>(simd, sums) + rest.iter().copied().sum::<R>()
}

#[inline(always)]
fn add_up<S: Simd, R: Real>(simd: S, [a, b, c, d]: [R::Of<S>; SUMS]) -> R {
    R::vsum(simd, R::vadd(simd, R::vadd(simd, a, b), R::vadd(simd, c, d)))
}

/// `Σ x_i`.
pub fn sum<R: Real>(x: &[R]) -> R {
    Arch::new().dispatch(Sum { x })
}

struct Sum<'a, R> {
    x: &'a [R],
}

impl<R: Real> WithSimd for Sum<'_, R> {
    type Output = R;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> R {
        sum_inline(simd, self.x)
    }
}

/// The largest of some numbers, of which there is at least one.
pub fn largest<R: Real>(x: &[R]) -> R {
    /// Kept apart so that they fill vectors.
    const KEPT: usize = 32;
    vectorized(
        #[inline(always)]
        || {
            let mut kept = [x[0]; KEPT];
            let (chunks, rest) = x.as_chunks::<KEPT>();
            for chunk in chunks {
                for i in 0..KEPT {
                    kept[i] = kept[i].max(chunk[i]);
                }
            }
            kept.iter().chain(rest).fold(x[0], |a, b| a.max(*b))
        },
    )
}

/// `y <- y + alpha · x`.
pub fn axpy<R: Real>(alpha: R, x: &[R], y: &mut [R]) {
    assert_eq!(x.len(), y.len(), "axpy: lengths differ");
    vectorized(
        #[inline(always)]
        || y.iter_mut().zip(x).for_each(|(y, &x)| *y = alpha.mul_add(x, *y)),
    );
}

/// `steps` times `x <- x · scale + add`, in registers: as many multiply-adds as the CPU can do.
pub fn multiply_adds<R: Real>(x: &mut [R], scale: R, add: &[R], steps: usize) {
    Arch::new().dispatch(MultiplyAdds { x, scale, add, steps });
}

struct MultiplyAdds<'a, R> {
    x: &'a mut [R],
    scale: R,
    add: &'a [R],
    steps: usize,
}

impl<R: Real> WithSimd for MultiplyAdds<'_, R> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        /// Vectors at a time: enough to hide the latency of one operation, few enough for registers.
        const CHAINS: usize = 8;
        let (vectors, rest) = R::split_mut::<S>(self.x);
        let (chunks, odd) = vectors.as_chunks_mut::<CHAINS>();
        // As many vectors as x has: one may hold fewer numbers than the pattern of what is added.
        let adds = R::split::<S>(self.add).0.as_chunks::<CHAINS>().0;
        assert!(
            rest.is_empty() && odd.is_empty() && adds.len() == chunks.len(),
            "multiply_adds: sizes are no multiples of vectors"
        );
        let scale = R::splat(simd, self.scale);
        for (chunk, add) in chunks.iter_mut().zip(adds) {
            let mut x = *chunk;
            for _ in 0..self.steps {
                for (x, add) in x.iter_mut().zip(add) {
                    *x = R::fma(simd, *x, scale, *add);
                }
            }
            *chunk = x;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn multiply_adds_are_the_same_whatever_a_vector_holds() {
        // x = x / 2 + a ends at 2 a; a repeats every four numbers, vectors hold from one to sixteen.
        let add: [f64; 128] = std::array::from_fn(|i| (i % 4 + 1) as f64);
        let start = add.map(|a| 7.0 - a);
        let (mut narrow, mut wide) = (start, start);
        MultiplyAdds { x: &mut narrow, scale: 0.5, add: &add, steps: 60 }.with_simd(pulp::Scalar::new());
        multiply_adds(&mut wide, 0.5, &add, 60);
        assert_eq!((narrow, wide), (add.map(|a| 2.0 * a), add.map(|a| 2.0 * a)));
    }

    /// Every `STRIDE`th `f32` there is, in pieces of 4096.
    fn all_floats(mut check: impl FnMut(&[f32])) {
        const STRIDE: usize = 1009;
        let all: Vec<u32> = (0..=u32::MAX).step_by(STRIDE).collect();
        for piece in all.chunks(4096) {
            check(&piece.iter().map(|&bits| f32::from_bits(bits)).collect::<Vec<_>>());
        }
    }

    /// Largest relative error over all floats for which `want` is a normal `f32`.
    fn worst(apply: impl Fn(&mut [f32]), want: impl Fn(f64) -> f64) -> f64 {
        let mut worst = 0.0f64;
        all_floats(|xs| {
            let mut got = xs.to_vec();
            apply(&mut got);
            for (&x, &got) in xs.iter().zip(&got) {
                let want = want(x as f64);
                if (want as f32).is_normal() {
                    worst = worst.max((got as f64 / want - 1.0).abs());
                } else if want.is_nan() {
                    assert!(got.is_nan(), "f({x}) = {got}");
                } else {
                    assert!(
                        (got as f64 - want).abs() < 1.2e-38 || got == want as f32,
                        "f({x}) = {got}, not {want}"
                    );
                }
            }
        });
        worst
    }

    #[test]
    fn exp_is_exact_to_1e7() {
        let worst = worst(exp_slice, f64::exp);
        assert!(worst < 1.5e-7, "{worst:e}");
        let mut ends = [f32::NEG_INFINITY, -1e30, -100.0, -0.0, 0.0, 88.72, 88.73, f32::INFINITY];
        exp_slice(&mut ends);
        assert!(
            ends[..5] == [0.0, 0.0, 0.0, 1.0, 1.0] && ends[5].is_finite() && ends[6..] == [f32::INFINITY; 2],
            "{ends:?}"
        );
    }

    #[test]
    fn tanh_is_exact_to_4e7_also_near_zero() {
        let worst = worst(|xs| scaled_tanh(xs, 1.0), f64::tanh);
        assert!(worst < 4e-7, "{worst:e}");
        let mut ends = [f32::NEG_INFINITY, -20.0, -0.0, 1e-30, 20.0, f32::INFINITY];
        scaled_tanh(&mut ends, 1.0);
        assert_eq!(ends, [-1.0, -1.0, 0.0, 1e-30, 1.0, 1.0]);
        let mut scaled = [3.0f32];
        scaled_tanh(&mut scaled, 8.0);
        assert!((scaled[0] as f64 - 8.0 * (3.0f64 / 8.0).tanh()).abs() < 2e-6);
    }

    #[test]
    fn f64_is_that_of_the_standard_library() {
        let xs: Vec<f64> = (-300..300).map(|i| i as f64 * 0.1).collect();
        let (mut exp, mut tanh) = (xs.clone(), xs.clone());
        exp_slice(&mut exp);
        scaled_tanh(&mut tanh, 1.0);
        assert!(xs.iter().zip(exp.iter().zip(&tanh)).all(|(x, (&e, &t))| e == x.exp() && t == x.tanh()));
    }

    #[test]
    fn sums_of_every_length() {
        for n in (0..70).chain([192, 500, 2048]) {
            let a: Vec<f64> = (0..n).map(|i| (i as f64 * 0.7).sin()).collect();
            let b: Vec<f64> = (0..n).map(|i| (i as f64 * 0.3).cos()).collect();
            let want: f64 = a.iter().zip(&b).map(|(a, b)| a * b).sum();
            assert!((dot(&a, &b) - want).abs() < 1e-12, "dot of {n}");
            let total: f64 = a.iter().sum();
            assert!((sum(&a) - total).abs() < 1e-12, "sum of {n}");
            assert!(n == 0 || largest(&a) == a.iter().copied().fold(a[0], f64::max), "largest of {n}");
            let single = |xs: &[f64]| xs.iter().map(|&x| x as f32).collect::<Vec<f32>>();
            assert!((dot(&single(&a), &single(&b)) as f64 - want).abs() < 1e-5, "dot of {n}");
            let mut y = b.clone();
            axpy(2.0, &a, &mut y);
            assert!((0..n).all(|i| (y[i] - b[i] - 2.0 * a[i]).abs() < 1e-15), "axpy of {n}");
        }
    }
}
