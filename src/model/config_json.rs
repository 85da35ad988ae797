//! Reading `config.json`: one rule a key, one form of error.

use serde_json::{Map, Value};

use super::config::{
    AttentionConfig, AttentionKind, Biases, Family, Gate, Linearized, MlpConfig, ModelConfig, NormConfig,
    NormKind, QkNorm, RopeConfig, RopeLayout, RopeWhere, SketchConfig, SketchInput, SketchKind, binomial,
};
use super::config_linearized::near_and_far;
use super::config_reader::{
    ANY_HEAD, BLOCK, Checked, Fault, HEAD, HEADS, HIDDEN, INTERMEDIATE, LAYERS, Object, POSITIONS, ROTARY,
    Sizes, VOCAB, between, head_dim, one_of, shown,
};
use super::families;
use crate::attention::RopeScaling;
use crate::error::{Error, ErrorKind, Result};

const SKETCH: Sizes = Sizes::new(4, 512, 4);
const LEVELS: Sizes = Sizes::new(1, 16, 1);
const EXPANSION: Sizes = Sizes::new(1, 256, 1);
const POLYNOMIAL_DEGREE: Sizes = Sizes::new(2, 32, 2);
const TAYLOR_DEGREE: Sizes = Sizes::new(1, 32, 1);
/// Degrees of a polysketch: a sketch of degree p/2 is built by doubling.
const POLYSKETCH_DEGREES: [usize; 4] = [4, 8, 16, 32];
/// Most features of a scan; at h = 64 their state is 17 MB a head.
const MOST_FEATURES: usize = 1 << 16;
/// Most parameters: what a model could ever need. What a device holds, the plan of its memory says.
const MOST_PARAMETERS: u64 = 1 << 40;
/// Most numbers of a tensor: few enough that a machine can count them.
const MOST_OF_A_TENSOR: u64 = if usize::BITS < 64 { 1 << 30 } else { MOST_PARAMETERS };

const ATTENTION_KEYS: &[&str] = &[
    "degree",
    "qk_scale",
    "block_size",
    "local_exact",
    "denominator_bias",
    "shared_qk_norm",
    "sketch_input",
    "sketch",
    "near",
    "sinks",
    "sink_reach",
];
const SKETCH_KEYS: &[&str] = &["levels", "expansion", "gain"];

impl ModelConfig {
    /// Reads and checks `config.json`; `name` (a path or a label) starts every message. Also returns
    /// warnings: keys that are unknown or have no effect, by their dotted name.
    ///
    /// # Errors
    /// `ErrorKind::Config` for text that is not JSON, for a key that is there twice, and for a missing or impossible value; the message
    /// names the dotted key, the value and what is allowed.
    pub fn from_json(text: &str, name: &str) -> Result<(Self, Vec<String>)> {
        let value = crate::text::json(text).map_err(|what| {
            Error::new(ErrorKind::Config, format!("{name}: {what}"))
                .help("the file is damaged or not a config.json; copy it again")
        })?;
        Self::from_value(&value, name)
    }

    /// The same for a part of a larger JSON document.
    ///
    /// # Errors
    /// As [`ModelConfig::from_json`].
    pub fn from_value(value: &Value, name: &str) -> Result<(Self, Vec<String>)> {
        let Value::Object(map) = value else {
            return Err(Error::new(
                ErrorKind::Config,
                format!("{name}: is {}, must be a JSON object", shown(value)),
            ));
        };
        let mut notes = Vec::new();
        let family = family(map).map_err(|fault| fault.error(name))?;
        let config = match family {
            Family::Polysketch => model(map, &mut notes),
            family => families::read(family, map, &mut notes),
        };
        let config = config.map_err(|fault| fault.error(name))?;
        config.check().map_err(|fault| fault.error(name))?;
        Ok((config, notes.into_iter().map(|note| format!("{name}: {note}")).collect()))
    }

    /// Checks a configuration that was made by hand, by the rules of [`ModelConfig::from_json`].
    ///
    /// # Errors
    /// `ErrorKind::Config`, as there.
    pub fn validate(&self) -> Result<()> {
        self.check().map_err(|fault| fault.error("configuration"))
    }
}

