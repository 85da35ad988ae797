//! Synthetic tasks that need memory, as the literature has them: what a model must carry over a distance is
//! known exactly, so its answers are right or wrong.

use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::batches::Sequences;
use super::random::Rng;
use crate::error::{Error, ErrorKind, Result};
use crate::kernels::rows::nll::UNSCORED;

/// A kind of task.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum TaskKind {
    /// Selective copying (Gu and Dao 2023, 4.1.1): tokens at random places among noise, to be repeated in
    /// order at the end.
    Copy,
    /// Induction heads (the same, 4.1.2): what followed the special token when it came before.
    Induction,
    /// Multi-query associative recall (Arora et al. 2023): the values of keys that are asked for in any
    /// order, most of them soon.
    Mqar,
}

impl TaskKind {
    /// Every kind.
    pub const ALL: [Self; 3] = [Self::Copy, Self::Induction, Self::Mqar];

    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Copy => "copy",
            Self::Induction => "induction",
            Self::Mqar => "mqar",
        }
    }

    /// Things to remember in the literature's own setting.
    pub fn usual_items(self) -> usize {
        match self {
            Self::Copy => 16,
            Self::Induction => 1,
            Self::Mqar => 8,
        }
    }
}

impl FromStr for TaskKind {
    type Err = Error;

    fn from_str(word: &str) -> Result<Self> {
        let found = Self::ALL.into_iter().find(|kind| kind.as_str() == word);
        found.ok_or_else(|| {
            Error::new(ErrorKind::Input, format!("there is no task '{word}'"))
                .help("there are copy, induction and mqar")
        })
    }
}

/// A task of given sizes, and the seed of its sequences.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Task {
    kind: TaskKind,
    vocabulary: usize,
    items: usize,
    context: usize,
    seed: u64,
}

/// Fills positions, and stands between the tokens to be copied.
const NOISE: u32 = 0;
/// Asks for the next token to be copied.
const MARKER: u32 = 1;
/// What is to be remembered follows it.
const SPECIAL: u32 = 0;

impl Task {
    /// Sequences of `context` tokens below `vocabulary` with `items` things to remember.
    ///
    /// # Errors
    /// [`ErrorKind::Input`] for sizes that leave no room.
    pub fn new(kind: TaskKind, vocabulary: usize, items: usize, context: usize, seed: u64) -> Result<Self> {
        let (least_vocabulary, least_context) = match kind {
            TaskKind::Copy => (3, items.saturating_mul(2)),
            TaskKind::Induction => (2, 3),
            // Keys and values are halves of the vocabulary; token 0 is neither.
            TaskKind::Mqar => (items.saturating_add(1).saturating_mul(2), items.saturating_mul(4)),
        };
        let fail = |what: String, help: &str| {
            Err(Error::new(ErrorKind::Input, format!("task {}: {what}", kind.as_str())).help(help))
        };
        if items == 0 || (kind == TaskKind::Induction && items != 1) {
            return fail(
                format!(
                    "{items} things to remember, must be {}",
                    if items == 0 { "at least 1" } else { "1" }
                ),
                "change --items",
            );
        }
        if vocabulary < least_vocabulary {
            let what = format!(
                "a vocabulary of {vocabulary} for {items} things to remember, must be at least {least_vocabulary}"
            );
            return fail(what, "use fewer --items, or a larger vocab_size");
        }
        if context < least_context {
            let what = format!(
                "sequences of {context} tokens for {items} things to remember, must be at least {least_context}"
            );
            return fail(what, "use fewer --items, or a larger --context");
        }
        Ok(Self { kind, vocabulary, items, context, seed })
    }

    /// The same task over another distance.
    ///
    /// # Errors
    /// As [`Task::new`].
    pub fn with_context(&self, context: usize) -> Result<Self> {
        Self::new(self.kind, self.vocabulary, self.items, context, self.seed)
    }

    /// Other sequences of the same task, such as those that are not trained on.
    #[must_use]
    pub fn with_seed(&self, seed: u64) -> Self {
        Self { seed, ..self.clone() }
    }

