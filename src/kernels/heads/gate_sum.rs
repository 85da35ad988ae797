//! Sums of log gates and the decays between them. CPU twin of `shaders/shared/gate_sum.wgsl`.

use crate::kernels::Real;

/// A sum of log gates as (integer, fraction in [0, 1)): the difference of two sums stays exact however
/// long the text is.
pub(in crate::kernels) fn gate_add<R: Real>(sum: [R; 2], logit: R) -> [R; 2] {
    let fraction = sum[1] + logit.log_sigmoid();
    let floor = R::of(fraction.f64().floor());
    [sum[0] + floor, fraction - floor]
}

/// `exp(a - b)` of two sums, `a` later than `b`; 0 where that is negligible.
pub(in crate::kernels) fn gate_decay<R: Real>(a: [R; 2], b: [R; 2]) -> R {
    ((a[0] - b[0]) + (a[1] - b[1])).min(R::ZERO).exp().flushed()
}

/// [`gate_decay`] from many sums, given in two parts, to one; for loops inside
/// [`vectorized`](crate::kernels::cpu::vectorized).
#[inline(always)]
pub(in crate::kernels) fn gate_decays<R: Real>(to: [R; 2], whole: &[R], fraction: &[R], decays: &mut [R]) {
    for ((decay, whole), fraction) in decays.iter_mut().zip(whole).zip(fraction) {
        *decay = ((to[0] - *whole) + (to[1] - *fraction)).min(R::ZERO).exp_fast().flushed();
    }
}
