//! The learning rate of every step.

use serde::{Deserialize, Serialize};

use crate::error::{Error, ErrorKind, Result};

/// How the learning rate falls after the warm-up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Decay {
    /// Half a cosine.
    #[default]
    Cosine,
    /// A straight line.
    Linear,
    /// Not at all.
    Constant,
}

/// A linear warm-up to the peak, then a decay.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Schedule {
    /// Largest rate.
    pub peak: f64,
    /// Rate of the last step, unless it is constant.
    pub last: f64,
    /// Steps of the warm-up.
    pub warmup: u64,
    /// Steps in all.
    pub steps: u64,
    /// What follows the warm-up.
    pub decay: Decay,
}

/// Above it a learning rate is a mistake.
const LARGEST: f64 = 10.0;

impl Schedule {
    /// Rate of a step, counted from 1. It stays where it is after the last one.
    pub fn rate(&self, step: u64) -> f64 {
        if step < self.warmup {
            return self.peak * step as f64 / self.warmup as f64;
        }
        let decaying = self.steps.saturating_sub(self.warmup).max(1);
        let part = ((step - self.warmup) as f64 / decaying as f64).min(1.0);
        let left = match self.decay {
            Decay::Constant => 1.0,
            Decay::Linear => 1.0 - part,
            Decay::Cosine => 0.5 * (1.0 + (std::f64::consts::PI * part).cos()),
        };
        self.last + (self.peak - self.last) * left
    }

    /// Refuses rates that cannot be meant.
    ///
    /// # Errors
    /// [`ErrorKind::Input`].
    pub fn check(&self) -> Result<()> {
        if !(self.peak > 0.0 && self.peak <= LARGEST) {
            return Err(Error::new(
                ErrorKind::Input,
                format!("the learning rate is {}, must be above 0 and at most {LARGEST}", self.peak),
            )
            .help("usual rates are from 0.0001 to 0.003"));
        }
        if !(self.last >= 0.0 && self.last <= self.peak) {
            let message = format!(
                "the learning rate ends at {}, must be from 0 to its peak of {}",
                self.last, self.peak
            );
            return Err(Error::new(ErrorKind::Input, message).help("use a smaller --min-lr"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schedule(decay: Decay) -> Schedule {
        Schedule { peak: 1.0, last: 0.1, warmup: 10, steps: 110, decay }
    }

    #[test]
    fn rises_and_falls() {
        for decay in [Decay::Cosine, Decay::Linear, Decay::Constant] {
            let s = schedule(decay);
            assert!((s.rate(1) - 0.1).abs() < 1e-12 && (s.rate(10) - 1.0).abs() < 1e-12, "{decay:?}");
            let last = if decay == Decay::Constant { 1.0 } else { 0.1 };
            assert!((s.rate(110) - last).abs() < 1e-12 && (s.rate(1000) - last).abs() < 1e-12, "{decay:?}");
            assert!((10..130).all(|step| s.rate(step + 1) <= s.rate(step)));
        }
        assert!(
            (schedule(Decay::Linear).rate(60) - 0.55).abs() < 1e-12
                && (schedule(Decay::Cosine).rate(60) - 0.55).abs() < 1e-12
        );
        let cold = Schedule { warmup: 0, ..schedule(Decay::Linear) };
        assert!(cold.rate(1) < 1.0 && cold.rate(1) > 0.99);
        // All warm-up, and more of it than steps.
        assert!(
            Schedule { warmup: 110, ..cold }.rate(110) == 1.0
                && Schedule { warmup: 220, ..cold }.rate(110) == 0.5
        );
    }

    #[test]
    fn impossible_rates_are_refused() {
        for peak in [0.0, -1.0, f64::NAN, f64::INFINITY, 10.1] {
            assert!(Schedule { peak, ..schedule(Decay::Cosine) }.check().is_err(), "{peak}");
        }
        for last in [-0.1, 1.1, f64::NAN] {
            assert!(Schedule { last, ..schedule(Decay::Cosine) }.check().is_err(), "{last}");
        }
        assert!(schedule(Decay::Cosine).check().is_ok());
    }
}
