//! Adapters: what makes the softmax attention of a public model linear (SPEC §10), as a small file beside the
//! unchanged one of the model.

use super::checkpoint::{TensorData, Tensors, safetensors_bytes};
use super::config::{Linearized, ModelConfig};
use super::engine::ModelSource;
use super::fingerprint::fingerprint;
use super::parameters::{ADAPTED, linear_gate, linear_sketch};
use super::transformer;
use crate::error::{Error, ErrorKind, Result};
use crate::text::clip;

/// The logit of every gate: what a far key weighs falls to a half in 5 600 tokens.
pub const GATE: f32 = 9.0;
/// The name of an adapter's file in a folder.
pub const ADAPTER: &str = "adapter.safetensors";
/// What the notes of an adapter's file say of it.
const FORMAT: &str = "polysketch adapter 1";

/// An open adapter.
#[derive(Debug)]
pub struct Adapter {
    /// What it makes of the attention.
    pub linearized: Linearized,
    /// The fingerprint of the model it is for.
    pub base: u64,
    /// Its tensors, by the names of [`linear_sketch`] and [`linear_gate`].
    pub tensors: Tensors,
}

impl Adapter {
    /// Opens a file.
    ///
    /// # Errors
    /// As [`Adapter::new`]; [`ErrorKind::Io`].
    #[cfg(not(target_arch = "wasm32"))]
    pub fn open(path: &std::path::Path) -> Result<Self> {
        Self::new(Tensors::open(path)?)
    }

    /// An adapter in memory; `label` stands for its path in messages.
    ///
    /// # Errors
    /// As [`Adapter::new`].
    pub fn from_bytes(bytes: impl Into<std::borrow::Cow<'static, [u8]>>, label: &str) -> Result<Self> {
        Self::new(Tensors::from_bytes(bytes, label)?)
    }

    /// From its tensors and notes.
    ///
    /// # Errors
    /// [`ErrorKind::ModelFormat`] for a file that is no adapter, or a damaged one.
    pub fn new(tensors: Tensors) -> Result<Self> {
        let notes = tensors.notes();
        let note = |key: &str| notes.get(key).map(String::as_str).unwrap_or_default();
        let fail = |what: &str, help: &str| {
            Err(Error::new(ErrorKind::ModelFormat, format!("{}: {what}", tensors.label())).help(help))
        };
        if note("format") != FORMAT {
            return fail("is no adapter", "an adapter is a file that `polysketch linearize` wrote");
        }
        let Ok(base) = u64::from_str_radix(note("base"), 16) else {
            return fail("does not say which model it is for", "the file is damaged; write it again");
        };
        let linearized = match serde_json::from_str::<Linearized>(note("linearized")) {
            Ok(linearized) => linearized,
            Err(e) => {
                let what =
                    format!("what it says of the attention is not understood: {}", clip(&e.to_string()));
                return fail(&what, "it is damaged, or of a later version of this program");
            }
        };
        Ok(Self { linearized, base, tensors })
    }

    /// One whose far part is silent: only near keys and sinks count.
    ///
    /// # Errors
    /// As [`Adapter::to_bytes`].
    pub fn silent(linearized: &Linearized, base: u64, model: &ModelSource) -> Result<Self> {
        let config = ModelConfig { linearized: Some(linearized.clone()), ..model.config.clone() };
        let specs = config.parameters();
        let numbers = |layer: usize| {
            let name = linear_sketch(layer);
            specs.iter().find(|spec| spec.name == name).map_or(0, |spec| spec.elements())
        };
        let layers = config.num_hidden_layers;
        let sketches: Vec<Vec<f32>> = (0..layers).map(|layer| vec![0.0; numbers(layer)]).collect();
        let gates = vec![vec![GATE; config.num_key_value_heads]; layers];
        Self::from_bytes(Self::to_bytes(linearized, base, &sketches, &gates, &[])?, "adapter")
    }

