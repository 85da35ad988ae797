//! How good a model is: losses on sequences that it is not trained on, and right answers to tasks.

use super::batches::Sequences;
use super::learner::Learner;
use super::tasks::Task;
use crate::error::{Error, ErrorKind, Result};
use crate::kernels::rows::nll::UNSCORED;
use crate::model::{Engine, LoadOptions, ModelSource, Session};

/// Sequences to evaluate on.
#[derive(Debug)]
pub struct EvaluationSet {
    /// Where they come from.
    pub data: Box<dyn Sequences>,
    /// How many.
    pub count: usize,
    /// Whether answers are counted too.
    pub answers: bool,
}

/// The result of an evaluation.
#[derive(Clone, Debug, PartialEq)]
pub struct Evaluation {
    /// Mean negative log-likelihood.
    pub loss: f64,
    /// Positions scored.
    pub scored: usize,
    /// Part of them where the likeliest token is the right one, for tasks.
    pub accuracy: Option<f64>,
    /// Sum of the negative log-likelihoods and number of them at each position of a sequence, `[context]`.
    pub positions: Vec<(f64, usize)>,
}

/// Evaluates, `lanes` sequences at a time.
///
/// # Errors
/// [`ErrorKind::Numeric`] for a loss that is no number, with its place; those of the device.
pub async fn evaluate(learner: &mut Learner, set: &mut EvaluationSet, lanes: usize) -> Result<Evaluation> {
    let context = set.data.context();
    let mut positions = vec![(0.0, 0); context];
    let (mut right, mut first) = (0, 0);
    while first < set.count {
        let count = lanes.min(set.count - first);
        let batch = set.data.batch(first as u64, count, lanes);
        let nll = learner.score(&batch).await?;
        for (i, (nll, target)) in nll.iter().zip(&batch.targets).enumerate() {
            if *target != UNSCORED {
                if !nll.is_finite() {
                    let text = format!(
                        "evaluation: sequence {}, token {}: the loss is {nll}",
                        first + i / context,
                        i % context
                    );
                    return Err(Error::new(ErrorKind::Numeric, text).help(
                        "the weights are damaged, or training went out of bounds: use an earlier checkpoint",
                    ));
                }
                let (sum, n) = &mut positions[i % context];
                (*sum, *n) = (*sum + f64::from(*nll), *n + 1);
            }
        }
        if set.answers {
            let said = learner.predict(&batch).await?;
            right += said.iter().zip(&batch.targets).filter(|(said, target)| said == target).count();
        }
        first += count;
    }
    let (sum, scored) = positions.iter().fold((0.0, 0), |(sum, n), (s, k)| (sum + s, n + k));
    let accuracy = set.answers.then(|| right as f64 / scored.max(1) as f64);
    Ok(Evaluation { loss: sum / scored.max(1) as f64, scored, accuracy, positions })
}

/// Part of the answers to `count` sequences of each task that a model gets right, read as any text is: at
/// lengths it was not trained on, too.
///
/// # Errors
/// As [`Engine::load`] and [`Session::forward`].
pub async fn accuracies(
    engine: &Engine,
    source: ModelSource,
    tasks: &[Task],
    count: usize,
) -> Result<Vec<f64>> {
    // A cache, where there is one, must hold the longest.
    let max_context = tasks.iter().map(Sequences::context).max().unwrap_or(1);
    let model =
        engine.load(source, &LoadOptions { max_context, ..LoadOptions::default() }, &mut |_, _| {}).await?;
    let mut session = Session::new(&model).await?;
    let (part, vocabulary) = (model.blueprint().capacity.tokens, model.config().vocab_size);
    let mut result = Vec::new();
    for task in tasks {
        let (mut right, mut all) = (0, 0);
        for number in 0..count as u64 {
            let batch = task.clone().batch(number, 1, 1);
            session.reset(0);
            for (tokens, targets) in batch.tokens.chunks(part).zip(batch.targets.chunks(part)) {
                let (logits, _) = session.forward(&[0], &[tokens], false).await?;
                let rows = logits.chunks(vocabulary).zip(targets).filter(|(_, target)| **target != UNSCORED);
                right += rows.filter(|(row, target)| likeliest(row) == Some(**target as usize)).count();
            }
            all += batch.scored();
        }
        result.push(right as f64 / all.max(1) as f64);
    }
    Ok(result)
}

fn likeliest(row: &[f32]) -> Option<usize> {
    (0..row.len()).max_by(|a, b| row[*a].total_cmp(&row[*b]).then(b.cmp(a)))
}
