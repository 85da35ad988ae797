//! A stage of linearising, whichever it is.

use super::distill::Distill;
use super::settings::{LinearizeSettings, Stage};
use super::student::Student;
use super::transfer::Transfer;
use crate::error::Result;
use crate::graph::Recompute;
use crate::model::{Engine, ModelSource};

/// A student and how it learns.
#[derive(Debug)]
pub enum Learning {
    /// [`Stage::Attention`].
    Attention(Transfer),
    /// [`Stage::Logits`].
    Logits(Distill),
}

/// How far a student is from its teacher.
#[derive(Clone, Debug, PartialEq)]
pub enum Distance {
    /// Relative L2 of each layer's attention.
    Layers(Vec<f64>),
    /// KL to the teacher's predictions, in nats a token.
    Kl(f64),
}

impl Learning {
    /// Plans, allocates, uploads.
    ///
    /// # Errors
    /// As [`Transfer::new`].
    pub async fn new(
        engine: &Engine,
        teacher: ModelSource,
        settings: &LinearizeSettings,
        recompute: Recompute,
    ) -> Result<Self> {
        Ok(match settings.stage {
            Stage::Attention => Self::Attention(Transfer::new(engine, teacher, settings).await?),
            Stage::Logits => Self::Logits(Distill::new(engine, teacher, settings, recompute).await?),
        })
    }

    /// What learns.
    pub fn student(&self) -> &Student {
        match self {
            Self::Attention(transfer) => &transfer.student,
            Self::Logits(distill) => &distill.student,
        }
    }

    /// What learns.
    pub fn student_mut(&mut self) -> &mut Student {
        match self {
            Self::Attention(transfer) => &mut transfer.student,
            Self::Logits(distill) => &mut distill.student,
        }
    }

    /// One step; `step` counts from 1. Returns the distance before it.
    ///
    /// # Errors
    /// As [`Transfer::step`].
    pub async fn step(&mut self, texts: &[Vec<u32>], step: u64) -> Result<Distance> {
        Ok(match self {
            Self::Attention(transfer) => Distance::Layers(transfer.step(texts, step).await?),
            Self::Logits(distill) => Distance::Kl(distill.step(texts, step).await?),
        })
    }

    /// The distance over texts, learning nothing.
    ///
    /// # Errors
    /// Those of the device.
    pub async fn distance(&mut self, texts: &[Vec<u32>]) -> Result<Distance> {
        Ok(match self {
            Self::Attention(transfer) => Distance::Layers(transfer.errors(texts).await?),
            Self::Logits(distill) => Distance::Kl(distill.divergence(texts).await?),
        })
    }
}

impl Distance {
    /// One number: the mean of the layers, or the KL.
    pub fn mean(&self) -> f64 {
        match self {
            Self::Layers(layers) => layers.iter().sum::<f64>() / layers.len().max(1) as f64,
            Self::Kl(kl) => *kl,
        }
    }

    /// Of each layer, where there is one.
    pub fn layers(&self) -> Option<&[f64]> {
        match self {
            Self::Layers(layers) => Some(layers),
            Self::Kl(_) => None,
        }
    }
}
