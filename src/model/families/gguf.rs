//! What the metadata of a GGUF file say of its model, as the `config.json` of the family it comes from; and where
//! each tensor of ours lies in the file (SPEC §9).

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::place::{Place, layer};
use crate::error::{Error, ErrorKind, Result};
use crate::model::config::Family;
use crate::model::gguf::{BlockType, Gguf, Header, Metadata, Value as Meta};
use crate::model::tensor_file::clip;

/// The architectures that are read, by `general.architecture`.
pub(super) const ARCHITECTURES: [Family; 5] =
    [Family::Llama, Family::Qwen2, Family::Qwen3, Family::Starcoder2, Family::Gpt2];

/// What the frequencies of rotation are divided by.
pub const FREQUENCIES: &str = "rope_freqs.weight";

/// Keys of an architecture that change nothing, or are looked at elsewhere.
const IDLE: [&str; 9] = [
    "context_length",
    "rope.scaling.original_context_length",
    "rope.scaling.finetuned",
    "rope.scaling.yarn_log_multiplier",
    "rope.scaling.yarn_ext_factor",
    "rope.scaling.yarn_attn_factor",
    "rope.scaling.yarn_beta_fast",
    "rope.scaling.yarn_beta_slow",
    "tensor_data_layout",
];

/// Keys of an architecture that change nothing at this value.
const NEUTRAL: [(&str, Meta); 6] = [
    ("expert_count", Meta::Int(0)),
    ("expert_used_count", Meta::Int(0)),
    ("pooling_type", Meta::Int(0)),
    ("attention.causal", Meta::Bool(true)),
    ("rope.scaling.attn_factor", Meta::Float(1.0)),
    ("logit_scale", Meta::Float(1.0)),
];

/// The metadata under an architecture's name.
struct Keys<'a> {
    meta: &'a Metadata,
    architecture: &'a str,
    read: BTreeSet<&'static str>,
}

impl Keys<'_> {
    fn key(&mut self, name: &'static str) -> String {
        self.read.insert(name);
        format!("{}.{name}", self.architecture)
    }

    fn count(&mut self, name: &'static str) -> Result<Option<usize>> {
        let key = self.key(name);
        match self.meta.count(&key)? {
            Some(0) => Err(self.meta.fault(&key, 0, "at least 1")),
            n => Ok(n),
        }
    }

    fn required(&mut self, name: &'static str) -> Result<usize> {
        let n = self.count(name)?;
        n.ok_or_else(|| self.meta.missing(&format!("{}.{name}", self.architecture)))
    }

    fn number(&mut self, name: &'static str) -> Result<Option<f64>> {
        let key = self.key(name);
        self.meta.number(&key)
    }

    fn fault(&self, name: &str, is: impl std::fmt::Display, must: impl std::fmt::Display) -> Error {
        self.meta.fault(&format!("{}.{name}", self.architecture), is, must)
    }
}

/// The `config.json` that a Hugging Face folder of the same model has.
///
/// # Errors
/// [`ErrorKind::ModelFormat`] for keys that are missing or impossible, and for what would change the result and
/// is not supported, by name.
pub fn config(file: &Gguf) -> Result<Map<String, Value>> {
    of_header(file.header(), file.raw(FREQUENCIES))
}

