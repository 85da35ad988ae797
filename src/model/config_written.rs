//! Writing `config.json`: only the keys that a model reads.

use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};
use serde_json::json;

use super::config::{
    AttentionConfig, AttentionKind, Linearized, ModelConfig, NormKind, RopeConfig, SketchConfig,
};
use crate::attention::RopeScaling;

impl Serialize for ModelConfig {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        if let Some(origin) = &self.origin {
            return origin.serialize(s);
        }
        let mut m = s.serialize_map(None)?;
        m.serialize_entry("model_type", "polysketch")?;
        m.serialize_entry("vocab_size", &self.vocab_size)?;
        m.serialize_entry("hidden_size", &self.hidden_size)?;
        m.serialize_entry("num_hidden_layers", &self.num_hidden_layers)?;
        m.serialize_entry("num_attention_heads", &self.num_attention_heads)?;
        if self.num_key_value_heads != self.num_attention_heads {
            m.serialize_entry("num_key_value_heads", &self.num_key_value_heads)?;
        }
        if self.query_width() != self.hidden_size {
            m.serialize_entry("head_dim", &self.head_dim)?;
        }
        m.serialize_entry("intermediate_size", &self.intermediate_size)?;
        m.serialize_entry("activation", &self.mlp.activation)?;
        if !self.mlp.gated {
            m.serialize_entry("gated_mlp", &false)?;
        }
        match self.norm.kind {
            NormKind::Layer => m.serialize_entry("layer_norm_eps", &self.norm.eps)?,
            NormKind::Rms => m.serialize_entry("rms_norm_eps", &self.norm.eps)?,
        }
        if self.norm.bias != (self.norm.kind == NormKind::Layer) {
            m.serialize_entry("norm_bias", &self.norm.bias)?;
        }
        for (key, on) in [
            ("qkv_bias", self.biases.qkv),
            ("o_bias", self.biases.o),
            ("mlp_bias", self.biases.mlp),
            ("parallel_residual", self.parallel_residual),
        ] {
            if on {
                m.serialize_entry(key, &true)?;
            }
        }
        m.serialize_entry("tie_word_embeddings", &self.tie_word_embeddings)?;
        m.serialize_entry("logit_bias", &self.logit_bias)?;
        m.serialize_entry("sinusoidal", &self.sinusoidal)?;
        if self.learned_positions > 0 {
            m.serialize_entry("learned_positions", &self.learned_positions)?;
        }
        m.serialize_entry("rope", &Rope(&self.rope, self.head_dim))?;
        match &self.eos_token_id[..] {
            [] => {}
            [id] => m.serialize_entry("eos_token_id", id)?,
            ids => m.serialize_entry("eos_token_id", ids)?,
        }
        match &self.linearized {
            Some(l) if self.attention.kind == AttentionKind::Linearized => {
                m.serialize_entry("attention", &OwnLinearized(&self.attention, l))?;
            }
            _ => m.serialize_entry("attention", &self.attention)?,
        }
        m.end()
    }
}

/// Attention of the kind [`AttentionKind::Linearized`], with its sizes.
struct OwnLinearized<'a>(&'a AttentionConfig, &'a Linearized);

impl Serialize for OwnLinearized<'_> {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        let (a, l) = (self.0, self.1);
        let mut m = s.serialize_map(None)?;
        m.serialize_entry("kind", &a.kind)?;
        m.serialize_entry("block_size", &l.block_size)?;
        match l.near.first() {
            Some(near) if l.near.iter().all(|n| n == near) => m.serialize_entry("near", near)?,
            _ => m.serialize_entry("near", &l.near)?,
        }
        m.serialize_entry("sinks", &l.sinks)?;
        if l.sink_reach > 0 {
            m.serialize_entry("sink_reach", &l.sink_reach)?;
        }
        m.serialize_entry("qk_norm", &a.qk_norm)?;
        m.serialize_entry("shared_qk_norm", &a.shared_qk_norm)?;
        m.serialize_entry("gate", &a.gate)?;
        if !a.gate_bias {
            m.serialize_entry("gate_bias", &false)?;
        }
        let sketch = json!({ "size": l.sketch, "hidden": l.hidden, "turned": l.turned });
        m.serialize_entry("sketch", &sketch)?;
        m.end()
    }
}

/// A rope of heads of so many components.
struct Rope<'a>(&'a RopeConfig, usize);

impl Serialize for Rope<'_> {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        let (rope, head) = (self.0, self.1);
        let mut m = s.serialize_map(None)?;
        m.serialize_entry("where", &rope.where_)?;
        m.serialize_entry("theta", &rope.theta)?;
        m.serialize_entry("layout", &rope.layout)?;
        if rope.rotary_dim != head {
            m.serialize_entry("rotary_dim", &rope.rotary_dim)?;
        }
        match &rope.scaling {
            RopeScaling::None => {}
            RopeScaling::Linear { factor } => {
                m.serialize_entry("scaling", &json!({ "type": "linear", "factor": factor }))?;
            }
            RopeScaling::Llama3 { factor, low, high, original } => {
                let scaling = json!({
                    "type": "llama3", "factor": factor, "low_freq_factor": low, "high_freq_factor": high,
                    "original_max_position_embeddings": original,
                });
                m.serialize_entry("scaling", &scaling)?;
            }
            RopeScaling::Divisors(divisors) => {
                m.serialize_entry("scaling", &json!({ "type": "divisors", "divisors": divisors }))?;
            }
        }
        m.end()
    }
}

/// Only the keys that the kind reads.
impl Serialize for AttentionConfig {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        let mut m = s.serialize_map(None)?;
        m.serialize_entry("kind", &self.kind)?;
        if self.kind != AttentionKind::Softmax {
            m.serialize_entry("degree", &self.degree)?;
            m.serialize_entry("qk_scale", &self.qk_scale)?;
            if self.kind == AttentionKind::Polysketch || self.block_size != Self::BLOCK_SIZE {
                m.serialize_entry("block_size", &self.block_size)?;
            }
            m.serialize_entry("denominator_bias", &self.denominator_bias)?;
            m.serialize_entry("shared_qk_norm", &self.shared_qk_norm)?;
        }
        if self.qk_norm != Self::usual_qk_norm(self.kind) {
            m.serialize_entry("qk_norm", &self.qk_norm)?;
        }
        m.serialize_entry("gate", &self.gate)?;
        if !self.gate_bias {
            m.serialize_entry("gate_bias", &false)?;
        }
        if !self.causal {
            m.serialize_entry("causal", &false)?;
        }
        if let Some(sketch) = &self.sketch {
            m.serialize_entry("local_exact", &self.local_exact)?;
            m.serialize_entry("sketch_input", &self.sketch_input)?;
            m.serialize_entry("sketch", sketch)?;
        }
        m.end()
    }
}

impl Serialize for SketchConfig {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        let mut m = s.serialize_map(None)?;
        m.serialize_entry("kind", &self.kind)?;
        m.serialize_entry("size", &self.size)?;
        if self.is_random() {
            m.serialize_entry("gain", &self.gain)?;
        } else {
            m.serialize_entry("levels", &self.levels)?;
            m.serialize_entry("expansion", &self.expansion)?;
        }
        m.end()
    }
}
