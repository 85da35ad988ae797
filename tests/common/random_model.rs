//! Small random models of every kind, made from a seed: the same on every machine.

use polysketch::model::ModelSource;
use polysketch::model::config::ModelConfig;
use polysketch::model::parameters::{ParameterKind, ParameterSpec};
use polysketch::model::tensor_file::{TensorData, safetensors_bytes};
use serde_json::{Value, json};

/// SplitMix64: seeded, and good enough for tests.
pub struct Rng(pub u64);

impl Rng {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A whole number below `n`.
    pub fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }

    /// A whole number of a closed range.
    pub fn within(&mut self, least: usize, most: usize) -> usize {
        least + self.below(most - least + 1)
    }

    pub fn pick<T: Clone>(&mut self, list: &[T]) -> T {
        list[self.below(list.len())].clone()
    }

    /// Uniform in (0, 1).
    pub fn uniform(&mut self) -> f64 {
        ((self.next() >> 11) as f64 + 0.5) / (1u64 << 53) as f64
    }

    pub fn normal(&mut self) -> f64 {
        (-2.0 * self.uniform().ln()).sqrt() * (std::f64::consts::TAU * self.uniform()).cos()
    }

    pub fn tokens(&mut self, n: usize, vocabulary: usize) -> Vec<u32> {
        (0..n).map(|_| self.below(vocabulary) as u32).collect()
    }
}

/// A model to be made: name, `config.json`, seed of its weights.
#[derive(Clone)]
pub struct Case {
    pub name: String,
    pub config: Value,
    pub seed: u64,
}

/// What is not attention.
#[derive(Clone, Copy)]
pub struct Body {
    pub vocabulary: usize,
    pub heads: usize,
    pub head: usize,
    pub layers: usize,
    pub mlp: usize,
}

impl Case {
    pub fn new(name: &str, seed: u64, body: Body, rope: (&str, &str), attention: Value) -> Self {
        let config = json!({
            "model_type": "polysketch", "vocab_size": body.vocabulary, "hidden_size": body.heads * body.head,
            "num_hidden_layers": body.layers, "num_attention_heads": body.heads, "intermediate_size": body.mlp,
            "activation": "gelu_tanh", "layer_norm_eps": 1e-5, "tie_word_embeddings": true,
            "logit_bias": seed % 2 == 1, "sinusoidal": seed % 5 == 2,
            "rope": { "where": rope.0, "theta": 10000.0, "layout": rope.1 }, "attention": attention,
        });
        Self { name: name.to_string(), config, seed }
    }

    pub fn parsed(&self) -> ModelConfig {
        ModelConfig::from_json(&self.config.to_string(), &self.name).unwrap().0
    }

    /// Whether the combination is one that a configuration may have.
    pub fn allowed(&self) -> bool {
        ModelConfig::from_json(&self.config.to_string(), &self.name).is_ok()
    }

    /// The block at whose ends the engine's state changes.
    pub fn block(&self) -> usize {
        if self.config["attention"]["kind"] == "polysketch" {
            self.config["attention"]["block_size"].as_u64().unwrap_or(128) as usize
        } else {
            64
        }
    }

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

    pub fn source(&self) -> ModelSource {
        self.source_of(&self.weights())
    }

