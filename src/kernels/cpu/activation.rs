//! What an MLP applies to its hidden units, and the slopes. CPU twin of
//! `shaders/shared/{gelu,activation,activation_with_slope}.wgsl`.

use super::{Real, vectorized};

/// A function of one number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Activation {
    /// GELU, the tanh form (`approximate='tanh'` of PyTorch).
    GeluTanh,
    /// GELU, `x Φ(x)`.
    Gelu,
    /// `x / (1 + e^-x)`.
    Silu,
    /// `max(x, 0)`.
    Relu,
}

impl Activation {
    /// Its number in the shaders.
    pub(in crate::kernels) fn code(self) -> usize {
        self as usize
    }

    /// `xs <- act(xs)`.
    pub fn apply<R: Real>(self, xs: &mut [R]) {
        match self {
            Self::GeluTanh => gelu_tanh(xs),
            Self::Gelu => vectorized(
                #[inline(always)]
                || xs.iter_mut().for_each(|x| *x *= x.normal_cdf()),
            ),
            Self::Silu => vectorized(
                #[inline(always)]
                || xs.iter_mut().for_each(|x| *x /= R::ONE + (-*x).exp_fast()),
            ),
            Self::Relu => xs.iter_mut().for_each(|x| *x = x.max(R::ZERO)),
        }
    }

    /// `dy <- dy · act'(x)`.
    pub fn backward<R: Real>(self, x: &[R], dy: &mut [R]) {
        assert_eq!(x.len(), dy.len(), "activation: lengths differ");
        match self {
            Self::GeluTanh => vectorized(
                #[inline(always)]
                || dy.iter_mut().zip(x).for_each(|(dy, &x)| *dy *= gelu_and_slope(x).1),
            ),
            Self::Gelu => {
                let density = R::of((0.5 * std::f64::consts::FRAC_1_PI).sqrt());
                for (dy, &x) in dy.iter_mut().zip(x) {
                    *dy *= x.normal_cdf() + x * density * (-(x * x) * R::of(0.5)).exp();
                }
            }
            Self::Silu => vectorized(
                #[inline(always)]
                || {
                    for (dy, &x) in dy.iter_mut().zip(x) {
                        // 1 - s is e s; bounded, for infinity times zero is no number.
                        let e = (-x).min(R::of(80.0)).exp_fast();
                        let s = R::ONE / (R::ONE + e);
                        *dy *= s * (R::ONE + x * (e * s));
                    }
                },
            ),
            Self::Relu => {
                dy.iter_mut().zip(x).filter(|(_, x)| **x <= R::ZERO).for_each(|(dy, _)| *dy = R::ZERO);
            }
        }
    }
}

/// `xs <- gelu(xs)`, the tanh form.
pub fn gelu_tanh<R: Real>(xs: &mut [R]) {
    vectorized(
        #[inline(always)]
        || xs.iter_mut().for_each(|x| *x = gelu(*x)),
    );
}

const MINUS_TWO_SQRT_2_PI: f64 = -1.595_769_121_605_731;

/// `x · (1 + tanh u) / 2` as `x / (1 + e^(-2u))`: the same number, but without cancellation for x < 0.
#[inline(always)]
fn gelu<R: Real>(x: R) -> R {
    let linear = R::of(MINUS_TWO_SQRT_2_PI);
    let cubic = R::of(MINUS_TWO_SQRT_2_PI * 0.044715);
    let minus_two_u = x * (x * x).mul_add(cubic, linear);
    x / (R::ONE + minus_two_u.exp_fast())
}

/// `y <- gelu(x)` and `x <- gelu'(x)` by one exponential, for those who need both; the tanh form.
pub fn gelu_tanh_with_slope<R: Real>(x: &mut [R], y: &mut [R]) {
    assert_eq!(x.len(), y.len(), "gelu_tanh_with_slope: lengths differ");
    vectorized(
        #[inline(always)]
        || x.iter_mut().zip(y).for_each(|(x, y)| (*y, *x) = gelu_and_slope(*x)),
    );
}

