//! Gradients of every golden model on every executor, within SPEC §5; and that lanes, segments and
//! recomputation change nothing.

mod common;

use std::collections::BTreeMap;

use common::{cpu_executors, executors, golden, golden_names};
use pollster::block_on;
use polysketch::ErrorKind;
use polysketch::exec::Executor;
use polysketch::graph::Recompute;
use polysketch::kernels::rows::nll::UNSCORED;
use polysketch::model::checkpoint::{TensorData, safetensors_bytes};
use polysketch::model::tensor_file::TensorFile;
use polysketch::model::{Engine, ModelSource};
use polysketch::train::{AdamW, Batch, Learner, LearnerOptions};

/// SPEC §5: `‖Δ‖ <= 5e-4 ‖ref‖` for each tensor.
const TOLERANCE: f64 = 5e-4;

/// Next-token batch of the golden tokens.
fn batch(golden: &TensorFile) -> Batch {
    let shape = golden.shape("tokens").unwrap().to_vec();
    let tokens = golden.u32("tokens").unwrap();
    let next = |row: &[u32]| row[1..].iter().copied().chain([UNSCORED]).collect::<Vec<u32>>();
    let targets = tokens.chunks_exact(shape[1]).flat_map(next).collect();
    Batch { context: shape[1], tokens, targets }
}

/// Loss and gradients by name.
fn gradients(
    executor: &Executor,
    source: &ModelSource,
    batch: &Batch,
    options: &LearnerOptions,
) -> (f64, BTreeMap<String, Vec<f32>>) {
    let mut learner = block_on(Learner::new(&Engine::on(executor.clone()), source, options)).unwrap();
    let nll = block_on(learner.accumulate(batch, 1.0 / batch.scored() as f32)).unwrap();
    let loss = nll.iter().map(|x| f64::from(*x)).sum::<f64>() / batch.scored() as f64;
    (
        loss,
        block_on(learner.gradients()).unwrap().into_iter().map(|(name, _, values)| (name, values)).collect(),
    )
}

/// `‖got - want‖ / ‖want‖`.
fn relative(got: &[f32], want: &[f64]) -> f64 {
    assert_eq!(got.len(), want.len());
    let difference: f64 = got.iter().zip(want).map(|(g, w)| (f64::from(*g) - w).powi(2)).sum();
    let size: f64 = want.iter().map(|w| w * w).sum();
    (difference / size.max(1e-30)).sqrt()
}

#[test]
fn gradients_of_golden_models() {
    let mut failures = Vec::new();
    for (executor_name, executor) in executors() {
        for name in golden_names() {
            let (source, golden) = golden(&name);
            let batch = batch(&golden);
            let options = LearnerOptions {
                lanes: batch.sequences(),
                context: batch.context,
                segment: None,
                recompute: Recompute::Nothing,
            };
            let (loss, got) = gradients(&executor, &source, &batch, &options);
            let want_loss = golden.f64("loss").unwrap()[0];
            let wanted: Vec<String> = golden
                .names()
                .into_iter()
                .filter_map(|n| n.strip_prefix("grad.").map(str::to_string))
                .collect();
            assert_eq!(wanted.iter().collect::<Vec<_>>(), got.keys().collect::<Vec<_>>(), "{name}");
            let mut errors: Vec<(f64, &str)> = wanted
                .iter()
                .map(|n| (relative(&got[n], &golden.f64(&format!("grad.{n}")).unwrap()), n.as_str()))
                .collect();
            errors.push(((loss / want_loss - 1.0).abs(), "loss"));
            errors.sort_by(|a, b| b.0.total_cmp(&a.0));
            println!("{executor_name:50} {name:32} {:.1e} {}", errors[0].0, errors[0].1);
            failures.extend(
                errors
                    .iter()
                    .filter(|(e, _)| e.is_nan() || *e > TOLERANCE)
                    .map(|(e, n)| format!("{executor_name} {name} {n}: {e:.2e}")),
            );
        }
    }
    assert!(failures.is_empty(), "{failures:#?}");
}

/// In f64, so that nothing but rounding to f32 on the way out is left.
#[test]
fn cuts_and_recomputation_change_nothing() {
    let (_, oracle) = cpu_executors().swap_remove(1);
    for name in golden_names() {
        let (source, golden) = golden(&name);
        let batch = batch(&golden);
        let whole = LearnerOptions {
            lanes: batch.sequences(),
            context: batch.context,
            segment: None,
            recompute: Recompute::Nothing,
        };
        let (loss, want) = gradients(&oracle, &source, &batch, &whole);
        for (lanes, segment, recompute) in [
            (2, Some(1), Recompute::Nothing),
            (1, Some(33), Recompute::Sections),
            (2, None, Recompute::Sections),
        ] {
            let options = LearnerOptions { lanes, segment, recompute, ..whole };
            let (other_loss, got) = gradients(&oracle, &source, &batch, &options);
            assert!(
                (loss - other_loss).abs() <= 1e-6 * loss,
                "{name} {options:?}: loss {loss} and {other_loss}"
            );
            for (tensor, want) in &want {
                let want: Vec<f64> = want.iter().map(|x| f64::from(*x)).collect();
                let error = relative(&got[tensor], &want);
                assert!(error <= 2e-6, "{name} {options:?} {tensor}: {error:.1e}");
            }
        }
    }
}

/// All that a step changes is in the checkpoint: a learner made anew from it goes on as if nothing had
/// happened.
#[test]
fn a_checkpoint_holds_all_that_was_learned() {
    let (_, cpu) = cpu_executors().swap_remove(0);
    for name in golden_names() {
        let (source, golden) = golden(&name);
        let batch = batch(&golden);
        let options = LearnerOptions {
            lanes: batch.sequences(),
            context: batch.context,
            segment: None,
            recompute: Recompute::Nothing,
        };
        let engine = Engine::on(cpu.clone());
        let step = |learner: &mut Learner, number: u64| {
            let nll = block_on(learner.accumulate(&batch, 1.0 / batch.scored() as f32)).unwrap();
            block_on(learner.update(&AdamW { lr: 0.01, ..AdamW::default() }, number)).unwrap();
            nll
        };
        let mut learner = block_on(Learner::new(&engine, &source, &options)).unwrap();
        let first = step(&mut learner, 1);
        let (weights, moments) = (block_on(learner.weights()).unwrap(), block_on(learner.moments()).unwrap());
        let second = step(&mut learner, 2);
        let third = step(&mut learner, 3);
        let tensors: Vec<TensorData<'_>> =
            weights.iter().map(|(name, shape, values)| TensorData::f32(name, shape, values)).collect();
        let bytes = safetensors_bytes(&tensors, &[]).unwrap();
        let config =
            std::fs::read_to_string(common::golden_folder().join(&name).join("config.json")).unwrap();
        let saved = ModelSource::from_bytes(&config, bytes, None).unwrap();
        let mut resumed = block_on(Learner::new(&engine, &saved, &options)).unwrap();
        let mut others = moments.clone();
        others[0].1[0] += 1;
        assert_eq!(
            block_on(resumed.restore_moments(others)).map_err(|e| e.kind()),
            Err(ErrorKind::ModelFormat)
        );
        block_on(resumed.restore_moments(moments)).unwrap();
        assert_ne!(first, second, "{name}");
        assert_eq!(step(&mut resumed, 2), second, "{name}");
        assert_eq!(step(&mut resumed, 3), third, "{name}");
    }
}
