//! Half floats: as floats, and their products with a row of x.

#[cfg(target_arch = "x86_64")]
use std::{any::TypeId, arch::x86_64 as x86};

use super::Real;

/// Half floats as floats: by the CPU's own instruction where it has one.
pub fn widen<R: Real>(halves: &[u16], out: &mut [R]) {
    assert_eq!(halves.len(), out.len(), "widen: {} halves into {} numbers", halves.len(), out.len());
    #[cfg(target_arch = "x86_64")]
    if TypeId::of::<R>() == TypeId::of::<f32>() && is_x86_feature_detected!("f16c") {
        // SAFETY: the CPU has the instruction, and the lengths are equal.
        return unsafe { widen_f16c(halves, bytemuck::cast_slice_mut(out)) };
    }
    out.iter_mut().zip(halves).for_each(|(x, h)| *x = R::from_f32(half::f16::from_bits(*h).to_f32()));
}

/// [`widen`] eight at a time. (The `half` crate has this too, but as a call for each eight, which costs more
/// than a token's whole product with the matrix.)
///
/// # Safety
/// The CPU has F16C, and `out` is as long as `halves`.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx,f16c")]
unsafe fn widen_f16c(halves: &[u16], out: &mut [f32]) {
    use x86::{_mm_loadu_si128, _mm256_cvtph_ps, _mm256_storeu_ps};
    let (eights, rest) = halves.as_chunks::<8>();
    let (wide, wide_rest) = out.as_chunks_mut::<8>();
    for (eight, wide) in eights.iter().zip(wide) {
        // SAFETY: both arrays hold eight elements; the instructions take any alignment.
        unsafe {
            _mm256_storeu_ps(wide.as_mut_ptr(), _mm256_cvtph_ps(_mm_loadu_si128(eight.as_ptr().cast())));
        };
    }
    wide_rest.iter_mut().zip(rest).for_each(|(x, h)| *x = half::f16::from_bits(*h).to_f32());
}

/// Rows whose sums are kept in registers.
#[cfg(target_arch = "x86_64")]
const ROWS: usize = 8;

/// `y_j (+)= Σ_i x_i w_ji`, `w [y, x]`, which is read once, as it lies. False, and nothing is done, where the CPU
/// has no instruction for halves, or the numbers are not f32.
pub fn half_dots<R: Real>(x: &[R], w: &[u16], y: &mut [R], accumulate: bool) -> bool {
    assert_eq!(x.len() * y.len(), w.len(), "half_dots: {} halves for {} by {}", w.len(), y.len(), x.len());
    #[cfg(target_arch = "x86_64")]
    if TypeId::of::<R>() == TypeId::of::<f32>()
        && is_x86_feature_detected!("avx2")
        && is_x86_feature_detected!("fma")
        && is_x86_feature_detected!("f16c")
    {
        let (x, y): (&[f32], &mut [f32]) = (bytemuck::cast_slice(x), bytemuck::cast_slice_mut(y));
        let row = |j: usize| &w[j * x.len()..][..x.len()];
        let all = y.len();
        let mut rows = y.chunks_exact_mut(ROWS);
        for (eight, y) in rows.by_ref().enumerate() {
            // SAFETY: the CPU has the instructions.
            let sums = unsafe { dots_f16c(x, std::array::from_fn::<_, ROWS, _>(|j| row(eight * ROWS + j))) };
            y.iter_mut().zip(sums).for_each(|(y, sum)| *y = if accumulate { *y + sum } else { sum });
        }
        for (j, y) in (all / ROWS * ROWS..).zip(rows.into_remainder()) {
            // SAFETY: as above.
            let [sum] = unsafe { dots_f16c(x, [row(j)]) };
            *y = if accumulate { *y + sum } else { sum };
        }
        return true;
    }
    let _ = accumulate;
    false
}

/// Dot products of x and rows of halves.
///
/// # Safety
/// The CPU has AVX2, FMA and F16C.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn dots_f16c<const N: usize>(x: &[f32], rows: [&[u16]; N]) -> [f32; N] {
    use x86::{_MM_HINT_T0, _mm_loadu_si128, _mm_prefetch};
    use x86::{_mm256_cvtph_ps, _mm256_fmadd_ps, _mm256_loadu_ps, _mm256_setzero_ps};
    /// Eights of a cache line.
    const OF_LINE: usize = 4;
    let eights = x.len() / 8;
    let mut sums = [_mm256_setzero_ps(); N];
    for i in 0..eights {
        let eight = &x[8 * i..][..8];
        // SAFETY: eight elements; the instruction takes any alignment.
        let eight = unsafe { _mm256_loadu_ps(eight.as_ptr()) };
        for j in 0..N {
            let w = &rows[j][8 * i..][..8];
            if i % OF_LINE == 0 {
                // The same place of the next rows: 21 to 28 GB/s become 24 to 31 (of 33, two cores of Zen 3).
                _mm_prefetch::<_MM_HINT_T0>(w.as_ptr().wrapping_add(N * x.len()).cast());
            }
            // SAFETY: as above.
            let w = _mm256_cvtph_ps(unsafe { _mm_loadu_si128(w.as_ptr().cast()) });
            sums[j] = _mm256_fmadd_ps(eight, w, sums[j]);
        }
    }
    let mut out = [0.0; N];
    for j in 0..N {
        // SAFETY: both are eight floats.
        let lanes: [f32; 8] = unsafe { std::mem::transmute(sums[j]) };
        let rest = x[8 * eights..].iter().zip(&rows[j][8 * eights..]);
        let rest: f32 = rest.map(|(x, w)| x * half::f16::from_bits(*w).to_f32()).sum();
        out[j] = lanes.iter().sum::<f32>() + rest;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn widens_every_half() {
        let halves: Vec<u16> = (0..=u16::MAX).collect();
        let mut wide = vec![0f32; halves.len()];
        widen(&halves, &mut wide);
        let mut wider = vec![0f64; halves.len()];
        widen(&halves, &mut wider);
        for (h, (x, y)) in halves.iter().zip(wide.iter().zip(&wider)) {
            let want = half::f16::from_bits(*h).to_f64();
            assert!(
                (f64::from(*x) == want && *y == want) || (want.is_nan() && x.is_nan() && y.is_nan()),
                "{h:#x}: {x} {y} {want}"
            );
        }
    }

    #[test]
    fn dots_are_those_of_the_widened_rows() {
        for (columns, rows) in [(1, 1), (7, 3), (8, 8), (64, 9), (75, 20), (0, 3)] {
            let x: Vec<f32> = (0..columns).map(|i| (i as f32 * 0.7).sin()).collect();
            let w: Vec<u16> =
                (0..rows * columns).map(|i| half::f16::from_f32((i as f32 * 0.3).cos()).to_bits()).collect();
            let mut wide = vec![0f64; w.len()];
            widen(&w, &mut wide);
            for accumulate in [false, true] {
                let mut y = vec![2f32; rows];
                if !half_dots(&x, &w, &mut y, accumulate) {
                    assert!(y.iter().all(|y| *y == 2.0), "nothing is done");
                    continue;
                }
                for (j, y) in y.iter().enumerate() {
                    let row = &wide[j * columns..][..columns];
                    let sum: f64 = row.iter().zip(&x).map(|(w, x)| w * f64::from(*x)).sum();
                    let want = sum + if accumulate { 2.0 } else { 0.0 };
                    assert!((f64::from(*y) - want).abs() < 1e-5, "{columns} {rows} {j}: {y} {want}");
                }
            }
        }
        assert!(!half_dots(&[1f64], &[0], &mut [0.0], false), "f64 is left to others");
    }
}
