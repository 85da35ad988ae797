//! Models whose logits and gradients are known (SPEC §5): folders with `config.json`, `model.safetensors` and
//! `golden.safetensors`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use pollster::block_on;
use serde::Serialize;

use crate::error::{Error, ErrorKind, Result};
use crate::graph::Recompute;
use crate::kernels::rows::nll::UNSCORED;
use crate::model::tensor_file::{TensorFile, read_tensors};
use crate::model::{Engine, LoadOptions, ModelSource, Session};
use crate::train::{Batch, Learner, LearnerOptions};

/// `max|Δ| <= 5e-5 max|logit|`.
pub const LOGITS: f64 = 5e-5;
/// `‖Δ‖ <= 5e-4 ‖reference‖` for each gradient.
pub const GRADIENTS: f64 = 5e-4;

/// A model and what it should compute.
#[derive(Debug)]
pub struct Golden {
    /// Name of the folder.
    pub name: String,
    /// Where it lies: a folder, or a GGUF file.
    pub folder: PathBuf,
    /// What it should compute.
    pub values: TensorFile,
}

/// How far one tensor of a model is off.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Deviation {
    /// The tensor.
    pub tensor: String,
    /// Relative error; not a number where a result is not.
    pub error: f64,
    /// The most that it may be.
    pub tolerance: f64,
}

impl Deviation {
    /// Whether it is too large.
    pub fn wrong(&self) -> bool {
        self.error.is_nan() || self.error > self.tolerance
    }
}

/// The golden models of a folder of folders, by name.
///
/// # Errors
/// [`ErrorKind::Io`], or [`ErrorKind::Input`] for a folder that holds none.
pub fn open_all(folder: &Path) -> Result<Vec<Golden>> {
    let fail = |e: &std::io::Error| Error::io(folder.display(), e);
    let mut list = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(|e| fail(&e))? {
        let folder = entry.map_err(|e| fail(&e))?.path();
        // Of a folder, or beside a GGUF file.
        let gguf = folder.extension().is_some_and(|end| end == "gguf");
        let values = if gguf {
            folder.with_extension("golden.safetensors")
        } else {
            folder.join("golden.safetensors")
        };
        if values.is_file() {
            let name = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
            list.push(Golden { name, values: read_tensors(&values)?, folder });
        }
    }
    if list.is_empty() {
        let text = format!("{}: no folder with a golden.safetensors", folder.display());
        return Err(Error::new(ErrorKind::Input, text).help("give the folder that holds such folders"));
    }
    list.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(list)
}

/// Largest difference over the largest magnitude of the reference.
pub fn largest(got: &[f32], want: &[f64]) -> f64 {
    let most = want.iter().fold(f64::MIN_POSITIVE, |m, x| m.max(x.abs()));
    let difference = |(g, w): (&f32, &f64)| (f64::from(*g) - w).abs();
    let worst = got.iter().zip(want).map(difference).fold(0.0, super::compare::larger) / most;
    if got.len() == want.len() { worst } else { f64::NAN }
}

/// `‖got − want‖ / ‖want‖`. A gradient that cancels to nothing may be off by 1e-9.
pub fn relative(got: &[f32], want: &[f64]) -> f64 {
    let difference: f64 = got.iter().zip(want).map(|(g, w)| (f64::from(*g) - w).powi(2)).sum();
    let size = want.iter().map(|w| w * w).sum::<f64>().sqrt();
    let size = if size < 1e-9 { 1e-9 / GRADIENTS } else { size };
    if got.len() == want.len() { difference.sqrt() / size } else { f64::NAN }
}

impl Golden {
    /// The model.
    ///
    /// # Errors
    /// [`ErrorKind::ModelFormat`] and [`ErrorKind::Io`].
    pub fn source(&self) -> Result<ModelSource> {
        ModelSource::open(&self.folder)
    }

    /// Sequences and tokens of each.
    ///
    /// # Errors
    /// [`ErrorKind::ModelFormat`] if the file has no tokens.
    pub fn shape(&self) -> Result<(usize, usize)> {
        match self.values.shape("tokens") {
            Some([lanes, n]) => Ok((*lanes, *n)),
            other => {
                let text = format!("{}: tokens has shape {other:?}, not [B, n]", self.name);
                Err(Error::new(ErrorKind::ModelFormat, text))
            }
        }
    }

