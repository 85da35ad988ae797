//! Random numbers by key: whoever asks for (seed, purpose, number) again gets the same ones, so nothing has
//! to be saved to continue.

use xxhash_rust::xxh3::xxh3_64_with_seed;

/// The next 64 bits of SplitMix64.
pub(crate) fn splitmix(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// SplitMix64.
#[derive(Clone, Debug)]
pub struct Rng(u64);

impl Rng {
    /// The numbers of `purpose` (a parameter, a task), the `number`th of its kind.
    pub fn new(seed: u64, purpose: &str, number: u64) -> Self {
        Self(xxh3_64_with_seed(&number.to_le_bytes(), xxh3_64_with_seed(purpose.as_bytes(), seed)))
    }

    /// 64 bits.
    pub fn bits(&mut self) -> u64 {
        splitmix(&mut self.0)
    }

    /// A whole number below `n`, which is at least 1.
    pub fn below(&mut self, n: usize) -> usize {
        ((u128::from(self.bits()) * n as u128) >> 64) as usize
    }

    /// Uniform in (0, 1).
    pub fn uniform(&mut self) -> f64 {
        ((self.bits() >> 12) as f64 + 0.5) / (1u64 << 52) as f64
    }

    /// Standard normal (Box and Muller).
    pub fn normal(&mut self) -> f64 {
        (-2.0 * self.uniform().ln()).sqrt() * (std::f64::consts::TAU * self.uniform()).cos()
    }

    /// The first `count` of a random order of the numbers below `n` (Fisher and Yates).
    pub fn sample(&mut self, n: usize, count: usize) -> Vec<usize> {
        let mut all: Vec<usize> = (0..n).collect();
        for i in 0..count.min(n) {
            let other = i + self.below(n - i);
            all.swap(i, other);
        }
        all.truncate(count);
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_tell_streams_apart() {
        let first = |seed, purpose, number| Rng::new(seed, purpose, number).bits();
        assert_eq!(first(1, "a", 2), first(1, "a", 2));
        let all = [first(1, "a", 2), first(2, "a", 2), first(1, "b", 2), first(1, "a", 3)];
        assert!((0..4).all(|i| (0..i).all(|j| all[i] != all[j])));
    }

    #[test]
    fn numbers_are_as_they_should_be() {
        let mut rng = Rng::new(0, "test", 0);
        let n = 100_000i32;
        let normal: Vec<f64> = (0..n).map(|_| rng.normal()).collect();
        let mean = normal.iter().sum::<f64>() / f64::from(n);
        let variance = normal.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / f64::from(n);
        assert!(mean.abs() < 0.02 && (variance - 1.0).abs() < 0.03, "{mean} {variance}");
        let mut counts = [0i32; 7];
        (0..n).for_each(|_| counts[rng.below(7)] += 1);
        assert!(counts.iter().all(|c| (c - n / 7).abs() < 600), "{counts:?}");
        assert_eq!(rng.below(1), 0);
        let mut order = rng.sample(50, 50);
        order.sort_unstable();
        assert_eq!(order, (0..50).collect::<Vec<_>>());
        assert_eq!(rng.sample(5, 3).len(), 3);
    }
}
