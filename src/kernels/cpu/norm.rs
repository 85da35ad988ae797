//! LayerNorm and RMSNorm of rows, and their gradients. Rows of a few vectors, of which a sketch's net has thirty for each
//! token and layer, stay in registers. Ladder, ms of a training step's kernels over 1024 tokens, in turns:
//! rows one by one as loops over slices, whose ends are scalar: `sketch_learned_grad` 25.7, `sketch_learned`
//! 9.4; in registers: 21.1, 7.8.

use pulp::{Arch, Simd, WithSimd};

use super::Real;
use super::simd::{dot_inline, sum_inline};

/// Which norm.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Norm {
    /// LayerNorm: the mean is taken off first. RMSNorm has none.
    pub centred: bool,
    /// What is added to the variance.
    pub eps: f64,
}

impl Norm {
    /// LayerNorm as our own models have it (SPEC §2).
    pub const LAYER: Self = Self { centred: true, eps: 1e-5 };

    /// RMSNorm.
    pub const fn rms(eps: f64) -> Self {
        Self { centred: false, eps }
    }

    /// The norm of rows as long as weight and bias: `out = (x - mean) / sqrt(variance + eps) · weight + bias`;
    /// not centred: `x / sqrt(mean(x²) + eps) · weight + bias`.
    pub fn apply<R: Real>(self, x: &[R], weight: &[R], bias: &[R], out: &mut [R]) {
        check(x, weight, &[x.len() == out.len(), weight.len() == bias.len()]);
        Arch::new().dispatch(Forward { norm: self, x, weight, bias, out });
    }

    /// Gradients of [`Norm::apply`], each added to what is there: of the rows x, and, summed over them, of the
    /// weight and the bias.
    ///
    /// With x̂ = (x - mean) / σ and g = dy · weight: `dx += (g - mean(g) - x̂ · mean(g · x̂)) / σ`; not centred,
    /// without the means of x and g.
    #[allow(clippy::too_many_arguments, reason = "as many as the formula has")]
    pub fn backward<R: Real>(
        self,
        x: &[R],
        weight: &[R],
        dy: &[R],
        dx: &mut [R],
        dweight: &mut [R],
        dbias: &mut [R],
    ) {
        let n = weight.len();
        check(x, weight, &[x.len() == dy.len(), x.len() == dx.len(), n == dweight.len(), n == dbias.len()]);
        Arch::new().dispatch(Backward { norm: self, x, weight, dy, dx, dweight, dbias });
    }
}

/// Runs `$short::<S, N>` for rows of N whole vectors, `$long` for others.
macro_rules! by_vectors {
    ($self:ident, $simd:ident, $($n:literal)+) => {{
        let (n, lanes) = ($self.weight.len(), R::lanes::<S>());
        match n / lanes {
            $($n if n == $n * lanes => $self.short::<S, $n>($simd),)+
            _ => $self.long($simd),
        }
    }};
}

/// Panics if these are no rows, or lengths differ.
fn check<R>(x: &[R], weight: &[R], same: &[bool]) {
    assert!(
        !weight.is_empty() && x.len().is_multiple_of(weight.len()) && same.iter().all(|same| *same),
        "norm: lengths differ"
    );
}

struct Forward<'a, R> {
    norm: Norm,
    x: &'a [R],
    weight: &'a [R],
    bias: &'a [R],
    out: &'a mut [R],
}

impl<R: Real> WithSimd for Forward<'_, R> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        by_vectors!(self, simd, 1 2 3 4 6 8 12);
    }
}

