//! Weights of a new model, from its configuration and a seed. Every tensor has random numbers of its own.

use super::random::Rng;
use crate::error::Result;
use crate::exec::check_memory;
use crate::model::checkpoint::{Checkpoint, TensorData, safetensors_bytes};
use crate::model::config::{ModelConfig, SketchConfig, SketchKind};
use crate::model::parameters::{ParameterKind, ParameterSpec};
use crate::model::{Conventions, ModelSource, Tokenizer};

/// Standard deviation of embeddings and projections (GPT-2's).
const SPREAD: f64 = 0.02;

/// A new model.
///
/// # Errors
/// [`ErrorKind::Config`](crate::ErrorKind::Config) if the configuration is impossible,
/// [`ErrorKind::OutOfMemory`](crate::ErrorKind::OutOfMemory) if this machine cannot hold the weights.
pub fn new_model(config: ModelConfig, tokenizer: Tokenizer, seed: u64) -> Result<ModelSource> {
    config.validate()?;
    // The values, and the bytes of the checkpoint.
    check_memory("a new model", config.parameter_count().saturating_mul(8), "use a smaller configuration")?;
    let specs = config.parameters();
    let values: Vec<Vec<f32>> = specs.iter().map(|spec| weights(&config, spec, seed)).collect();
    let tensors: Vec<TensorData<'_>> =
        specs.iter().zip(&values).map(|(s, v)| TensorData::f32(&s.name, &s.shape, v)).collect();
    let checkpoint = Checkpoint::from_bytes(safetensors_bytes(&tensors, &[])?, "the new model")?;
    Ok(ModelSource {
        config,
        checkpoint,
        tokenizer,
        conventions: Conventions::default(),
        warnings: Vec::new(),
    })
}

/// Initial values of a parameter.
fn weights(config: &ModelConfig, spec: &ParameterSpec, seed: u64) -> Vec<f32> {
    let n = spec.elements();
    if let (Some(_), Some((at, part))) = (&config.linearized, spec.name.split_once(".sketch.")) {
        return affine(config, spec, at, part, seed);
    }
    let mut rng = Rng::new(seed, &spec.name, 0);
    let mut normal = |spread: f64| (0..n).map(|_| (spread * rng.normal()) as f32).collect();
    match spec.kind {
        // A gate starts at its bias, the same for every token.
        ParameterKind::NormBias
        | ParameterKind::LogitBias
        | ParameterKind::LinearBias
        | ParameterKind::GateWeight => vec![0.0; n],
        ParameterKind::NormScale => vec![1.0; n],
        ParameterKind::GateBias => {
            // Of linearised attention only what is far is forgotten: to a half in 280 to 5 600 tokens.
            let (least, range) = if config.linearized.is_some() { (6.0, 3.0) } else { (3.0, 5.0) };
            let share = |head: usize| if n == 1 { 0.5 } else { head as f32 / (n - 1) as f32 };
            (0..n).map(|head| least + range * share(head)).collect()
        }
        ParameterKind::Embedding => normal(SPREAD),
        ParameterKind::Linear if spec.name.contains(".sketch.") => {
            // What a plain Linear layer has: the sketch is a small network behind a norm.
            let bound = 1.0 / (spec.shape[1] as f64).sqrt();
            (0..n).map(|_| (bound * (2.0 * rng.uniform() - 1.0)) as f32).collect()
        }
        // The sum of all that is added to the residual stream stays of one size at any depth.
        ParameterKind::Linear
            if [".o_proj.weight", ".down_proj.weight"].iter().any(|end| spec.name.ends_with(end)) =>
        {
            normal(SPREAD / (2.0 * config.num_hidden_layers as f64).sqrt())
        }
        ParameterKind::Linear => normal(SPREAD),
        ParameterKind::SketchBuffer => match &config.attention.sketch {
            Some(sketch) if sketch.kind == SketchKind::Hadamard && is_leaf(config, spec) => {
                hadamard(sketch, spec.shape[0], &mut rng)
            }
            _ => normal(1.0),
        },
    }
}