/// The same of a header, with the bytes of the tensor [`FREQUENCIES`] if there is one.
///
/// # Errors
/// As [`config`].
pub fn of_header(file: &Header, frequencies: Option<&[u8]>) -> Result<Map<String, Value>> {
    let meta = &file.metadata;
    if let Some(n) = meta.count("split.count")?.filter(|n| *n > 1) {
        let e = meta.fault("split.count", n, "1: a model in several files is not supported");
        return Err(e.help("join its parts into one file with llama-gguf-split"));
    }
    if let Some(kind) = meta.text("general.type")?.filter(|kind| *kind != "model") {
        return Err(meta.fault("general.type", format!("\"{}\"", clip(kind)), "\"model\""));
    }
    const ARCHITECTURE: &str = "general.architecture";
    let architecture = meta.text(ARCHITECTURE)?.ok_or_else(|| meta.missing(ARCHITECTURE))?;
    let Some(family) = ARCHITECTURES.into_iter().find(|family| family.as_str() == architecture) else {
        let known = ARCHITECTURES.map(Family::as_str).join(", ");
        return Err(meta.fault(
            ARCHITECTURE,
            format!("\"{}\"", clip(architecture)),
            format!("one of {known}"),
        ));
    };
    let mut keys = Keys { meta, architecture, read: BTreeSet::new() };
    let width = keys.required("embedding_length")?;
    let layers = keys.required("block_count")?;
    let inner = keys.required("feed_forward_length")?;
    let heads = keys.required("attention.head_count")?;
    let key_heads = keys.count("attention.head_count_kv")?.unwrap_or(heads);
    let head = match keys.count("attention.key_length")? {
        Some(head) => head,
        None if width.is_multiple_of(heads) => width / heads,
        None => {
            let must = format!("a divisor of the {width} of embedding_length");
            return Err(keys.fault("attention.head_count", heads, must));
        }
    };
    if !heads.is_multiple_of(key_heads) {
        let must = format!("a divisor of the {heads} of head_count");
        return Err(keys.fault("attention.head_count_kv", key_heads, must));
    }
    if let Some(n) = keys.count("attention.value_length")?.filter(|n| *n != head) {
        return Err(keys.fault("attention.value_length", n, format!("{head}, as for queries and keys")));
    }
    if family == Family::Gpt2 && (key_heads != heads || head * heads != width) {
        return Err(keys.fault("attention.head_count_kv", key_heads, heads));
    }
    let blocks = file.tensors.keys().filter_map(|name| block(name)).max().map_or(0, |last| last + 1);
    if layers != blocks {
        return Err(keys.fault(
            "block_count",
            layers,
            format!("{blocks}, as the file has tensors of blocks"),
        ));
    }
    let vocabulary = vocabulary(file, &mut keys)?;
    let epsilon = match family {
        Family::Starcoder2 | Family::Gpt2 => "attention.layer_norm_epsilon",
        _ => "attention.layer_norm_rms_epsilon",
    };
    let eps = keys.number(epsilon)?.ok_or_else(|| meta.missing(&format!("{architecture}.{epsilon}")))?;
    if !(0.0..1.0).contains(&eps) {
        return Err(keys.fault(epsilon, eps, "from 0 to 1"));
    }
    // A float of 32 bits, which stood for a decimal number.
    let eps: f64 = (eps as f32).to_string().parse().unwrap_or(eps);
    let has = |name: &str| file.tensors.contains_key(name);
    let tied = !has("output.weight");
    let bias = has("blk.0.attn_q.bias");
    let mut map = Map::new();
    let mut put = |key: &str, value: Value| map.insert(key.into(), value);
    put("model_type", json!(architecture));
    put("vocab_size", json!(vocabulary));
    put("tie_word_embeddings", json!(tied));
    if let Some(n) = keys.count("context_length")? {
        put(if family == Family::Gpt2 { "n_ctx" } else { "max_position_embeddings" }, json!(n));
    }
    if family == Family::Gpt2 {
        put("n_embd", json!(width));
        put("n_layer", json!(layers));
        put("n_head", json!(heads));
        put("n_inner", json!(inner));
        put("layer_norm_epsilon", json!(eps));
        put("activation_function", json!("gelu_new"));
        let table = file.tensors.get("position_embd.weight").and_then(|t| t.shape.first());
        put("n_positions", json!(table.copied().unwrap_or(1024)));
    } else {
        put("hidden_size", json!(width));
        put("num_hidden_layers", json!(layers));
        put("num_attention_heads", json!(heads));
        put("num_key_value_heads", json!(key_heads));
        put("head_dim", json!(head));
        put("intermediate_size", json!(inner));
        put(if family == Family::Starcoder2 { "norm_epsilon" } else { "rms_norm_eps" }, json!(eps));
        put("hidden_act", json!(if family == Family::Starcoder2 { "gelu_pytorch_tanh" } else { "silu" }));
        match family {
            Family::Starcoder2 => {
                put("use_bias", json!(bias));
                put("sliding_window", Value::Null);
            }
            Family::Llama => {
                put("attention_bias", json!(bias));
                put("mlp_bias", json!(has("blk.0.ffn_up.bias")));
            }
            Family::Qwen3 => _ = put("attention_bias", json!(bias)),
            _ => {}
        }
        rope(file, frequencies, &mut keys, family, head, &mut map)?;
    }
    window(&mut keys)?;
    refuse_unknown(&keys)?;
    Ok(map)
}

