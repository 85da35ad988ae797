//! What works row by row: embedding, norms, activations, log-likelihood, and sums of rows.
//!
//! A tensor of a call is `[rows, width]`, a row a token, lane after lane. Of a row `x`:
//!
//! ```text
//! embed        x = table[id] (+ [sin(a_0), cos(a_0), sin(a_1), ...],  a_i = position · 10000^(-2 i / width))
//! norm         n = (x - mean(x)) / deviation,  deviation = √(mean((x - mean(x))²) + eps);  RMSNorm: no mean
//!              y = n · weight + bias
//! activate     z = act(y[..width]) · y[width..], or act(y);  act: GELU in both forms, SiLU, ReLU
//! nll          ℓ = log Σ_i exp(logit_i) - logit_target
//! divergence   KL = Σ_i p_i (log p_i - log softmax(logits)_i),  p the teacher's softmax
//! ```
//!
//! A gradient that belongs to a parameter is summed over rows in two steps, without atomics: first over the
//! 64 tokens of each part of a lane (`partials`), then over the parts (`sum_partials`). So results repeat.
//!
//! | file | what it computes |
//! |---|---|
//! | `embed.rs` | token embedding, positions, shards of the table |
//! | `norm.rs` | LayerNorm, RMSNorm |
//! | `activate.rs` | activations, gated or plain |
//! | `nll.rs` | negative log-likelihood of the next token |
//! | `divergence.rs`, `divergence_grad.rs` | how far predictions are from a teacher's |
//! | `take_last.rs`, `scatter_rows.rs` | the last row of each lane; rows of lanes to their slots |
//! | `gradient.rs` | the rules that give gradients |
//! | `embed_grad.rs`, `position_grad.rs`, `norm_grad.rs`, `activate_grad.rs`, `nll_grad.rs` | what the rules append |
//! | `column_sums.rs`, `sum_partials.rs` | sums over rows, in parts, and over the parts |
//! | `add.rs`, `clear.rs` | sums of two tensors, zeros |
//! | `multiply_add.rs` | nothing but arithmetic, for benchmarks |

pub mod activate;
pub mod activate_grad;
pub mod add;
pub mod clear;
pub mod column_sums;
pub mod divergence;
pub mod divergence_grad;
pub mod embed;
pub mod embed_grad;
mod gradient;
pub mod multiply_add;
pub mod nll;
pub mod nll_grad;
pub mod norm;
pub mod norm_grad;
pub mod position_grad;
pub mod scatter_rows;
pub mod sum_partials;
pub mod take_last;
pub mod transfer_error;
pub mod transfer_error_grad;
