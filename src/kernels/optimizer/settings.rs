//! What the optimiser is told before a step.

/// Words of the settings.
pub const SETTINGS: usize = 8;

/// What the optimiser is told before a step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Settings {
    /// Learning rate of this step.
    pub learning_rate: f32,
    /// Decay of the first moment.
    pub beta1: f32,
    /// Decay of the second moment.
    pub beta2: f32,
    /// Added to the root of the second moment.
    pub eps: f32,
    /// Decoupled weight decay.
    pub weight_decay: f32,
    /// Longest global norm of the gradients; 0: any.
    pub clip: f32,
}

impl Settings {
    /// The input tensor `settings` of step `step`, counted from 1: learning rate, β1, β2, ε, weight decay, 1
    /// − β1^step, 1 − β2^step, clip.
    pub fn at(&self, step: usize) -> [f32; SETTINGS] {
        // Of the rounded β, so that they divide exactly what the moments have gathered.
        let gathered = |beta: f32| -(step as f64 * f64::from(beta).ln()).exp_m1() as f32;
        let &Self { learning_rate, beta1, beta2, eps, weight_decay, clip } = self;
        [learning_rate, beta1, beta2, eps, weight_decay, gathered(beta1), gathered(beta2), clip]
    }
}
