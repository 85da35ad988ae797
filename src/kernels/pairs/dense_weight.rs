//! Affinities of pairs as a function of their inner product alone, softmax among them.

use super::local_weight::LocalWeight;
use crate::kernels::Variant;

/// The weight of a pair in the dense kinds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum DenseWeight {
    /// softmax of `q·k / √h`: the baseline (FlashAttention's running maximum).
    Softmax,
    /// A non-negative kernel with its own normaliser.
    Kernel(LocalWeight),
}

impl DenseWeight {
    /// Permutation flags of the dense shaders.
    pub(in crate::kernels) fn flags(&self) -> [(&'static str, bool); 2] {
        [
            ("SOFTMAX", *self == DenseWeight::Softmax),
            ("TAYLOR", matches!(self, DenseWeight::Kernel(w) if w.taylor())),
        ]
    }

    pub(in crate::kernels) fn constants(&self, variant: Variant, head: usize) -> Variant {
        match self {
            DenseWeight::Softmax => variant.with("SCALE", 1.0 / (head as f64).sqrt()),
            DenseWeight::Kernel(w) => w.constants(variant),
        }
    }
}