impl<R: Real> Forward<'_, R> {
    #[inline(always)]
    fn short<S: Simd, const N: usize>(self, simd: S) {
        let share = R::ONE / R::of(self.weight.len() as f64);
        let (weight, bias) = (vectors::<S, R, N>(self.weight)[0], vectors::<S, R, N>(self.bias)[0]);
        for (x, out) in vectors::<S, R, N>(self.x).iter().zip(vectors_mut::<S, R, N>(self.out)) {
            let (centred, variance) = self.norm.centre(simd, x, share);
            let scale = R::splat(simd, R::ONE / (variance + R::of(self.norm.eps)).sqrt());
            for i in 0..N {
                out[i] = R::fma(simd, R::vmul(simd, centred[i], scale), weight[i], bias[i]);
            }
        }
    }

    #[inline(always)]
    fn long<S: Simd>(self, simd: S) {
        let Self { norm, x, weight, bias, out } = self;
        let share = R::ONE / R::of(weight.len() as f64);
        for (x, out) in x.chunks_exact(weight.len()).zip(out.chunks_exact_mut(weight.len())) {
            let mean = if norm.centred { sum_inline(simd, x) * share } else { R::ZERO };
            out.iter_mut().zip(x).for_each(|(out, &x)| *out = x - mean);
            let variance = dot_inline(simd, out, out) * share;
            let scale = R::ONE / (variance + R::of(norm.eps)).sqrt();
            for ((out, &weight), &bias) in out.iter_mut().zip(weight).zip(bias) {
                *out = (*out * scale).mul_add(weight, bias);
            }
        }
    }
}

struct Backward<'a, R> {
    norm: Norm,
    x: &'a [R],
    weight: &'a [R],
    dy: &'a [R],
    dx: &'a mut [R],
    dweight: &'a mut [R],
    dbias: &'a mut [R],
}

impl<R: Real> WithSimd for Backward<'_, R> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        by_vectors!(self, simd, 1 2 3 4 6 8);
    }
}

impl<R: Real> Backward<'_, R> {
    #[inline(always)]
    fn short<S: Simd, const N: usize>(self, simd: S) {
        let share = R::ONE / R::of(self.weight.len() as f64);
        let weight = vectors::<S, R, N>(self.weight)[0];
        let (dweight, dbias) =
            (&mut vectors_mut::<S, R, N>(self.dweight)[0], &mut vectors_mut::<S, R, N>(self.dbias)[0]);
        let (mut dweights, mut dbiases) = (*dweight, *dbias);
        let rows = vectors::<S, R, N>(self.x).iter().zip(vectors::<S, R, N>(self.dy)).zip(vectors_mut::<
            S,
            R,
            N,
        >(self.dx));
        for ((x, dy), dx) in rows {
            let (centred, variance) = self.norm.centre(simd, x, share);
            let mut g = weight;
            for i in 0..N {
                g[i] = R::vmul(simd, g[i], dy[i]);
            }
            let slope = if self.norm.centred { R::vsum(simd, total::<S, R, N>(simd, &g)) } else { R::ZERO };
            let along = R::vsum(simd, product::<S, R, N>(simd, &g, &centred));
            let scale = R::ONE / (variance + R::of(self.norm.eps)).sqrt();
            let (minus_level, minus_along) =
                (R::splat(simd, -slope * share), R::splat(simd, -along * share * scale));
            let scale = R::splat(simd, scale);
            for i in 0..N {
                let normal = R::vmul(simd, centred[i], scale);
                let d = R::fma(simd, normal, minus_along, R::vadd(simd, g[i], minus_level));
                dx[i] = R::fma(simd, scale, d, dx[i]);
                dweights[i] = R::fma(simd, dy[i], normal, dweights[i]);
                dbiases[i] = R::vadd(simd, dbiases[i], dy[i]);
            }
        }
        (*dweight, *dbias) = (dweights, dbiases);
    }

    #[inline(always)]
    fn long<S: Simd>(self, simd: S) {
        let n = self.weight.len();
        for ((x, dy), dx) in
            self.x.chunks_exact(n).zip(self.dy.chunks_exact(n)).zip(self.dx.chunks_exact_mut(n))
        {
            Backward {
                norm: self.norm,
                x,
                weight: self.weight,
                dy,
                dx,
                dweight: &mut *self.dweight,
                dbias: &mut *self.dbias,
            }
            .long_row(simd);
        }
    }

    #[inline(always)]
    fn long_row<S: Simd>(self, simd: S) {
        /// Vectors at a time: three sums of each.
        const AT_ONCE: usize = 2;
        let Self { norm, x, weight, dy, dx, dweight, dbias } = self;
        let share = R::ONE / R::of(x.len() as f64);
        let mean = if norm.centred { sum_inline(simd, x) * share } else { R::ZERO };

        // Sums of (x - mean)², g, g (x - mean).
        let ((x_vectors, x_rest), (w_vectors, w_rest), (dy_vectors, dy_rest)) =
            (R::split::<S>(x), R::split::<S>(weight), R::split::<S>(dy));
        let (zero, minus_mean) = (R::splat(simd, R::ZERO), R::splat(simd, -mean));
        let mut sums = [[zero; 3]; AT_ONCE];
        for (i, ((&x, &w), &dy)) in x_vectors.iter().zip(w_vectors).zip(dy_vectors).enumerate() {
            let [square, slope, along] = &mut sums[i % AT_ONCE];
            let (d, g) = (R::vadd(simd, x, minus_mean), R::vmul(simd, w, dy));
            *square = R::fma(simd, d, d, *square);
            *slope = R::vadd(simd, *slope, g);
            *along = R::fma(simd, g, d, *along);
        }
        let mut total: [R; 3] = std::array::from_fn(|i| R::vsum(simd, R::vadd(simd, sums[0][i], sums[1][i])));
        for ((&x, &w), &dy) in x_rest.iter().zip(w_rest).zip(dy_rest) {
            let (d, g) = (x - mean, w * dy);
            total = [total[0] + d * d, total[1] + g, total[2] + g * d];
        }

        let scale = R::ONE / (total[0] * share + R::of(norm.eps)).sqrt();
        let level = if norm.centred { total[1] * share } else { R::ZERO };
        let along = total[2] * share * scale;
        for (((((&x, &w), &dy), dx), dweight), dbias) in
            x.iter().zip(weight).zip(dy).zip(dx).zip(dweight).zip(dbias)
        {
            let normal = (x - mean) * scale;
            *dx = scale.mul_add(w * dy - level - normal * along, *dx);
            *dweight = dy.mul_add(normal, *dweight);
            *dbias += dy;
        }
    }
}