/// Whose configuration it is; one that does not say is ours.
fn family(map: &Map<String, Value>) -> Checked<Family> {
    let all: Vec<String> = Family::ALL.iter().map(|family| format!("\"{family}\"")).collect();
    let allowed = format!("one of {}", all.join(", "));
    let found = Object::new("", map).read("model_type", &allowed, |v| families::named(v.as_str()?))?;
    Ok(found.unwrap_or(Family::Polysketch))
}

fn model(map: &Map<String, Value>, notes: &mut Vec<String>) -> Checked<ModelConfig> {
    let mut o = Object::new("", map);
    o.fixed("model_type", &Value::from(Family::Polysketch.as_str()))?;
    let hidden_size = o.size("hidden_size", &HIDDEN)?.required(&HIDDEN)?;
    let num_attention_heads = o.size("num_attention_heads", &HEADS)?.required(&HEADS)?;
    let head_dim = head_dim(&mut o, hidden_size, num_attention_heads)?;
    let (layer, rms) = (o.number("layer_norm_eps")?.value, o.number("rms_norm_eps")?.value);
    if let (Some(_), Some(rms)) = (layer, rms) {
        return Err(Fault::new("rms_norm_eps", rms, "left out beside layer_norm_eps: a model has one norm"));
    }
    let kind = if rms.is_some() { NormKind::Rms } else { NormKind::Layer };
    let num_hidden_layers = o.size("num_hidden_layers", &LAYERS)?.required(&LAYERS)?;
    let (attention, linearized) = o
        .object("attention")?
        .required(&"an object with \"kind\"")
        .and_then(|m| attention(m, num_hidden_layers, notes))?;
    let config = ModelConfig {
        family: Family::Polysketch,
        origin: None,
        linearized,
        vocab_size: o.size("vocab_size", &VOCAB)?.required(&VOCAB)?,
        hidden_size,
        num_hidden_layers,
        num_attention_heads,
        num_key_value_heads: o.size("num_key_value_heads", &HEADS)?.unwrap_or(num_attention_heads),
        head_dim,
        intermediate_size: o.size("intermediate_size", &INTERMEDIATE)?.required(&INTERMEDIATE)?,
        norm: NormConfig {
            kind,
            eps: layer.or(rms).unwrap_or(1e-5),
            bias: o.flag("norm_bias")?.unwrap_or(kind == NormKind::Layer),
        },
        mlp: MlpConfig {
            gated: o.flag("gated_mlp")?.unwrap_or(true),
            activation: o.word("activation")?.unwrap_or(MlpConfig::GELU.activation),
        },
        biases: Biases {
            qkv: o.flag("qkv_bias")?.unwrap_or(false),
            o: o.flag("o_bias")?.unwrap_or(false),
            mlp: o.flag("mlp_bias")?.unwrap_or(false),
        },
        sinusoidal: o.flag("sinusoidal")?.unwrap_or(false),
        learned_positions: o.size("learned_positions", &POSITIONS)?.unwrap_or(0),
        parallel_residual: o.flag("parallel_residual")?.unwrap_or(false),
        tie_word_embeddings: o.flag("tie_word_embeddings")?.unwrap_or(true),
        logit_bias: o.flag("logit_bias")?.unwrap_or(false),
        eos_token_id: o
            .read("eos_token_id", &"a token id, or a list of token ids", |v| super::ends::ids(v).ok())?
            .unwrap_or(Vec::new()),
        rope: o
            .object("rope")?
            .required(&"an object with \"where\"")
            .and_then(|m| rope(m, head_dim, notes))?,
        attention,
    };
    o.finish(&[], "", notes);
    Ok(config)
}

