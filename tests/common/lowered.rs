//! Every (shader, override values) pair that models use, found by lowering their plans.

use std::collections::BTreeMap;

use polysketch::attention::{Attention, HeadLayout, LocalAffinity, Mode, Rotation};
use polysketch::graph::{Graph, Plan, Recompute, Role, TensorId};
use polysketch::kernels::DeviceTraits;
use polysketch::kernels::dense::attention_dense::{AttentionDense, Sight};
use polysketch::kernels::dense::attention_dense_decode::AttentionDenseDecode;
use polysketch::kernels::heads::gate_prefix::{Carried, GatePrefix};
use polysketch::kernels::heads::join_columns::JoinColumns;
use polysketch::kernels::linear::linear::{Addend, Linear};
use polysketch::kernels::pairs::pair_affinity::PairAffinity;
use polysketch::kernels::rows::multiply_add::MultiplyAdd;
use polysketch::model::config::ModelConfig;
use polysketch::model::transformer::{self, Build, Ending};
use polysketch::shape;
use polysketch::tensor::{Capacity, DType, TensorType, Unit};
#[cfg(feature = "train")]
use polysketch::train::{LearnerOptions, LearnerPlan};

use super::random_model::{few_cases, plain_cases, polysketch_cases};
use super::row_cases::{cases, optimiser};
use super::{golden, golden_names};

/// Override values, as bits, so that pairs can be compared.
type Constants = Vec<(String, u64)>;

/// Pairs by shader, without repetitions.
#[derive(Default)]
pub struct Pairs(pub BTreeMap<String, Vec<Constants>>);

