//! `config.json`: what a model is (SPEC §2). Every key is checked when it is read, so that the rest of the
//! crate can use the numbers without looking twice.

use std::sync::Arc;

use serde::{Deserialize, Serialize, Serializer};
use serde_json::{Map, Value};

use crate::attention::RopeScaling;
use crate::error::{Error, ErrorKind, Result};

/// An enum that is written as one of a few words.
pub(super) trait Word: Copy + 'static {
    const ALL: &'static [Self];
    fn word(self) -> &'static str;
}

/// An enum whose variants are words of `config.json`.
macro_rules! words {
    ($(#[$about:meta])* $name:ident { $($(#[$doc:meta])* $variant:ident = $word:literal),+ $(,)? }) => {
        $(#[$about])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum $name { $($(#[$doc])* $variant),+ }

        impl $name {
            /// Every variant.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The word in `config.json`.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }
        }

        impl Word for $name {
            const ALL: &'static [Self] = Self::ALL;
            fn word(self) -> &'static str { self.as_str() }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result { f.write_str(self.as_str()) }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
                s.serialize_str(self.as_str())
            }
        }
    };
}

words! {
    /// A family of public models, by its `model_type`.
    Family {
        /// Our own models.
        Polysketch = "polysketch",
        /// Llama, SmolLM and what is built like them.
        Llama = "llama",
        /// Mistral without a window.
        Mistral = "mistral",
        /// Qwen 2 and 2.5.
        Qwen2 = "qwen2",
        /// Qwen 3.
        Qwen3 = "qwen3",
        /// GPT-2.
        Gpt2 = "gpt2",
        /// GPT-NeoX and Pythia.
        GptNeox = "gpt_neox",
        /// StarCoder 2.
        Starcoder2 = "starcoder2",
        /// PowerCoder: StarCoder 2 with power retention.
        Powercoder = "powercoder",
        /// Brumby: Qwen 3 with power retention.
        Brumby = "brumby",
    }
}

words! {
    /// The kernel of attention, `w_ij` of SPEC §1.
    AttentionKind {
        /// `softmax(q·k/√h)`: the baseline.
        Softmax = "softmax",
        /// `(c⟨q̄,k̄⟩)^p`.
        Polynomial = "polynomial",
        /// `⟨s(q), s(k)⟩²`, with or without exact local blocks.
        Polysketch = "polysketch",
        /// The truncated exponential series of `c⟨q̄,k̄⟩`.
        Taylor = "taylor",
        /// Softmax over near blocks and sinks, affine sketches for the rest (SPEC §10), trained as it is.
        Linearized = "linearized",
    }
}
words! {
    /// What the rotary embedding rotates.
    RopeWhere {
        /// Nothing.
        None = "none",
        /// The q, k projections, before anything else.
        Raw = "raw",
        /// q̄, k̄, and only where the exact kernel reads them.
        Normed = "normed",
    }
}
words! {
    /// Which components of a head make a rotated pair.
    RopeLayout {
        /// `(i, i + h/2)`.
        Half = "half",
        /// `(2i, 2i+1)` in, first halves then second halves out.
        Interleaved = "interleaved",
    }
}
words! {
    /// What the sketch sees.
    SketchInput {
        /// q̄, k̄.
        Normed = "normed",
        /// The projections.
        Raw = "raw",
    }
}
words! {
    /// The norm of the residual stream, or of the vectors of a head.
    NormKind {
        /// LayerNorm.
        Layer = "layer",
        /// RMSNorm.
        Rms = "rms",
    }
}
words! {
    /// What is done to q and k, head by head, before the kernel.
    QkNorm {
        /// Nothing.
        None = "none",
        /// LayerNorm, with a bias.
        Layer = "layer",
        /// RMSNorm.
        Rms = "rms",
    }
}
words! {
    /// What an MLP applies to its hidden units.
    ActivationKind {
        /// GELU, the tanh form.
        GeluTanh = "gelu_tanh",
        /// GELU by the error function.
        Gelu = "gelu",
        /// `x / (1 + e^-x)`.
        Silu = "silu",
        /// `max(x, 0)`.
        Relu = "relu",
    }
}
words! {
    /// Forgetting.
    Gate {
        /// Every token counts for ever.
        None = "none",
        /// One learned decay a head and token.
        Scalar = "scalar",
    }
}
words! {
    /// How the sketch is made.
    SketchKind {
        /// Two small networks (the real method).
        Learned = "learned",
        /// Random normal matrices.
        Gaussian = "gaussian",
        /// Randomly signed and sampled Hadamard columns at the leaves.
        Hadamard = "hadamard",
    }
}

/// Attention with an exact near part and a sketched far part (SPEC §10): what an adapter says beside its tensors, and
/// the sizes of a model of this kind.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Linearized {
    /// b.
    pub block_size: usize,
    /// Blocks that queries see exactly, of each layer; 0: a layer that stays as it is, with a key-value cache.
    pub near: Vec<usize>,
    /// First tokens of a text that they see exactly.
    pub sinks: usize,
    /// Tokens from which on a block is no further from the sinks, by their rotation; 0: it always is as far as it
    /// is.
    #[serde(default)]
    pub sink_reach: usize,
    /// r.
    pub sketch: usize,
    /// Units of the sketch's hidden layer.
    pub hidden: usize,
    /// Rotary pairs of a longer wavelength, in tokens, are not turned in what the sketch sees.
    pub turned: f64,
    /// Rank of what is added to the projections of attention; 0: nothing.
    #[serde(default)]
    pub rank: usize,
}

