//! Small random models of every kind, made from a seed: the same on every machine.

use serde_json::{Value, json};

use super::random::Rng;
use crate::model::ModelSource;
use crate::model::config::ModelConfig;
use crate::model::parameters::{ParameterKind, ParameterSpec};
use crate::model::tensor_file::{TensorData, safetensors_bytes};

/// A model to be made: name, `config.json`, seed of its weights.
#[derive(Clone, Debug)]
pub struct RandomModel {
    /// For messages.
    pub name: String,
    /// `config.json`.
    pub config: Value,
    /// Of the weights.
    pub seed: u64,
}

/// What is not attention.
#[derive(Clone, Copy, Debug)]
pub struct Body {
    /// V.
    pub vocabulary: usize,
    /// H.
    pub heads: usize,
    /// h.
    pub head: usize,
    /// Layers.
    pub layers: usize,
    /// Columns between the two matrices of the MLP.
    pub mlp: usize,
}

impl RandomModel {
    /// A model; `rope` is where it rotates and in which layout.
    pub fn new(name: &str, seed: u64, body: Body, rope: (&str, &str), attention: Value) -> Self {
        let config = json!({
            "model_type": "polysketch", "vocab_size": body.vocabulary,
            "hidden_size": body.heads * body.head, "num_hidden_layers": body.layers,
            "num_attention_heads": body.heads, "intermediate_size": body.mlp,
            "activation": "gelu_tanh", "layer_norm_eps": 1e-5, "tie_word_embeddings": true,
            "logit_bias": seed % 2 == 1, "sinusoidal": seed % 5 == 2,
            "rope": { "where": rope.0, "theta": 10000.0, "layout": rope.1 }, "attention": attention,
        });
        Self { name: name.to_string(), config, seed }
    }

    /// Its configuration.
    pub fn parsed(&self) -> ModelConfig {
        ModelConfig::from_json(&self.config.to_string(), &self.name)
            .expect("random models have configurations that are allowed")
            .0
    }

    /// Whether the combination is one that a configuration may have.
    pub fn allowed(&self) -> bool {
        ModelConfig::from_json(&self.config.to_string(), &self.name).is_ok()
    }

    /// The block at whose ends the engine's state changes.
    pub fn block(&self) -> usize {
        if ["polysketch", "linearized"].iter().any(|kind| self.config["attention"]["kind"] == *kind) {
            self.config["attention"]["block_size"].as_u64().unwrap_or(128) as usize
        } else {
            64
        }
    }

    /// Its weights.
    pub fn weights(&self) -> Vec<(ParameterSpec, Vec<f32>)> {
        let mut rng = Rng(self.seed ^ 0x5eed);
        self.parsed()
            .parameters()
            .into_iter()
            .map(|spec| {
                let values = (0..spec.elements()).map(|_| weight(&spec, &mut rng) as f32).collect();
                (spec, values)
            })
            .collect()
    }

    /// The model.
    pub fn source(&self) -> ModelSource {
        self.source_of(&self.weights())
    }

    /// The same configuration with other weights.
    pub fn source_of(&self, weights: &[(ParameterSpec, Vec<f32>)]) -> ModelSource {
        let tensors: Vec<TensorData<'_>> =
            weights.iter().map(|(spec, values)| TensorData::f32(&spec.name, &spec.shape, values)).collect();
        let bytes = safetensors_bytes(&tensors, &[]).expect("the tensors fit in memory");
        ModelSource::from_bytes(&self.config.to_string(), bytes, None)
            .expect("the weights are those that the configuration asks for")
    }
}

/// Weights at which activations stay of order one and every part of the model matters.
fn weight(spec: &ParameterSpec, rng: &mut Rng) -> f64 {
    let inputs = spec.shape[spec.shape.len() - 1] as f64;
    match spec.kind {
        ParameterKind::Embedding => rng.normal(),
        ParameterKind::Linear => rng.normal() / inputs.sqrt(),
        ParameterKind::GateWeight => rng.normal() / inputs.sqrt(),
        ParameterKind::NormScale => 1.0 + 0.2 * rng.normal(),
        ParameterKind::NormBias | ParameterKind::LogitBias | ParameterKind::LinearBias => 0.2 * rng.normal(),
        // From forgetting within a few tokens to hardly at all.
        ParameterKind::GateBias => 5.0 * rng.uniform(),
        ParameterKind::SketchBuffer => rng.normal(),
    }
}