    /// The next-token batch of its tokens.
    ///
    /// # Errors
    /// [`ErrorKind::ModelFormat`] if the file has no tokens.
    pub fn batch(&self) -> Result<Batch> {
        let (_, n) = self.shape()?;
        let tokens = self.values.u32("tokens")?;
        let next = |row: &[u32]| row[1..].iter().copied().chain([UNSCORED]).collect::<Vec<u32>>();
        let targets = tokens.chunks_exact(n).flat_map(next).collect();
        Ok(Batch { context: n, tokens, targets })
    }

    /// Logits of all tokens at once, and the hidden states after each layer.
    ///
    /// # Errors
    /// Whatever can go wrong with a model.
    pub fn logits(&self, engine: &Engine) -> Result<Vec<Deviation>> {
        let (lanes, n) = self.shape()?;
        let tokens = self.values.u32("tokens")?;
        let options = LoadOptions { slots: lanes, max_context: n, ..LoadOptions::default() };
        let (logits, hidden) = block_on(async {
            let model = engine.load(self.source()?, &options, &mut |_, _| {}).await?;
            let mut session = Session::new(&model).await?;
            let ids: Vec<&[u32]> = tokens.chunks_exact(n).collect();
            session.forward(&(0..lanes).collect::<Vec<_>>(), &ids, true).await
        })?;
        let named = hidden.iter().enumerate().map(|(layer, x)| (format!("hidden.{layer}"), x));
        // The files of some models have no hidden states.
        let named = named.filter(|(tensor, _)| self.values.dtype(tensor).is_some());
        let all = [("logits".to_string(), &logits)].into_iter().chain(named);
        all.map(|(tensor, got)| {
            let error = largest(got, &self.values.f64(&tensor)?);
            Ok(Deviation { tensor, error, tolerance: LOGITS })
        })
        .collect()
    }

    /// Loss and gradients of the next-token batch.
    ///
    /// # Errors
    /// Whatever can go wrong with a model; [`ErrorKind::ModelFormat`] if the file has gradients of other
    /// parameters.
    pub fn gradients(&self, engine: &Engine) -> Result<Vec<Deviation>> {
        let batch = self.batch()?;
        let options = LearnerOptions {
            lanes: batch.sequences(),
            context: batch.context,
            segment: None,
            recompute: Recompute::Nothing,
        };
        let (loss, got) = gradients(engine, &self.source()?, &batch, &options)?;
        let names = self.values.names();
        let wanted: Vec<&str> = names.iter().filter_map(|n| n.strip_prefix("grad.")).collect();
        if !wanted.iter().copied().eq(got.keys().map(String::as_str)) {
            let text = format!("{}: gradients of other parameters than the model's", self.name);
            return Err(Error::new(ErrorKind::ModelFormat, text));
        }
        let want = self.values.f64("loss")?[0];
        let mut list =
            vec![Deviation { tensor: "loss".into(), error: (loss / want - 1.0).abs(), tolerance: GRADIENTS }];
        for (name, got) in &got {
            let tensor = format!("grad.{name}");
            let error = relative(got, &self.values.f64(&tensor)?);
            list.push(Deviation { tensor, error, tolerance: GRADIENTS });
        }
        Ok(list)
    }
}

/// Mean loss of a batch, and gradients by name.
///
/// # Errors
/// Whatever can go wrong with a model.
pub fn gradients(
    engine: &Engine,
    source: &ModelSource,
    batch: &Batch,
    options: &LearnerOptions,
) -> Result<(f64, BTreeMap<String, Vec<f32>>)> {
    block_on(async {
        let mut learner = Learner::new(engine, source, options).await?;
        let nll = learner.accumulate(batch, 1.0 / batch.scored() as f32).await?;
        let loss = nll.iter().map(|x| f64::from(*x)).sum::<f64>() / batch.scored() as f64;
        let gradients = learner.gradients().await?;
        Ok((loss, gradients.into_iter().map(|(name, _, values)| (name, values)).collect()))
    })
}
