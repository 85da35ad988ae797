//! Weights of a new model, from its configuration and a seed. Every tensor has random numbers of its own.

use super::random::Rng;
use crate::error::Result;
use crate::exec::check_memory;
use crate::model::checkpoint::{Checkpoint, TensorData, safetensors_bytes};
use crate::model::config::{ModelConfig, SketchConfig, SketchKind};
use crate::model::parameters::{ParameterKind, ParameterSpec};
use crate::model::{ModelSource, Tokenizer};

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
    Ok(ModelSource { config, checkpoint, tokenizer, warnings: Vec::new() })
}

/// Initial values of a parameter.
fn weights(config: &ModelConfig, spec: &ParameterSpec, seed: u64) -> Vec<f32> {
    let n = spec.elements();
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
            (0..n).map(|head| if n == 1 { 5.5 } else { 3.0 + 5.0 * head as f32 / (n - 1) as f32 }).collect()
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
}