fn rope(map: &Map<String, Value>, head: usize, notes: &mut Vec<String>) -> Checked<RopeConfig> {
    let mut o = Object::new("rope.", map);
    let config = RopeConfig {
        where_: o.word("where")?.required(&one_of::<RopeWhere>())?,
        theta: o.number("theta")?.unwrap_or(1e4),
        layout: o.word("layout")?.unwrap_or(RopeLayout::Half),
        rotary_dim: o.size("rotary_dim", &ROTARY)?.unwrap_or(head),
        scaling: o
            .object("scaling")?
            .value
            .map_or(Ok(RopeScaling::None), |m| scaling("rope.scaling.", m, notes))?,
    };
    o.finish(&[], "", notes);
    Ok(config)
}

/// `rope.scaling`, in the words of Hugging Face's configurations.
fn scaling(prefix: &'static str, map: &Map<String, Value>, notes: &mut Vec<String>) -> Checked<RopeScaling> {
    const KINDS: &str = "\"linear\", \"llama3\" or \"divisors\"";
    let mut o = Object::new(prefix, map);
    let number = |o: &mut Object<'_>, key| o.number(key)?.required(&"a number");
    let kind = o.read("type", &KINDS, Value::as_str)?.required(&KINDS)?;
    let scaling = match kind {
        "linear" => RopeScaling::Linear { factor: number(&mut o, "factor")? },
        "llama3" => RopeScaling::Llama3 {
            factor: number(&mut o, "factor")?,
            low: number(&mut o, "low_freq_factor")?,
            high: number(&mut o, "high_freq_factor")?,
            original: number(&mut o, "original_max_position_embeddings")?,
        },
        "divisors" => {
            let list = |v: &Value| v.as_array()?.iter().map(|x| x.as_f64().map(|x| x as f32)).collect();
            RopeScaling::Divisors(o.read("divisors", &"a list of numbers", list)?.required(&"a list")?)
        }
        other => return Err(Fault::new(format!("{prefix}type"), shown(&other.into()), KINDS)),
    };
    o.finish(&[], "", notes);
    Ok(scaling)
}

fn attention(
    map: &Map<String, Value>,
    layers: usize,
    notes: &mut Vec<String>,
) -> Checked<(AttentionConfig, Option<Linearized>)> {
    let mut o = Object::new("attention.", map);
    let kind: AttentionKind = o.word("kind")?.required(&one_of::<AttentionKind>())?;
    let mut config = AttentionConfig {
        kind,
        degree: 0,
        qk_scale: 1.0,
        block_size: AttentionConfig::BLOCK_SIZE,
        local_exact: false,
        causal: o.flag("causal")?.unwrap_or(true),
        denominator_bias: 1.0,
        qk_norm: o.word("qk_norm")?.unwrap_or(AttentionConfig::usual_qk_norm(kind)),
        shared_qk_norm: false,
        sketch_input: SketchInput::Normed,
        gate: o.word("gate")?.unwrap_or(Gate::None),
        gate_bias: o.flag("gate_bias")?.unwrap_or(true),
        sketch: None,
    };
    let mut linearized = None;
    if kind == AttentionKind::Linearized {
        config.shared_qk_norm = o.flag("shared_qk_norm")?.unwrap_or(false);
        linearized = Some(near_and_far(&mut o, layers, notes)?);
    } else if kind != AttentionKind::Softmax {
        config.degree = o.size("degree", &TAYLOR_DEGREE)?.required(&degrees(kind))?;
        config.qk_scale = o.number("qk_scale")?.unwrap_or(1.0);
        config.denominator_bias = o.number("denominator_bias")?.unwrap_or(1.0);
        config.shared_qk_norm = o.flag("shared_qk_norm")?.unwrap_or(false);
        let block_size = o.size("block_size", &BLOCK)?;
        if kind == AttentionKind::Polysketch {
            config.local_exact = o.flag("local_exact")?.required(&"true or false")?;
            config.sketch_input = o.word("sketch_input")?.unwrap_or(SketchInput::Normed);
            config.sketch = Some(
                o.object("sketch")?
                    .required(&"an object with \"kind\" and \"size\"")
                    .and_then(|m| sketch(m, notes))?,
            );
        }
        config.block_size = if config.local_exact {
            block_size.required(&BLOCK)?
        } else {
            block_size.unwrap_or(AttentionConfig::BLOCK_SIZE)
        };
    }
    o.finish(ATTENTION_KEYS, &format!("attention.kind \"{kind}\""), notes);
    Ok((config, linearized))
}