/// Rows of N vectors.
#[inline(always)]
fn vectors<S: Simd, R: Real, const N: usize>(x: &[R]) -> &[[R::Of<S>; N]] {
    R::split::<S>(x).0.as_chunks::<N>().0
}

/// Rows of N vectors.
#[inline(always)]
fn vectors_mut<S: Simd, R: Real, const N: usize>(x: &mut [R]) -> &mut [[R::Of<S>; N]] {
    R::split_mut::<S>(x).0.as_chunks_mut::<N>().0
}

impl Norm {
    /// A row less its mean, and its variance; not centred: the row, and its mean square. `share` is one over
    /// its length.
    #[inline(always)]
    fn centre<S: Simd, R: Real, const N: usize>(
        self,
        simd: S,
        x: &[R::Of<S>; N],
        share: R,
    ) -> ([R::Of<S>; N], R) {
        let mut centred = *x;
        if self.centred {
            let minus_mean = R::splat(simd, -(R::vsum(simd, total::<S, R, N>(simd, x)) * share));
            for x in &mut centred {
                *x = R::vadd(simd, *x, minus_mean);
            }
        }
        let variance = R::vsum(simd, product::<S, R, N>(simd, &centred, &centred)) * share;
        (centred, variance)
    }
}

/// The sum of some vectors.
#[inline(always)]
fn total<S: Simd, R: Real, const N: usize>(simd: S, x: &[R::Of<S>; N]) -> R::Of<S> {
    let mut sum = x[0];
    for x in &x[1..] {
        sum = R::vadd(simd, sum, *x);
    }
    sum
}

