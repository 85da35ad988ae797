//! Time and memory of a gradient against the length of the text: kind `taylor` in segments, and softmax as
//! the baseline. In f32 on the CPU.

use std::time::Instant;

use serde::{Deserialize, Serialize};

use super::gradient::config;
use super::peak::Peak;
use crate::bench::fit::{exponent, relative, worst};
use crate::error::{Error, ErrorKind, Result};
use crate::exec::{CpuExecutor, Executor};
use crate::graph::Recompute;
use crate::kernels::rows::nll::UNSCORED;
use crate::model::config::AttentionKind;
use crate::model::{Engine, ModelSource, Tokenizer};
use crate::train::initial::new_model;
use crate::train::learner::NamedTensors;
use crate::train::random::Rng;
use crate::train::{Batch, Learner, LearnerOptions};

/// Degree of the truncated exponential.
pub const DEGREE: usize = 2;
/// Tokens of a segment.
const SEGMENT: usize = 256;
/// Tokens of a segment of the computation that checks a timed one.
const OTHER_SEGMENT: usize = 4096;
/// Largest relative error of a gradient in f32, by tensor (SPEC §5).
const TOLERANCE: f64 = 5e-4;
/// A length is timed twice, as another program may come in between, and again while all its runs took less
/// than this, seconds.
const PATIENCE: f64 = 1.5;

/// What is timed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Timed {
    /// The exponential truncated after [`DEGREE`], in segments.
    Taylor,
    /// The baseline, every pair.
    Softmax,
}

impl Timed {
    /// Its word in reports.
    pub fn as_str(self) -> &'static str {
        self.kind().as_str()
    }

    fn kind(self) -> AttentionKind {
        match self {
            Self::Taylor => AttentionKind::Taylor,
            Self::Softmax => AttentionKind::Softmax,
        }
    }
}

/// The cost of the gradients of one text.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Cost {
    /// What was timed.
    pub kind: Timed,
    /// n.
    pub tokens: usize,
    /// Forward and backward, the best of a few runs.
    pub seconds: f64,
    /// Weights, gradients, moments, states and activations, as planned.
    pub planned_bytes: u64,
    /// Most resident memory on top of what the process held before; none where the system does not tell. It
    /// means something in a fresh process only: elsewhere, memory that was freed may be taken again.
    pub resident_bytes: Option<u64>,
    /// Largest relative difference of a gradient tensor to the same gradient computed in another way: taylor
    /// in segments of another length, softmax in f64.
    pub difference: f64,
}

/// How costs grow with n: exponents fitted by least squares between logarithms.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Growth {
    /// What was timed.
    pub kind: Timed,
    /// Of the seconds.
    pub time: Option<f64>,
    /// Of the planned bytes.
    pub planned: Option<f64>,
    /// Of the resident bytes.
    pub resident: Option<f64>,
}

/// Lengths from `first` to `last`, doubling.
pub fn lengths(first: usize, last: usize) -> Vec<usize> {
    std::iter::successors(Some(first), |n| Some(2 * n)).take_while(|n| *n <= last).collect()
}

/// Measures one kind at one length.
///
/// # Errors
/// [`ErrorKind::Numeric`] if the gradient is not the one that another computation gives.
pub async fn cost(kind: Timed, tokens: usize) -> Result<Cost> {
    let degree = if kind == Timed::Taylor { DEGREE } else { 0 };
    let source = new_model(config(kind.kind(), degree), Tokenizer::bytes(), 1)?;
    let mut rng = Rng::new(1, "text", 0);
    let ids: Vec<u32> = (0..tokens).map(|_| rng.below(source.config.vocab_size) as u32).collect();
    let batch =
        Batch { context: tokens, targets: ids[1..].iter().copied().chain([UNSCORED]).collect(), tokens: ids };
    let peak = Peak::start();
    let cpu = Executor::Cpu(CpuExecutor::default());
    let mut learner = learner(&cpu, &source, tokens, SEGMENT).await?;
    let mut seconds = timed(&mut learner, &batch).await?;
    let resident_bytes = peak.and_then(|peak| peak.bytes());
    let gradients = learner.gradients().await?;
    let (mut spent, mut runs) = (seconds, 1);
    while runs < 2 || (spent < PATIENCE && runs < 5) {
        let again = timed(&mut learner, &batch).await?;
        (seconds, spent, runs) = (seconds.min(again), spent + again, runs + 1);
    }
    let planned_bytes = learner.memory().total();
    drop(learner);
    let difference = worst_of(&gradients, &checked(kind, &cpu, &source, &batch).await?);
    if difference.is_nan() || difference > TOLERANCE {
        let text = format!(
            "{} at {tokens} tokens: two computations of a gradient differ by {difference:.1e}",
            kind.as_str()
        );
        return Err(Error::new(ErrorKind::Numeric, text));
    }
    Ok(Cost { kind, tokens, seconds, planned_bytes, resident_bytes, difference })
}

