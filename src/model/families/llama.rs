//! Llama and what has its block: Mistral, Qwen 2 and 3, Brumby. Our own names are theirs.

use serde_json::{Map, Value};

use super::common::{self, Sizes};
use super::place::Place;
use crate::model::config::{Family, ModelConfig, QkNorm, RopeWhere};
use crate::model::config_reader::{Checked, Fault, Object};

pub(super) fn read(
    family: Family,
    map: &Map<String, Value>,
    notes: &mut Vec<String>,
) -> Checked<ModelConfig> {
    let mut o = Object::new("", map);
    let mut c = Sizes::read(&mut o)?.model(family, map);
    c.norm.eps = o.number("rms_norm_eps")?.unwrap_or(c.norm.eps);
    c.mlp.activation = common::activation(&mut o, "hidden_act")?;
    let tied = !matches!(family, Family::Llama | Family::Mistral);
    c.tie_word_embeddings = o.flag("tie_word_embeddings")?.unwrap_or(tied && family != Family::Brumby);
    let bias = o.flag("attention_bias")?.unwrap_or(false);
    (c.biases.qkv, c.biases.o) = (bias || family == Family::Qwen2, bias);
    c.biases.mlp = o.flag("mlp_bias")?.unwrap_or(false);
    let normed = matches!(family, Family::Qwen3 | Family::Brumby);
    c.attention.qk_norm = if normed { QkNorm::Rms } else { QkNorm::None };
    c.rope = common::rope(&mut o, c.head_dim, if normed { RopeWhere::Normed } else { RopeWhere::Raw })?;
    // Only Mistral's window counts without being switched on.
    common::no_window(&mut o, family == Family::Mistral)?;
    if family == Family::Brumby {
        degree_two(&mut o)?;
        common::power_retention(&mut c, false);
    }
    common::finish(o, notes)?;
    Ok(c)
}

/// The degree of power retention: its features are pairs.
pub(super) fn degree_two(o: &mut Object<'_>) -> Checked<()> {
    match o.read("p", &"2", Value::as_u64)?.value {
        None | Some(2) => Ok(()),
        Some(p) => Err(Fault::new("p", p, "2: other degrees of power retention are not supported")),
    }
}

pub(super) fn place(ours: &str) -> Place {
    Place::whole(ours.replace(".self_attn.gate_proj.", ".self_attn.g_proj."))
}