impl Linearized {
    /// Two blocks of 128 and 4 sinks, sketches of 16 with 64 hidden units: what trials found.
    pub fn usual(layers: usize) -> Self {
        Self {
            block_size: 128,
            near: vec![2; layers],
            sinks: 4,
            sink_reach: 0,
            sketch: 16,
            hidden: 64,
            turned: 1024.0,
            rank: 0,
        }
    }
}

/// A whole model, as `config.json` describes it.
#[derive(Clone, Debug, PartialEq)]
pub struct ModelConfig {
    /// Whose `config.json` and tensor names its files have.
    pub family: Family,
    /// The `config.json` of another family than ours, which is written as it was read.
    pub origin: Option<Arc<Map<String, Value>>>,
    /// How its softmax attention was made linear, if an adapter does so; or the sizes of attention that is linearised
    /// by its own kind ([`AttentionKind::Linearized`]).
    pub linearized: Option<Linearized>,
    /// Rows of the embedding, V.
    pub vocab_size: usize,
    /// Width of the residual stream, d.
    pub hidden_size: usize,
    /// Layers.
    pub num_hidden_layers: usize,
    /// Query heads of each layer, H.
    pub num_attention_heads: usize,
    /// Key heads, G: H / G neighbouring query heads share each one's keys, values, state and gate.
    pub num_key_value_heads: usize,
    /// Width of a head, h.
    pub head_dim: usize,
    /// Width of the MLP, m.
    pub intermediate_size: usize,
    /// The norms of the residual stream.
    pub norm: NormConfig,
    /// The MLP.
    pub mlp: MlpConfig,
    /// Which projections have a bias.
    pub biases: Biases,
    /// Rotary position.
    pub rope: RopeConfig,
    /// Whether a sinusoidal position is added to the embeddings.
    pub sinusoidal: bool,
    /// Rows of a table of positions that is added to the embeddings; 0: none. A text cannot be longer.
    pub learned_positions: usize,
    /// Whether attention and MLP read the same input, instead of one after the other.
    pub parallel_residual: bool,
    /// Whether the embedding is the output projection too, instead of a matrix of its own, `lm_head.weight`.
    pub tie_word_embeddings: bool,
    /// Whether the logits have a bias, `lm_head.bias`.
    pub logit_bias: bool,
    /// Ids that end a text; none: what other files of the model say, or the tokenizer's own.
    pub eos_token_id: Vec<u32>,
    /// Attention.
    pub attention: AttentionConfig,
}

/// A norm over the last dimension.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct NormConfig {
    /// Which.
    pub kind: NormKind,
    /// What is added to the variance.
    pub eps: f64,
    /// Whether there is a bias beside the weight.
    pub bias: bool,
}

