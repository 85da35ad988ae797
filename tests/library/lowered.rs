//! Every (shader, override values) pair that models use, found by lowering their plans.

use std::collections::BTreeMap;

use polysketch::attention::Mode;
use polysketch::check::attention_cases::{dense_taylor, full_mask};
use polysketch::check::models::{few_models, linear_models, plain_models, polysketch_models};
use polysketch::check::row_cases::{differentiable, optimiser};
use polysketch::check::{self, golden, mixed_devices, small_cases};
use polysketch::graph::{Plan, Recompute};
use polysketch::kernels::DeviceTraits;
use polysketch::model::config::{AttentionKind, Linearized, ModelConfig};
use polysketch::model::transformer::{self, Build, Ending, Transferring};
use polysketch::tensor::{Capacity, DType};
use polysketch::train::{LearnerOptions, LearnerPlan};

use crate::golden_folder;

/// What a plan gives a shader, and what it then takes of a workgroup.
#[derive(PartialEq)]
pub struct Used {
    /// Override values, as bits, so that they can be compared.
    pub constants: Vec<(String, u64)>,
    /// Bytes of workgroup memory, and invocations.
    pub takes: [usize; 2],
}

/// Pairs by shader, without repetitions.
#[derive(Default)]
pub struct Pairs(pub BTreeMap<String, Vec<Used>>);

impl Pairs {
    pub fn add(&mut self, plan: &Plan) {
        for step in &plan.steps {
            let constants = step.variant.constants();
            let used = Used {
                constants: constants.map(|(name, value)| (name.to_string(), value.to_bits())).collect(),
                takes: [step.variant.workgroup_bytes(), step.variant.invocations()],
            };
            let known = self.0.entry(step.variant.name().to_string()).or_default();
            if !known.contains(&used) {
                known.push(used);
            }
        }
    }
}

/// The floor of SPEC §6.
pub fn devices() -> [DeviceTraits; 1] {
    [DeviceTraits::floor()]
}

/// The golden models and the random ones.
pub fn configs() -> Vec<ModelConfig> {
    let golden = golden::open_all(&golden_folder()).unwrap();
    let mut list: Vec<ModelConfig> = golden.iter().map(|model| model.source().unwrap().config).collect();
    let random = plain_models().into_iter().chain(polysketch_models().into_iter().step_by(3));
    list.extend(random.chain(few_models()).chain(linear_models()).map(|model| model.parsed()));
    list
}

/// Those of a softmax model made linear: reading, writing, attention transfer, training.
fn linearized(pairs: &mut Pairs) {
    let softmax =
        |c: &ModelConfig| c.attention.kind == AttentionKind::Softmax && c.head_dim.is_multiple_of(4);
    let mut config = configs().into_iter().find(softmax).expect("a model has softmax");
    let usual = Linearized::usual(config.num_hidden_layers);
    config.linearized = Some(Linearized { block_size: 16, sketch: 8, hidden: 8, ..usual });
    for device in &devices() {
        let build = Build { large: DType::F32.into(), max_binding: device.max_binding, slots: 2, context: 0 };
        for (mode, ending, tokens) in [(Mode::Prefill, Ending::Last, 100), (Mode::Decode, Ending::Sample, 1)]
        {
            let decoder = transformer::build(&config, mode, ending, &build).unwrap();
            let capacity = Capacity { lanes: 2, tokens, slots: 2, context: 0 };
            pairs.add(&decoder.lower("", device, capacity).unwrap());
        }
        let transfer = transformer::transfer(&config, Transferring::Gradients, &build).unwrap();
        let capacity = Capacity { lanes: 1, tokens: 100, slots: 1, context: 0 };
        pairs.add(&transfer.graph.lower("", device, capacity).unwrap());
        let mut config = config.clone();
        config.linearized.as_mut().expect("given above").rank = 4;
        let learns = |name: &str| name.ends_with(".sketch") || name.contains(".lora_");
        let trained = Some((&learns as &dyn Fn(&str) -> bool, Recompute::Nothing));
        let distillation = transformer::distillation(&config, trained, &build).unwrap();
        pairs.add(&distillation.graph.lower("", device, capacity).unwrap());
        let decoder = transformer::build(&config, Mode::Decode, Ending::Sample, &build).unwrap();
        pairs.add(&decoder.lower("", device, Capacity { tokens: 1, ..capacity }).unwrap());
        let options = LearnerOptions { lanes: 2, context: 50, segment: None, recompute: Recompute::Nothing };
        pairs.add(&LearnerPlan::new(&config, device, &options).unwrap().train);
    }
}

