//! The metadata of a GGUF file from the configuration of its model: what `gguf.rs` reads.

use std::collections::BTreeMap;

use super::gguf::ARCHITECTURES;
use crate::attention::RopeScaling;
use crate::error::{Error, ErrorKind, Result};
use crate::model::config::{Family, ModelConfig};
use crate::model::gguf::Value;

/// The family that a model has in a GGUF file.
///
/// # Errors
/// [`ErrorKind::Input`] for one that has none there, with the list of those that have.
pub fn family(config: &ModelConfig) -> Result<Family> {
    match config.family {
        // Its block is Llama's.
        Family::Mistral => Ok(Family::Llama),
        family if ARCHITECTURES.contains(&family) => Ok(family),
        family => {
            let list: Vec<&str> = ARCHITECTURES.iter().map(|family| family.as_str()).collect();
            let text = format!(
                "a model of the family {family} has no GGUF file; models of {} and mistral have",
                list.join(", ")
            );
            Err(Error::new(ErrorKind::Input, text).help("give a folder in the place of the .gguf file"))
        }
    }
}

/// Tokens of a text where the configuration does not say: what transformers takes.
fn usual_context(config: &ModelConfig) -> usize {
    match config.family {
        Family::Gpt2 => config.learned_positions,
        Family::Mistral => 131_072,
        Family::Qwen2 | Family::Qwen3 => 32_768,
        Family::Starcoder2 => 4096,
        _ => 2048,
    }
}

/// The keys of the architecture.
///
/// # Errors
/// As [`family`].
pub fn keys(config: &ModelConfig) -> Result<BTreeMap<String, Value>> {
    let family = family(config)?;
    let context = config.stated_context().unwrap_or_else(|| usual_context(config) as u64);
    let head = config.head_dim;
    let mut map = BTreeMap::from([("general.architecture".to_string(), Value::Text(family.as_str().into()))]);
    let mut put = |key: &str, value: Value| map.insert(format!("{family}.{key}"), value);
    let int = |n: usize| Value::Int(n as i128);
    // Readers take floats of 32 bits.
    let float = |x: f64| Value::Float(f64::from(x as f32));
    put("context_length", Value::Int(i128::from(context)));
    put("embedding_length", int(config.hidden_size));
    put("block_count", int(config.num_hidden_layers));
    put("feed_forward_length", int(config.intermediate_size));
    put("vocab_size", int(config.vocab_size));
    put("attention.head_count", int(config.num_attention_heads));
    put("attention.head_count_kv", int(config.num_key_value_heads));
    let epsilon = match family {
        Family::Starcoder2 | Family::Gpt2 => "attention.layer_norm_epsilon",
        _ => "attention.layer_norm_rms_epsilon",
    };
    put(epsilon, float(config.norm.eps));
    if config.query_width() != config.hidden_size {
        put("attention.key_length", int(head));
        put("attention.value_length", int(head));
    }
    if family != Family::Gpt2 {
        put("rope.freq_base", float(config.rope.theta));
        put("rope.dimension_count", int(config.rope.rotary_dim));
        if let RopeScaling::Linear { factor } = &config.rope.scaling {
            put("rope.scaling.type", Value::Text("linear".into()));
            put("rope.scaling.factor", float(*factor));
        }
    }
    Ok(map)
}

/// What the frequencies of rotation are divided by, where one number does not say it.
pub fn divisors(config: &ModelConfig) -> Option<Vec<f32>> {
    let rope = &config.rope;
    match &rope.scaling {
        RopeScaling::None | RopeScaling::Linear { .. } => None,
        RopeScaling::Divisors(divisors) => Some(divisors.clone()),
        scaling @ RopeScaling::Llama3 { .. } => {
            let plain = RopeScaling::None.frequencies(rope.rotary_dim, rope.theta);
            let scaled = scaling.frequencies(rope.rotary_dim, rope.theta);
            Some(plain.into_iter().zip(scaled).map(|(plain, scaled)| (plain / scaled) as f32).collect())
        }
    }
}

/// The scaling of Llama 3 that divides the frequencies so, if it is one with the factors 1 and 4 that all
/// such models have; what is left open is the length of the texts they were first trained on.
pub fn llama3(divisors: &[f32], theta: f64) -> Option<RopeScaling> {
    let (low, high) = (1.0, 4.0);
    let factor = f64::from(divisors.iter().copied().fold(0.0, f32::max));
    if factor <= 1.0 {
        return None;
    }
    let plain = RopeScaling::None.frequencies(2 * divisors.len(), theta);
    // A frequency between the two kinds tells it; without one, any length in between does.
    let between = plain.iter().zip(divisors).filter_map(|(plain, d)| {
        let share = (1.0 / f64::from(*d) - 1.0 / factor) / (1.0 - 1.0 / factor);
        let turns = low + share * (high - low);
        (share > 0.0 && share < 1.0).then(|| (turns * std::f64::consts::TAU / plain).round())
    });
    let powers = (4..24).map(|n| f64::from(1u32 << n));
    between.chain(powers).map(|original| RopeScaling::Llama3 { factor, low, high, original }).find(
        |scaling| {
            let scaled = scaling.frequencies(2 * divisors.len(), theta);
            plain.iter().zip(scaled).zip(divisors).all(|((plain, scaled), d)| {
                let wanted = f64::from(*d);
                (plain / scaled - wanted).abs() <= 1e-6 * wanted
            })
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scaling_of_llama_3_is_found_in_its_divisors() {
        for (head, theta, factor, original) in
            [(128, 5e5, 8.0, 8192.0), (64, 5e5, 32.0, 8192.0), (16, 1e4, 8.0, 64.0), (32, 1e4, 4.0, 100.0)]
        {
            let scaling = RopeScaling::Llama3 { factor, low: 1.0, high: 4.0, original };
            let (plain, scaled) =
                (RopeScaling::None.frequencies(head, theta), scaling.frequencies(head, theta));
            let mut divisors: Vec<f32> = plain.iter().zip(scaled).map(|(p, s)| (p / s) as f32).collect();
            assert_eq!(llama3(&divisors, theta), Some(scaling));
            divisors[0] = 1.5;
            assert_eq!(llama3(&divisors, theta), None);
        }
        assert_eq!(llama3(&[1.0, 1.0], 1e4), None);
    }
}