/// The number in `blk.3.…`.
fn block(name: &str) -> Option<usize> {
    name.strip_prefix("blk.")?.split_once('.')?.0.parse().ok()
}

/// Tokens of the model: as many as the tokenizer has, and rows the embedding.
fn vocabulary(file: &Header, keys: &mut Keys<'_>) -> Result<usize> {
    const TOKENS: &str = "tokenizer.ggml.tokens";
    const TABLE: &str = "token_embd.weight";
    let meta = &file.metadata;
    let tokens = match meta.texts(TOKENS)? {
        Some(tokens) => Some(tokens.len()),
        None if meta.has_no_tokenizer()? => None,
        None => return Err(meta.missing(TOKENS)),
    };
    let rows = file.tensors.get(TABLE).and_then(|t| t.shape.first().copied());
    let Some(rows) = rows else {
        let text = format!("{}: tensor {TABLE} is missing", meta.label());
        return Err(
            Error::new(ErrorKind::ModelFormat, text).help("the file is not complete; download it again")
        );
    };
    if let Some(tokens) = tokens.filter(|n| *n != rows) {
        return Err(meta.fault(
            TOKENS,
            format!("a list of {tokens}"),
            format!("of {rows}, as {TABLE} has rows"),
        ));
    }
    if let Some(n) = keys.count("vocab_size")?.filter(|n| *n != rows) {
        return Err(keys.fault("vocab_size", n, format!("{rows}, as {TABLE} has rows")));
    }
    Ok(rows)
}

/// Rotary position.
fn rope(
    file: &Header,
    frequencies: Option<&[u8]>,
    keys: &mut Keys<'_>,
    family: Family,
    head: usize,
    map: &mut Map<String, Value>,
) -> Result<()> {
    let theta = keys.number("rope.freq_base")?.unwrap_or(1e4);
    let rotated = keys.count("rope.dimension_count")?.unwrap_or(head);
    // In llama files the rows of q and k are in an order that is of whole heads.
    if rotated > head || rotated % 2 == 1 || (family == Family::Llama && rotated != head) {
        let must = format!("{head}, the size of a head");
        return Err(keys.fault("rope.dimension_count", rotated, must));
    }
    let key = keys.key("rope.scaling.type");
    let kind = keys.meta.text(&key)?.unwrap_or("linear");
    let factor = keys.number("rope.scaling.factor")?;
    let factor = factor.or(keys.number("rope.scale_linear")?).filter(|x| *x != 0.0).unwrap_or(1.0);
    let mut scaling = match kind {
        "none" => None,
        "linear" => (factor != 1.0).then(|| json!({ "rope_type": "linear", "factor": factor })),
        other => {
            let must = "\"none\" or \"linear\": other scalings are not supported";
            return Err(keys.fault("rope.scaling.type", format!("\"{}\"", clip(other)), must));
        }
    };
    if let Some(divisors) = divisors(file, frequencies, rotated)? {
        if scaling.is_some() {
            return Err(keys.fault("rope.scaling.factor", factor, "1 in a file with rope_freqs.weight"));
        }
        scaling = Some(json!({ "rope_type": "divisors", "divisors": divisors }));
    }
    map.insert("rope_theta".into(), json!(theta));
    if rotated != head {
        map.insert("partial_rotary_factor".into(), json!(rotated as f64 / head as f64));
    }
    if let Some(scaling) = scaling {
        map.insert("rope_scaling".into(), scaling);
    }
    Ok(())
}

/// What the frequencies are divided by, where a file has that.
fn divisors(file: &Header, raw: Option<&[u8]>, rotated: usize) -> Result<Option<Vec<f32>>> {
    let Some((info, raw)) = file.tensors.get(FREQUENCIES).zip(raw) else { return Ok(None) };
    let fault = |what: String| {
        let text = format!("{}: tensor {FREQUENCIES} {what}", file.metadata.label());
        Error::new(ErrorKind::ModelFormat, text).help("the file is damaged; download it again")
    };
    if info.kind != BlockType::F32 || info.shape != [rotated / 2] {
        let is = format!("is {} {:?}, must be F32 {:?}", info.kind.name(), info.shape, [rotated / 2]);
        return Err(fault(is));
    }
    let mut values = vec![0.0; rotated / 2];
    info.kind.dequantize(raw, &mut values);
    match values.iter().find(|x| !(x.is_finite() && **x > 0.0)) {
        Some(x) => Err(fault(format!("holds {x}, must be positive"))),
        None => Ok(Some(values)),
    }
}