/// In mixed precision, the products of few bits and of models of every kind of attention.
fn mixed(pairs: &mut Pairs) {
    for device in &mixed_devices() {
        let capacity = Capacity { lanes: 2, tokens: 20, slots: 2, context: 64 };
        for (_, graph) in small_cases::graphs().unwrap() {
            pairs.add(&graph.lower("", device, capacity).unwrap());
        }
        for case in check::cases().unwrap() {
            pairs.add(&case.plan(device).unwrap());
        }
        // Matrices of 16 need tiles of larger calls.
        for config in configs() {
            let context = if transformer::attention(&config).has_cache() { 2048 } else { 0 };
            let capacity = Capacity { lanes: 1, tokens: 2048, slots: 1, context };
            for large in [DType::F32, DType::F16] {
                let build = Build { large: large.into(), max_binding: device.max_binding, slots: 1, context };
                for (mode, ending) in [(Mode::Prefill, Ending::Last), (Mode::Forward, Ending::All)] {
                    let Ok(decoder) = transformer::build(&config, mode, ending, &build) else { continue };
                    pairs.add(&decoder.lower("", device, capacity).unwrap());
                }
            }
        }
    }
}

/// The pairs of all of them, for all devices and both weight types.
pub fn pairs() -> Pairs {
    let mut pairs = Pairs::default();
    for device in &devices() {
        let capacity = Capacity { lanes: 2, tokens: 20, slots: 2, context: 64 };
        for (_, graph) in small_cases::graphs().unwrap() {
            pairs.add(&graph.lower("", device, capacity).unwrap());
        }
        for graph in differentiable().unwrap() {
            let gradients = graph.backward(Recompute::Nothing).unwrap();
            pairs.add(&gradients.lower("", device, graph.capacity()).unwrap());
        }
        let capacity = Capacity { lanes: 1, tokens: 1, slots: 2, context: 0 };
        pairs.add(&optimiser().unwrap().lower("", device, capacity).unwrap());
    }
    // Models take the scan for it; a layer of its own may see all pairs.
    let layout = transformer::attention(&configs()[0]).layout;
    for device in &devices() {
        let capacity = Capacity { lanes: 1, tokens: 20, slots: 1, context: 0 };
        pairs.add(&dense_taylor(&layout, 0.1, 3).unwrap().lower("", device, capacity).unwrap());
    }
    linearized(&mut pairs);
    mixed(&mut pairs);
    for config in configs() {
        let cached = transformer::attention(&config).has_cache();
        for device in &devices() {
            let context = if cached { 256 } else { 0 };
            for large in [DType::F32, DType::F16] {
                let build = Build { large: large.into(), max_binding: device.max_binding, slots: 2, context };
                let capacity = |tokens| Capacity { lanes: 2, tokens, slots: 2, context };
                let kinds = [
                    (Mode::Prefill, Ending::Last, 100),
                    (Mode::Prefill, Ending::All, 5),
                    (Mode::Prefill, Ending::Nll, 64),
                    (Mode::Decode, Ending::Sample, 1),
                ];
                for (mode, head, tokens) in kinds {
                    pairs.add(
                        &transformer::build(&config, mode, head, &build)
                            .unwrap()
                            .lower("", device, capacity(tokens))
                            .unwrap(),
                    );
                }
            }
            let options =
                LearnerOptions { lanes: 2, context: 50, segment: None, recompute: Recompute::Nothing };
            let learner = LearnerPlan::new(&config, device, &options).unwrap();
            pairs.add(&learner.train);
            pairs.add(&learner.forward);
            if let Some(graph) = full_mask(&config).unwrap() {
                let capacity = Capacity { lanes: 2, tokens: 50, slots: 1, context: 0 };
                pairs.add(&graph.lower("", device, capacity).unwrap());
            }
        }
    }
    pairs
}