    /// The same configuration with other weights.
    pub fn source_of(&self, weights: &[(ParameterSpec, Vec<f32>)]) -> ModelSource {
        let tensors: Vec<TensorData<'_>> =
            weights.iter().map(|(spec, values)| TensorData::f32(&spec.name, &spec.shape, values)).collect();
        ModelSource::from_bytes(&self.config.to_string(), safetensors_bytes(&tensors, &[]).unwrap(), None)
            .unwrap()
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
        ParameterKind::NormBias | ParameterKind::LogitBias => 0.2 * rng.normal(),
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
pub fn plain_cases() -> Vec<Case> {
    let mut rng = Rng(1);
    let mut list = Vec::new();
    let mut add = |name: &str, heads: usize, head: usize, rope: (&str, &str), attention: Value| {
        let seed = list.len() as u64;
        list.push(Case::new(name, seed, body(&mut rng, heads, head), rope, attention));
    };
    let scale = |head: usize| 1.0 / (head as f64).sqrt();
    add("softmax h=12 raw interleaved", 3, 12, ("raw", "interleaved"), json!({ "kind": "softmax" }));
    add("softmax h=64", 1, 64, ("none", "half"), json!({ "kind": "softmax" }));
    add("softmax h=128 raw", 1, 128, ("raw", "half"), json!({ "kind": "softmax" }));
    add("softmax h=4", 5, 4, ("none", "half"), json!({ "kind": "softmax" }));
    let polynomial = |degree: usize, head: usize, gate: &str, shared: bool| json!({ "kind": "polynomial", "degree": degree, "qk_scale": scale(head), "gate": gate, "shared_qk_norm": shared, "denominator_bias": 1.0 });
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
        let attention = json!({ "kind": "taylor", "degree": degree, "qk_scale": scale, "gate": gate, "denominator_bias": 1.0 });
        let rope =
            [("normed", "half"), ("raw", "half"), ("none", "half"), ("normed", "interleaved")][degree - 1];
        add(&format!("taylor g={degree} h={head} {gate}"), 2, head, rope, attention);
    }
    list
}

/// Every combination of a polysketch's options, at random sizes.
pub fn polysketch_cases() -> Vec<Case> {
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
) -> Option<Case> {
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
            json!({ "kind": kind, "size": size, "levels": rng.pick(&[1, 2, 3]), "expansion": rng.pick(&[1, 3, 8]) })
        }
        _ => json!({ "kind": kind, "size": size, "gain": (size as f64).powf(-0.5) / (head as f64).sqrt() }),
    };
    let attention = json!({
        "kind": "polysketch", "degree": degree, "qk_scale": 1.0 / (head as f64).sqrt(), "block_size": block, "denominator_bias": 1.0,
        "gate": gate, "local_exact": local, "shared_qk_norm": rng.below(3) == 0, "sketch_input": input, "sketch": sketch,
    });
    let name = format!(
        "{kind} h={head} r={size} p={degree} b={block} local={local} gate={gate} rope={}/{} {input}",
        rope.0, rope.1
    );
    let case = Case::new(&name, seed, body(rng, heads, head), rope, attention);
    case.allowed().then_some(case)
}

/// A few for adapters, where compiling shaders is dear: together they use every kernel and most flags.
pub fn few_cases() -> Vec<Case> {
    let attention = |kind: &str,
                     size: usize,
                     block: usize,
                     degree: usize,
                     local: bool,
                     gate: &str,
                     input: &str| {
        let sketch = match kind {
            "learned" => json!({ "kind": kind, "size": size, "levels": 2, "expansion": 3 }),
            _ => json!({ "kind": kind, "size": size, "gain": 0.1 }),
        };
        json!({ "kind": "polysketch", "degree": degree, "qk_scale": 0.3, "block_size": block, "denominator_bias": 1.0, "gate": gate,
            "local_exact": local, "shared_qk_norm": false, "sketch_input": input, "sketch": sketch })
    };
    let body = |heads: usize, head: usize| Body { vocabulary: 257 + head, heads, head, layers: 1, mlp: 20 };
    vec![
        Case::new(
            "few: learned local gated h=12",
            301,
            body(3, 12),
            ("normed", "interleaved"),
            attention("learned", 12, 8, 4, true, "scalar", "normed"),
        ),
        Case::new(
            "few: gaussian h=16 raw",
            302,
            body(2, 16),
            ("raw", "half"),
            attention("gaussian", 20, 48, 8, false, "scalar", "raw"),
        ),
        Case::new(
            "few: learned h=128",
            303,
            body(1, 128),
            ("none", "half"),
            attention("learned", 4, 128, 4, true, "none", "normed"),
        ),
        Case::new("few: softmax h=12", 305, body(2, 12), ("raw", "half"), json!({ "kind": "softmax" })),
        Case::new(
            "few: polynomial p=4 gated h=16",
            307,
            body(2, 16),
            ("normed", "half"),
            json!({ "kind": "polynomial", "degree": 4, "qk_scale": 0.25, "gate": "scalar" }),
        ),
        Case::new(
            "few: taylor g=3 h=8 gated",
            309,
            body(2, 8),
            ("raw", "interleaved"),
            json!({ "kind": "taylor", "degree": 3, "qk_scale": 0.1, "gate": "scalar" }),
        ),
    ]
}
