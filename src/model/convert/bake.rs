//! An adapter that becomes a part of its model: the same attention as a kind of its own (SPEC §10), whole and
//! without the file beside it.

use std::ops::Range;

use crate::error::{Error, ErrorKind, Result};
use crate::model::checkpoint::{Checkpoint, Stored};
use crate::model::config::{AttentionConfig, AttentionKind, Family, Gate, Linearized, ModelConfig};
use crate::model::parameters::{affine_parts, affine_sketches, linear_gate, linear_sketch, linear_update};

/// What a tensor of the new model is made of.
#[derive(Debug)]
pub(super) enum Made {
    /// A tensor, as it is.
    Whole(String),
    /// A projection of attention, and what is added to it.
    Projection {
        /// The teacher's; none: nothing but what is added.
        base: Option<String>,
        /// `[rank, inputs]` and `[outputs, rank]`, and the first of its rows; none where nothing is added.
        update: Option<([String; 2], usize)>,
    },
    /// Numbers of each key head's sketch, one head after the other.
    Sketch {
        /// Where they are.
        name: String,
        /// Those of each head.
        heads: Vec<Range<usize>>,
    },
}

/// The configuration of the model that a softmax model with its adapter becomes; none of a model without one.
///
/// # Errors
/// [`ErrorKind::Config`] for one that a `config.json` of ours cannot describe.
pub(super) fn own(config: &ModelConfig) -> Result<Option<ModelConfig>> {
    let Some(adapted) = config.adapted() else { return Ok(None) };
    if config.keeps_softmax() {
        let layers: Vec<String> = adapted.kept().iter().map(usize::to_string).collect();
        let text =
            format!("layers {} keep their softmax, which a model of our own kind cannot", layers.join(", "));
        return Err(Error::new(ErrorKind::Config, text).help("use it with --adapter"));
    }
    let attention = AttentionConfig {
        kind: AttentionKind::Linearized,
        gate: Gate::Scalar,
        gate_bias: true,
        ..config.attention.clone()
    };
    let linearized = Some(Linearized { rank: 0, ..adapted.clone() });
    let own =
        ModelConfig { family: Family::Polysketch, origin: None, linearized, attention, ..config.clone() };
    own.validate().map_err(|e| {
        Error::new(ErrorKind::Config, format!("the model with its adapter is none of ours: {}", e.message()))
            .help("use it with --adapter")
    })?;
    Ok(Some(own))
}

/// What a tensor of the new model is made of; `config` is that of the model with its adapter.
pub(super) fn made(config: &ModelConfig, name: &str) -> Made {
    let whole = || Made::Whole(name.into());
    let of_layer = name.strip_prefix("model.layers.").and_then(|rest| rest.split_once(".self_attn."));
    let Some((layer, part)) = of_layer.and_then(|(layer, part)| Some((layer.parse().ok()?, part))) else {
        return whole();
    };
    let (queries, keys) = (config.query_width(), config.key_width());
    let projection = |which: &str, first: usize, base: bool| {
        let ranked = config.adapted().is_some_and(|l| l.rank > 0);
        let update = ranked.then(|| (linear_update(layer, which), first));
        Made::Projection { base: base.then(|| name.into()), update }
    };
    match part {
        "q_proj.weight" => projection("qkv", 0, true),
        "k_proj.weight" => projection("qkv", queries, true),
        "v_proj.weight" => projection("qkv", queries + keys, true),
        // The teacher has none: its gates are the same for every token but for what is added.
        "gate_proj.weight" => projection("qkv", queries + 2 * keys, false),
        "gate_proj.bias" => Made::Whole(linear_gate(layer)),
        "o_proj.weight" => projection("o", 0, true),
        part => sketch(config, layer, part).unwrap_or_else(whole),
    }
}

/// A part of a layer's sketches.
fn sketch(config: &ModelConfig, layer: usize, part: &str) -> Option<Made> {
    let part = part.strip_prefix("sketch.")?;
    let mut first = 0;
    for (side, weights) in affine_sketches(config, config.adapted()?, "") {
        let side = side.trim_start_matches(".sketch.");
        let mut at = first;
        for ((name, shape, _), padded) in affine_parts(weights).into_iter().zip(weights.parts()) {
            if part.strip_prefix(side).and_then(|rest| rest.strip_prefix('.')) == Some(name) {
                let n: usize = shape.iter().product();
                let begin = |head: usize| at + head * weights.count();
                let heads = (0..config.num_key_value_heads).map(|head| begin(head)..begin(head) + n);
                return Some(Made::Sketch { name: linear_sketch(layer), heads: heads.collect() });
            }
            at += padded;
        }
        first += config.num_key_value_heads * weights.count();
    }
    None
}

impl Made {
    /// How most of it is stored.
    pub fn stored(&self, checkpoint: &Checkpoint) -> Option<Stored> {
        match self {
            Self::Whole(name) | Self::Sketch { name, .. } => checkpoint.stored(name),
            Self::Projection { base, update } => {
                checkpoint.stored(base.as_ref().or(update.as_ref().map(|([a, _], _)| a))?)
            }
        }
    }

    /// All of its numbers.
    pub fn all(&self, checkpoint: &Checkpoint) -> Result<Vec<f32>> {
        match self {
            Self::Whole(name) => checkpoint.f32(name),
            Self::Sketch { name, heads } => {
                let all = checkpoint.f32(name)?;
                Ok(heads.iter().flat_map(|head| &all[head.clone()]).copied().collect())
            }
            // Matrices are read by rows.
            Self::Projection { .. } => Ok(Vec::new()),
        }
    }

    /// Rows of a matrix of so many columns.
    pub fn rows(&self, checkpoint: &Checkpoint, rows: Range<usize>, columns: usize) -> Result<Vec<f32>> {
        let elements = rows.start * columns..rows.end * columns;
        let (base, update) = match self {
            Self::Whole(name) => return checkpoint.f32_part(name, elements),
            Self::Sketch { .. } => return Ok(self.all(checkpoint)?[elements].to_vec()),
            Self::Projection { base, update } => (base, update),
        };
        let mut values = match base {
            Some(name) => checkpoint.f32_part(name, elements)?,
            None => vec![0.0; elements.len()],
        };
        let Some(([a, b], first)) = update else { return Ok(values) };
        let a = checkpoint.f32(a)?;
        let rank = a.len() / columns.max(1);
        let b = checkpoint.f32_part(b, (first + rows.start) * rank..(first + rows.end) * rank)?;
        for (row, factors) in values.chunks_exact_mut(columns).zip(b.chunks_exact(rank)) {
            for (factor, added) in factors.iter().zip(a.chunks_exact(columns)) {
                row.iter_mut().zip(added).for_each(|(sum, x)| *sum += factor * x);
            }
        }
        Ok(values)
    }
}
