//! Statistics of samples that have outliers on one side: quantiles, a rank-free interval for a ratio, where
//! two curves cross.

use serde::{Deserialize, Serialize};

use crate::train::random::Rng;

/// A summary of some samples.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Statistics {
    /// Half of the samples took less.
    pub median_ns: f64,
    /// The quickest.
    pub min_ns: f64,
    /// 95 % of the samples took less.
    pub p95_ns: f64,
    /// Interquartile range over median.
    pub spread: f64,
    /// Number of samples.
    pub n: usize,
}

impl Statistics {
    /// Of at least one sample.
    pub fn of(samples: &[f64]) -> Option<Self> {
        let mut sorted = samples.to_vec();
        sorted.sort_by(f64::total_cmp);
        let at = |share| quantile(&sorted, share);
        let median_ns = at(0.5)?;
        let spread = if median_ns > 0.0 { (at(0.75)? - at(0.25)?) / median_ns } else { 0.0 };
        Some(Self { median_ns, min_ns: at(0.0)?, p95_ns: at(0.95)?, spread, n: sorted.len() })
    }
}

/// The value below which `share` of some sorted values lie, between neighbours by interpolation; none of
/// nothing.
pub fn quantile(sorted: &[f64], share: f64) -> Option<f64> {
    let last = sorted.len().checked_sub(1)?;
    let place = share * last as f64;
    let below = place.floor() as usize;
    let part = place - below as f64;
    Some(sorted[below] + part * (sorted[(below + 1).min(last)] - sorted[below]))
}

/// The median of some values.
pub fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    quantile(&sorted, 0.5)
}

/// A ratio of medians and how sure it is.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Ratio {
    /// `median(a) / median(b)`.
    pub value: f64,
    /// Ends of a 95 % bootstrap interval; none for fewer than [`LEAST`] samples on a side.
    pub interval: Option<[f64; 2]>,
}

/// Samples below which nothing is said of how sure a ratio is.
pub const LEAST: usize = 5;
/// Resamplings of the bootstrap.
const RESAMPLINGS: usize = 1000;

impl Ratio {
    /// Of two sets of samples; none if one has no median above 0.
    pub fn of(a: &[f64], b: &[f64]) -> Option<Self> {
        let value = median(a)? / median(b).filter(|m| *m > 0.0)?;
        if a.len().min(b.len()) < LEAST {
            return Some(Self { value, interval: None });
        }
        // The same samples give the same interval.
        let mut rng = Rng::new(0, "bootstrap", (a.len() * 1009 + b.len()) as u64);
        let mut draw = |from: &[f64]| -> Option<f64> {
            median(&(0..from.len()).map(|_| from[rng.below(from.len())]).collect::<Vec<_>>())
        };
        let mut ratios: Vec<f64> = (0..RESAMPLINGS).filter_map(|_| Some(draw(a)? / draw(b)?)).collect();
        ratios.sort_by(f64::total_cmp);
        let interval = quantile(&ratios, 0.025).zip(quantile(&ratios, 0.975)).map(|(low, high)| [low, high]);
        Some(Self { value, interval })
    }

    /// Whether the interval leaves no doubt that the two differ; none where there is no interval.
    pub fn significant(&self) -> Option<bool> {
        self.interval.map(|[low, high]| low > 1.0 || high < 1.0)
    }
}

/// The length from which on `ours` stays below `theirs`, both as (length, time): straight between logarithms.
/// None if it never does, or does from the first common length on.
pub fn crossover(ours: &[(f64, f64)], theirs: &[(f64, f64)]) -> Option<f64> {
    let mut ratios: Vec<(f64, f64)> = ours
        .iter()
        .filter_map(|(n, time)| {
            theirs.iter().find(|(m, _)| m == n).map(|(_, other)| (*n, (other / time).ln()))
        })
        .collect();
    ratios.sort_by(|a, b| a.0.total_cmp(&b.0));
    let slower = ratios.iter().rposition(|(_, ratio)| *ratio < 0.0)?;
    let ((n, low), (m, high)) = (ratios[slower], *ratios.get(slower + 1)?);
    Some((n.ln() + (m / n).ln() * -low / (high - low)).exp())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles() {
        let s = Statistics::of(&[5.0, 1.0, 2.0, 4.0, 3.0]).expect("samples");
        assert_eq!((s.median_ns, s.min_ns, s.n), (3.0, 1.0, 5));
        assert!((s.p95_ns - 4.8).abs() < 1e-12 && (s.spread - 2.0 / 3.0).abs() < 1e-12);
        assert_eq!((Statistics::of(&[]), median(&[1.0, 2.0])), (None, Some(1.5)));
    }

    #[test]
    fn ratios_know_how_sure_they_are() {
        let around =
            |centre: f64| (0..20).map(|i| centre * (1.0 + 0.02 * f64::from(i % 5 - 2))).collect::<Vec<f64>>();
        let same = Ratio::of(&around(1.0), &around(1.0)).expect("a ratio");
        assert_eq!((same.value, same.significant()), (1.0, Some(false)));
        let twice = Ratio::of(&around(2.0), &around(1.0)).expect("a ratio");
        assert!((twice.value - 2.0).abs() < 1e-12 && twice.significant() == Some(true));
        assert_eq!(Ratio::of(&around(2.0), &around(1.0)), Some(twice));
        assert_eq!(Ratio::of(&[2.0], &[1.0]).expect("a ratio").significant(), None);
        assert_eq!((Ratio::of(&[], &[1.0]), Ratio::of(&[1.0], &[0.0])), (None, None));
    }

    #[test]
    fn curves_cross_where_they_are_equal() {
        let curve = |c: f64, a: f64| {
            (9..16).map(|i| f64::from(1 << i)).map(|n| (n, c * n.powf(a))).collect::<Vec<_>>()
        };
        // 3000 n = n².
        assert!(
            (crossover(&curve(3000.0, 1.0), &curve(1.0, 2.0)).expect("they cross") - 3000.0).abs() < 1e-6
        );
        assert_eq!(
            (crossover(&curve(1e9, 1.0), &curve(1.0, 2.0)), crossover(&curve(1.0, 1.0), &curve(1.0, 2.0))),
            (None, None)
        );
    }
}