    fn copy(&self, rng: &mut Rng, tokens: &mut [u32], targets: &mut [u32]) {
        let read = self.context - self.items;
        tokens[..read].fill(NOISE);
        tokens[read..].fill(MARKER);
        let mut places = rng.sample(read, self.items);
        places.sort_unstable();
        for (place, target) in places.into_iter().zip(&mut targets[read..]) {
            *target = 2 + rng.below(self.vocabulary - 2) as u32;
            tokens[place] = *target;
        }
    }

    fn induction(&self, rng: &mut Rng, tokens: &mut [u32], targets: &mut [u32]) {
        let last = self.context - 1;
        tokens.iter_mut().for_each(|token| *token = SPECIAL + 1 + rng.below(self.vocabulary - 1) as u32);
        let place = rng.below(last - 1);
        targets[last] = tokens[place + 1];
        (tokens[place], tokens[last]) = (SPECIAL, SPECIAL);
    }

    fn mqar(&self, rng: &mut Rng, tokens: &mut [u32], targets: &mut [u32]) {
        let (first_value, asked) = (self.vocabulary / 2, 2 * self.items);
        tokens.iter_mut().for_each(|token| *token = rng.below(self.vocabulary) as u32);
        let keys = rng.sample(first_value - 1, self.items);
        let values = rng.sample(self.vocabulary - first_value, self.items);
        let distances = power_law(rng, (self.context - asked) / 2, self.items);
        for (i, (key, value)) in keys.into_iter().zip(values).enumerate() {
            let (key, value) = (1 + key as u32, (first_value + value) as u32);
            let question = asked + 2 * distances[i];
            (tokens[2 * i], tokens[2 * i + 1], tokens[question], targets[question]) =
                (key, value, key, value);
        }
    }
}

/// `count` different numbers below `n`, small ones more often: number g has weight (g + 1)^-0.99 (the
/// reference's `power_a` of 0.01).
fn power_law(rng: &mut Rng, n: usize, count: usize) -> Vec<usize> {
    // The smallest of exponential variables at these rates are a draw without replacement.
    let mut times: Vec<(f64, usize)> =
        (0..n).map(|g| (-rng.uniform().ln() * ((g + 1) as f64).powf(0.99), g)).collect();
    times.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
    times.into_iter().take(count).map(|(_, g)| g).collect()
}

impl Sequences for Task {
    fn context(&self) -> usize {
        self.context
    }