    /// The bytes of a file, halves where numbers may be, with notes beside what it must say.
    ///
    /// # Errors
    /// [`ErrorKind::Limit`] for more than a file can hold.
    pub fn to_bytes(
        linearized: &Linearized,
        base: u64,
        sketches: &[Vec<f32>],
        gates: &[Vec<f32>],
        notes: &[(&str, &str)],
    ) -> Result<Vec<u8>> {
        let mut tensors = Vec::new();
        for (layer, (sketch, gate)) in sketches.iter().zip(gates).enumerate() {
            tensors.push(TensorData::f16(linear_sketch(layer), &[sketch.len()], sketch));
            tensors.push(TensorData::f16(linear_gate(layer), &[gate.len()], gate));
        }
        let (base, text) = (format!("{base:016x}"), serde_json::to_string(linearized).unwrap_or_default());
        let own = [("format", FORMAT), ("base", base.as_str()), ("linearized", text.as_str())];
        safetensors_bytes(&tensors, &[&own[..], notes].concat())
    }
}

impl ModelSource {
    /// The model with its attention made linear.
    ///
    /// # Errors
    /// [`ErrorKind::ModelFormat`] for an adapter of another model, one that is not whole, or one on top of another;
    /// those of the files.
    pub async fn adapt(mut self, adapter: Adapter) -> Result<Self> {
        let label = adapter.tensors.label().to_string();
        let fail = |what: String, help: &str| {
            Err(Error::new(ErrorKind::ModelFormat, format!("{label}: {what}")).help(help))
        };
        if self.config.adapted().is_some() {
            return fail("this model has an adapter already".into(), "give one --adapter");
        }
        self.check_softmax().map_err(|e| {
            let help = e.advice().unwrap_or_default().to_string();
            Error::new(e.kind(), format!("{label}: {}", e.message())).help(help)
        })?;
        let base = fingerprint(&self.config, &self.checkpoint).await?;
        if base != adapter.base {
            let model = self.checkpoint.label();
            let what = format!("is for the model {:016x}, and {model} is {base:016x}", adapter.base);
            return fail(what, "give the file that it was made from, or linearize this one");
        }
        let layers = self.config.num_hidden_layers;
        if adapter.linearized.near.len() != layers {
            let what = format!("is for {} layers, the model has {layers}", adapter.linearized.near.len());
            return fail(what, "the file is damaged; write it again");
        }
        self.config.linearized = Some(adapter.linearized);
        transformer::check_layers(&self.config).map_err(|e| {
            Error::new(ErrorKind::ModelFormat, format!("{label}: {}", e.message()))
                .help("the file is damaged; write it again")
        })?;
        if let Some(name) = adapter.tensors.names().iter().find(|name| !name.starts_with(ADAPTED)) {
            return fail(format!("tensor {} is none of an adapter's", clip(name)), "write the file again");
        }
        self.checkpoint.add(adapter.tensors)?;
        self.warnings.extend(self.checkpoint.check(&self.config.parameters())?);
        Ok(self)
    }

    /// What tells the model from others.
    ///
    /// # Errors
    /// Those of the files.
    pub async fn fingerprint(&self) -> Result<u64> {
        fingerprint(&self.config, &self.checkpoint).await
    }

    /// Refuses models whose attention an adapter cannot make linear.
    ///
    /// # Errors
    /// [`ErrorKind::Config`].
    pub fn check_softmax(&self) -> Result<()> {
        use super::config::AttentionKind;
        let config = &self.config;
        let head = config.head_dim;
        let what = match config.attention.kind {
            AttentionKind::Softmax if !head.is_multiple_of(4) => format!("heads of {head}: no multiple of 4"),
            AttentionKind::Softmax if config.rope.rotary_dim != head => {
                format!("heads of which {} of {head} elements turn", config.rope.rotary_dim)
            }
            AttentionKind::Softmax => return Ok(()),
            kind => format!("{} attention", kind.as_str()),
        };
        Err(Error::new(ErrorKind::Config, format!("{}: this model has {what}", self.checkpoint.label()))
            .help("only softmax attention is made linear: give the model that the adapter was made from"))
    }
}
