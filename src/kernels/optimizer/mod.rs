//! One step of training: the global norm of all gradients, clipping, AdamW.
//!
//! ```text
//! square_sums   n_k = Σ g² over part k of a gradient, 64 parts for each parameter
//! clip_factor   norm = √(Σ n_k over all parameters),  c = min(1, clip / norm);  c = 0 if norm is not finite
//! adamw         p ← p (1 - lr · decay)                   where the parameter decays
//!               m ← β1 m + (1 - β1) c g,  v ← β2 v + (1 - β2) (c g)²
//!               p ← p - lr · (m / (1 - β1^t)) / (√(v / (1 - β2^t)) + ε),  g ← 0
//! ```
//!
//! With c = 0 the step is skipped; the gradient is cleared in any case. What a step is told
//! ([`Settings`](settings::Settings)) is one small tensor that the host writes.
//!
//! | file | what it computes |
//! |---|---|
//! | `square_sums.rs` | sums of squares of one gradient |
//! | `settings.rs` | what the optimiser is told before a step |
//! | `clip_factor.rs` | the global norm and the factor |
//! | `adamw.rs` | the step of one parameter; what the optimiser is told |

pub mod adamw;
pub mod clip_factor;
pub mod settings;
pub mod square_sums;
