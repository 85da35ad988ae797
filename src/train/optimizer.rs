//! The optimiser as plans: clearing what segments hand back, the global norm of the gradients, the AdamW
//! step.

use crate::error::Result;
use crate::graph::{Graph, Purpose, Tensor, TensorId, gradient_name};
use crate::kernels::optimizer::adamw::{self, Decay};
use crate::kernels::optimizer::clip_factor::ClipFactor;
use crate::kernels::optimizer::settings::{SETTINGS, Settings};
use crate::kernels::optimizer::square_sums::{SquareSums, norms};
use crate::kernels::rows::clear::Clear;
use crate::model::ParameterSpec;
use crate::model::weights::{Packed, Part};
use crate::shape;
use crate::tensor::TensorType;

pub(super) use crate::kernels::optimizer::clip_factor::CLIP;
pub(super) use crate::kernels::optimizer::square_sums::SQUARE_PARTS;

/// AdamW (Loshchilov and Hutter 2019), decoupled decay of matrices only, after clipping by the global norm.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdamW {
    /// Learning rate.
    pub lr: f64,
    /// Decay of the first moment.
    pub beta1: f64,
    /// Decay of the second moment.
    pub beta2: f64,
    /// Added to the root of the second moment.
    pub eps: f64,
    /// Decay of matrices, times the learning rate.
    pub weight_decay: f64,
    /// Largest global norm of the gradients; 0: any.
    pub clip: f64,
}

impl Default for AdamW {
    fn default() -> Self {
        Self { lr: 1e-3, beta1: 0.9, beta2: 0.95, eps: 1e-8, weight_decay: 0.1, clip: 1.0 }
    }
}

/// A moment of the gradients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Moment {
    First,
    Second,
}

impl Moment {
    pub const ALL: [Moment; 2] = [Moment::First, Moment::Second];

    /// Name of a parameter's moment: of the state, and of the tensor in a checkpoint.
    pub fn name(self, parameter: &str) -> String {
        let moment = match self {
            Moment::First => "first",
            Moment::Second => "second",
        };
        format!("{moment}.{parameter}")
    }
}

/// The settings of a step, as words.
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

/// Clears what later segments hand to earlier ones: states of the training plan.
pub(super) fn clear(carries: &[Tensor]) -> Result<Graph> {
    let mut g = Graph::new();
    for Tensor { name, ty, .. } in carries {
        let carry = g.state(name, Purpose::Carry, ty.clone());
        g.apply(&format!("clear.{name}"), Clear { ty: ty.clone(), range: None }, &[], &[carry])?;
    }
    Ok(g)
}

/// What is measured of the gradients before a step.
#[derive(Clone, Copy, Debug)]
pub(super) struct Measure {
    /// Input `[SETTINGS]`: [`settings`].
    pub settings: TensorId,
    /// State `[parameters, SQUARE_PARTS]`: sums of squares of each gradient.
    pub squares: TensorId,
    /// State `[CLIP]`: the global norm, and what the gradients are multiplied by.
    pub clip: TensorId,
}

/// Clears the gradients of what is not trained, and measures all.
pub(super) fn norm(parameters: &[Packed]) -> Result<(Graph, Measure)> {
    let mut g = Graph::new();
    let settings = g.input("settings", TensorType::f32(shape![SETTINGS]));
    let squares = g.state("norms", Purpose::Norm, norms(parameters.len()));
    let clip = g.state("clip", Purpose::Norm, TensorType::f32(shape![CLIP]));
    for (index, p) in parameters.iter().enumerate() {
        let ty = TensorType::f32(shape![p.elements]);
        let gradient = g.state(&gradient_name(&p.name), Purpose::Gradient, ty.clone());
        for range in fixed(p) {
            let clear = Clear { ty: ty.clone(), range: Some(range) };
            g.apply(&format!("fixed.{}", p.name), clear, &[], &[gradient])?;
        }
        let sums = SquareSums { elements: p.elements, index };
        g.apply(&format!("norm.{}", p.name), sums, &[gradient], &[squares])?;
    }
    g.apply("clip", ClipFactor { parameters: parameters.len() }, &[squares, settings], &[clip])?;
    Ok((g, Measure { settings, squares, clip }))
}

/// [`norm`], and the step of every parameter; clears the gradients.
pub(super) fn update(parameters: &[Packed], specs: &[ParameterSpec]) -> Result<(Graph, Measure)> {
    let (mut g, measure) = norm(parameters)?;
    for p in parameters {
        let kept = undecayed(p, specs);
        let decay = match kept.as_slice() {
            [] => Decay::All,
            [all] if *all == (0..p.elements) => Decay::None,
            some => Decay::Except(some.len()),
        };
        let mut inputs = vec![measure.settings, measure.clip];
        if let Decay::Except(n) = decay {
            inputs.push(g.constant_u32(
                &format!("undecayed.{}", p.name),
                shape![n, 2],
                adamw::ranges(&kept).into(),
            ));
        }
        let updates = [
            (p.name.clone(), Purpose::Weight),
            (Moment::First.name(&p.name), Purpose::Moment),
            (Moment::Second.name(&p.name), Purpose::Moment),
            (gradient_name(&p.name), Purpose::Gradient),
        ];
        let updates =
            updates.map(|(name, purpose)| g.state(&name, purpose, TensorType::f32(shape![p.elements])));
        g.apply(
            &format!("step.{}", p.name),
            adamw::AdamW { elements: p.elements, decay },
            &inputs,
            &updates,
        )?;
    }
    Ok((g, measure))
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