fn sketch(map: &Map<String, Value>, notes: &mut Vec<String>) -> Checked<SketchConfig> {
    let mut o = Object::new("attention.sketch.", map);
    let kind: SketchKind = o.word("kind")?.required(&one_of::<SketchKind>())?;
    let size = o.size("size", &SKETCH)?.required(&SKETCH)?;
    let mut config = SketchConfig {
        kind,
        size,
        levels: SketchConfig::LEVELS,
        expansion: SketchConfig::EXPANSION,
        gain: SketchConfig::default_gain(size),
    };
    if config.is_random() {
        config.gain = o.number("gain")?.unwrap_or(config.gain);
    } else {
        config.levels = o.size("levels", &LEVELS)?.unwrap_or(config.levels);
        config.expansion = o.size("expansion", &EXPANSION)?.unwrap_or(config.expansion);
    }
    o.finish(SKETCH_KEYS, &format!("attention.sketch.kind \"{kind}\""), notes);
    Ok(config)
}

fn degrees(kind: AttentionKind) -> String {
    match kind {
        AttentionKind::Polysketch => "4, 8, 16 or 32 (the sketch doubles up to half of it)".into(),
        AttentionKind::Taylor => TAYLOR_DEGREE.to_string(),
        _ => format!("{POLYNOMIAL_DEGREE}: an odd power is not a non-negative kernel"),
    }
}

impl ModelConfig {
    /// Every rule of SPEC §2, for configurations of any origin.
    fn check(&self) -> Checked<()> {
        VOCAB.check("vocab_size", self.vocab_size)?;
        HIDDEN.check("hidden_size", self.hidden_size)?;
        LAYERS.check("num_hidden_layers", self.num_hidden_layers)?;
        HEADS.check("num_attention_heads", self.num_attention_heads)?;
        INTERMEDIATE.check("intermediate_size", self.intermediate_size)?;
        // Heads are padded to whole vectors, which nothing may take for numbers of their own.
        let own = self.attention.kind == AttentionKind::Linearized;
        let pads = self.attention.sketch.is_none() && !self.attention.has_normed_qk() && !own;
        let sizes = if pads { &ANY_HEAD } else { &HEAD };
        if sizes.check("", self.head_dim).is_err() {
            let allowed = format!(
                "a divisor of hidden_size {} that makes each head {sizes}, unless head_dim says how wide it is",
                self.hidden_size
            );
            return Err(Fault::new("num_attention_heads", self.num_attention_heads, allowed));
        }
        if self.num_key_value_heads == 0 || !self.num_attention_heads.is_multiple_of(self.num_key_value_heads)
        {
            let allowed = format!("a divisor of num_attention_heads {}", self.num_attention_heads);
            return Err(Fault::new("num_key_value_heads", self.num_key_value_heads, allowed));
        }
        let eps = if self.norm.kind == NormKind::Rms { "rms_norm_eps" } else { "layer_norm_eps" };
        between(eps, self.norm.eps, 1e-12, 1.0)?;
        if self.sinusoidal && self.learned_positions > 0 {
            return Err(Fault::new("learned_positions", self.learned_positions, "left out with sinusoidal"));
        }
        self.rope.check(self.head_dim)?;
        self.attention.check(self.head_size())?;
        if own {
            self.check_linearized()?;
        }
        if self.rope.where_ == RopeWhere::Normed && !self.attention.has_normed_qk() {
            let why = match self.attention.qk_norm {
                QkNorm::None => "q and k have no norm here",
                _ => "nothing reads normed q and k when local_exact is false and sketch_input is raw",
            };
            return Err(Fault::new("rope.where", "\"normed\"", format!("\"none\" or \"raw\": {why}")));
        }
        if self.parameter_count() > MOST_PARAMETERS {
            return Err(Fault::new(
                "the number of parameters",
                self.parameter_count(),
                format!("{MOST_PARAMETERS} or fewer"),
            ));
        }
        if self.largest_tensor() > MOST_OF_A_TENSOR {
            return Err(Fault::new(
                "the number of parameters of a tensor",
                self.largest_tensor(),
                format!("{MOST_OF_A_TENSOR} or fewer on a 32-bit machine, such as a page"),
            ));
        }
        Ok(())
    }
}

