//! Linearised attention as a kind of its own (SPEC §10): models that are trained as they are.

use pollster::block_on;
use polysketch::check::models::linear_models;
use polysketch::check::random::Rng;
use polysketch::exec::{CpuExecutor, Executor};
use polysketch::graph::Recompute;
use polysketch::model::{Engine, ModelSource};
use polysketch::train::{Batch, Learner, LearnerOptions};

/// Two texts of a few blocks.
const CONTEXT: usize = 50;

fn batch(vocabulary: usize) -> Batch {
    let mut rng = Rng(3);
    let tokens = rng.tokens(2 * CONTEXT, vocabulary);
    let mut targets = tokens.clone();
    targets.rotate_left(1);
    Batch { context: CONTEXT, tokens, targets }
}

fn learner(source: &ModelSource, recompute: Recompute) -> Learner {
    let options = LearnerOptions { lanes: 2, context: CONTEXT, segment: Some(12), recompute };
    let oracle = Engine::on(Executor::Oracle(CpuExecutor::default()));
    block_on(Learner::new(&oracle, source, &options)).expect("plans")
}

fn loss(source: &ModelSource) -> Vec<f64> {
    let batch = batch(source.config.vocab_size);
    let nll = block_on(learner(source, Recompute::Nothing).score(&batch)).expect("scores");
    nll.into_iter().map(f64::from).collect()
}

/// Every tensor's gradient along a random direction is the difference of the losses there.
#[test]
fn gradients_are_differences() {
    /// Losses are read as f32: a smaller step would show their rounding.
    const STEP: f64 = 2e-3;
    for (model, recompute) in linear_models().into_iter().zip([Recompute::Nothing, Recompute::Sections]) {
        let (source, weights) = (model.source(), model.weights());
        let mut learner = learner(&source, recompute);
        block_on(learner.accumulate(&batch(source.config.vocab_size), 1.0)).expect("runs");
        let gradients = block_on(learner.gradients()).expect("reads");
        let names: Vec<&str> = weights.iter().map(|(spec, _)| spec.name.as_str()).collect();
        assert_eq!(gradients.iter().map(|(name, ..)| name.as_str()).collect::<Vec<_>>(), names);
        assert!(names.iter().any(|name| name.ends_with(".sketch.keys.gain")), "{names:?}");
        let mut rng = Rng(5);
        for (at, (name, _, gradient)) in gradients.iter().enumerate() {
            let norm = gradient.iter().map(|g| f64::from(*g).powi(2)).sum::<f64>().sqrt();
            assert!(norm > 0.0, "{name}: nothing depends on it");
            // Mostly along the gradient, so that the difference is large, and somewhere else.
            let n = gradient.len() as f64;
            let mixed = |g: &f32| f64::from(*g) / norm + 0.5 * rng.normal() / n.sqrt();
            let direction: Vec<f64> = gradient.iter().map(mixed).collect();
            let moved = |sign: f64| {
                let mut weights = weights.clone();
                let size = weights[at].1.iter().map(|w| f64::from(*w).powi(2)).sum::<f64>().sqrt();
                let step = sign * STEP * size.max(1.0) / 2.0;
                weights[at].1.iter_mut().zip(&direction).for_each(|(w, d)| *w += (step * d) as f32);
                (loss(&model.source_of(&weights)), weights[at].1.clone())
            };
            let ((ahead, to), (behind, from)) = (moved(1.0), moved(-1.0));
            let want: f64 = ahead.iter().zip(&behind).map(|(a, b)| a - b).sum();
            let way = to.iter().zip(&from).map(|(to, from)| f64::from(*to) - f64::from(*from));
            let is: f64 = gradient.iter().zip(way).map(|(g, d)| f64::from(*g) * d).sum();
            // What the rounding of so many losses sums to, three times over.
            let rounding = 3.0 * f64::from(f32::EPSILON) * ahead.iter().map(|x| x * x).sum::<f64>().sqrt();
            assert!(want.abs() > 20.0 * rounding, "{}: {name}: {want} shows nothing", model.name);
            assert!(
                (is - want).abs() < 2e-3 * want.abs() + rounding,
                "{}: {name}: {is} by the gradient, {want} by differences",
                model.name
            );
        }
    }
}

/// What is asked to be cut is taken at once: what is near reaches over ends.
#[test]
fn a_text_is_taken_at_once() {
    let source = linear_models()[0].source();
    let memory = learner(&source, Recompute::Nothing).memory();
    assert_eq!((memory.segment, memory.lanes), (CONTEXT, 2));
}
