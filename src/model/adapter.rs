//! Adapters: what makes the softmax attention of a public model linear (SPEC §10), as a small file beside the
//! unchanged one of the model.

use std::collections::BTreeMap;

use super::checkpoint::{TensorData, Tensors, safetensors_bytes};
use super::config::{Linearized, ModelConfig};
use super::engine::ModelSource;
use super::fingerprint::fingerprint;
use super::parameters::{ADAPTED, ParameterKind, ParameterSpec};
use super::transformer;
use crate::error::{Error, ErrorKind, Result};
use crate::text::clip;

/// The logit that every gate begins with: what a far key weighs falls to a half in 2 070 tokens. Of 9, 8, 7.5 and 7,
/// tried on SmolLM2's training texts to 8,192 tokens, 9 is the worst from 2,048 on, and up to there they are alike.
pub const GATE: f32 = 8.0;
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
    /// Its tensors: those of [`ModelConfig::parameters`] whose names begin with [`ADAPTED`].
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

    /// One whose far part is silent, and which adds nothing: only near keys and sinks count.
    ///
    /// # Errors
    /// As [`Adapter::to_bytes`].
    pub fn silent(linearized: &Linearized, base: u64, model: &ModelSource) -> Result<Self> {
        let config = ModelConfig { linearized: Some(linearized.clone()), ..model.config.clone() };
        let gate = |spec: &&ParameterSpec| spec.kind == ParameterKind::GateBias;
        let specs = adapted(&config);
        let gates = specs.iter().filter(gate).map(|spec| (spec.name.clone(), vec![GATE; spec.elements()]));
        Self::from_bytes(Self::to_bytes(&config, base, &gates.collect(), &[])?, "adapter")
    }

    /// The bytes of a file for a linearised model, halves where numbers may be, with notes beside what it must say. What
    /// has no values is zeros.
    ///
    /// # Errors
    /// [`ErrorKind::Limit`] for more than a file can hold.
    pub fn to_bytes(
        config: &ModelConfig,
        base: u64,
        values: &BTreeMap<String, Vec<f32>>,
        notes: &[(&str, &str)],
    ) -> Result<Vec<u8>> {
        let tensor = |spec: &ParameterSpec| {
            let none = vec![0.0; spec.elements()];
            TensorData::f16(&spec.name, &spec.shape, values.get(&spec.name).unwrap_or(&none))
        };
        let tensors: Vec<TensorData<'_>> = adapted(config).iter().map(tensor).collect();
        let text = config.linearized.as_ref().and_then(|l| serde_json::to_string(l).ok()).unwrap_or_default();
        let base = format!("{base:016x}");
        let own = [("format", FORMAT), ("base", base.as_str()), ("linearized", text.as_str())];
        safetensors_bytes(&tensors, &[&own[..], notes].concat())
    }

    /// Refuses another model than the one it is for.
    ///
    /// # Errors
    /// [`ErrorKind::ModelFormat`].
    pub fn check_base(&self, base: u64, model: &str, help: &str) -> Result<()> {
        if base == self.base {
            return Ok(());
        }
        let what = format!("is for the model {:016x}, and {model} is {base:016x}", self.base);
        Err(self.refused(what, help))
    }

    /// The error for one that cannot be.
    fn refused(&self, what: impl std::fmt::Display, help: &str) -> Error {
        Error::new(ErrorKind::ModelFormat, format!("{}: {what}", self.tensors.label())).help(help)
    }
}

/// The tensors of a linearised model that its adapter has.
fn adapted(config: &ModelConfig) -> Vec<ParameterSpec> {
    config.parameters().into_iter().filter(|spec| spec.name.starts_with(ADAPTED)).collect()
}

impl ModelSource {
    /// The model with its attention made linear.
    ///
    /// # Errors
    /// [`ErrorKind::ModelFormat`] for an adapter of another model, one that is not whole, or one on top of another;
    /// [`ErrorKind::Config`] for a model whose attention is not softmax; those of the files.
    pub async fn adapt(self, adapter: Adapter) -> Result<Self> {
        self.check_adaptable(&adapter)?;
        let base = fingerprint(&self.config, &self.checkpoint).await?;
        let help = "give the file that it was made from, or linearize this one";
        adapter.check_base(base, self.checkpoint.label(), help)?;
        self.adapt_unread(adapter)
    }

    /// The same of a model none of whose weights may be read: whether the adapter was made from them is not known.
    ///
    /// # Errors
    /// As [`ModelSource::adapt`], but for other weights of the same shape.
    pub fn adapt_unread(mut self, adapter: Adapter) -> Result<Self> {
        const DAMAGED: &str = "the file is damaged; write it again";
        self.check_adaptable(&adapter)?;
        let layers = self.config.num_hidden_layers;
        if adapter.linearized.near.len() != layers {
            let what = format!("is for {} layers, the model has {layers}", adapter.linearized.near.len());
            return Err(
                adapter.refused(what, "give the file that it was made from; if this is it, write it again")
            );
        }
        self.config.linearized = Some(adapter.linearized.clone());
        transformer::check_layers(&self.config).map_err(|e| adapter.refused(e.message(), DAMAGED))?;
        if let Some(name) = adapter.tensors.names().iter().find(|name| !name.starts_with(ADAPTED)) {
            let what = format!("tensor {} is none of an adapter's", clip(name));
            return Err(adapter.refused(what, "write the file again"));
        }
        self.checkpoint.add(adapter.tensors)?;
        self.warnings.extend(self.checkpoint.check(&self.config.parameters())?);
        Ok(self)
    }

    fn check_adaptable(&self, adapter: &Adapter) -> Result<()> {
        if self.config.adapted().is_some() {
            return Err(adapter.refused("this model has an adapter already", "give one --adapter"));
        }
        self.check_softmax().map_err(|e| {
            let help = e.advice().unwrap_or_default().to_string();
            let label = adapter.tensors.label();
            Error::new(e.kind(), format!("{label}: {}", e.message())).help(help)
        })
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