/// An affine sketch (SPEC §10) at the start: `[1, W x]` with one random W for queries and keys of a head, so that
/// `⟨s(q), s(k)⟩² ~ (1 + c⟨q, k⟩ / 2)² ~ exp(c⟨q, k⟩)` for vectors as norms leave them. The rest is silent and learns.
fn affine(config: &ModelConfig, spec: &ParameterSpec, at: &str, part: &str, seed: u64) -> Vec<f32> {
    let n = spec.elements();
    let (side, part) = part.split_once('.').unwrap_or(("", part));
    let inputs = *spec.shape.last().unwrap_or(&1);
    let normal = |name: &str, spread: f64| -> Vec<f32> {
        let mut rng = Rng::new(seed, name, 0);
        (0..n).map(|_| (spread * rng.normal()) as f32).collect()
    };
    match part {
        "base" => (0..n).map(|i| if i % inputs == 0 { 1.0 } else { 0.0 }).collect(),
        "linear.weight" => {
            let (rows, c) = (spec.shape[1], 1.0 / (config.head_dim as f64).sqrt());
            let mut w = normal(&format!("{at}.sketch.linear"), (c / 2.0 / (rows - 1) as f64).sqrt());
            // The first column is the constant's.
            w.chunks_mut(rows * inputs).for_each(|head| head[..inputs].fill(0.0));
            w
        }
        "up.weight" => normal(&format!("{at}.sketch.{side}.up"), 1.0 / (inputs as f64).sqrt()),
        _ => vec![0.0; n],
    }
}

/// Whether a matrix of a random sketch reads the head itself, rather than the sketches below it (SPEC §1).
fn is_leaf(config: &ModelConfig, spec: &ParameterSpec) -> bool {
    let depth = spec.name.matches("_child.").count() as u32;
    (config.attention.degree / 2) >> depth <= 2
}