/// Refuses a window of attention that is shorter than the texts that the model was made for.
fn window(keys: &mut Keys<'_>) -> Result<()> {
    let context = keys.count("context_length")?.unwrap_or(0);
    let name = "attention.sliding_window";
    let key = keys.key(name);
    match keys.meta.count(&key)?.filter(|n| *n > 0 && *n < context.min(4096)) {
        Some(n) => Err(keys.fault(name, n, "left out: attention within a window is not supported")),
        None => Ok(()),
    }
}

/// Refuses keys that are not known: they may change the result.
fn refuse_unknown(keys: &Keys<'_>) -> Result<()> {
    let prefix = format!("{}.", keys.architecture);
    for (key, value) in keys.meta.iter() {
        let Some(name) = key.strip_prefix(&prefix) else { continue };
        let neutral = NEUTRAL.iter().any(|(n, v)| *n == name && v == value);
        if keys.read.contains(name) || IDLE.contains(&name) || neutral {
            continue;
        }
        let must = "left out: what it does is not known here, and it may change the result";
        return Err(keys.meta.fault(key, value.shown(), must));
    }
    Ok(())
}

/// How the rows of a file's queries and keys lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rows {
    /// Heads of queries, of keys.
    pub heads: [usize; 2],
    /// Width of a head.
    pub head: usize,
    /// Pairs of a rotation lie side by side, as in the architecture llama; else in the halves of a head.
    pub paired: bool,
    /// Queries, keys and values are one matrix.
    pub fused: bool,
}

impl Rows {
    /// The rows of queries (0) or keys (1) in the file, in our order.
    fn unpaired(&self, part: usize) -> Vec<std::ops::Range<usize>> {
        let half = self.head / 2;
        let rows = (0..self.heads[part]).flat_map(|head| {
            (0..2).flat_map(move |second| (0..half).map(move |i| head * 2 * half + 2 * i + second))
        });
        rows.map(|row| row..row + 1).collect()
    }
}

/// Where a tensor of ours lies in a GGUF file.
pub fn place(ours: &str, rows: &Rows) -> Place {
    let Some((number, part)) = layer(ours) else {
        return Place::whole(match ours {
            "model.embed_tokens.weight" => "token_embd.weight".into(),
            "model.embed_positions.weight" => "position_embd.weight".into(),
            other => other.replace("model.norm.", "output_norm.").replace("lm_head.", "output."),
        });
    };
    let (part, kind) = part.rsplit_once('.').unwrap_or((part, "weight"));
    let name = |file: &str| format!("blk.{number}.{file}.{kind}");
    let width = rows.head * rows.heads[0];
    let part_of_three = |i: usize| {
        let part = std::iter::once(i * width..(i + 1) * width).collect();
        Place::rows(name("attn_qkv"), part, 3 * width)
    };
    let query_or_key = |i: usize, file: &str| {
        if !rows.paired {
            return Place::whole(name(file));
        }
        Place::rows(name(file), rows.unpaired(i), rows.heads[i] * rows.head)
    };
    match part {
        "self_attn.q_proj" if rows.fused => part_of_three(0),
        "self_attn.k_proj" if rows.fused => part_of_three(1),
        "self_attn.v_proj" if rows.fused => part_of_three(2),
        "self_attn.q_proj" => query_or_key(0, "attn_q"),
        "self_attn.k_proj" => query_or_key(1, "attn_k"),
        "self_attn.v_proj" => Place::whole(name("attn_v")),
        "self_attn.o_proj" => Place::whole(name("attn_output")),
        "self_attn.q_norm" => Place::whole(name("attn_q_norm")),
        "self_attn.k_norm" => Place::whole(name("attn_k_norm")),
        "input_layernorm" => Place::whole(name("attn_norm")),
        "post_attention_layernorm" => Place::whole(name("ffn_norm")),
        "mlp.gate_proj" => Place::whole(name("ffn_gate")),
        "mlp.up_proj" => Place::whole(name("ffn_up")),
        "mlp.down_proj" => Place::whole(name("ffn_down")),
        other => Place::whole(format!("blk.{number}.{other}.{kind}")),
    }
}