fn body(rng: &mut Rng, heads: usize, head: usize) -> Body {
    Body {
        vocabulary: rng.pick(&[7, 33, 61, 130, 257]),
        heads,
        head,
        layers: 2,
        mlp: rng.pick(&[4, 20, 36, 68]),
    }
}

/// Every kind that is not a polysketch, at head sizes from 4 to 128.
pub fn plain_models() -> Vec<RandomModel> {
    let mut rng = Rng(1);
    let mut list = Vec::new();
    let mut add = |name: &str, heads: usize, head: usize, rope: (&str, &str), attention: Value| {
        let seed = list.len() as u64;
        list.push(RandomModel::new(name, seed, body(&mut rng, heads, head), rope, attention));
    };
    let scale = |head: usize| 1.0 / (head as f64).sqrt();
    add("softmax h=12 raw interleaved", 3, 12, ("raw", "interleaved"), json!({ "kind": "softmax" }));
    add("softmax h=64", 1, 64, ("none", "half"), json!({ "kind": "softmax" }));
    add("softmax h=128 raw", 1, 128, ("raw", "half"), json!({ "kind": "softmax" }));
    add("softmax h=4", 5, 4, ("none", "half"), json!({ "kind": "softmax" }));
    let polynomial = |degree: usize, head: usize, gate: &str, shared: bool| {
        json!({ "kind": "polynomial", "degree": degree, "qk_scale": scale(head), "gate": gate,
            "shared_qk_norm": shared, "denominator_bias": 1.0 })
    };
    add("polynomial p=2 h=12 normed gated", 2, 12, ("normed", "half"), polynomial(2, 12, "scalar", true));
    add("polynomial p=2 h=16 raw", 2, 16, ("raw", "interleaved"), polynomial(2, 16, "none", false));
    add("polynomial p=2 h=64 gated", 1, 64, ("none", "half"), polynomial(2, 64, "scalar", false));
    add("polynomial p=4 h=16 raw gated", 2, 16, ("raw", "half"), polynomial(4, 16, "scalar", false));
    add("polynomial p=4 h=4", 3, 4, ("none", "half"), polynomial(4, 4, "none", true));
    add("polynomial p=8 h=64 normed", 1, 64, ("normed", "interleaved"), polynomial(8, 64, "none", false));
    for (degree, head) in [(1, 64), (1, 12), (2, 16), (2, 4), (3, 12), (3, 8), (4, 4), (4, 12)] {
        // An odd degree is negative for t < -1: keep t small there.
        let scale = scale(head) * if degree % 2 == 1 { 0.3 } else { 1.0 };
        let gate = if head == 12 { "scalar" } else { "none" };
        let attention = json!({ "kind": "taylor", "degree": degree, "qk_scale": scale, "gate": gate,
            "denominator_bias": 1.0 });
        let rope =
            [("normed", "half"), ("raw", "half"), ("none", "half"), ("normed", "interleaved")][degree - 1];
        add(&format!("taylor g={degree} h={head} {gate}"), 2, head, rope, attention);
    }
    list
}

/// Exact near parts and sketched far ones, trained as they are (SPEC §10).
pub fn linear_models() -> Vec<RandomModel> {
    let body = Body { vocabulary: 61, heads: 2, head: 12, layers: 2, mlp: 36 };
    // Its sinks keep their distance; such models are not trained on texts that long.
    let bounded_sinks = || {
        let attention = json!({ "kind": "linearized", "block_size": 12, "near": [1, 2], "sinks": 4,
            "sink_reach": 48, "gate": "scalar", "qk_norm": "none",
            "sketch": { "size": 8, "hidden": 12, "turned": 30.0 } });
        RandomModel::new("linearized sink_reach=48", 505, body, ("raw", "half"), attention)
    };
    let model = |seed: u64, near: [usize; 2], sinks: usize, rope: &str, rest: Value| {
        let mut attention = json!({ "kind": "linearized", "block_size": 12, "near": near, "sinks": sinks });
        let more = rest.as_object().into_iter().flatten();
        more.for_each(|(key, value)| attention[key] = value.clone());
        let name = format!("linearized near={} rope={rope}", near[0]);
        RandomModel::new(&name, seed, body, (rope, "half"), attention)
    };
    let sketch = |turned: f64| json!({ "size": 8, "hidden": 12, "turned": turned });
    vec![
        model(501, [2, 1], 3, "normed", json!({ "gate": "scalar", "sketch": sketch(30.0) })),
        model(503, [1, 2], 0, "raw", json!({ "gate": "none", "qk_norm": "none", "sketch": sketch(0.0) })),
        bounded_sinks(),
    ]
}