impl NormConfig {
    /// LayerNorm as our own models have it (SPEC §2).
    pub const LAYER: Self = Self { kind: NormKind::Layer, eps: 1e-5, bias: true };
}

/// The MLP of every layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MlpConfig {
    /// `down(act(gate) ⊙ up)`, instead of `down(act(up))`.
    pub gated: bool,
    /// act.
    pub activation: ActivationKind,
}

impl MlpConfig {
    /// The gated GELU of our own models (SPEC §2).
    pub const GELU: Self = Self { gated: true, activation: ActivationKind::GeluTanh };
}

/// Which projections of a layer have a bias.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Biases {
    /// Those to queries, keys and values.
    pub qkv: bool,
    /// That of the heads' outputs.
    pub o: bool,
    /// Those of the MLP.
    pub mlp: bool,
}

/// Rotary position embedding.
#[derive(Clone, Debug, PartialEq)]
pub struct RopeConfig {
    /// What is rotated (`rope.where`).
    pub where_: RopeWhere,
    /// Base of the angles, `pos · θ^(−2i/h)`.
    pub theta: f64,
    /// Which components make a pair.
    pub layout: RopeLayout,
    /// Components of a head that are rotated, the first ones.
    pub rotary_dim: usize,
    /// What becomes of the angles in long texts.
    pub scaling: RopeScaling,
}

impl RopeConfig {
    /// All of a head of `head` components, in halves, base 10 000.
    pub fn new(where_: RopeWhere, head: usize) -> Self {
        let (layout, scaling) = (RopeLayout::Half, RopeScaling::None);
        Self { where_, theta: 1e4, layout, rotary_dim: head, scaling }
    }
}

/// Attention of every layer. Fields that a kind does not read keep their defaults.
#[derive(Clone, Debug, PartialEq)]
pub struct AttentionConfig {
    /// The kernel.
    pub kind: AttentionKind,
    /// p of the polynomial kinds, g of `taylor`; 0 for softmax.
    pub degree: usize,
    /// c: scale of ⟨q̄,k̄⟩.
    pub qk_scale: f64,
    /// b: tokens of a block, at absolute positions. Part of the result with `local_exact`, otherwise a matter
    /// of speed.
    pub block_size: usize,
    /// The exact kernel inside a block (polysketch).
    pub local_exact: bool,
    /// Whether a token sees only what came before. `false` is for the library's own use; no decoder.
    pub causal: bool,
    /// β of the normaliser.
    pub denominator_bias: f64,
    /// The norm that makes q̄ and k̄. Where it is none, the kernel reads q and k themselves.
    pub qk_norm: QkNorm,
    /// One norm for q and k.
    pub shared_qk_norm: bool,
    /// What the sketch sees.
    pub sketch_input: SketchInput,
    /// Forgetting.
    pub gate: Gate,
    /// Whether the gate's projection has a bias.
    pub gate_bias: bool,
    /// The sketch; present exactly when the kind is polysketch.
    pub sketch: Option<SketchConfig>,
}

/// The sketch of a layer, R^h → R^r.
#[derive(Clone, Debug, PartialEq)]
pub struct SketchConfig {
    /// How it is made.
    pub kind: SketchKind,
    /// r.
    pub size: usize,
    /// Networks in a row in each branch (learned).
    pub levels: usize,
    /// e: hidden width of a network over r (learned).
    pub expansion: usize,
    /// Factor of each product (random).
    pub gain: f64,
}

impl SketchConfig {
    /// Networks in a row where the file does not say.
    pub const LEVELS: usize = 2;
    /// Expansion where the file does not say.
    pub const EXPANSION: usize = 8;

    /// The paper's gain, `r^-1/2`.
    pub fn default_gain(size: usize) -> f64 {
        (size as f64).powf(-0.5)
    }

    /// Whether its matrices are drawn once and never trained.
    pub fn is_random(&self) -> bool {
        self.kind != SketchKind::Learned
    }
}

impl AttentionConfig {
    /// `block_size` where the file does not say.
    pub const BLOCK_SIZE: usize = 128;

    /// The norm of a kind where the file does not say.
    pub fn usual_qk_norm(kind: AttentionKind) -> QkNorm {
        if kind == AttentionKind::Softmax { QkNorm::None } else { QkNorm::Layer }
    }