async fn learner(
    executor: &Executor,
    source: &ModelSource,
    context: usize,
    segment: usize,
) -> Result<Learner> {
    let options = LearnerOptions { lanes: 1, context, segment: Some(segment), recompute: Recompute::Nothing };
    Learner::new(&Engine::on(executor.clone()), source, &options).await
}

/// Seconds of the gradients of the mean loss.
async fn timed(learner: &mut Learner, batch: &Batch) -> Result<f64> {
    let began = Instant::now();
    learner.accumulate(batch, 1.0 / batch.scored() as f32).await?;
    Ok(began.elapsed().as_secs_f64())
}

/// The same gradients in another way.
async fn checked(kind: Timed, cpu: &Executor, source: &ModelSource, batch: &Batch) -> Result<NamedTensors> {
    let oracle = Executor::Oracle(CpuExecutor::default());
    let executor = if kind == Timed::Softmax { &oracle } else { cpu };
    let mut other = learner(executor, source, batch.context, OTHER_SEGMENT).await?;
    timed(&mut other, batch).await?;
    other.gradients().await
}

/// Largest relative error of a tensor.
fn worst_of(got: &NamedTensors, want: &NamedTensors) -> f64 {
    worst(got.iter().zip(want).map(|(got, want)| relative(&got.2, &want.2)))
}

/// The fitted exponents of one kind.
pub fn growth(kind: Timed, costs: &[Cost]) -> Growth {
    let fit = |value: &dyn Fn(&Cost) -> Option<f64>| {
        let of_kind = costs.iter().filter(|cost| cost.kind == kind);
        exponent(&of_kind.filter_map(|cost| Some((cost.tokens as f64, value(cost)?))).collect::<Vec<_>>())
    };
    Growth {
        kind,
        time: fit(&|cost| Some(cost.seconds)),
        planned: fit(&|cost| Some(cost.planned_bytes as f64)),
        resident: fit(&|cost| cost.resident_bytes.map(|bytes| bytes as f64)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cost_is_measured_and_checked() {
        assert_eq!(lengths(1024, 5000), [1024, 2048, 4096]);
        let costs = [Timed::Taylor, Timed::Softmax]
            .map(|kind| [512, 1024].map(|n| pollster::block_on(cost(kind, n)).expect("measures")));
        for cost in costs.as_flattened() {
            assert!(
                cost.seconds > 0.0 && cost.planned_bytes > 1 << 20 && cost.difference < TOLERANCE,
                "{cost:?}"
            );
        }
        let growth = growth(Timed::Softmax, costs.as_flattened());
        assert!(growth.planned.is_some_and(|a| a > 0.3 && a < 1.0), "{growth:?}");
    }

    #[test]
    fn what_is_not_a_number_is_the_worst() {
        let tensor = |value: f32| ("a".to_string(), vec![1], vec![value]);
        let got = vec![tensor(1.0), tensor(f32::NAN), tensor(1.0)];
        assert!(worst_of(&got, &vec![tensor(1.0), tensor(1.0), tensor(2.0)]).is_nan());
        assert_eq!(worst_of(&vec![tensor(1.0)], &vec![tensor(2.0)]), 0.5);
    }
}
