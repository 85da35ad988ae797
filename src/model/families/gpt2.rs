//! GPT-2: learned positions; matrices are stored transposed, queries, keys and values as one.

use serde_json::{Map, Value};

use super::common::{self, Sizes};
use super::place::{Place, layer};
use crate::model::config::{
    Biases, Family, MlpConfig, ModelConfig, NormConfig, NormKind, RopeConfig, RopeWhere,
};
use crate::model::config_reader::{Checked, HEADS, HIDDEN, INTERMEDIATE, LAYERS, Object, POSITIONS, VOCAB};

pub(super) fn read(map: &Map<String, Value>, notes: &mut Vec<String>) -> Checked<ModelConfig> {
    let mut o = Object::new("", map);
    let hidden_size = o.size("n_embd", &HIDDEN)?.required(&HIDDEN)?;
    let heads = o.size("n_head", &HEADS)?.required(&HEADS)?;
    let sizes = Sizes {
        vocab_size: o.size("vocab_size", &VOCAB)?.required(&VOCAB)?,
        hidden_size,
        layers: o.size("n_layer", &LAYERS)?.required(&LAYERS)?,
        heads,
        key_heads: heads,
        head_dim: hidden_size / heads.max(1),
        intermediate_size: o.size("n_inner", &INTERMEDIATE)?.unwrap_or(4 * hidden_size),
        eos_token_id: common::ends(&mut o)?,
    };
    let mut c = sizes.model(Family::Gpt2, map);
    let eps = o.number("layer_norm_epsilon")?.unwrap_or(1e-5);
    c.norm = NormConfig { kind: NormKind::Layer, eps, bias: true };
    c.mlp = MlpConfig { gated: false, activation: common::activation(&mut o, "activation_function")? };
    c.biases = Biases { qkv: true, o: true, mlp: true };
    c.rope = RopeConfig::new(RopeWhere::None, c.head_dim);
    c.learned_positions = o.size("n_positions", &POSITIONS)?.unwrap_or(1024);
    c.tie_word_embeddings = o.flag("tie_word_embeddings")?.unwrap_or(true);
    o.fixed("scale_attn_weights", &Value::Bool(true))?;
    o.fixed("scale_attn_by_inverse_layer_idx", &Value::Bool(false))?;
    o.fixed("add_cross_attention", &Value::Bool(false))?;
    common::finish(o, notes)?;
    Ok(c)
}

pub(super) fn place(ours: &str, prefixed: bool, width: usize) -> Place {
    let prefix = if prefixed { "transformer." } else { "" };
    let named = |name: &str| Place::whole(format!("{prefix}{name}"));
    let Some((number, part)) = layer(ours) else {
        return match ours {
            "model.embed_tokens.weight" => named("wte.weight"),
            "model.embed_positions.weight" => named("wpe.weight"),
            "model.norm.weight" => named("ln_f.weight"),
            "model.norm.bias" => named("ln_f.bias"),
            other => Place::whole(other),
        };
    };
    let of_layer = |name: &str| named(&format!("h.{number}.{name}"));
    let (part, kind) = part.rsplit_once('.').unwrap_or((part, "weight"));
    let fused = |i: usize| {
        let name = format!("{prefix}h.{number}.attn.c_attn.{kind}");
        let columns = i * width..(i + 1) * width;
        Place::rows(name, std::iter::once(columns).collect(), 3 * width)
    };
    let place = match part {
        "self_attn.q_proj" => fused(0),
        "self_attn.k_proj" => fused(1),
        "self_attn.v_proj" => fused(2),
        "self_attn.o_proj" => of_layer(&format!("attn.c_proj.{kind}")),
        "mlp.up_proj" => of_layer(&format!("mlp.c_fc.{kind}")),
        "mlp.down_proj" => of_layer(&format!("mlp.c_proj.{kind}")),
        "input_layernorm" => return of_layer(&format!("ln_1.{kind}")),
        "post_attention_layernorm" => return of_layer(&format!("ln_2.{kind}")),
        _ => return Place::whole(ours),
    };
    if kind == "weight" { place.transposed() } else { place }
}
