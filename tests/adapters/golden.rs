//! Golden models (SPEC §5) everywhere: logits, hidden states, loss and gradients; and that lanes, segments,
//! recomputation and checkpoints change nothing.

use std::collections::BTreeMap;

use pollster::block_on;
use polysketch::ErrorKind;
use polysketch::check::golden::{Deviation, Golden, gradients, open_all, relative};
use polysketch::exec::{CpuExecutor, Executor};
use polysketch::graph::Recompute;
use polysketch::model::checkpoint::{TensorData, safetensors_bytes};
use polysketch::model::{Engine, ModelSource};
use polysketch::train::{AdamW, Batch, Learner, LearnerOptions};

use crate::places::{Place, Tests, golden_folder, public_folder};

/// All golden models: our own, and public families in their own formats.
pub fn models() -> Vec<Golden> {
    let (own, public) = (open_all(&golden_folder()).unwrap(), open_all(&public_folder()).unwrap());
    assert!(own.len() >= 12 && public.len() >= 17, "golden models are missing");
    own.into_iter().chain(public).collect()
}

fn model(name: &str) -> Golden {
    models().into_iter().find(|model| model.name == name).unwrap()
}

fn judge(deviations: &[Deviation]) {
    let wrong: Vec<_> = deviations.iter().filter(|d| d.wrong()).collect();
    assert!(!deviations.is_empty() && wrong.is_empty(), "{wrong:#?}");
}

fn whole(batch: &Batch) -> LearnerOptions {
    LearnerOptions {
        lanes: batch.sequences(),
        context: batch.context,
        segment: None,
        recompute: Recompute::Nothing,
    }
}

/// In f64, so that nothing but rounding to f32 on the way out is left.
fn cuts_and_recomputation_change_nothing(golden: &Golden) {
    let oracle = Engine::on(Executor::Oracle(CpuExecutor::default()));
    let (source, batch) = (golden.source().unwrap(), golden.batch().unwrap());
    let of = |options: &LearnerOptions| -> (f64, BTreeMap<String, Vec<f32>>) {
        gradients(&oracle, &source, &batch, options).unwrap()
    };
    let (loss, want) = of(&whole(&batch));
    for (lanes, segment, recompute) in
        [(2, Some(1), Recompute::Nothing), (1, Some(33), Recompute::Sections), (2, None, Recompute::Sections)]
    {
        let options = LearnerOptions { lanes, segment, recompute, ..whole(&batch) };
        let (other_loss, got) = of(&options);
        assert!((loss - other_loss).abs() <= 1e-6 * loss, "{options:?}: loss {loss} and {other_loss}");
        for (tensor, want) in &want {
            let want: Vec<f64> = want.iter().map(|x| f64::from(*x)).collect();
            let error = relative(&got[tensor], &want);
            assert!(error <= 2e-6, "{options:?} {tensor}: {error:.1e}");
        }
    }
}

/// All that a step changes is in the checkpoint: a learner made anew from it goes on as if nothing had
/// happened.
fn a_checkpoint_holds_all_that_was_learned(golden: &Golden) {
    let (source, batch) = (golden.source().unwrap(), golden.batch().unwrap());
    let options = whole(&batch);
    let engine = Engine::on(Executor::Cpu(CpuExecutor::default()));
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
    let saved = ModelSource::from_bytes(&source.config.to_json(), bytes, None).unwrap();
    assert_eq!(saved.config, source.config);
    let mut resumed = block_on(Learner::new(&engine, &saved, &options)).unwrap();
    let mut others = moments.clone();
    others[0].1[0] += 1;
    assert_eq!(block_on(resumed.restore_moments(others)).map_err(|e| e.kind()), Err(ErrorKind::ModelFormat));
    block_on(resumed.restore_moments(moments)).unwrap();
    assert_ne!(first, second);
    assert_eq!(step(&mut resumed, 2), second);
    assert_eq!(step(&mut resumed, 3), third);
}

/// Models in GGUF files, in every type of block.
fn packed() -> Vec<Golden> {
    let list = open_all(&public_folder().join("gguf")).unwrap();
    assert!(list.len() >= 18, "golden models are missing");
    list
}

pub fn add(tests: &mut Tests) {
    for golden in packed() {
        let of = golden.name.clone();
        let judged = move |place: &Place| {
            let golden = packed().into_iter().find(|golden| golden.name == of).unwrap();
            judge(&golden.logits(&place.engine()).unwrap());
        };
        tests.each(|_| true, "golden_logits", &golden.name, judged);
    }
    for golden in models() {
        let name = golden.name;
        let of = name.clone();
        tests.each(
            |_| true,
            "golden_logits",
            &name,
            move |place| {
                let mut deviations = model(&of).logits(&place.engine()).unwrap();
                if place.is_oracle() {
                    // What rounding its weights and results to f32 leaves.
                    deviations.iter_mut().for_each(|d| d.tolerance = 1e-5);
                }
                judge(&deviations);
            },
        );
        let of = name.clone();
        tests.each(
            |_| true,
            "golden_gradients",
            &name,
            move |place| {
                judge(&model(&of).gradients(&place.engine()).unwrap());
            },
        );
        let of = name.clone();
        tests.add("oracle", "cuts_and_recomputation_change_nothing", &name, move || {
            cuts_and_recomputation_change_nothing(&model(&of));
        });
        let of = name.clone();
        tests.add("cpu", "a_checkpoint_holds_all_that_was_learned", &name, move || {
            a_checkpoint_holds_all_that_was_learned(&model(&of));
        });
    }
}
