//! What a benchmark is asked for, and what it tells.

use serde::{Deserialize, Serialize};

use super::schema::{Row, Suite};
use crate::error::{Error, ErrorKind, Result};
use crate::model::ModelSource;

/// What is measured, and for how long. As JSON, with names as JavaScript writes them; what is missing has its
/// default.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct BenchOptions {
    /// Suites, in the order of [`Suite::ALL`] whatever the order here.
    pub suites: Vec<Suite>,
    /// Smaller sizes also where there is no option for them.
    pub quick: bool,
    /// Seconds of a row, warm-up included; a longer one has one sample, or none where its length is foreseen
    /// to take longer.
    pub budget: f64,
    /// Seconds of everything, about: what is foreseen to compile shaders beyond it is left out, with its
    /// reason.
    pub most: Option<f64>,
    /// Most samples of a row.
    pub samples: usize,
    /// n of the suite `attention`.
    pub lengths: Vec<usize>,
    /// H.
    pub heads: usize,
    /// h.
    pub head: usize,
    /// r.
    pub sketch: usize,
    /// b.
    pub block: usize,
    /// Tokens of one call of attention, forward: the state carries over.
    pub segment: usize,
    /// All kinds of attention, or the few that matter most.
    pub all_kinds: bool,
    /// Multiply-adds that the check of a row may take in f64: over as many of its first tokens as that
    /// allows.
    pub check_work: f64,
    /// Tokens that the model has seen before it reads and writes.
    pub depths: Vec<usize>,
    /// Tokens read and written there.
    pub read_write: [usize; 2],
    /// n of the suite `train`.
    pub train_lengths: Vec<usize>,
    /// Bytes that a plan may need; none: what the device says.
    pub memory: Option<u64>,
    /// Of all random numbers.
    pub seed: u64,
    /// The browser's user agent; nothing a page may say of itself.
    #[serde(skip)]
    pub browser: Option<String>,
    /// What rows cannot know of the device: power, cooling, what else ran. Empty: nothing. Given natively only.
    #[serde(skip)]
    pub note: String,
}

impl Default for BenchOptions {
    fn default() -> Self {
        let doubling = |from: u32, to: u32| (from..=to).map(|power| 1 << power).collect();
        Self {
            suites: Suite::ALL.to_vec(),
            quick: false,
            budget: 5.0,
            most: None,
            samples: 9,
            lengths: doubling(9, 17),
            heads: 4,
            head: 64,
            sketch: 32,
            block: 256,
            segment: 4096,
            all_kinds: true,
            check_work: 5e9,
            depths: vec![0, 1 << 10, 16 << 10, 128 << 10, 1 << 20],
            read_write: [512, 64],
            train_lengths: doubling(10, 17),
            memory: None,
            seed: 1,
            browser: None,
            note: String::new(),
        }
    }
}

impl BenchOptions {
    /// All suites within a minute on a software adapter.
    pub fn quick() -> Self {
        Self {
            quick: true,
            budget: 0.25,
            most: Some(55.0),
            samples: 5,
            lengths: vec![256, 512, 1024],
            heads: 1,
            block: 128,
            all_kinds: false,
            check_work: 2e8,
            depths: vec![0, 1 << 10],
            read_write: [128, 8],
            train_lengths: vec![64, 128],
            ..Self::default()
        }
    }

    /// Refuses what has no meaning.
    pub(super) fn check(&self) -> Result<()> {
        let lists = [("suite", self.suites.is_empty()), ("sample", self.samples == 0)];
        if let Some((what, _)) = lists.iter().find(|(_, empty)| *empty) {
            return Err(Error::new(ErrorKind::Input, format!("a benchmark without a {what}"))
                .help("give at least one"));
        }
        if !(self.budget > 0.0 && self.budget.is_finite()) {
            return Err(Error::new(ErrorKind::Input, format!("a budget of {} seconds", self.budget))
                .help("give more than 0"));
        }
        let sizes = [
            &self.lengths[..],
            &self.train_lengths,
            &self.read_write,
            &[self.heads, self.head, self.sketch, self.block, self.segment],
        ];
        if sizes.concat().contains(&0) {
            return Err(
                Error::new(ErrorKind::Input, "a benchmark of a size of 0").help("give sizes of at least 1")
            );
        }
        Ok(())
    }
}

/// What a benchmark tells while it runs.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Event {
    /// Work on a row, or on several that take turns, has begun.
    Started {
        /// Suite, name, workload.
        name: String,
        /// Rows before it.
        index: usize,
        /// Rows in all, about.
        of: usize,
    },
    /// A row is finished.
    Row(Box<Row>),
}

/// Where the model of the suites `kernels`, `model` and `train` comes from, and its name. It is opened more
/// than once.
pub struct BenchModel<'a> {
    /// Name in the rows.
    pub name: String,
    /// Opens it.
    pub open: &'a dyn Fn() -> Result<ModelSource>,
}

impl std::fmt::Debug for BenchModel<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BenchModel").field("name", &self.name).finish_non_exhaustive()
    }
}