/// The sum of the products of some vectors.
#[inline(always)]
fn product<S: Simd, R: Real, const N: usize>(simd: S, a: &[R::Of<S>; N], b: &[R::Of<S>; N]) -> R::Of<S> {
    let mut sum = R::vmul(simd, a[0], b[0]);
    for (a, b) in a[1..].iter().zip(&b[1..]) {
        sum = R::fma(simd, *a, *b, sum);
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::super::dot;
    use super::*;

    fn single(xs: &[f64]) -> Vec<f32> {
        xs.iter().map(|&x| x as f32).collect()
    }

    #[test]
    fn agrees_with_the_definition() {
        let sizes = [4, 16, 20, 32, 48, 64, 96, 128, 192, 500];
        for (rows, n, norm) in sizes.into_iter().flat_map(|n| [(1, n, Norm::LAYER), (3, n, Norm::rms(1e-3))])
        {
            // Far from zero, where a one-pass variance would fail.
            let x: Vec<f64> = (0..rows * n).map(|i| 100.0 + (i as f64 * 1.3).sin()).collect();
            let weight: Vec<f64> = (0..n).map(|i| 1.0 + i as f64 * 0.01).collect();
            let bias: Vec<f64> = (0..n).map(|i| i as f64 * 0.1 - 1.0).collect();
            let want = x.chunks_exact(n).flat_map(|x| {
                let mean = if norm.centred { x.iter().sum::<f64>() / n as f64 } else { 0.0 };
                let variance = x.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / n as f64;
                (0..n)
                    .map(|i| (x[i] - mean) / (variance + norm.eps).sqrt() * weight[i] + bias[i])
                    .collect::<Vec<f64>>()
            });
            let want: Vec<f64> = want.collect();
            let mut out = vec![0.0; rows * n];
            norm.apply(&x, &weight, &bias, &mut out);
            assert!(
                out.iter().zip(&want).all(|(out, want)| (out - want).abs() < 1e-11),
                "{rows} of {n} in f64"
            );
            let mut out = vec![0.0f32; rows * n];
            norm.apply(&single(&x), &single(&weight), &single(&bias), &mut out);
            assert!(
                out.iter().zip(&want).all(|(out, want)| (f64::from(*out) - want).abs() < 3e-4),
                "{rows} of {n} in f32"
            );
        }
    }

    #[test]
    fn gradients_agree_with_differences() {
        let sizes = [4, 16, 20, 48, 64, 96, 193];
        for (rows, n, norm) in sizes
            .into_iter()
            .flat_map(|n| [(1, n, Norm::LAYER), (2, n, Norm::LAYER), (2, n, Norm::rms(1e-3))])
        {
            let numbers = |count: usize, a: f64, b: f64| {
                (0..count).map(|i| a + (i as f64 * b).sin()).collect::<Vec<f64>>()
            };
            let (x, dy) = (numbers(rows * n, 10.0, 1.3), numbers(rows * n, 0.1, 0.6));
            let (weight, bias) = (numbers(n, 0.7, 0.9), numbers(n, 0.0, 2.1));
            let loss = |x: &[f64], weight: &[f64], bias: &[f64]| {
                let mut y = vec![0.0; rows * n];
                norm.apply(x, weight, bias, &mut y);
                dot(&y, &dy)
            };
            let mut got = [vec![1.0; rows * n], vec![2.0; n], vec![3.0; n]];
            let [dx, dweight, dbias] = &mut got;
            norm.backward(&x, &weight, &dy, dx, dweight, dbias);
            let mut got_single = [vec![1.0f32; rows * n], vec![2.0; n], vec![3.0; n]];
            let [dx, dweight, dbias] = &mut got_single;
            norm.backward(&single(&x), &single(&weight), &single(&dy), dx, dweight, dbias);
            for (part, i) in
                got.iter().enumerate().flat_map(|(part, got)| (0..got.len()).map(move |i| (part, i)))
            {
                let moved = |by: f64| {
                    let mut all = [x.clone(), weight.clone(), bias.clone()];
                    all[part][i] += by;
                    loss(&all[0], &all[1], &all[2])
                };
                let want = (moved(1e-5) - moved(-1e-5)) / 2e-5 + 1.0 + part as f64;
                assert!(
                    (got[part][i] - want).abs() < 2e-8,
                    "{rows} of {n}: gradient {part} of {i}: {} is not {want}",
                    got[part][i]
                );
                let single = f64::from(got_single[part][i]);
                assert!(
                    (single - want).abs() < 3e-5,
                    "{rows} of {n}: gradient {part} of {i}: {single} is not {want}"
                );
            }
        }
    }

    #[test]
    #[should_panic(expected = "lengths differ")]
    fn refuses_half_a_row() {
        Norm::LAYER.apply(&[0.0f32; 6], &[1.0; 4], &[0.0; 4], &mut [0.0; 6]);
    }
}
