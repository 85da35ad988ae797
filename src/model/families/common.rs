//! Keys that several families have, and those that none may have.

use serde_json::{Map, Value};

use crate::attention::RopeScaling;
use crate::model::config::{
    ActivationKind, AttentionConfig, AttentionKind, Biases, Family, Gate, MlpConfig, ModelConfig, NormConfig,
    NormKind, QkNorm, RopeConfig, RopeLayout, RopeWhere, SketchInput,
};
use crate::model::config_reader::{
    Checked, Fault, HEADS, HIDDEN, INTERMEDIATE, LAYERS, Object, VOCAB, head_dim, shown,
};

/// Keys that change nothing of what a model computes.
const IDLE: &[&str] = &[
    "architectures",
    "attention_dropout",
    "attn_pdrop",
    "bos_token_id",
    "classifier_dropout",
    "dtype",
    "embd_pdrop",
    "embedding_dropout",
    "gradient_checkpointing",
    "hidden_dropout",
    "initializer_range",
    "is_decoder",
    "max_position_embeddings",
    "max_window_layers",
    "model_type",
    "n_ctx",
    "pad_token_id",
    "pretraining_tp",
    "resid_pdrop",
    "residual_dropout",
    "summary_activation",
    "summary_first_dropout",
    "summary_proj_to_labels",
    "summary_type",
    "summary_use_proj",
    "task_specific_params",
    "tokenizer_class",
    "torch_dtype",
    "transformers_version",
    "use_cache",
    "chunk_size",
    "prefill_chunk_size",
    "switch_over_seq_len",
    "unk_token_id",
    "sep_token_id",
    "decoder_start_token_id",
    "return_dict",
    "output_attentions",
    "output_hidden_states",
    "problem_type",
    "id2label",
    "label2id",
    "num_labels",
    "torchscript",
    "is_encoder_decoder",
    "n_special",
    "predict_special_tokens",
    "reorder_and_upcast_attn",
    "attn_implementation",
    "rope_interleaved",
];

/// The sizes that Llama and its kin, StarCoder 2 and GPT-NeoX name alike.
pub(super) struct Sizes {
    pub vocab_size: usize,
    pub hidden_size: usize,
    pub layers: usize,
    pub heads: usize,
    pub key_heads: usize,
    pub head_dim: usize,
    pub intermediate_size: usize,
    pub eos_token_id: Vec<u32>,
}

impl Sizes {
    pub fn read(o: &mut Object<'_>) -> Checked<Self> {
        let hidden_size = o.size("hidden_size", &HIDDEN)?.required(&HIDDEN)?;
        let heads = o.size("num_attention_heads", &HEADS)?.required(&HEADS)?;
        Ok(Self {
            vocab_size: o.size("vocab_size", &VOCAB)?.required(&VOCAB)?,
            hidden_size,
            layers: o.size("num_hidden_layers", &LAYERS)?.required(&LAYERS)?,
            heads,
            key_heads: o.size("num_key_value_heads", &HEADS)?.unwrap_or(heads),
            head_dim: head_dim(o, hidden_size, heads)?,
            intermediate_size: o.size("intermediate_size", &INTERMEDIATE)?.required(&INTERMEDIATE)?,
            eos_token_id: ends(o)?,
        })
    }

    /// A softmax model of these sizes: RMSNorm, gated SiLU, everything rotated, no biases, tied.
    pub fn model(self, family: Family, map: &Map<String, Value>) -> ModelConfig {
        ModelConfig {
            family,
            origin: Some(std::sync::Arc::new(map.clone())),
            linearized: None,
            vocab_size: self.vocab_size,
            hidden_size: self.hidden_size,
            num_hidden_layers: self.layers,
            num_attention_heads: self.heads,
            num_key_value_heads: self.key_heads,
            head_dim: self.head_dim,
            intermediate_size: self.intermediate_size,
            norm: NormConfig { kind: NormKind::Rms, eps: 1e-6, bias: false },
            mlp: MlpConfig { gated: true, activation: ActivationKind::Silu },
            biases: Biases::default(),
            rope: RopeConfig::new(RopeWhere::Raw, self.head_dim),
            sinusoidal: false,
            learned_positions: 0,
            parallel_residual: false,
            tie_word_embeddings: true,
            logit_bias: false,
            eos_token_id: self.eos_token_id,
            attention: AttentionConfig {
                kind: AttentionKind::Softmax,
                degree: 0,
                qk_scale: 1.0,
                block_size: AttentionConfig::BLOCK_SIZE,
                local_exact: false,
                causal: true,
                denominator_bias: 1.0,
                qk_norm: QkNorm::None,
                shared_qk_norm: false,
                sketch_input: SketchInput::Normed,
                gate: Gate::None,
                gate_bias: true,
                sketch: None,
            },
        }
    }
}

/// Ids that end a text; those beyond the vocabulary are no ends (PowerCoder's are).
pub(super) fn ends(o: &mut Object<'_>) -> Checked<Vec<u32>> {
    let allowed = "a token id, or a list of token ids";
    Ok(o.read("eos_token_id", &allowed, |v| super::super::ends::ids(v).ok())?.unwrap_or(Vec::new()))
}

/// Power retention (SPEC §9): degree 2, gate per key head, no constant in the normaliser.
pub(super) fn power_retention(config: &mut ModelConfig, gate_bias: bool) {
    let scale = (config.head_dim as f64).powf(-0.5);
    let a = &mut config.attention;
    (a.kind, a.degree, a.qk_scale, a.denominator_bias) = (AttentionKind::Polynomial, 2, scale, 0.0);
    (a.gate, a.gate_bias) = (Gate::Scalar, gate_bias);
}

