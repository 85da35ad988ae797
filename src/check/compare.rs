//! How far two tensors lie apart.

use serde::Serialize;

use crate::tensor::DType;

/// What stands in a fresh tensor before anything is written: a float and an integer that nothing computes, so
/// that what only one side writes is found.
pub(super) const UNWRITTEN: u32 = 0x4b1d_71c3;

/// Largest error of a kernel against its twin in f64, over the largest magnitude of the tensor: sums in
/// another order, other roundings of exp and tanh.
pub const TOLERANCE: f64 = 2e-5;

/// How far one output of a step lies from its twin's.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Difference {
    /// The tensor.
    pub tensor: String,
    /// Largest difference over the largest magnitude; for integers, the share that differs. Not a number
    /// where one is not.
    pub error: f64,
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
        self.error.is_nan() || self.error > TOLERANCE
    }
}

/// The larger; not a number if one is not.
pub(super) fn larger(a: f64, b: f64) -> f64 {
    if a.is_nan() || b <= a { a } else { b }
}

/// Compares two tensors.
pub(super) fn compare(tensor: &str, dtype: DType, got: &[u32], want: &[u32]) -> Difference {
    let value = |w: u32| if dtype == DType::U32 { f64::from(w) } else { f64::from(f32::from_bits(w)) };
    let differs = |(got, want): (u32, u32)| match dtype {
        DType::U32 => f64::from(u8::from(got != want)),
        // The bits tell: what neither side wrote is no difference.
        _ if got == want && !value(got).is_nan() => 0.0,
        _ => (value(got) - value(want)).abs(),
    };
    let pairs = || got.iter().copied().zip(want.iter().copied());
    let mut worst = (0, 0.0);
    let mut sum = 0.0;
    for (at, pair) in pairs().enumerate() {
        let difference = differs(pair);
        sum += difference;
        if larger(worst.1, difference) != worst.1 && !worst.1.is_nan() {
            worst = (at, difference);
        }
    }
    let written = |word: &u32| *word != UNWRITTEN;
    let largest =
        want.iter().copied().filter(written).map(value).fold(f64::MIN_POSITIVE, |m, x| m.max(x.abs()));
    let error = if dtype == DType::U32 { sum / got.len().max(1) as f64 } else { worst.1 / largest };
    let at = |words: &[u32]| words.get(worst.0).map_or(0.0, |w| value(*w));
    Difference { tensor: tensor.to_string(), error, at: worst.0, got: at(got), want: at(want) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(dtype: DType, got: &[u32], want: &[u32]) -> f64 {
        compare("x", dtype, got, want).error
    }

    #[test]
    fn differences() {
        let words = |values: &[f32]| values.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
        let d = compare("x", DType::F32, &words(&[1.0, 4.5]), &words(&[1.0, 5.0]));
        assert!((d.error - 0.1).abs() < 1e-12 && (d.at, d.got, d.want) == (1, 4.5, 5.0), "{d:?}");
        assert!(error(DType::F32, &words(&[f32::NAN, 1.0]), &words(&[5.0, 2.0])).is_nan());
        assert!(error(DType::F32, &words(&[1.0, f32::NAN]), &words(&[5.0, f32::NAN])).is_nan());
        assert_eq!(error(DType::U32, &[1, 2], &[1, 3]), 0.5);
        assert_eq!(error(DType::F32, &words(&[0.0]), &words(&[0.0])), 0.0);
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