    fn sequence(&mut self, number: u64, tokens: &mut Vec<u32>, targets: &mut Vec<u32>) {
        let from = tokens.len();
        tokens.resize(from + self.context, 0);
        targets.resize(from + self.context, UNSCORED);
        let (tokens, targets) = (&mut tokens[from..], &mut targets[from..]);
        let mut rng = Rng::new(self.seed, self.kind.as_str(), number);
        match self.kind {
            TaskKind::Copy => self.copy(&mut rng, tokens, targets),
            TaskKind::Induction => self.induction(&mut rng, tokens, targets),
            TaskKind::Mqar => self.mqar(&mut rng, tokens, targets),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn task(kind: TaskKind, vocabulary: usize, context: usize) -> Task {
        Task::new(kind, vocabulary, kind.usual_items(), context, 5).expect("fits")
    }

    fn one(task: &mut Task, number: u64) -> (Vec<u32>, Vec<u32>) {
        let (mut tokens, mut targets) = (Vec::new(), Vec::new());
        task.sequence(number, &mut tokens, &mut targets);
        assert_eq!((tokens.len(), targets.len()), (task.context, task.context));
        assert!(tokens.iter().all(|t| (*t as usize) < task.vocabulary));
        (tokens, targets)
    }

    #[test]
    fn copying_asks_for_the_tokens_in_order() {
        let mut task = task(TaskKind::Copy, 16, 100);
        for number in 0..50 {
            let (tokens, targets) = one(&mut task, number);
            let data: Vec<u32> = tokens.iter().copied().filter(|t| *t > MARKER).collect();
            assert_eq!(data, targets[84..]);
            assert!(
                tokens[84..].iter().all(|t| *t == MARKER) && targets[..84].iter().all(|t| *t == UNSCORED)
            );
        }
    }

    #[test]
    fn induction_asks_for_what_followed() {
        let mut places = std::collections::HashSet::new();
        for context in [3, 4, 64] {
            let mut task = task(TaskKind::Induction, 16, context);
            for number in 0..50 {
                let (tokens, targets) = one(&mut task, number);
                let special: Vec<usize> = (0..context).filter(|i| tokens[*i] == SPECIAL).collect();
                assert_eq!((special.len(), special[1]), (2, context - 1));
                assert_eq!(targets[context - 1], tokens[special[0] + 1]);
                assert_eq!(targets.iter().filter(|t| **t != UNSCORED).count(), 1);
                places.insert(special[0]);
            }
        }
        assert!(places.len() > 20 && places.contains(&0));
    }

    #[test]
    fn recall_asks_every_key_once_and_mostly_soon() {
        let mut task = task(TaskKind::Mqar, 64, 128);
        let (mut soon, mut all) = (0, 0);
        for number in 0..200 {
            let (tokens, targets) = one(&mut task, number);
            let pairs: Vec<(u32, u32)> = (0..8).map(|i| (tokens[2 * i], tokens[2 * i + 1])).collect();
            assert!(pairs.iter().all(|(key, value)| (1..32).contains(key) && (32..64).contains(value)));
            let asked: Vec<usize> = (0..128).filter(|i| targets[*i] != UNSCORED).collect();
            assert!(asked.len() == 8 && asked[0] >= 16);
            for (key, value) in pairs {
                assert_eq!(asked.iter().filter(|i| (tokens[**i], targets[**i]) == (key, value)).count(), 1);
            }
            (soon, all) = (soon + asked.iter().filter(|i| **i < 16 + 56).count(), all + 8);
        }
        assert!(soon * 10 > all * 6, "{soon} of {all}");
    }

    #[test]
    fn sequences_depend_on_seed_and_number_alone() {
        for kind in TaskKind::ALL {
            let mut a = task(kind, 64, 64);
            let first = one(&mut a, 9);
            one(&mut a, 10);
            assert_eq!(first, one(&mut a, 9));
            assert_ne!(first, one(&mut a, 10));
            assert_ne!(first, one(&mut a.with_seed(6), 9));
            assert_eq!(a.batch(0, 3, 3).tokens.len(), 3 * 64);
            assert_eq!(kind.as_str().parse::<TaskKind>().expect("known"), kind);
            let mut longer = a.with_context(128).expect("fits");
            assert_eq!(one(&mut longer, 9).0.len(), 128);
        }
        assert!("sort".parse::<TaskKind>().is_err());
    }

    #[test]
    fn impossible_sizes_are_refused() {
        for (kind, vocabulary, items, context) in [
            (TaskKind::Copy, 2, 16, 100),
            (TaskKind::Copy, 16, 16, 31),
            (TaskKind::Copy, 16, 0, 31),
            (TaskKind::Induction, 1, 1, 31),
            (TaskKind::Induction, 16, 2, 31),
            (TaskKind::Induction, 16, 1, 2),
            (TaskKind::Mqar, 17, 8, 64),
            (TaskKind::Mqar, 64, 8, 31),
            (TaskKind::Mqar, 64, usize::MAX, 31),
        ] {
            let error = Task::new(kind, vocabulary, items, context, 0).expect_err("no room");
            assert!(error.kind() == ErrorKind::Input && error.advice().is_some(), "{error}");
        }
        // The tightest fits.
        for (kind, vocabulary, items, context) in
            [(TaskKind::Copy, 3, 16, 32), (TaskKind::Mqar, 18, 8, 32), (TaskKind::Mqar, 19, 8, 33)]
        {
            one(&mut Task::new(kind, vocabulary, items, context, 0).expect("fits"), 0);
        }
    }
}
