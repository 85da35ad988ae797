//! Public models: their configurations and the names of their tensors, mapped onto our own (SPEC §9). A family
//! is one short file that says how its `config.json` reads as a [`ModelConfig`] and where
//! each tensor of ours lies in its checkpoint.
//!
//! | file | families |
//! |---|---|
//! | `llama.rs` | llama, mistral, qwen2, qwen3, brumby: RMSNorm, gated SiLU, our own names |
//! | `starcoder2.rs` | starcoder2, powercoder: LayerNorm with biases, plain MLP |
//! | `gpt2.rs` | gpt2: learned positions, transposed and fused matrices |
//! | `gpt_neox.rs` | gpt_neox: partial rotation, parallel residual, matrices fused head by head |
//! | `gguf.rs` | all of them in GGUF files: metadata as a `config.json`, names |
//! | `gguf_keys.rs` | from a configuration to those metadata |
//! | `place.rs` | where a tensor of ours lies: some rows of one, or turned |
//! | `common.rs` | keys that several families have, and those that none may have |

mod common;
pub mod gguf;
#[cfg(not(target_arch = "wasm32"))]
pub(super) mod gguf_keys;
mod gpt2;
mod gpt_neox;
mod llama;
mod place;
mod starcoder2;

use serde_json::{Map, Value};

use super::config::{Family, ModelConfig};
use super::config_reader::{Checked, Fault};
use super::parameters::ADAPTED;
pub use place::Place;

/// Reads the `config.json` of a public family.
pub(super) fn read(
    family: Family,
    map: &Map<String, Value>,
    notes: &mut Vec<String>,
) -> Checked<ModelConfig> {
    match family {
        Family::Llama | Family::Mistral | Family::Qwen2 | Family::Qwen3 | Family::Brumby => {
            llama::read(family, map, notes)
        }
        Family::Starcoder2 | Family::Powercoder => starcoder2::read(family, map, notes),
        Family::Gpt2 => gpt2::read(map, notes),
        Family::GptNeox => gpt_neox::read(map, notes),
        Family::Polysketch => Err(Fault::new("model_type", "\"polysketch\"", "another family's")),
    }
}

/// The family of a `model_type`.
pub(super) fn named(model_type: &str) -> Option<Family> {
    Family::ALL.iter().copied().find(|family| family.as_str() == model_type)
}

/// Name, shape, values.
type Tensor = (String, Vec<usize>, Vec<f32>);

/// The names of a checkpoint's tensors.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Names {
    family: Option<Family>,
    /// GPT-2: names begin with `transformer.`.
    prefixed: bool,
    heads: usize,
    width: usize,
    /// Of a GGUF file.
    gguf: Option<gguf::Rows>,
}

impl Names {
    /// Of a model whose checkpoint has a tensor where `has` says so.
    pub fn of(config: &ModelConfig, has: impl Fn(&str) -> bool) -> Self {
        let family = Some(config.family).filter(|family| *family != Family::Polysketch);
        let (heads, width) = (config.num_attention_heads, config.hidden_size);
        Self { family, prefixed: has("transformer.wte.weight"), heads, width, gguf: None }
    }

    /// Of a model in a GGUF file.
    pub fn of_gguf(config: &ModelConfig) -> Self {
        let rows = gguf::Rows {
            heads: [config.num_attention_heads, config.num_key_value_heads],
            head: config.head_dim,
            paired: config.family == Family::Llama,
            fused: config.family == Family::Gpt2,
        };
        Self { gguf: Some(rows), ..Self::of(config, |_| false) }
    }

    /// Where a tensor of ours lies.
    pub fn place(&self, ours: &str) -> Place {
        if ours.starts_with(ADAPTED) {
            return Place::whole(ours);
        }
        if let Some(rows) = &self.gguf {
            return gguf::place(ours, rows);
        }
        match self.family {
            None | Some(Family::Polysketch) => Place::whole(ours),
            Some(Family::Gpt2) => gpt2::place(ours, self.prefixed, self.width),
            Some(Family::GptNeox) => gpt_neox::place(ours, self.heads, self.width),
            Some(Family::Starcoder2 | Family::Powercoder) => starcoder2::place(ours),
            Some(_) => llama::place(ours),
        }
    }

    /// Our tensors as those of the file they come from: joined and turned where the file has them so.
    pub fn to_file(&self, tensors: Vec<Tensor>) -> Vec<Tensor> {
        let mut list: Vec<Tensor> = Vec::with_capacity(tensors.len());
        let mut at = std::collections::HashMap::new();
        for (name, ours, values) in tensors {
            let place = self.place(&name);
            let shape = place.shape_in_file(&ours);
            let i = *at.entry(place.name.clone()).or_insert_with(|| {
                let zeros = vec![0.0; shape.iter().product()];
                list.push((place.name.clone(), shape, zeros));
                list.len() - 1
            });
            place.put(&values, &ours, &mut list[i].2);
        }
        list
    }

    /// Whether a tensor that no one asks for is an error: in a GGUF file all of them count.
    pub fn is_strict(&self) -> bool {
        self.gguf.is_some()
    }

    /// Whether a tensor that no one asks for says nothing: buffers that older files hold, and heads that are tied.
    pub fn is_idle(&self, name: &str) -> bool {
        if self.gguf.is_some() {
            // Frequencies are in the configuration.
            return name == gguf::FREQUENCIES || name.ends_with(".attn_rot_embd");
        }
        const BUFFERS: [&str; 5] =
            ["rotary_emb.inv_freq", ".attn.bias", ".attn.masked_bias", ".attention.bias", ".masked_bias"];
        self.family.is_some() && (BUFFERS.iter().any(|end| name.ends_with(end)) || name == "lm_head.weight")
    }
}

/// What only the checkpoint tells of a configuration.
pub fn settle(config: &mut ModelConfig, has: impl Fn(&str) -> bool) {
    // Its configuration does not say whether the head is tied; the file has one where it is not.
    if config.family == Family::Powercoder {
        config.tie_word_embeddings = !has("lm_head.weight");
    }
}
