//! The optimiser as plans: clearing what segments hand back, the global norm of the gradients, the AdamW
//! step.

use super::learner::AdamW;
use crate::error::Result;
use crate::graph::{Graph, Plan, Role};
use crate::kernels::optimizer::adamw::{self, Decay, SETTINGS, Settings};
use crate::kernels::optimizer::clip_factor::{CLIP, ClipFactor};
use crate::kernels::optimizer::square_sums::{SquareSums, norms};
use crate::kernels::rows::clear::Clear;
use crate::model::ParameterSpec;
use crate::model::weights::{Packed, Part};
use crate::shape;
use crate::tensor::TensorType;

pub(super) use crate::kernels::optimizer::square_sums::SQUARE_PARTS;

/// The input `settings` of a step, as words.
pub(super) fn settings(adamw: &AdamW, step: u64) -> Vec<u32> {
    let settings = Settings {
        learning_rate: adamw.lr as f32,
        beta1: adamw.beta1 as f32,
        beta2: adamw.beta2 as f32,
        eps: adamw.eps as f32,
        weight_decay: adamw.weight_decay as f32,
        clip: adamw.clip as f32,
    };
    settings.at(step as usize).iter().map(|x| x.to_bits()).collect()
}

/// Clears everything that later segments hand to earlier ones.
pub(super) fn clear(train: &Plan) -> Result<Graph> {
    let mut g = Graph::new();
    for t in train
        .tensors
        .iter()
        .filter(|t| t.bytes > 0 && t.tensor.role == Role::State && t.tensor.name.ends_with(".carry"))
    {
        let carry = g.state(&t.tensor.name, t.tensor.ty.clone());
        g.apply(
            &format!("clear.{}", t.tensor.name),
            Clear { ty: t.tensor.ty.clone(), range: None },
            &[],
            &[carry],
        )?;
    }
    Ok(g)
}

/// Clears the gradients of what is not trained; then sums of squares of all gradients, in the state `norms
/// [parameters, 64]`.
pub(super) fn norm(parameters: &[Packed]) -> Result<Graph> {
    let mut g = Graph::new();
    let norms = g.state("norms", norms(parameters.len()));
    for (index, p) in parameters.iter().enumerate() {
        let ty = TensorType::f32(shape![p.elements]);
        let gradient = g.state(&format!("gradient.{}", p.name), ty.clone());
        for range in fixed(p) {
            g.apply(
                &format!("fixed.{}", p.name),
                Clear { ty: ty.clone(), range: Some(range) },
                &[],
                &[gradient],
            )?;
        }
        g.apply(
            &format!("norm.{}", p.name),
            SquareSums { elements: p.elements, index },
            &[gradient],
            &[norms],
        )?;
    }
    Ok(g)
}

/// After [`norm`]: the clip factor, and the step of every parameter; clears the gradients.
pub(super) fn update(parameters: &[Packed], specs: &[ParameterSpec]) -> Result<Graph> {
    let mut g = Graph::new();
    let norms = g.state("norms", norms(parameters.len()));
    let settings = g.input("settings", TensorType::f32(shape![SETTINGS]));
    let factor = g.state("clip", TensorType::f32(shape![CLIP]));
    g.apply("clip", ClipFactor { parameters: parameters.len() }, &[norms, settings], &[factor])?;
    for p in parameters {
        let kept = undecayed(p, specs);
        let decay = match kept.as_slice() {
            [] => Decay::All,
            [all] if *all == (0..p.elements) => Decay::None,
            some => Decay::Except(some.len()),
        };
        let mut inputs = vec![settings, factor];
        if let Decay::Except(n) = decay {
            inputs.push(g.constant_u32(
                &format!("undecayed.{}", p.name),
                shape![n, 2],
                adamw::ranges(&kept).into(),
            ));
        }
        let state = |g: &mut Graph, name: &str| {
            g.state(&format!("{name}{}", p.name), TensorType::f32(shape![p.elements]))
        };
        let updates = ["", "first.", "second.", "gradient."].map(|name| state(&mut g, name));
        g.apply(
            &format!("step.{}", p.name),
            adamw::AdamW { elements: p.elements, decay },
            &inputs,
            &updates,
        )?;
    }
    Ok(g)
}

/// Elements of a parameter that are no part of the checkpoint (biases a projection does not have, padding):
/// they are never trained.
fn fixed(p: &Packed) -> impl Iterator<Item = std::ops::Range<usize>> {
    p.ranges().filter(|(part, _)| !matches!(part, Part::Tensor { .. })).map(|(_, range)| range)
}

/// Elements of a parameter that do not decay: norms and biases. Neighbours are joined.
fn undecayed(p: &Packed, specs: &[ParameterSpec]) -> Vec<std::ops::Range<usize>> {
    let mut ranges: Vec<std::ops::Range<usize>> = Vec::new();
    for (part, range) in p.ranges() {
        let decayed = match part {
            Part::Tensor { name, .. } => specs.iter().any(|s| s.name == *name && s.kind.is_decayed()),
            Part::Zeros(_) | Part::Ones(_) => false,
        };
        match ranges.last_mut() {
            _ if decayed => {}
            Some(last) if last.end == range.start => last.end = range.end,
            _ => ranges.push(range),
        }
    }
    ranges
}
