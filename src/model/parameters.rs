//! The tensors that a configuration expects in its checkpoint (SPEC §2).

use super::config::{AttentionKind, Gate, Linearized, ModelConfig, QkNorm, SketchConfig};
use crate::kernels::sketch::sketch_affine::Weights;

/// What a parameter is, for those who initialise or decay it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ParameterKind {
    /// Token embedding [V, d], also the output projection unless that has its own; or learned positions.
    Embedding,
    /// Weight of a Linear layer, [out, in].
    Linear,
    /// Scale of a norm.
    NormScale,
    /// Bias of a norm.
    NormBias,
    /// Bias of a Linear layer, `[out]`.
    LinearBias,
    /// Bias of the logits, `[V]`.
    LogitBias,
    /// Weight of the forget gate, [G, d].
    GateWeight,
    /// Bias of the forget gate, `[G]`.
    GateBias,
    /// Matrix of a random sketch, [in, r] (`x @ left`): stored, never trained.
    SketchBuffer,
}

impl ParameterKind {
    /// Whether training changes it.
    pub fn is_trained(self) -> bool {
        self != Self::SketchBuffer
    }

    /// Whether weight decay applies: matrices only.
    pub fn is_decayed(self) -> bool {
        matches!(self, Self::Embedding | Self::Linear | Self::GateWeight)
    }
}

/// One tensor of a checkpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParameterSpec {
    /// Name in the checkpoint.
    pub name: String,
    /// Shape, outermost dimension first.
    pub shape: Vec<usize>,
    /// What it is.
    pub kind: ParameterKind,
}

impl ParameterSpec {
    /// Number of elements.
    pub fn elements(&self) -> usize {
        self.shape.iter().product()
    }
}

impl ModelConfig {
    /// Every tensor of the checkpoint, in the order of the computation.
    pub fn parameters(&self) -> Vec<ParameterSpec> {
        let mut list = Vec::new();
        self.visit(
            &mut |name, shape, kind| list.push(ParameterSpec { name, shape: shape.to_vec(), kind }),
            0..self.num_hidden_layers,
        );
        list
    }

    /// Elements of all tensors of the checkpoint together, buffers of random sketches included.
    pub fn parameter_count(&self) -> u64 {
        let count = |layers: std::ops::Range<usize>| {
            let mut sum = 0u64;
            self.visit(
                &mut |_, shape, _| {
                    sum = sum.saturating_add(shape.iter().fold(1u64, |a, &n| a.saturating_mul(n as u64)));
                },
                layers,
            );
            sum
        };
        let (bare, one) = (count(0..0), count(0..1));
        bare.saturating_add((one - bare).saturating_mul(self.num_hidden_layers as u64))
    }

    /// Elements of the largest tensor.
    pub(super) fn largest_tensor(&self) -> u64 {
        let mut most = 0;
        self.visit(
            &mut |_, shape, _| {
                most = most.max(shape.iter().fold(1u64, |a, &n| a.saturating_mul(n as u64)));
            },
            0..1,
        );
        most
    }