/// Columns of the Hadamard matrix of `h` rows under one random sign a row, [h, r]. No column comes twice
/// before all have come.
fn hadamard(sketch: &SketchConfig, h: usize, rng: &mut Rng) -> Vec<f32> {
    let r = sketch.size;
    let signs: Vec<f32> = (0..h).map(|_| if rng.bits() & 1 == 0 { 1.0 } else { -1.0 }).collect();
    let mut columns = Vec::new();
    while columns.len() < r {
        columns.extend(rng.sample(h, h.min(r - columns.len())));
    }
    let entry = |row: usize, column: usize| {
        if (row & column).count_ones().is_multiple_of(2) { signs[row] } else { -signs[row] }
    };
    (0..h)
        .flat_map(|row| columns.iter().map(move |column| (row, *column)))
        .map(|(row, column)| entry(row, column))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn config(attention: Value) -> ModelConfig {
        let json = json!({
            "vocab_size": 300, "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 96,
            "rope": { "where": "normed" }, "logit_bias": true, "attention": attention,
        });
        ModelConfig::from_value(&json, "test").expect("good").0
    }

    fn new(attention: Value) -> ModelSource {
        new_model(config(attention), Tokenizer::bytes(), 1).expect("makes")
    }

    fn spread(source: &ModelSource, name: &str) -> f64 {
        let values = source.checkpoint.f32(name).expect("is there");
        (values.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>() / values.len() as f64).sqrt()
    }

    fn gated() -> ModelSource {
        new(
            json!({ "kind": "polysketch", "degree": 4, "qk_scale": 0.25, "gate": "scalar", "local_exact": true, "block_size": 8, "denominator_bias": 1.0,
            "shared_qk_norm": false, "sketch_input": "normed", "sketch": { "kind": "learned", "size": 8, "levels": 2, "expansion": 4 } }),
        )
    }

    #[test]
    fn every_parameter_is_there_at_its_scale() {
        let source = gated();
        assert_eq!(source.checkpoint.check(&source.config.parameters()).expect("fits"), Vec::<String>::new());
        let close = |name: &str, want: f64| {
            let got = spread(&source, name);
            assert!((got / want - 1.0).abs() < 0.06, "{name}: {got}, not {want}");
        };
        close("model.embed_tokens.weight", 0.02);
        close("model.layers.1.self_attn.q_proj.weight", 0.02);
        close("model.layers.1.mlp.gate_proj.weight", 0.02);
        close("model.layers.0.self_attn.o_proj.weight", 0.01);
        close("model.layers.0.mlp.down_proj.weight", 0.01);
        // Uniform up to 1/√inputs.
        close("model.layers.0.self_attn.sketch.left.0.up.weight", 0.25 / 3f64.sqrt());
        close("model.layers.0.self_attn.sketch.right.1.down.weight", 32f64.powf(-0.5) / 3f64.sqrt());
        let values = |name: &str| source.checkpoint.f32(name).expect("is there");
        assert!(values("model.layers.0.self_attn.gate_proj.weight").iter().all(|x| *x == 0.0));
        let bias = values("model.layers.0.self_attn.gate_proj.bias");
        assert!(
            bias.iter().zip([3.0, 14.0 / 3.0, 19.0 / 3.0, 8.0]).all(|(a, b)| (a - b).abs() < 1e-6),
            "{bias:?}"
        );
        assert!(
            values("model.norm.weight").iter().all(|x| *x == 1.0)
                && values("lm_head.bias").iter().all(|x| *x == 0.0)
        );
    }

    #[test]
    fn seeds_and_names_tell_weights_apart() {
        let (a, b) = (gated(), gated());
        let other = new_model(a.config.clone(), Tokenizer::bytes(), 2).expect("makes");
        let values = |s: &ModelSource, name: &str| s.checkpoint.f32(name).expect("is there");
        let (q, k) = ("model.layers.0.self_attn.q_proj.weight", "model.layers.0.self_attn.k_proj.weight");
        assert_eq!(values(&a, q), values(&b, q));
        assert_ne!(values(&a, q), values(&a, k));
        assert_ne!(values(&a, q), values(&other, q));
    }

    #[test]
    fn hadamard_columns_are_orthogonal_at_the_leaves() {
        let source = new(json!({ "kind": "polysketch", "degree": 8, "qk_scale": 0.25, "local_exact": false,
            "sketch": { "kind": "hadamard", "size": 12 } }));
        let at = |name: &str| {
            source.checkpoint.f32(&format!("model.layers.0.self_attn.sketch.{name}")).expect("is there")
        };
        let leaf = at("left_child.right");
        assert_eq!(leaf.len(), 16 * 12);
        for i in 0..12 {
            for j in 0..12 {
                let dot: f32 = (0..16).map(|row| leaf[row * 12 + i] * leaf[row * 12 + j]).sum();
                assert_eq!(dot, if i == j { 16.0 } else { 0.0 });
            }
        }
        assert!(at("left").iter().any(|x| x.abs() != 1.0), "the root is gaussian");
        // More columns than there are.
        let source = new(json!({ "kind": "polysketch", "degree": 4, "qk_scale": 0.25, "local_exact": false,
            "sketch": { "kind": "hadamard", "size": 20 } }));
        assert_eq!(
            source.checkpoint.f32("model.layers.1.self_attn.sketch.left").expect("is there").len(),
            16 * 20
        );
        let gaussian =
            new(json!({ "kind": "polysketch", "degree": 4, "qk_scale": 0.25, "local_exact": false,
            "sketch": { "kind": "gaussian", "size": 20 } }));
        assert!((spread(&gaussian, "model.layers.0.self_attn.sketch.left") - 1.0).abs() < 0.15);
    }

    /// What is far counts about as much as the exact kernel would make it count: neither nothing nor everything.
    #[test]
    fn affine_sketches_begin_near_the_exponential() {
        let source =
            new(json!({ "kind": "linearized", "gate": "scalar", "sketch": { "size": 16, "hidden": 8 } }));
        assert_eq!(source.checkpoint.check(&source.config.parameters()).expect("fits"), Vec::<String>::new());
        let of_layer = |name: &str| {
            source.checkpoint.f32(&format!("model.layers.1.self_attn.{name}")).expect("is there")
        };
        let at = |name: &str| of_layer(&format!("sketch.{name}"));
        let gates = of_layer("gate_proj.bias");
        assert!(
            gates.iter().zip([6.0, 7.0, 8.0, 9.0]).all(|(is, want)| (is - want).abs() < 1e-5),
            "{gates:?}"
        );
        let (heads, h, r) = (4, 16, 16);
        let w = at("queries.linear.weight");
        assert_eq!(w, at("keys.linear.weight"));
        assert_ne!(w[..h * r], w[h * r..2 * h * r], "heads differ");
        assert!(at("queries.base").chunks(r).all(|c| c[0] == 1.0 && c[1..].iter().all(|x| *x == 0.0)));
        for silent in ["mean", "down.weight", "gain", "level"] {
            assert!(
                ["queries", "keys"].iter().all(|s| at(&format!("{s}.{silent}")).iter().all(|x| *x == 0.0))
            );
        }
        assert!(at("queries.up.weight") != at("keys.up.weight"));
        // Means over pairs of normed vectors, which make angles of a few sizes.
        let mut rng = Rng::new(7, "pairs", 0);
        let (mut sums, mut exact) = (0.0, 0.0);
        for _ in 0..400 {
            let q: Vec<f64> = (0..h).map(|_| rng.normal()).collect();
            let k: Vec<f64> = q.iter().map(|q| 0.5 * q + 0.75f64.sqrt() * rng.normal()).collect();
            let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
            for w in w.chunks(h * r).take(heads) {
                let s = |x: &[f64]| -> Vec<f64> {
                    let row = |row: &[f32]| row.iter().zip(x).map(|(w, x)| f64::from(*w) * x).sum::<f64>();
                    w.chunks(h).enumerate().map(|(i, w)| if i == 0 { 1.0 } else { row(w) }).collect()
                };
                sums += dot(&s(&q), &s(&k)).powi(2);
                exact += (1.0 + dot(&q, &k) / (h as f64).sqrt() / 2.0).powi(2);
            }
        }
        assert!((sums / exact - 1.0).abs() < 0.35, "{sums} of {exact}");
    }
}
