//! Positions of a text, counted together in buckets that double.

use std::ops::Range;

/// The first positions of a text, then as many as there are before, again and again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Doubling {
    /// Where the first bucket ends. Position 0 is never predicted, so that it has one position less.
    pub first: usize,
}

impl Doubling {
    /// The bucket of a position.
    pub fn bucket(self, position: usize) -> usize {
        (position / self.first).checked_ilog2().map_or(0, |log| log as usize + 1)
    }

    /// The positions of a bucket.
    pub fn range(self, bucket: usize) -> Range<usize> {
        match bucket {
            0 => 1..self.first,
            n => self.first << (n - 1)..self.first << n,
        }
    }

    /// What is counted of the bucket of a position.
    pub fn entry<T: Clone + Default>(self, buckets: &mut Vec<T>, position: usize) -> &mut T {
        let bucket = self.bucket(position);
        if buckets.len() <= bucket {
            buckets.resize(bucket + 1, T::default());
        }
        &mut buckets[bucket]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_position_is_in_the_range_of_its_bucket() {
        let doubling = Doubling { first: 8 };
        let mut counts: Vec<usize> = Vec::new();
        for position in 1..100 {
            let bucket = doubling.bucket(position);
            assert!(doubling.range(bucket).contains(&position), "{position}: {bucket}");
            *doubling.entry(&mut counts, position) += 1;
        }
        assert_eq!(counts, [7, 8, 16, 32, 36]);
        assert_eq!((doubling.range(0), doubling.range(3)), (1..8, 32..64));
    }
}