/// With gelu = x s, s = 1 / (1 + e^m), m = -2u: the slope is `s (1 - x m' (1 - s))`, and 1 - s is e^m s,
/// without cancellation for x > 0.
#[inline(always)]
fn gelu_and_slope<R: Real>(x: R) -> (R, R) {
    let linear = R::of(MINUS_TWO_SQRT_2_PI);
    let cubic = R::of(MINUS_TWO_SQRT_2_PI * 0.044715);
    let squared = x * x;
    // Bounded, for infinity times zero is no number.
    let m = (x * squared.mul_add(cubic, linear)).min(R::of(80.0));
    let slope = squared.mul_add(cubic * R::of(3.0), linear);
    let e = m.exp_fast();
    let s = R::ONE / (R::ONE + e);
    (x * s, s * (R::ONE - x * slope * (e * s)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Activation; 4] = [Activation::GeluTanh, Activation::Gelu, Activation::Silu, Activation::Relu];

    #[test]
    fn gelu_is_exact_where_it_matters() {
        let want = |x: f64| 0.5 * x * (1.0 + (0.797_884_560_802_865_4 * (x + 0.044_715 * x * x * x)).tanh());
        let xs: Vec<f32> = (-2000..=2000).map(|i| i as f32 * 0.01).collect();
        let mut got = xs.clone();
        gelu_tanh(&mut got);
        for (&x, &got) in xs.iter().zip(&got) {
            assert!(
                (got as f64 - want(x as f64)).abs() <= 5e-7 * (x.abs() as f64).min(1.0),
                "gelu({x}) = {got}"
            );
        }
        let mut exact: Vec<f64> = xs.iter().map(|&x| x as f64).collect();
        gelu_tanh(&mut exact);
        assert!(exact.iter().zip(&xs).all(|(&got, &x)| (got - want(x as f64)).abs() < 1e-14));
    }

    #[test]
    fn slopes_agree_with_differences() {
        for (act, x) in ALL.into_iter().flat_map(|act| {
            (-90..=90).map(|i| f64::from(i) * 0.1 + 0.01).chain([-1e4, 1e4]).map(move |x| (act, x))
        }) {
            let step = 1e-6 * x.abs().max(1.0);
            let mut both = [x - step, x + step];
            act.apply(&mut both);
            let want = 3.0 * (both[1] - both[0]) / (2.0 * step);
            let (mut single, mut double) = ([3.0f32], [3.0f64]);
            act.backward(&[x as f32], &mut single);
            act.backward(&[x], &mut double);
            assert!(
                (double[0] - want).abs() < 1e-8 && (f64::from(single[0]) - want).abs() < 3e-6,
                "{act:?}'({x}): {double:?} {single:?}, not {want}"
            );
        }
    }

    #[test]
    fn known_values() {
        // PyTorch's, in f64.
        let at = |act: Activation, x: f64| {
            let (mut double, mut single) = ([x], [x as f32]);
            act.apply(&mut double);
            act.apply(&mut single);
            let close = 3e-7 * x.abs().max(1.0);
            assert!((f64::from(single[0]) - double[0]).abs() < close, "{act:?}({x}): {single:?} {double:?}");
            double[0]
        };
        assert!((at(Activation::Gelu, -1.0) + 0.158_655_253_931_457_05).abs() < 1e-15);
        assert!((at(Activation::Gelu, 2.0) - 1.954_499_736_103_641_7).abs() < 1e-15);
        assert!((at(Activation::Silu, -1.0) + 0.268_941_421_369_995_1).abs() < 1e-15);
        assert_eq!([at(Activation::Relu, -1.0), at(Activation::Relu, 2.5)], [0.0, 2.5]);
        for (act, x) in ALL.into_iter().flat_map(|act| (-80..80).map(move |i| (act, f64::from(i) * 0.125))) {
            at(act, x);
        }
    }
}
