//! One step after the other: batches, gradients, optimiser.

use super::batches::Sequences;
use super::learner::{Batch, Learner};
use super::settings::Settings;
use crate::error::{Error, ErrorKind, Result};

/// A model in training: what a step needs, and how far it is. Knows no files and no clock.
#[derive(Debug)]
pub struct Trainer {
    learner: Learner,
    settings: Settings,
    data: Box<dyn Sequences>,
    step: u64,
}

/// What a step did.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Step {
    /// Its number, from 1.
    pub step: u64,
    /// Mean negative log-likelihood before it, over all that is scored.
    pub loss: f64,
    /// Learning rate.
    pub lr: f64,
    /// Norm of the gradient, before clipping.
    pub gradient_norm: f64,
}

impl Trainer {
    /// Goes on after `step` (0: at the beginning).
    pub fn new(learner: Learner, settings: Settings, data: Box<dyn Sequences>, step: u64) -> Self {
        Self { learner, settings, data, step }
    }

    /// The model.
    pub fn learner(&mut self) -> &mut Learner {
        &mut self.learner
    }

    /// Steps done.
    pub fn steps(&self) -> u64 {
        self.step
    }

    /// The next step.
    ///
    /// # Errors
    /// [`ErrorKind::Numeric`] if the loss or the gradients are not finite, naming the step and the layer; those
    /// of the device.
    pub async fn step(&mut self) -> Result<Step> {
        let (step, lanes) = (self.step + 1, self.settings.batch);
        let first = self.step.wrapping_mul(self.settings.sequences() as u64);
        let parts = (0..self.settings.accumulate)
            .map(|part| self.data.batch(first.wrapping_add((part * lanes) as u64), lanes, lanes));
        let parts: Vec<Batch> = parts.collect();
        let positions: usize = parts.iter().map(Batch::scored).sum();
        let mut sum = 0.0;
        for part in &parts {
            let nll = self.learner.accumulate(part, 1.0 / positions as f32).await?;
            sum += nll.iter().map(|x| f64::from(*x)).sum::<f64>();
        }
        let loss = sum / positions as f64;
        if !loss.is_finite() {
            // Looks where it went wrong.
            let what = match self.learner.gradient_norm().await {
                Ok(norm) => format!("the gradient's norm is {norm}"),
                Err(error) if error.kind() == ErrorKind::Numeric => error.message().to_string(),
                Err(error) => return Err(error),
            };
            return Err(diverged(step, loss, &what));
        }
        let lr = self.settings.rates().rate(step);
        let gradient_norm = match self.learner.update(&self.settings.optimiser(lr), step).await {
            Err(error) if error.kind() == ErrorKind::Numeric => {
                return Err(diverged(step, loss, error.message()));
            }
            updated => updated?,
        };
        self.step = step;
        Ok(Step { step, loss, lr, gradient_norm })
    }
}

/// The error of a run whose numbers went out of bounds.
pub(super) fn diverged(step: u64, loss: f64, what: &str) -> Error {
    let loss = if loss.is_finite() { format!("{loss:.4}") } else { loss.to_string() };
    Error::new(ErrorKind::Numeric, format!("training diverged at step {step}, loss {loss}: {what}"))
        .help("use a smaller --lr or --clip, or a longer --warmup")
}
