//! By what tensors are known: what a state is for, and what a backward pass hands to its caller. Names are
//! for people and files.

use super::TensorId;
use crate::kernels::Asked;

/// What a state is kept for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Purpose {
    /// Key rows of each text's last block.
    Ring,
    /// What a scan knows of everything before the last block.
    Scan,
    /// Every key row of each text.
    Cache,
    /// Logits of each text's next token.
    Logits,
    /// What the sampler reads and leaves.
    Sampler,
    /// What later segments of a text hand to earlier ones; cleared before a text's last segment.
    Carry,
    /// A weight that the optimiser moves.
    Weight,
    /// The gradient of a weight, added up until the optimiser takes it.
    Gradient,
    /// A moment of a weight's gradient.
    Moment,
    /// What the optimiser measures before a step.
    Norm,
    /// A value on the way, kept so that it can be set and looked at.
    Exposed,
}

/// What a backward pass appended that its caller writes, reads or clears.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Gradients {
    /// States, one for each trained parameter: (parameter, its gradient).
    pub parameters: Vec<(TensorId, TensorId)>,
    /// States that the caller clears before a text's last segment.
    pub carries: Vec<TensorId>,
    /// Inputs that rules asked for, which the caller writes.
    pub asked: Vec<(Asked, TensorId)>,
    /// The gradients that were to be kept, as outputs; none where nobody gave one.
    pub kept: Vec<Option<TensorId>>,
}

impl Gradients {
    /// The input of that meaning, if a rule asked for it.
    pub fn asked(&self, what: Asked) -> Option<TensorId> {
        self.asked.iter().find(|(asked, _)| *asked == what).map(|(_, id)| *id)
    }
}

/// Name of the state that a parameter's gradient is added up in.
pub fn gradient_name(parameter: &str) -> String {
    format!("gradient.{parameter}")
}