/// The activation, in Hugging Face's words.
pub(super) fn activation(o: &mut Object<'_>, key: &'static str) -> Checked<ActivationKind> {
    const WORDS: [(&str, ActivationKind); 8] = [
        ("silu", ActivationKind::Silu),
        ("swish", ActivationKind::Silu),
        ("gelu", ActivationKind::Gelu),
        ("gelu_new", ActivationKind::GeluTanh),
        ("gelu_pytorch_tanh", ActivationKind::GeluTanh),
        ("gelu_fast", ActivationKind::GeluTanh),
        ("relu", ActivationKind::Relu),
        ("gelu_python", ActivationKind::Gelu),
    ];
    let allowed = format!("one of {}", WORDS.map(|(word, _)| format!("\"{word}\"")).join(", "));
    o.read(key, &allowed, |v| WORDS.iter().find(|(word, _)| v.as_str() == Some(word)).map(|(_, kind)| *kind))?
        .required(&allowed)
}

/// Rotary position, in the spelling of transformers 5 (`rope_parameters`) and in those before.
pub(super) fn rope(o: &mut Object<'_>, head: usize, where_: RopeWhere) -> Checked<RopeConfig> {
    let (mut theta, mut part) = (1e4, 1.0);
    for key in ["rope_theta", "rotary_emb_base"] {
        theta = o.number(key)?.unwrap_or(theta);
    }
    for key in ["rotary_pct", "partial_rotary_factor"] {
        part = o.number(key)?.unwrap_or(part);
    }
    let mut scaling = RopeScaling::None;
    for key in ["rope_parameters", "rope_scaling"] {
        let Some(map) = o.object(key)?.value else { continue };
        let mut inner = Object::new("rope_parameters.", map);
        theta = inner.number("rope_theta")?.unwrap_or(theta);
        part = inner.number("partial_rotary_factor")?.unwrap_or(part);
        scaling = self::scaling(&mut inner)?;
        // They are in the frequencies already.
        inner.read("mrope_section", &"absent", |_| None::<()>)?;
        inner.finish(&[], "", &mut Vec::new());
    }
    let rotary_dim = (head as f64 * part) as usize / 2 * 2;
    Ok(RopeConfig { where_, theta, layout: RopeLayout::Half, rotary_dim, scaling })
}

fn scaling(o: &mut Object<'_>) -> Checked<RopeScaling> {
    const KINDS: &str = "\"default\", \"linear\" or \"llama3\": other scalings are not supported";
    let number = |o: &mut Object<'_>, key| o.number(key)?.required(&"a number");
    let mut kind = "default";
    for key in ["type", "rope_type"] {
        kind = o.read(key, &KINDS, Value::as_str)?.unwrap_or(kind);
    }
    match kind {
        "default" => Ok(RopeScaling::None),
        "linear" => Ok(RopeScaling::Linear { factor: number(o, "factor")? }),
        "llama3" => Ok(RopeScaling::Llama3 {
            factor: number(o, "factor")?,
            low: number(o, "low_freq_factor")?,
            high: number(o, "high_freq_factor")?,
            original: number(o, "original_max_position_embeddings")?,
        }),
        // Of GGUF files: what each frequency is divided by.
        "divisors" => {
            const ALLOWED: &str = "a list of positive numbers";
            let number = |v: &Value| v.as_f64().map(|x| x as f32).filter(|x| x.is_finite() && *x > 0.0);
            let list = |v: &Value| v.as_array()?.iter().map(number).collect::<Option<Vec<f32>>>();
            let divisors = o.read("divisors", &ALLOWED, list)?.required(&ALLOWED)?;
            Ok(RopeScaling::Divisors(divisors))
        }
        other => Err(Fault::new("rope_scaling.rope_type", shown(&other.into()), KINDS)),
    }
}

/// The window that attention would have.
pub(super) fn window(o: &mut Object<'_>, default: bool) -> Checked<Option<u64>> {
    let enabled = o.flag("use_sliding_window")?.unwrap_or(default);
    let window = o.read("sliding_window", &"a number or null", Value::as_u64)?.value;
    Ok(window.filter(|_| enabled))
}

/// Refuses a window that attention would have: none that is shorter than the texts a model reads is supported.
/// `default` says whether the family's window counts where nothing switches it on or off.
pub(super) fn no_window(o: &mut Object<'_>, default: bool) -> Checked<()> {
    if let Some(window) = window(o, default)? {
        return Err(Fault::new("sliding_window", window, "null: attention within a window is not supported"));
    }
    let full =
        |v: &Value| v.as_array()?.iter().all(|kind| kind.as_str() == Some("full_attention")).then_some(());
    o.read("layer_types", &"a list of \"full_attention\": other layers are not supported", full)?;
    Ok(())
}

/// After everything that a family understands was read: what is left must not change the result.
pub(super) fn finish(o: Object<'_>, notes: &mut Vec<String>) -> Checked<()> {
    for (key, value) in o.rest() {
        let internal = key.starts_with('_');
        let idle =
            internal || IDLE.contains(&key.as_str()) || matches!(value, Value::Null | Value::Bool(false));
        match value {
            _ if idle => {}
            Value::Number(_) | Value::Bool(_) | Value::Object(_) => {
                let allowed = "left out: what it does is not known here, and it may change the result";
                return Err(Fault::new(key.clone(), shown(value), allowed));
            }
            _ => notes.push(format!("unknown key {} is ignored", crate::model::tensor_file::clip(key))),
        }
    }
    Ok(())
}