    fn visit(&self, add: &mut dyn FnMut(String, &[usize], ParameterKind), layers: std::ops::Range<usize>) {
        use ParameterKind::{Embedding, LogitBias};
        let (v, d, m) = (self.vocab_size, self.hidden_size, self.intermediate_size);
        let (bias, mlp) = (self.norm.bias, self.biases.mlp);
        add("model.embed_tokens.weight".into(), &[v, d], Embedding);
        if self.learned_positions > 0 {
            add("model.embed_positions.weight".into(), &[self.learned_positions, d], Embedding);
        }
        for i in layers {
            let layer = format!("model.layers.{i}");
            norm(add, &format!("{layer}.input_layernorm"), d, bias);
            self.visit_attention(add, &format!("{layer}.self_attn"));
            if let Some(l) = self.linearized.as_ref().filter(|_| self.adapted().is_none()) {
                for (at, weights) in affine_sketches(self, l, &format!("{layer}.self_attn")) {
                    affine_sketch(add, &at, self.num_key_value_heads, weights);
                }
            }
            norm(add, &format!("{layer}.post_attention_layernorm"), d, bias);
            if self.mlp.gated {
                linear(add, &format!("{layer}.mlp.gate_proj"), [m, d], mlp);
            }
            linear(add, &format!("{layer}.mlp.up_proj"), [m, d], mlp);
            linear(add, &format!("{layer}.mlp.down_proj"), [d, m], mlp);
            if let Some(l) = self.adapted_in(i) {
                let (sketch, gate) = (linear_sketch(i), linear_gate(i));
                let of_sides = affine_sketches(self, l, "").map(|(_, weights)| weights.count());
                let numbers = self.num_key_value_heads * of_sides.iter().sum::<usize>();
                add(sketch, &[numbers], ParameterKind::LinearBias);
                add(gate, &[self.num_key_value_heads], ParameterKind::GateBias);
                let (qkv, queries) = (self.linear_qkv_width(), self.query_width());
                for (projection, [outputs, inputs]) in [("qkv", [qkv, d]), ("o", [d, queries])] {
                    if l.rank > 0 {
                        let [a, b] = linear_update(i, projection);
                        add(a, &[l.rank, inputs], ParameterKind::Linear);
                        add(b, &[outputs, l.rank], ParameterKind::Linear);
                    }
                }
            }
        }
        norm(add, "model.norm", d, bias);
        if !self.tie_word_embeddings {
            add("lm_head.weight".into(), &[v, d], ParameterKind::Linear);
        }
        if self.logit_bias {
            add("lm_head.bias".into(), &[v], LogitBias);
        }
    }

    /// Outputs of the joined projection of a linearised layer: queries, keys, values, gates padded to whole vectors.
    pub(super) fn linear_qkv_width(&self) -> usize {
        self.query_width() + 2 * self.key_width() + self.num_key_value_heads.next_multiple_of(4)
    }

    fn visit_attention(&self, add: &mut dyn FnMut(String, &[usize], ParameterKind), at: &str) {
        let (a, d, h) = (&self.attention, self.hidden_size, self.head_dim);
        for (projection, width) in
            [("q_proj", self.query_width()), ("k_proj", self.key_width()), ("v_proj", self.key_width())]
        {
            linear(add, &format!("{at}.{projection}"), [width, d], self.biases.qkv);
        }
        if a.has_normed_qk() {
            let bias = a.qk_norm == QkNorm::Layer;
            norm(add, &format!("{at}.q_norm"), h, bias);
            if !a.shared_qk_norm {
                norm(add, &format!("{at}.k_norm"), h, bias);
            }
        }
        if a.gate == Gate::Scalar && a.kind != AttentionKind::Softmax {
            let heads = self.num_key_value_heads;
            add(format!("{at}.gate_proj.weight"), &[heads, d], ParameterKind::GateWeight);
            if a.gate_bias {
                add(format!("{at}.gate_proj.bias"), &[heads], ParameterKind::GateBias);
            }
        }
        match &a.sketch {
            Some(sketch) if sketch.is_random() => {
                random_sketch(add, &format!("{at}.sketch"), h, sketch.size, a.degree / 2);
            }
            Some(sketch) => learned_sketch(add, &format!("{at}.sketch"), h, sketch),
            None => {}
        }
        linear(add, &format!("{at}.o_proj"), [d, self.query_width()], self.biases.o);
    }
}

/// The tensor of an adapter with the sketches of a layer, as their kernel reads them.
pub fn linear_sketch(layer: usize) -> String {
    format!("{ADAPTED}layers.{layer}.sketch")
}

/// The tensor of an adapter with the gates of a layer, `[G]`.
pub fn linear_gate(layer: usize) -> String {
    format!("{ADAPTED}layers.{layer}.gate")
}

