//! The tensors of a new file: their names, types and shapes, and what of the model each is made of.

use std::collections::HashMap;

use super::bake::{Made, made};
use crate::model::checkpoint::{Dtype, Stored};
use crate::model::config::{Family, ModelConfig};
use crate::model::engine::ModelSource;
use crate::model::families::gguf::FREQUENCIES;
use crate::model::families::gguf_keys::divisors;
use crate::model::families::{Names, Place};
use crate::model::gguf::BlockType;
use crate::model::parameters::{ParameterKind, ParameterSpec};
use crate::model::tensor_file::list;
use crate::model::weights::WeightType;

/// What is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    /// A folder of the model's own family.
    Folder,
    /// A GGUF file of this family.
    Gguf(Family),
}

/// A tensor of the new file.
#[derive(Debug)]
pub(super) struct Target {
    pub name: String,
    pub shape: Vec<usize>,
    pub kind: BlockType,
    pub content: Content,
}

/// What a tensor of the new file is made of.
#[derive(Debug)]
pub(super) enum Content {
    /// The same blocks as in the file that is read, where it has this name too.
    Blocks,
    /// Tensors of the model, each in its place.
    Parts(Vec<Part>),
    /// Numbers that the configuration says.
    Values(Vec<f32>),
    /// Tensors of the model and of its adapter.
    Made(Made),
}

/// A tensor of the model within one of the new file.
#[derive(Debug)]
pub(super) struct Part {
    /// Our name.
    pub name: String,
    /// Our shape.
    pub shape: Vec<usize>,
    /// Where it lies.
    pub place: Place,
}

impl Target {
    /// Bytes in the file.
    pub fn bytes(&self) -> u64 {
        self.elements() / self.kind.values() as u64 * self.kind.bytes() as u64
    }

    fn elements(&self) -> u64 {
        self.shape.iter().fold(1, |a, n| a * *n as u64)
    }
}

/// Whether it is one of the large matrices, which alone are kept in few bits.
fn is_large(spec: &ParameterSpec) -> bool {
    let kind =
        matches!(spec.kind, ParameterKind::Embedding | ParameterKind::Linear | ParameterKind::GateWeight);
    kind && !spec.name.contains(".sketch.") && !spec.name.contains("embed_positions")
}

/// Whether blocks stay as they are: those that have no more bits than were asked for.
fn stays(blocks: BlockType, asked: Option<WeightType>) -> bool {
    match asked {
        None | Some(WeightType::Q8) => true,
        Some(WeightType::Q4) => blocks.quant(blocks.values()).is_some_and(|quant| quant.bits == 4),
        Some(WeightType::F32 | WeightType::F16) => false,
    }
}

/// The names of the tensors in the new file.
pub(super) fn names(source: &ModelSource, format: Format) -> Names {
    let from_gguf = source.checkpoint.metadata().is_some();
    match format {
        Format::Folder if from_gguf => {
            // As transformers saves GPT-2.
            Names::of(&source.config, |name| name == "transformer.wte.weight")
        }
        Format::Gguf(family) if !from_gguf => {
            Names::of_gguf(&ModelConfig { family, ..source.config.clone() })
        }
        _ => source.checkpoint.layout(),
    }
}

/// The tensors of the new file, in the order of the computation. Also tells what is not as it was asked for.
/// `own` is the configuration of a model whose adapter becomes a part of it.
pub(super) fn targets(
    source: &ModelSource,
    own: Option<&ModelConfig>,
    format: Format,
    asked: Option<WeightType>,
) -> (Vec<Target>, Vec<String>) {
    let names = if own.is_some() { Names::default() } else { names(source, format) };
    let same = own.is_none() && names == source.checkpoint.layout();
    let mut targets: Vec<Target> = Vec::new();
    let mut found: HashMap<String, usize> = HashMap::new();
    let mut uneven = Vec::new();
    for spec in own.unwrap_or(&source.config).parameters() {
        let place = names.place(&spec.name);
        let part = || Part { name: spec.name.clone(), shape: spec.shape.clone(), place: place.clone() };
        if let Some(at) = found.get(&place.name) {
            if let Content::Parts(parts) = &mut targets[*at].content {
                parts.push(part());
            }
            continue;
        }
        let shape = place.shape_in_file(&spec.shape);
        let made = own.map(|_| made(&source.config, &spec.name));
        let stored = match &made {
            Some(made) => made.stored(&source.checkpoint),
            None => source.checkpoint.stored(&spec.name),
        };
        let blocks = match stored {
            Some(Stored::Blocks(blocks)) if same && stays(blocks, asked) => Some(blocks),
            _ => None,
        };
        let even = shape.last().is_some_and(|columns| columns.is_multiple_of(BlockType::Q8_0.values()));
        let halves = format == Format::Folder && stored == Some(Stored::Floats(Dtype::F16));
        let kind = match (blocks, asked) {
            // Norms, biases, positions and sketches are f32 in memory too; halves need not grow.
            _ if !is_large(&spec) && halves && asked != Some(WeightType::F32) => BlockType::F16,
            _ if !is_large(&spec) => BlockType::F32,
            (Some(blocks), _) => blocks,
            (None, Some(WeightType::F32)) => BlockType::F32,
            (None, Some(WeightType::Q8)) if even => BlockType::Q8_0,
            (None, Some(WeightType::Q4)) if even => BlockType::Q4_1,
            (None, Some(WeightType::Q8 | WeightType::Q4)) => {
                uneven.push(place.name.clone());
                BlockType::F16
            }
            (None, Some(WeightType::F16) | None) => BlockType::F16,
        };
        let content = match made {
            Some(made) => Content::Made(made),
            None if blocks == Some(kind) => Content::Blocks,
            None => Content::Parts(vec![part()]),
        };
        found.insert(place.name.clone(), targets.len());
        targets.push(Target { name: place.name.clone(), shape, kind, content });
    }
    if let (Format::Gguf(_), Some(values)) = (format, divisors(&source.config)) {
        targets.push(Target {
            name: FREQUENCIES.into(),
            shape: vec![values.len()],
            kind: BlockType::F32,
            content: Content::Values(values),
        });
    }
    let mut notes = Vec::new();
    if !uneven.is_empty() {
        let list = list(uneven.iter().map(String::as_str), 3);
        notes.push(format!("rows that are no multiple of 32 stay f16: {list}"));
    }
    (targets, notes)
}
