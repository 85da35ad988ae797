//! StarCoder 2, and PowerCoder, which is its block with power retention.

use serde_json::{Map, Value};

use super::common::{self, Sizes};
use super::place::Place;
use crate::model::config::{Family, MlpConfig, ModelConfig, NormConfig, NormKind, RopeWhere};
use crate::model::config_reader::{Checked, Fault, Object};

pub(super) fn read(
    family: Family,
    map: &Map<String, Value>,
    notes: &mut Vec<String>,
) -> Checked<ModelConfig> {
    let mut o = Object::new("", map);
    let mut c = Sizes::read(&mut o)?.model(family, map);
    let eps = o.number("norm_epsilon")?.unwrap_or(1e-5);
    c.norm = NormConfig { kind: NormKind::Layer, eps, bias: true };
    c.mlp = MlpConfig { gated: false, activation: common::activation(&mut o, "hidden_act")? };
    let bias = o.flag("use_bias")?.unwrap_or(true);
    (c.biases.qkv, c.biases.o, c.biases.mlp) = (bias, bias, bias);
    c.tie_word_embeddings = o.flag("tie_word_embeddings")?.unwrap_or(true);
    c.rope = common::rope(&mut o, c.head_dim, RopeWhere::Raw)?;
    // The released models have a window as long as the texts that most people give them.
    if let Some(window) = common::window(&mut o, true)? {
        if window < 4096 {
            return Err(Fault::new("sliding_window", window, "at least 4096, or null: it is not supported"));
        }
        notes.push(format!("sliding_window {window} is not supported: a longer text is read as without it"));
    }
    if family == Family::Powercoder {
        super::llama::degree_two(&mut o)?;
        o.fixed("hybrid_exp", &Value::from("none"))?;
        common::power_retention(&mut c, bias);
    }
    common::finish(o, notes)?;
    Ok(c)
}

pub(super) fn place(ours: &str) -> Place {
    let name = ours
        .replace(".mlp.up_proj.", ".mlp.c_fc.")
        .replace(".mlp.down_proj.", ".mlp.c_proj.")
        .replace(".self_attn.gate_proj.", ".self_attn.g_proj.");
    Place::whole(name)
}