impl RopeConfig {
    fn check(&self, head: usize) -> Checked<()> {
        between("rope.theta", self.theta, 1.0, 1e12)?;
        if self.where_ == RopeWhere::None {
            return Ok(());
        }
        ROTARY.check("rope.rotary_dim", self.rotary_dim)?;
        let all = self.layout == RopeLayout::Interleaved;
        if self.rotary_dim > head || (all && self.rotary_dim != head) {
            let allowed = if all {
                format!("{head}, all of a head, where the layout is interleaved")
            } else {
                format!("{head} or less, a head's width")
            };
            return Err(Fault::new("rope.rotary_dim", self.rotary_dim, allowed));
        }
        match &self.scaling {
            RopeScaling::None => Ok(()),
            RopeScaling::Linear { factor } => between("rope.scaling.factor", *factor, 1.0, 1e6),
            RopeScaling::Llama3 { factor, low, high, original } => {
                between("rope.scaling.factor", *factor, 1.0, 1e6)?;
                between("rope.scaling.low_freq_factor", *low, f64::MIN_POSITIVE, 1e6)?;
                between("rope.scaling.high_freq_factor", *high, low + f64::EPSILON, 1e6)?;
                between("rope.scaling.original_max_position_embeddings", *original, 1.0, 1e9)
            }
            RopeScaling::Divisors(divisors) => {
                if divisors.len() != self.rotary_dim / 2 {
                    let allowed = format!("{}, one a rotated pair", self.rotary_dim / 2);
                    return Err(Fault::new("the number of rope.scaling.divisors", divisors.len(), allowed));
                }
                divisors.iter().try_for_each(|d| between("rope.scaling.divisors", f64::from(*d), 1e-6, 1e6))
            }
        }
    }
}

impl AttentionConfig {
    fn check(&self, head_size: usize) -> Checked<()> {
        if self.gate != Gate::None && (self.kind == AttentionKind::Softmax || !self.causal) {
            let why = if self.causal { "softmax has no gate" } else { "a gate needs causal attention" };
            return Err(Fault::new(
                "attention.gate",
                format!("\"{}\"", self.gate),
                format!("\"none\": {why}"),
            ));
        }
        if !self.causal && self.local_exact {
            return Err(Fault::new("attention.causal", "false", "true with local_exact"));
        }
        if !self.causal && self.kind == AttentionKind::Linearized {
            return Err(Fault::new("attention.causal", "false", "true: what is near lies before a token"));
        }
        if self.sketch.is_some() != (self.kind == AttentionKind::Polysketch) {
            let is = if self.sketch.is_some() { "given" } else { "missing" };
            return Err(Fault::new(
                "attention.sketch",
                is,
                "given with attention.kind \"polysketch\", and only then",
            ));
        }
        if self.kind == AttentionKind::Polysketch && self.qk_norm == QkNorm::None && self.has_sketched_norm()
        {
            let allowed =
                "\"layer\" or \"rms\": local_exact, and a sketch_input \"normed\", read normed q and k";
            return Err(Fault::new("attention.qk_norm", "\"none\"", allowed));
        }
        if matches!(self.kind, AttentionKind::Softmax | AttentionKind::Linearized) {
            return Ok(());
        }
        self.check_degree(head_size)?;
        BLOCK.check("attention.block_size", self.block_size)?;
        between("attention.qk_scale", self.qk_scale, f64::MIN_POSITIVE, 1e4)?;
        between("attention.denominator_bias", self.denominator_bias, 0.0, 1e6)?;
        self.sketch.as_ref().map_or(Ok(()), |sketch| sketch.check(head_size))
    }

