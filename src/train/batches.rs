//! From a stream of tokens to batches: windows in random order, each once an epoch. What a step reads depends
//! on the seed and the step alone, so a run that was interrupted goes on with what it would have read.

use std::sync::Arc;

use super::learner::Batch;
use super::random::Rng;
use crate::error::{Error, ErrorKind, Result};
use crate::kernels::rows::nll::UNSCORED;

/// Sequences without end, by number: the same number is always the same sequence.
pub trait Sequences: std::fmt::Debug {
    /// Tokens of a sequence.
    fn context(&self) -> usize;

    /// Appends the tokens and targets `[context]` of sequence `number`.
    fn sequence(&mut self, number: u64, tokens: &mut Vec<u32>, targets: &mut Vec<u32>);

    /// The sequences `first..first + count`, and empty ones up to `lanes`.
    fn batch(&mut self, first: u64, count: usize, lanes: usize) -> Batch {
        let size = lanes * self.context();
        let (mut tokens, mut targets) = (Vec::with_capacity(size), Vec::with_capacity(size));
        (first..).take(count).for_each(|number| self.sequence(number, &mut tokens, &mut targets));
        tokens.resize(size, 0);
        targets.resize(size, UNSCORED);
        Batch { context: self.context(), tokens, targets }
    }
}

/// Windows of a stream in random order. Each epoch cuts the stream at another place and shuffles the windows
/// anew.
#[derive(Clone, Debug)]
pub struct Windows {
    stream: Arc<[u32]>,
    context: usize,
    seed: u64,
    /// First tokens of the windows of the epoch that was read last.
    epoch: Option<(u64, Vec<usize>)>,
}

impl Windows {
    /// Windows of `context` inputs, each with the next token as its target.
    ///
    /// # Errors
    /// [`ErrorKind::Input`] if the stream is shorter than one window.
    pub fn new(stream: Arc<[u32]>, context: usize, seed: u64) -> Result<Self> {
        check(&stream, context)?;
        Ok(Self { stream, context, seed, epoch: None })
    }

    /// Windows of an epoch: as many as fit wherever the stream is cut.
    pub fn per_epoch(&self) -> usize {
        (self.stream.len() - 1 - self.largest_offset()) / self.context
    }

    /// The last place where an epoch may start.
    fn largest_offset(&self) -> usize {
        (self.context - 1).min(self.stream.len() - 1 - self.context)
    }
}

impl Sequences for Windows {
    fn context(&self) -> usize {
        self.context
    }

    fn sequence(&mut self, number: u64, tokens: &mut Vec<u32>, targets: &mut Vec<u32>) {
        let windows = self.per_epoch();
        let epoch = number / windows as u64;
        if self.epoch.as_ref().is_none_or(|(at, _)| *at != epoch) {
            let mut rng = Rng::new(self.seed, "windows", epoch);
            let offset = rng.below(self.largest_offset() + 1);
            let starts =
                rng.sample(windows, windows).into_iter().map(|i| offset + i * self.context).collect();
            self.epoch = Some((epoch, starts));
        }
        if let Some((_, starts)) = &self.epoch {
            window(&self.stream, starts[(number % windows as u64) as usize], self.context, tokens, targets);
        }
    }
}

/// Windows of a stream at fixed places, spread over all of it: for evaluation.
#[derive(Clone, Debug)]
pub struct FixedWindows {
    stream: Arc<[u32]>,
    context: usize,
    count: usize,
}

impl FixedWindows {
    /// As many windows of `context` inputs as make up `tokens`, at least one.
    ///
    /// # Errors
    /// As [`Windows::new`].
    pub fn new(stream: Arc<[u32]>, context: usize, tokens: usize) -> Result<Self> {
        check(&stream, context)?;
        let count = (tokens / context).clamp(1, (stream.len() - 1) / context);
        Ok(Self { stream, context, count })
    }

    /// Windows.
    pub fn count(&self) -> usize {
        self.count
    }
}

impl Sequences for FixedWindows {
    fn context(&self) -> usize {
        self.context
    }

