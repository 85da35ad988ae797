//! Affinities of pairs as functions of their inner product alone, softmax among them.

use super::local_affinity::LocalAffinity;
use crate::kernels::shader::shared;

/// The affinity of a pair in the dense kinds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum PairAffinity {
    /// softmax of `q·k / √h`: the baseline (FlashAttention's running maximum).
    Softmax,
    /// A non-negative kernel with its own normaliser.
    Kernel(LocalAffinity),
}

impl PairAffinity {
    /// The flag `SOFTMAX`.
    pub(in crate::kernels) fn softmax(&self) -> bool {
        *self == PairAffinity::Softmax
    }

    /// The flag `TAYLOR`.
    pub(in crate::kernels) fn taylor(&self) -> bool {
        matches!(self, PairAffinity::Kernel(w) if w.taylor())
    }

    /// The values of `shared/softmax.wgsl` for heads of that size, or of `shared/local_affinity.wgsl`.
    pub(in crate::kernels) fn overrides(
        &self,
        head: usize,
    ) -> (Option<shared::Softmax>, Option<shared::LocalAffinity>) {
        match self {
            PairAffinity::Softmax => (Some(shared::Softmax { scale: 1.0 / (head as f64).sqrt() }), None),
            PairAffinity::Kernel(w) => (None, Some(w.overrides())),
        }
    }
}