    /// Whether q̄ and k̄ exist, and with them `q_norm` (and `k_norm` unless shared).
    pub fn has_normed_qk(&self) -> bool {
        let read = match self.kind {
            AttentionKind::Softmax
            | AttentionKind::Polynomial
            | AttentionKind::Taylor
            | AttentionKind::Linearized => true,
            AttentionKind::Polysketch => self.local_exact || self.sketch_input == SketchInput::Normed,
        };
        read && self.qk_norm != QkNorm::None
    }

    /// F: features of the scan for heads of `head_size`, symmetric ones kept once. None for the kinds that
    /// keep a key-value cache instead (softmax, polynomial of degree 4 and more).
    pub fn feature_count(&self, head_size: usize) -> Option<usize> {
        match (self.kind, &self.sketch) {
            (AttentionKind::Polysketch, Some(sketch)) => binomial(sketch.size + 1, 2),
            (AttentionKind::Polynomial, _) if self.degree == 2 => binomial(head_size + 1, 2),
            (AttentionKind::Taylor, _) => binomial(head_size + self.degree, self.degree),
            _ => None,
        }
    }
}

/// `C(n, k)`, or None where it does not fit.
pub(crate) fn binomial(n: usize, k: usize) -> Option<usize> {
    let mut c: u128 = 1;
    for i in 0..k.min(n.saturating_sub(k)) {
        c = c.checked_mul((n - i) as u128)? / (i as u128 + 1);
    }
    if k > n { Some(0) } else { usize::try_from(c).ok() }
}

impl ModelConfig {
    /// h: width of one head.
    pub fn head_size(&self) -> usize {
        self.head_dim
    }

    /// Columns of all query heads together, H h.
    pub fn query_width(&self) -> usize {
        self.num_attention_heads * self.head_dim
    }

    /// Tokens of the longest text that the model can have, where its positions are learned.
    pub fn longest_text(&self) -> Option<usize> {
        Some(self.learned_positions).filter(|most| *most > 0)
    }

    /// Tokens of the texts that it was made for, where the `config.json` of another family says it.
    pub fn stated_context(&self) -> Option<u64> {
        let of_origin = |key: &str| self.origin.as_ref()?.get(key)?.as_u64().filter(|n| *n > 0);
        ["max_position_embeddings", "n_positions", "n_ctx"].into_iter().find_map(of_origin)
    }

    /// How an adapter made its attention linear, if one did.
    pub fn adapted(&self) -> Option<&Linearized> {
        self.linearized.as_ref().filter(|_| self.attention.kind != AttentionKind::Linearized)
    }

    /// Whether the joined projection to queries, keys, values and gates of a layer has a bias.
    pub fn has_qkv_bias(&self, layer: usize) -> bool {
        let gated = self.attention.gate == Gate::Scalar && self.attention.kind != AttentionKind::Softmax;
        self.biases.qkv || (gated && self.attention.gate_bias) || self.adapted_in(layer).is_some()
    }

    /// Columns of all key heads together, G h.
    pub fn key_width(&self) -> usize {
        self.num_key_value_heads * self.head_dim
    }

    /// Bytes of the keys and values that softmax attention of the same shape keeps for `tokens`, in f32.
    pub fn softmax_cache_bytes(&self, tokens: u64) -> u64 {
        [2, 4, self.num_hidden_layers as u64, self.key_width() as u64]
            .iter()
            .fold(tokens, |a, n| a.saturating_mul(*n))
    }

    /// Refuses what cannot predict the next token.
    ///
    /// # Errors
    /// `ErrorKind::Config` for attention that looks ahead.
    pub fn check_decoder(&self) -> Result<()> {
        if self.attention.causal {
            return Ok(());
        }
        Err(Error::new(ErrorKind::Config, "attention.causal is false: a decoder cannot look ahead")
            .help("set it to true; non-causal attention is for AttentionLayer alone"))
    }

    /// The text of a `config.json` that reads back as this configuration.
    pub fn to_json(&self) -> String {
        serde_json::to_string_pretty(self).unwrap_or_default() + "\n"
    }
}