/// The tensors of an adapter that are added to a projection, `qkv` or `o`, of a layer: `x Aᵀ Bᵀ` with A `[rank, inputs]`,
/// B `[outputs, rank]` (Hu et al. 2021).
pub fn linear_update(layer: usize, projection: &str) -> [String; 2] {
    ["a", "b"].map(|part| format!("{ADAPTED}layers.{layer}.{projection}.lora_{part}"))
}

/// The affine sketches of queries and of keys of a key head: what their names begin with, and their sizes.
pub(super) fn affine_sketches(config: &ModelConfig, l: &Linearized, at: &str) -> [(String, Weights); 2] {
    let group = config.num_attention_heads / config.num_key_value_heads.max(1);
    [("queries", group), ("keys", 1)].map(|(side, gains)| {
        let weights = Weights { head: config.head_dim, size: l.sketch, hidden: l.hidden, gains };
        (format!("{at}.sketch.{side}"), weights)
    })
}

/// Names and shapes of one key head's parts, in the order of [`Weights::parts`], padding left out.
pub(super) fn affine_parts(w: Weights) -> [(&'static str, Vec<usize>, ParameterKind); 7] {
    use ParameterKind::{Linear, LinearBias};
    let Weights { head, size, hidden, gains } = w;
    [
        ("mean", vec![head], LinearBias),
        ("base", vec![size], LinearBias),
        ("linear.weight", vec![size, head], Linear),
        ("up.weight", vec![hidden, head], Linear),
        ("down.weight", vec![size, hidden], Linear),
        ("gain", vec![gains, head], LinearBias),
        ("level", vec![gains], LinearBias),
    ]
}

/// The affine sketch of queries or keys, each tensor with a first dimension of key heads.
fn affine_sketch(add: &mut dyn FnMut(String, &[usize], ParameterKind), at: &str, heads: usize, w: Weights) {
    for (part, shape, kind) in affine_parts(w) {
        add(format!("{at}.{part}"), &[&[heads], &shape[..]].concat(), kind);
    }
}

/// What the names of an adapter's tensors begin with.
pub const ADAPTED: &str = "linear.";

fn linear(add: &mut dyn FnMut(String, &[usize], ParameterKind), at: &str, shape: [usize; 2], bias: bool) {
    add(format!("{at}.weight"), &shape, ParameterKind::Linear);
    if bias {
        add(format!("{at}.bias"), &shape[..1], ParameterKind::LinearBias);
    }
}

fn norm(add: &mut dyn FnMut(String, &[usize], ParameterKind), at: &str, n: usize, bias: bool) {
    add(format!("{at}.weight"), &[n], ParameterKind::NormScale);
    if bias {
        add(format!("{at}.bias"), &[n], ParameterKind::NormBias);
    }
}

fn learned_sketch(
    add: &mut dyn FnMut(String, &[usize], ParameterKind),
    at: &str,
    h: usize,
    sketch: &SketchConfig,
) {
    let (r, hidden) = (sketch.size, sketch.expansion * sketch.size);
    for branch in ["left", "right"] {
        for level in 0..sketch.levels {
            let (at, i) = (format!("{at}.{branch}.{level}"), if level == 0 { h } else { r });
            norm(add, &format!("{at}.norm"), i, true);
            add(format!("{at}.up.weight"), &[hidden, i], ParameterKind::Linear);
            add(format!("{at}.down.weight"), &[r, hidden], ParameterKind::Linear);
        }
    }
}

/// The tree of a random sketch of degree `m`: matrices here, halves of the degree in the children.
fn random_sketch(
    add: &mut dyn FnMut(String, &[usize], ParameterKind),
    at: &str,
    h: usize,
    r: usize,
    m: usize,
) {
    let i = if m <= 2 { h } else { r };
    add(format!("{at}.left"), &[i, r], ParameterKind::SketchBuffer);
    add(format!("{at}.right"), &[i, r], ParameterKind::SketchBuffer);
    if m > 2 {
        random_sketch(add, &format!("{at}.left_child"), h, r, m / 2);
        random_sketch(add, &format!("{at}.right_child"), h, r, m / 2);
    }
}

#[cfg(all(test, not(target_arch = "wasm32")))]
mod tests {
    use std::path::{Path, PathBuf};

    use super::*;
    use crate::model::bytes::at_once;
    use crate::model::checkpoint::Checkpoint;

    fn golden() -> Vec<PathBuf> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
        std::fs::read_dir(folder)
            .expect("lists")
            .map(|e| e.expect("lists").path())
            .filter(|p| p.join("config.json").is_file())
            .collect()
    }

    fn fingerprint(config: &ModelConfig, checkpoint: &Checkpoint) -> u64 {
        at_once(crate::model::fingerprint::fingerprint(config, checkpoint)).expect("mapped files are at hand")
    }

    fn load(dir: &Path) -> (ModelConfig, Checkpoint) {
        let text = std::fs::read_to_string(dir.join("config.json")).expect("reads");
        let (config, warnings) =
            ModelConfig::from_json(&text, "config.json").expect("golden configurations are good");
        assert_eq!(warnings, Vec::<String>::new(), "{dir:?}");
        let again: serde_json::Value = serde_json::from_str(&config.to_json()).expect("JSON");
        assert_eq!(again, serde_json::from_str::<serde_json::Value>(&text).expect("JSON"), "{dir:?}");
        (config, Checkpoint::open(dir).expect("golden weights are good"))
    }

    #[test]
    fn every_golden_model_has_exactly_the_expected_tensors() {
        let folders = golden();
        assert!(folders.len() >= 12);
        for dir in folders {
            let (config, checkpoint) = load(&dir);
            let specs = config.parameters();
            assert_eq!(checkpoint.check(&specs).expect("fits"), Vec::<String>::new(), "{dir:?}");
            let elements: u64 = specs.iter().map(|spec| spec.elements() as u64).sum();
            assert_eq!(config.parameter_count(), elements);
            assert_eq!(checkpoint.bytes_total(), 4 * elements);
            for spec in &specs {
                assert_eq!(checkpoint.f32(&spec.name).expect("finite").len(), spec.elements());
                assert!(checkpoint.f16_bits(&spec.name).is_ok());
            }
        }
    }

    #[test]
    fn fingerprints_tell_models_apart() {
        let folders = golden();
        let mut prints: Vec<u64> = folders
            .iter()
            .map(|dir| load(dir))
            .map(|(config, checkpoint)| fingerprint(&config, &checkpoint))
            .collect();
        let (mut config, checkpoint) = load(&folders[0]);
        assert_eq!(fingerprint(&config, &checkpoint), prints[0]);
        config.rope.theta += 1.0;
        prints.push(fingerprint(&config, &checkpoint));
        prints.sort_unstable();
        prints.dedup();
        assert_eq!(prints.len(), folders.len() + 1);
    }

    #[test]
    fn a_fingerprint_is_the_same_everywhere() {
        let config = r#"{"vocab_size":5,"hidden_size":4,"num_hidden_layers":1,"num_attention_heads":1,"intermediate_size":4,
            "rope":{"where":"none"},"attention":{"kind":"softmax"}}"#;
        let (config, _) = ModelConfig::from_json(config, "c").expect("good");
        let specs = config.parameters();
        let values: Vec<Vec<f32>> =
            specs.iter().map(|s| (0..s.elements()).map(|i| i as f32).collect()).collect();
        let tensors: Vec<_> = specs
            .iter()
            .zip(&values)
            .map(|(s, v)| crate::model::checkpoint::TensorData::f32(&s.name, &s.shape, v))
            .collect();
        let bytes = crate::model::checkpoint::safetensors_bytes(&tensors, &[]).expect("fits");
        let checkpoint = Checkpoint::from_bytes(bytes, "m").expect("sound");
        assert_eq!(
            fingerprint(&config, &checkpoint),
            13_667_246_396_806_154_179,
            "a change of this number makes every state file useless"
        );
    }
}