    fn has_sketched_norm(&self) -> bool {
        self.local_exact || self.sketch_input == SketchInput::Normed
    }

    fn check_degree(&self, head_size: usize) -> Checked<()> {
        let fits = match self.kind {
            AttentionKind::Softmax | AttentionKind::Linearized => true,
            AttentionKind::Polynomial => POLYNOMIAL_DEGREE.check("", self.degree).is_ok(),
            AttentionKind::Polysketch => POLYSKETCH_DEGREES.contains(&self.degree),
            AttentionKind::Taylor => TAYLOR_DEGREE.check("", self.degree).is_ok(),
        };
        if !fits {
            return Err(Fault::new("attention.degree", self.degree, degrees(self.kind)));
        }
        let features = binomial(head_size + self.degree, self.degree).unwrap_or(usize::MAX);
        if self.kind == AttentionKind::Taylor && features > MOST_FEATURES {
            let most = (1..self.degree)
                .rev()
                .find(|&g| binomial(head_size + g, g).is_some_and(|f| f <= MOST_FEATURES));
            let allowed = match most {
                Some(most) => format!(
                    "{most} or less with heads of {head_size}: C(h+g, g) may be at most {MOST_FEATURES} features"
                ),
                None => format!(
                    "used with smaller heads than {head_size}: C(h+g, g) may be at most {MOST_FEATURES} features"
                ),
            };
            return Err(Fault::new("attention.degree", self.degree, allowed));
        }
        Ok(())
    }
}

