//! How far two tensors lie apart.

use serde::Serialize;

use crate::tensor::DType;

/// What stands in a fresh tensor before anything is written: a float and an integer that nothing computes, so
/// that what only one side writes is found.
pub(super) const UNWRITTEN: u32 = 0x4b1d_71c3;

/// Largest error of a kernel against its twin in f64, over the largest magnitude of the tensor: sums in
/// another order, other roundings of exp and tanh.
pub const TOLERANCE: f64 = 2e-5;

/// Of a product of two numbers that are rounded to halves, the largest error over its magnitude: each has 11 bits.
/// (Numbers below 2^-14 have fewer; they shift a sum by less than `TOLERANCE` leaves.)
pub const ROUNDING: f64 = 1.0 / 1024.0 + 1.0 / 4_194_304.0;

/// How far one output of a step lies from its twin's.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Difference {
    /// The tensor.
    pub tensor: String,
    /// Largest difference over the largest magnitude; for integers, the share that differs. Not a number
    /// where one is not.
    pub error: f64,
    /// The part of it that is not explained by operands that mixed precision rounds to halves; in f32, all.
    pub unexplained: f64,
    /// Where it is largest.
    pub at: usize,
    /// What the executor has there.
    pub got: f64,
    /// What the twin has there.
    pub want: f64,
}

impl Difference {
    /// Whether it is too large.
    pub fn wrong(&self) -> bool {
        self.unexplained.is_nan() || self.unexplained > TOLERANCE
    }
}

/// The larger; not a number if one is not.
pub(super) fn larger(a: f64, b: f64) -> f64 {
    if a.is_nan() || b <= a { a } else { b }
}

/// Compares two tensors. `magnitudes`: of the products that were rounded, for each number.
pub(super) fn compare(
    tensor: &str,
    dtype: DType,
    [got, want]: [&[u32]; 2],
    magnitudes: Option<&[u32]>,
) -> Difference {
    let value = |w: u32| if dtype == DType::U32 { f64::from(w) } else { f64::from(f32::from_bits(w)) };
    let differs = |(got, want): (u32, u32)| match dtype {
        DType::U32 => f64::from(u8::from(got != want)),
        // The bits tell: what neither side wrote is no difference.
        _ if got == want && !value(got).is_nan() => 0.0,
        _ => (value(got) - value(want)).abs(),
    };
    let pairs = || got.iter().copied().zip(want.iter().copied());
    let mut worst = (0, 0.0);
    let mut beyond = 0.0;
    let mut sum = 0.0;
    for (at, pair) in pairs().enumerate() {
        let difference = differs(pair);
        sum += difference;
        let explained = magnitudes.and_then(|all| all.get(at)).map_or(0.0, |m| ROUNDING * value(*m));
        // A number that is none stays one.
        beyond = larger(beyond, if difference <= explained { 0.0 } else { difference - explained });
        if larger(worst.1, difference) != worst.1 && !worst.1.is_nan() {
            worst = (at, difference);
        }
    }
    let written = |word: &u32| *word != UNWRITTEN;
    let largest =
        want.iter().copied().filter(written).map(value).fold(f64::MIN_POSITIVE, |m, x| m.max(x.abs()));
    let error = if dtype == DType::U32 { sum / got.len().max(1) as f64 } else { worst.1 / largest };
    let unexplained = if dtype == DType::U32 { error } else { beyond / largest };
    let at = |words: &[u32]| words.get(worst.0).map_or(0.0, |w| value(*w));
    Difference { tensor: tensor.to_string(), error, unexplained, at: worst.0, got: at(got), want: at(want) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(dtype: DType, got: &[u32], want: &[u32]) -> f64 {
        compare("x", dtype, [got, want], None).error
    }

    #[test]
    fn differences() {
        let words = |values: &[f32]| values.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
        let d = compare("x", DType::F32, [&words(&[1.0, 4.5]), &words(&[1.0, 5.0])], None);
        assert!((d.error - 0.1).abs() < 1e-12 && (d.at, d.got, d.want) == (1, 4.5, 5.0), "{d:?}");
        assert!(error(DType::F32, &words(&[f32::NAN, 1.0]), &words(&[5.0, 2.0])).is_nan());
        assert!(error(DType::F32, &words(&[1.0, f32::NAN]), &words(&[5.0, f32::NAN])).is_nan());
        assert_eq!(error(DType::U32, &[1, 2], &[1, 3]), 0.5);
        assert_eq!(error(DType::F32, &words(&[0.0]), &words(&[0.0])), 0.0);
    }

    #[test]
    fn what_halves_round_away_is_explained() {
        let words = |values: &[f32]| values.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
        let (got, want, magnitudes) = (words(&[1.01, 2.0]), words(&[1.0, 2.0]), words(&[5.12, 0.0]));
        let d = compare("x", DType::F32, [&got, &want], Some(&magnitudes));
        assert!((d.error - 0.005).abs() < 1e-6 && (d.unexplained - 0.0025).abs() < 1e-5, "{d:?}");
        assert!(d.wrong() && compare("x", DType::F32, [&got, &want], None).wrong());
        let more = words(&[20.0, 0.0]);
        assert!(!compare("x", DType::F32, [&got, &want], Some(&more)).wrong());
        let none = words(&[f32::NAN, 2.0]);
        assert!(compare("x", DType::F32, [&none, &want], Some(&more)).wrong());
    }

    #[test]
    fn what_only_one_side_writes_is_found() {
        let one = 1.0f32.to_bits();
        assert_eq!(error(DType::F32, &[one, UNWRITTEN], &[one, UNWRITTEN]), 0.0);
        assert!(error(DType::F32, &[one, UNWRITTEN], &[one, one]) > 1.0);
        assert!(error(DType::F32, &[one, one], &[one, UNWRITTEN]) > 1.0);
        // What is left unwritten does not make errors look small.
        let near = 1.001f32.to_bits();
        assert!(error(DType::F32, &[near, UNWRITTEN], &[one, UNWRITTEN]) > 9e-4);
    }
}
