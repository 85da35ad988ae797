//! Every (shader, override values) pair that models use, found by lowering their plans.

use std::collections::BTreeMap;

use polysketch::attention::Mode;
use polysketch::graph::{Graph, Plan};
use polysketch::kernels::DeviceTraits;
use polysketch::model::config::ModelConfig;
use polysketch::model::transformer::{self, Build, Head};
use polysketch::tensor::{Capacity, DType, TensorType, Unit};

use super::random_model::{few_cases, plain_cases, polysketch_cases};
use super::{golden, golden_names};

/// Override values, as bits, so that pairs can be compared.
type Constants = Vec<(&'static str, u64)>;

/// Pairs by shader, without repetitions.
#[derive(Default)]
pub struct Pairs(pub BTreeMap<String, Vec<Constants>>);

impl Pairs {
    pub fn add(&mut self, plan: &Plan) {
        for step in &plan.steps {
            let constants: Constants = step.variant.constants.iter().map(|(name, value)| (*name, value.to_bits())).collect();
            let known = self.0.entry(step.variant.shader.clone()).or_default();
            if !known.contains(&constants) {
                known.push(constants);
            }
        }
    }
}

/// The floor of SPEC §6, and a software adapter with the same limits.
pub fn devices() -> [DeviceTraits; 2] {
    [DeviceTraits::floor(), DeviceTraits { software: true, ..DeviceTraits::floor() }]
}

/// The golden models and the random ones.
pub fn configs() -> Vec<ModelConfig> {
    let mut list: Vec<ModelConfig> = golden_names().iter().map(|name| golden(name).0.config).collect();
    for case in plain_cases().into_iter().chain(polysketch_cases().into_iter().step_by(3)).chain(few_cases()) {
        list.push(case.parsed());
    }
    list
}

/// Attention alone that is not causal: only the library has it.
pub fn non_causal(config: &ModelConfig) -> Option<Graph> {
    let attention = transformer::attention(config);
    let l = attention.layout.clone();
    if l.gated || config.attention.local_exact {
        return None;
    }
    let mut g = Graph::new();
    let qkv = g.input("qkv", TensorType::f32(polysketch::shape![Unit::Rows, l.qkv_width()]));
    let lanes = g.input("lanes", TensorType::u32(polysketch::shape![Unit::Lanes, 4]));
    let norms = l.normed.then(|| g.parameter("norms", DType::F32, polysketch::shape![4, l.head]));
    let sketch = attention.sketch_weights().map(|n| g.parameter("sketch", DType::F32, polysketch::shape![n]));
    let o = attention.build(&mut g, "attention", Mode::NonCausal, polysketch::attention::Inputs { qkv, lanes, norms, sketch }, 0).unwrap();
    g.output(o, "o");
    Some(g)
}

/// The pairs of all of them, for both devices and both weight types.
pub fn pairs() -> Pairs {
    let mut pairs = Pairs::default();
    for config in configs() {
        let cached = transformer::attention(&config).has_cache();
        for (number, device) in devices().iter().enumerate() {
            let context = if cached { 256 } else { 0 };
            for large in [DType::F32, DType::F16] {
                let build = Build { large, max_binding: device.max_binding, slots: 2, context };
                let capacity = |tokens| Capacity { lanes: 2, tokens, slots: 2, context };
                let kinds = [
                    (Mode::Prefill, Head::Last, 100),
                    (Mode::Prefill, Head::All, 5),
                    (Mode::Prefill, Head::Nll, 64),
                    (Mode::Decode, Head::Sample, 1),
                ];
                for (mode, head, tokens) in kinds {
                    pairs.add(&transformer::build(&config, mode, head, &build).unwrap().lower("", device, capacity(tokens)).unwrap());
                }
            }
            if let Some(graph) = non_causal(&config).filter(|_| number == 0) {
                let capacity = Capacity { lanes: 2, tokens: 50, slots: 1, context: 0 };
                pairs.add(&graph.lower("", device, capacity).unwrap());
            }
        }
    }
    pairs
}