/// Every combination of a polysketch's options, at random sizes.
pub fn polysketch_models() -> Vec<RandomModel> {
    let mut rng = Rng(2);
    let mut list = Vec::new();
    for kind in ["learned", "gaussian", "hadamard"] {
        for local in [true, false] {
            for gate in ["scalar", "none"] {
                for place in ["none", "raw", "normed"] {
                    for layout in ["half", "interleaved"] {
                        for input in ["normed", "raw"] {
                            let seed = 100 + list.len() as u64;
                            list.extend(polysketch(
                                &mut rng,
                                seed,
                                (kind, local, gate),
                                (place, layout),
                                input,
                            ));
                        }
                    }
                }
            }
        }
    }
    list
}

fn polysketch(
    rng: &mut Rng,
    seed: u64,
    (kind, local, gate): (&str, bool, &str),
    rope: (&str, &str),
    input: &str,
) -> Option<RandomModel> {
    // Without rotation the layout says nothing.
    if rope.0 == "none" && rope.1 == "interleaved" {
        return None;
    }
    let (heads, head) = if kind == "hadamard" {
        rng.pick(&[(2, 4), (2, 16), (1, 64)])
    } else {
        rng.pick(&[(2, 4), (3, 12), (2, 16), (1, 64), (1, 128)])
    };
    let size = rng.pick(&[4, 8, 12, 20]);
    let degree = rng.pick(&[4, 8]);
    let block = rng.pick(&[4, 8, 16, 48, 128]);
    let sketch = match kind {
        "learned" => {
            let (levels, expansion) = (rng.pick(&[1, 2, 3]), rng.pick(&[1, 3, 8]));
            json!({ "kind": kind, "size": size, "levels": levels, "expansion": expansion })
        }
        _ => json!({ "kind": kind, "size": size, "gain": (size as f64).powf(-0.5) / (head as f64).sqrt() }),
    };
    let attention = json!({
        "kind": "polysketch", "degree": degree, "qk_scale": 1.0 / (head as f64).sqrt(),
        "block_size": block, "denominator_bias": 1.0, "gate": gate, "local_exact": local,
        "shared_qk_norm": rng.below(3) == 0, "sketch_input": input, "sketch": sketch,
    });
    let name = format!(
        "{kind} h={head} r={size} p={degree} b={block} local={local} gate={gate} rope={}/{} {input}",
        rope.0, rope.1
    );
    let case = RandomModel::new(&name, seed, body(rng, heads, head), rope, attention);
    case.allowed().then_some(case)
}

/// Name, sizes, rotation, attention, and what else differs.
type Block<'a> = (&'a str, Body, (&'a str, &'a str), Value, Value);