impl Pairs {
    pub fn add(&mut self, plan: &Plan) {
        for step in &plan.steps {
            let constants: Constants =
                step.variant.constants().map(|(name, value)| (name.to_string(), value.to_bits())).collect();
            let known = self.0.entry(step.variant.name().to_string()).or_default();
            if !known.contains(&constants) {
                known.push(constants);
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
    let mut list: Vec<ModelConfig> = golden_names().iter().map(|name| golden(name).0.config).collect();
    for case in plain_cases().into_iter().chain(polysketch_cases().into_iter().step_by(3)).chain(few_cases())
    {
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
    let qkv = g.input("qkv", TensorType::f32(shape![Unit::Rows, l.qkv_width()]));
    let lanes = g.input("lanes", TensorType::u32(shape![Unit::Lanes, 4]));
    let norms = l.normed.then(|| g.parameter("norms", DType::F32, shape![4, l.head]));
    let sketch = attention.sketch_weights().map(|n| g.parameter("sketch", DType::F32, shape![n]));
    let o = attention
        .build(
            &mut g,
            "attention",
            Mode::NonCausal,
            polysketch::attention::Inputs { qkv, lanes, norms, sketch },
            0,
        )
        .unwrap()
        .output;
    g.output(o, "o");
    Some(g)
}

/// An attention layer in a training plan, from its packed rows on, which are parameters; differentiated with
/// [`Mode::Train`].
pub fn training(attention: &Attention, mode: Mode) -> Graph {
    let l = &attention.layout;
    let mut g = Graph::new();
    let qkv = g.input("qkv", TensorType::f32(shape![Unit::Rows, l.qkv_width()]));
    let lanes = g.input("lanes", TensorType::u32(shape![Unit::Lanes, 4]));
    let norms = g.parameter("norms", DType::F32, shape![4, l.head]);
    let sketch = attention.sketch_weights().map(|n| g.parameter("sketch", DType::F32, shape![n]));
    let inputs = polysketch::attention::Inputs { qkv, lanes, norms: Some(norms), sketch };
    let o = attention.build(&mut g, "attention", mode, inputs, 0).unwrap().output;
    let pack = g.nodes.iter().position(|node| node.kernel.stem() == "pack_heads").unwrap();
    for (id, name) in g.nodes[pack].outputs.clone().into_iter().zip(["queries", "keys"]) {
        let tensor = &mut g.tensors[id.0];
        (tensor.role, tensor.name) = (Role::Parameter, name.to_string());
    }
    g.nodes.drain(..=pack);
    differentiate(&mut g, o, mode);
    g
}

fn differentiate(g: &mut Graph, o: TensorId, mode: Mode) {
    if mode == Mode::Train {
        let seed = g.input("seed", g.tensors[o.0].ty.clone());
        g.backward(&[(o, seed)], &|_| true, Recompute::Nothing).unwrap();
    }
    g.output(o, "o");
}

/// The dense kernel with affinities that no kind of attention has: a Taylor polynomial of more features than
/// a state may have.
pub fn dense_taylor(l: &HeadLayout, scale: f64, degree: usize) -> Graph {
    let mut g = Graph::new();
    let lanes = g.input("lanes", TensorType::u32(shape![Unit::Lanes, 4]));
    let queries =
        g.parameter("queries", DType::F32, shape![Unit::Lanes, l.heads, Unit::Tokens, l.query_width()]);
    let keys =
        g.parameter("keys", DType::F32, shape![Unit::Lanes, l.heads, Unit::Window(l.block), l.key_width()]);
    let affinity = PairAffinity::Kernel(LocalAffinity::Taylor { scale, degree });
    let kernel = AttentionDense { layout: l.clone(), affinity, bias: 1.0, sight: Sight::Causal };
    let o = g.apply("attention", kernel, &[queries, keys, lanes], &[]).unwrap()[0];
    differentiate(&mut g, o, Mode::Train);
    g
}

/// Kernels in the forms that no model of today asks for, but a caller may (and training will): each as a
/// graph of its own.
fn alone() -> Vec<Graph> {
    let l = HeadLayout {
        heads: 2,
        head: 12,
        exact: true,
        normed: true,
        shared_norm: false,
        sketch: 0,
        sketch_normed: false,
        gated: true,
        rotation: Rotation::None,
        interleaved: false,
        block: 16,
    };
    let mut list = Vec::new();
    for (dtype, addend) in
        [DType::F32, DType::F16].into_iter().flat_map(|d| [(d, Addend::None), (d, Addend::Bias)])
    {
        let mut g = Graph::new();
        let x = g.input("x", TensorType::f32(shape![Unit::Lanes, 20]));
        let w = g.parameter("w", dtype, shape![9, 20]);
        let bias = (addend == Addend::Bias).then(|| g.parameter("bias", DType::F32, shape![9]));
        let arguments: Vec<_> = [Some(x), Some(w), bias].into_iter().flatten().collect();
        let y = g
            .apply1("y", Linear { dtype, addend, rows: Unit::Lanes, ..Linear::new(20, 9) }, &arguments)
            .unwrap();
        g.output(y, "y");
        list.push(g);
    }
    for unbroken in [false, true] {
        let mut g = Graph::new();
        let qkv = g.input("qkv", TensorType::f32(shape![Unit::Rows, l.qkv_width()]));
        let lanes = g.input("lanes", TensorType::u32(shape![Unit::Lanes, 4]));
        let sums = g
            .apply1(
                "sums",
                GatePrefix { layout: l.clone(), carried: Carried::Nothing, unbroken },
                &[qkv, lanes],
            )
            .unwrap();
        g.output(sums, "sums");
        list.push(g);
    }
    for gated in [false, true] {
        let l = HeadLayout { gated, ..l.clone() };
        let mut g = Graph::new();
        let mut parts: Vec<_> = ["q", "k", "v"]
            .iter()
            .map(|name| g.input(name, TensorType::f32(shape![Unit::Rows, l.heads * l.head])))
            .collect();
        if gated {
            parts.push(g.input("gate", TensorType::f32(shape![Unit::Rows, l.heads])));
        }
        let qkv = g.apply1("qkv", JoinColumns { layout: l }, &parts).unwrap();
        g.output(qkv, "qkv");
        list.push(g);
    }
    let affinity = PairAffinity::Kernel(LocalAffinity::Taylor { scale: 0.3, degree: 2 });
    for sight in [Sight::Cache(64), Sight::All] {
        let mut g = Graph::new();
        let lanes = g.input("lanes", TensorType::u32(shape![Unit::Lanes, 4]));
        let queries =
            g.input("queries", TensorType::f32(shape![Unit::Lanes, l.heads, Unit::Tokens, l.query_width()]));
        let keys = g.input("keys", TensorType::f32(shape![Unit::Slots, l.heads, 64, l.key_width()]));
        let kernel = AttentionDense { layout: l.clone(), affinity, bias: 1.0, sight };
        let o = g.apply1("o", kernel.clone(), &[queries, keys, lanes]).unwrap();
        g.output(o, "o");
        if sight != Sight::All {
            let parts = g.apply1("parts", AttentionDenseDecode(kernel), &[queries, keys, lanes]).unwrap();
            g.output(parts, "parts");
        }
        list.push(g);
    }
    list.push(dense_taylor(&l, 0.3, 2));
    let mut peak = Graph::new();
    let sums = peak.apply1("peak", MultiplyAdd { groups: 2, steps: 16 }, &[]).unwrap();
    peak.output(sums, "sums");
    list.push(peak);
    list
}

/// The pairs of all of them, for all devices and both weight types.
pub fn pairs() -> Pairs {
    let mut pairs = Pairs::default();
    for (graph, device) in alone().iter().flat_map(|graph| devices().map(|device| (graph, device))) {
        pairs.add(
            &graph.lower("", &device, Capacity { lanes: 2, tokens: 20, slots: 2, context: 64 }).unwrap(),
        );
    }
    for device in &devices() {
        for gradients in cases().iter().map(|case| case.gradients(Recompute::Nothing)) {
            pairs.add(&gradients.graph.lower("", device, gradients.capacity).unwrap());
        }
    }
    pairs.add(
        &optimiser()
            .lower("", &devices()[0], Capacity { lanes: 1, tokens: 1, slots: 2, context: 0 })
            .unwrap(),
    );
    for config in configs() {
        let cached = transformer::attention(&config).has_cache();
        for device in &devices() {
            let context = if cached { 256 } else { 0 };
            for large in [DType::F32, DType::F16] {
                let build = Build { large, max_binding: device.max_binding, slots: 2, context };
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
            #[cfg(feature = "train")]
            {
                let options =
                    LearnerOptions { lanes: 2, context: 50, segment: None, recompute: Recompute::Nothing };
                let learner = LearnerPlan::new(&config, device, &options).unwrap();
                pairs.add(&learner.train);
                pairs.add(&learner.forward);
            }
            if let Some(graph) = non_causal(&config) {
                let capacity = Capacity { lanes: 2, tokens: 50, slots: 1, context: 0 };
                pairs.add(&graph.lower("", device, capacity).unwrap());
            }
        }
    }
    pairs
}