    fn sequence(&mut self, number: u64, tokens: &mut Vec<u32>, targets: &mut Vec<u32>) {
        let all = (self.stream.len() - 1) / self.context;
        let at = number as usize % self.count * all / self.count;
        window(&self.stream, at * self.context, self.context, tokens, targets);
    }
}

fn window(stream: &[u32], start: usize, context: usize, tokens: &mut Vec<u32>, targets: &mut Vec<u32>) {
    tokens.extend_from_slice(&stream[start..start + context]);
    targets.extend_from_slice(&stream[start + 1..start + context + 1]);
}

fn check(stream: &[u32], context: usize) -> Result<()> {
    if context > 0 && stream.len() > context {
        return Ok(());
    }
    let message = format!(
        "a context of {context} tokens needs {} tokens of text, there are {}",
        context.saturating_add(1),
        stream.len()
    );
    Err(Error::new(ErrorKind::Input, message).help("use a smaller --context, or more text"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stream(n: u32) -> Arc<[u32]> {
        (0..n).collect()
    }

    #[test]
    fn every_window_comes_once_an_epoch_and_epochs_differ() {
        let mut windows = Windows::new(stream(1000), 30, 7).expect("fits");
        let n = windows.per_epoch();
        assert_eq!(n, 32);
        let mut epochs = Vec::new();
        for epoch in 0..3 {
            let batch = windows.batch(epoch * n as u64, n, n);
            assert_eq!(batch.scored(), n * 30);
            for (token, target) in batch.tokens.iter().zip(&batch.targets) {
                assert_eq!(token + 1, *target);
            }
            let starts: Vec<u32> = batch.tokens.iter().step_by(30).copied().collect();
            let mut sorted = starts.clone();
            sorted.sort_unstable();
            assert!(sorted.windows(2).all(|w| w[1] - w[0] == 30), "{sorted:?}");
            assert_ne!(starts, sorted);
            epochs.push(starts);
        }
        assert!(epochs[0] != epochs[1] && epochs[1] != epochs[2]);
    }

    #[test]
    fn a_number_is_always_the_same_sequence() {
        let mut one = Windows::new(stream(500), 16, 3).expect("fits");
        let all: Vec<Batch> = (0..40).map(|i| one.batch(i * 5, 5, 5)).collect();
        for i in [39, 0, 17, 16, 3] {
            let mut other = Windows::new(stream(500), 16, 3).expect("fits");
            assert_eq!(other.batch(i as u64 * 5, 5, 5), all[i]);
        }
        // How many are taken at a time makes no difference.
        assert_eq!(one.batch(10, 10, 10).tokens, [all[2].tokens.clone(), all[3].tokens.clone()].concat());
        assert_ne!(Windows::new(stream(500), 16, 4).expect("fits").batch(0, 5, 5), all[0]);
    }

    #[test]
    fn short_streams() {
        assert!(
            Windows::new(stream(16), 16, 0).is_err()
                && Windows::new(stream(0), 1, 0).is_err()
                && Windows::new(stream(9), 0, 0).is_err()
        );
        for n in 17..60 {
            let mut windows = Windows::new(stream(n), 16, 0).expect("fits");
            assert!(windows.per_epoch() >= 1);
            windows.batch(0, 20, 20);
        }
    }

    #[test]
    fn evaluation_windows_are_spread_and_padded() {
        let mut windows = FixedWindows::new(stream(1001), 10, 45).expect("fits");
        assert_eq!(windows.count(), 4);
        let batch = windows.batch(0, 4, 6);
        assert_eq!(batch.tokens.iter().step_by(10).copied().collect::<Vec<_>>(), [0, 250, 500, 750, 0, 0]);
        assert_eq!((batch.scored(), batch.tokens.len()), (40, 60));
        assert_eq!(FixedWindows::new(stream(1001), 10, usize::MAX).expect("fits").count(), 100);
        assert_eq!(FixedWindows::new(stream(11), 10, 1).expect("fits").count(), 1);
    }
}