/// Blocks as public models have them (SPEC §9): grouped heads, other norms, activations, positions.
pub fn block_models() -> Vec<RandomModel> {
    let body = |heads: usize, head: usize| Body { vocabulary: 61, heads, head, layers: 2, mlp: 36 };
    let power = |norm: &str| {
        json!({ "kind": "polynomial", "degree": 2, "qk_scale": 0.3, "denominator_bias": 0.1, "gate": "scalar",
            "qk_norm": norm, "gate_bias": norm == "none" })
    };
    let sketch = json!({ "kind": "polysketch", "degree": 4, "qk_scale": 0.3, "block_size": 8,
        "denominator_bias": 1.0, "gate": "scalar", "local_exact": true,
        "sketch": { "kind": "learned", "size": 8, "levels": 1, "expansion": 3 } });
    let softmax = json!({ "kind": "softmax" });
    let list = [
        (
            "grouped rms silu",
            body(6, 12),
            ("raw", "half"),
            softmax.clone(),
            json!({ "num_key_value_heads": 2, "layer_norm_eps": null, "rms_norm_eps": 1e-3,
                "activation": "silu", "tie_word_embeddings": false }),
        ),
        (
            "power grouped plain biases",
            body(4, 16),
            ("raw", "half"),
            power("none"),
            json!({ "num_key_value_heads": 1, "gated_mlp": false, "qkv_bias": true, "o_bias": true,
                "mlp_bias": true, "layer_norm_eps": 1e-4 }),
        ),
        (
            "parallel partial rotation gelu",
            body(3, 16),
            ("raw", "half"),
            softmax.clone(),
            json!({ "rope": { "where": "raw", "rotary_dim": 4, "scaling": { "type": "linear", "factor": 4.0 } },
                "parallel_residual": true, "gated_mlp": false, "activation": "gelu", "qkv_bias": true,
                "o_bias": true, "mlp_bias": true, "tie_word_embeddings": false }),
        ),
        (
            "sketch grouped",
            body(6, 12),
            ("normed", "half"),
            sketch,
            json!({ "num_key_value_heads": 3, "head_dim": 16, "activation": "relu" }),
        ),
        (
            "learned positions",
            body(2, 12),
            ("none", "half"),
            softmax,
            json!({ "learned_positions": 512, "gated_mlp": false, "mlp_bias": true, "o_bias": true,
                "qkv_bias": true, "sinusoidal": false }),
        ),
        (
            "power rms heads",
            body(5, 12),
            ("normed", "half"),
            power("rms"),
            json!({ "num_key_value_heads": 1, "head_dim": 16, "layer_norm_eps": null, "rms_norm_eps": 1e-6,
                "activation": "silu", "rope": { "where": "normed", "rotary_dim": 8, "theta": 100.0,
                "scaling": { "type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
                "original_max_position_embeddings": 20.0 } } }),
        ),
    ];
    let model = |(i, (name, body, rope, attention, extra)): (usize, Block<'_>)| {
        let mut model = RandomModel::new(name, 400 + 5 * i as u64, body, rope, attention);
        let patch = extra.as_object().into_iter().flatten();
        patch.for_each(|(key, value)| model.config[key] = value.clone());
        model
    };
    list.into_iter().enumerate().map(model).collect()
}

/// A few for adapters, where compiling shaders is dear: together they use every kernel and most flags.
pub fn few_models() -> Vec<RandomModel> {
    let attention =
        |kind: &str, size: usize, block: usize, degree: usize, local: bool, gate: &str, input: &str| {
            let sketch = match kind {
                "learned" => json!({ "kind": kind, "size": size, "levels": 2, "expansion": 3 }),
                // Its hidden layer does not fit the workgroup memory that every device has.
                "wide" => json!({ "kind": "learned", "size": size, "levels": 1, "expansion": 250 }),
                _ => json!({ "kind": kind, "size": size, "gain": 0.1 }),
            };
            json!({ "kind": "polysketch", "degree": degree, "qk_scale": 0.3, "block_size": block,
            "denominator_bias": 1.0, "gate": gate, "local_exact": local, "shared_qk_norm": false,
            "sketch_input": input, "sketch": sketch })
        };
    let body = |heads: usize, head: usize| Body { vocabulary: 257 + head, heads, head, layers: 1, mlp: 20 };
    let mut list = vec![
        RandomModel::new(
            "few: learned local gated h=12",
            301,
            body(3, 12),
            ("normed", "interleaved"),
            attention("learned", 12, 8, 4, true, "scalar", "normed"),
        ),
        RandomModel::new(
            "few: gaussian h=16 raw",
            302,
            body(2, 16),
            ("raw", "half"),
            attention("gaussian", 20, 48, 8, false, "scalar", "raw"),
        ),
        RandomModel::new(
            "few: learned h=128",
            303,
            body(1, 128),
            ("none", "half"),
            attention("learned", 4, 128, 4, true, "none", "normed"),
        ),
        RandomModel::new(
            "few: softmax h=12",
            305,
            body(2, 12),
            ("raw", "half"),
            json!({ "kind": "softmax" }),
        ),
        RandomModel::new(
            "few: polynomial p=4 gated h=16",
            307,
            body(2, 16),
            ("normed", "half"),
            json!({ "kind": "polynomial", "degree": 4, "qk_scale": 0.25, "gate": "scalar" }),
        ),
        RandomModel::new(
            "few: taylor g=3 h=8 gated",
            309,
            body(2, 8),
            ("raw", "interleaved"),
            json!({ "kind": "taylor", "degree": 3, "qk_scale": 0.1, "gate": "scalar" }),
        ),
    ];
    list.extend(block_models());
    list.push(RandomModel::new(
        "few: learned, wide",
        304,
        body(1, 8),
        ("none", "half"),
        attention("wide", 8, 16, 4, true, "none", "normed"),
    ));
    list
}