impl SketchConfig {
    fn check(&self, head_size: usize) -> Checked<()> {
        SKETCH.check("attention.sketch.size", self.size)?;
        LEVELS.check("attention.sketch.levels", self.levels)?;
        EXPANSION.check("attention.sketch.expansion", self.expansion)?;
        between("attention.sketch.gain", self.gain, f64::MIN_POSITIVE, 1e3)?;
        if self.kind == SketchKind::Hadamard && !head_size.is_power_of_two() {
            return Err(Fault::new(
                "attention.sketch.kind",
                "\"hadamard\"",
                format!("\"learned\" or \"gaussian\": heads of {head_size} are not a power of two"),
            ));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEAST: &str = r#"{"vocab_size":5,"hidden_size":8,"num_hidden_layers":1,"num_attention_heads":2,"intermediate_size":4,
        "rope":{"where":"none"},"attention":ATTENTION}"#;

    fn with(attention: &str) -> ModelConfig {
        let (config, warnings) =
            ModelConfig::from_json(&LEAST.replace("ATTENTION", attention), "c").expect("good");
        assert_eq!(warnings, Vec::<String>::new());
        assert_eq!(ModelConfig::from_json(&config.to_json(), "again").expect("reads back").0, config);
        config.validate().expect("good");
        config
    }

    #[test]
    fn defaults_are_those_of_the_specification() {
        let config = with(
            r#"{"kind":"polysketch","degree":8,"local_exact":false,"sketch":{"kind":"gaussian","size":16}}"#,
        );
        assert_eq!(
            (config.norm, config.rope.theta, config.rope.layout),
            (NormConfig::LAYER, 1e4, RopeLayout::Half)
        );
        let attention = &config.attention;
        assert_eq!((attention.qk_scale, attention.denominator_bias, attention.gate), (1.0, 1.0, Gate::None));
        assert!(
            attention.causal && !attention.shared_qk_norm && attention.sketch_input == SketchInput::Normed
        );
        assert_eq!(attention.sketch.as_ref().map(|s| s.gain), Some(0.25));
        let config = with(
            r#"{"kind":"polysketch","degree":4,"local_exact":true,"block_size":32,"sketch":{"kind":"learned","size":16}}"#,
        );
        assert_eq!(config.attention.sketch.map(|s| (s.levels, s.expansion)), Some((2, 8)));
    }

    #[test]
    fn features_of_each_kind() {
        let features = |attention: &str, head: usize| with(attention).attention.feature_count(head);
        let sketch = |r: usize| {
            format!(
                r#"{{"kind":"polysketch","degree":4,"local_exact":false,"sketch":{{"kind":"learned","size":{r}}}}}"#
            )
        };
        assert_eq!([16, 32, 64].map(|r| features(&sketch(r), 64)), [Some(136), Some(528), Some(2080)]);
        let taylor = |g: usize| features(&format!(r#"{{"kind":"taylor","degree":{g}}}"#), 16);
        assert_eq!([2, 3, 4].map(taylor), [Some(153), Some(969), Some(4845)]);
        assert_eq!(features(r#"{"kind":"polynomial","degree":2}"#, 64), Some(2080));
        assert_eq!(features(r#"{"kind":"polynomial","degree":4}"#, 64), None);
        assert_eq!(features(r#"{"kind":"softmax"}"#, 64), None);
        assert_eq!((binomial(5, 0), binomial(2, 3), binomial(10_000, 5_000)), (Some(1), Some(0), None));
    }

    #[test]
    fn linearised_attention_has_sizes_of_its_own() {
        let config = with(r#"{"kind":"linearized","sketch":{"size":8}}"#);
        let usual = Linearized { sketch: 8, turned: 0.0, ..Linearized::usual(1) };
        assert_eq!(config.linearized, Some(usual));
        assert!(config.adapted().is_none() && config.attention.has_normed_qk());
        let config = with(
            r#"{"kind":"linearized","block_size":16,"near":[3],"sinks":16,"gate":"scalar","qk_norm":"none",
                "sketch":{"size":4,"hidden":12,"turned":100.5}}"#,
        );
        assert_eq!(config.linearized.as_ref().map(|l| (l.near[0], l.hidden, l.turned)), Some((3, 12, 100.5)));
        for (attention, what) in [
            (r#"{"kind":"linearized"}"#, "attention.sketch is missing"),
            (r#"{"kind":"linearized","sketch":{}}"#, "attention.sketch.size is missing"),
            (r#"{"kind":"linearized","sketch":{"size":6}}"#, "attention.sketch.size is 6"),
            (r#"{"kind":"linearized","near":[2,2],"sketch":{"size":8}}"#, "number of attention.near is 2"),
            (r#"{"kind":"linearized","near":"all","sketch":{"size":8}}"#, "attention.near is \"all\""),
            (r#"{"kind":"linearized","near":0,"sketch":{"size":8}}"#, "attention.near is 0"),
            (r#"{"kind":"linearized","sinks":129,"sketch":{"size":8}}"#, "attention.sinks is 129"),
            (r#"{"kind":"linearized","causal":false,"sketch":{"size":8}}"#, "attention.causal is false"),
            (r#"{"kind":"linearized","sketch":{"size":8,"turned":-1}}"#, "attention.sketch.turned is -1"),
        ] {
            let error = ModelConfig::from_json(&LEAST.replace("ATTENTION", attention), "c").unwrap_err();
            assert!(error.message().contains(what), "{error}");
        }
        let (_, notes) = ModelConfig::from_json(
            &LEAST.replace("ATTENTION", r#"{"kind":"linearized","degree":4,"sketch":{"size":8,"gain":1}}"#),
            "c",
        )
        .expect("good");
        assert!(notes.iter().any(|n| n.contains("attention.degree has no effect")), "{notes:?}");
        assert!(notes.iter().any(|n| n.contains("attention.sketch.gain is ignored")), "{notes:?}");
    }

    #[test]
    fn configurations_made_by_hand_are_checked_too() {
        let mut config = with(r#"{"kind":"softmax"}"#);
        config.num_attention_heads = 0;
        let error = config.validate().unwrap_err();
        assert!(error.message().contains("num_attention_heads is 0"), "{error}");
        config.num_attention_heads = 2;
        config.rope.theta = f64::NAN;
        assert!(config.validate().is_err());
        config.rope.theta = 1e4;
        config.attention.kind = AttentionKind::Polysketch;
        assert!(config.validate().unwrap_err().message().contains("attention.sketch is missing"));
    }
}
