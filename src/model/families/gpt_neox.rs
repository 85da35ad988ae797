//! GPT-NeoX and Pythia: a part of each head is rotated, attention and MLP may read the same input; queries, keys
//! and values are one matrix, head by head.

use serde_json::{Map, Value};

use super::common::{self, Sizes};
use super::place::{Place, layer};
use crate::model::config::{Biases, Family, MlpConfig, ModelConfig, NormConfig, NormKind, RopeWhere};
use crate::model::config_reader::{Checked, Object};

pub(super) fn read(map: &Map<String, Value>, notes: &mut Vec<String>) -> Checked<ModelConfig> {
    let mut o = Object::new("", map);
    let mut c = Sizes::read(&mut o)?.model(Family::GptNeox, map);
    let eps = o.number("layer_norm_eps")?.unwrap_or(1e-5);
    c.norm = NormConfig { kind: NormKind::Layer, eps, bias: true };
    c.mlp = MlpConfig { gated: false, activation: common::activation(&mut o, "hidden_act")? };
    let bias = o.flag("attention_bias")?.unwrap_or(true);
    c.biases = Biases { qkv: bias, o: bias, mlp: true };
    c.parallel_residual = o.flag("use_parallel_residual")?.unwrap_or(true);
    c.tie_word_embeddings = o.flag("tie_word_embeddings")?.unwrap_or(false);
    c.rope = common::rope(&mut o, c.head_dim, RopeWhere::Raw)?;
    common::finish(o, notes)?;
    Ok(c)
}

pub(super) fn place(ours: &str, heads: usize, width: usize) -> Place {
    let Some((number, part)) = layer(ours) else {
        return Place::whole(match ours {
            "model.embed_tokens.weight" => "gpt_neox.embed_in.weight".to_string(),
            "lm_head.weight" => "embed_out.weight".to_string(),
            other => other.replace("model.norm.", "gpt_neox.final_layer_norm."),
        });
    };
    let of_layer = |name: String| format!("gpt_neox.layers.{number}.{name}");
    let (part, kind) = part.rsplit_once('.').unwrap_or((part, "weight"));
    let head = width / heads.max(1);
    let fused = |i: usize| {
        let name = of_layer(format!("attention.query_key_value.{kind}"));
        let rows = (0..heads).map(|at| (3 * at + i) * head..(3 * at + i + 1) * head).collect();
        Place::rows(name, rows, 3 * width)
    };
    match part {
        "self_attn.q_proj" => fused(0),
        "self_attn.k_proj" => fused(1),
        "self_attn.v_proj" => fused(2),
        "self_attn.o_proj" => Place::whole(of_layer(format!("attention.dense.{kind}"))),
        "mlp.up_proj" => Place::whole(of_layer(format!("mlp.dense_h_to_4h.{kind}"))),
        "mlp.down_proj" => Place::whole(of_layer(format!("mlp.dense_4h_to_h.{kind}"))),
        other => Place::whole(of_layer(format!("{other}.{kind}"))),
    }
}
