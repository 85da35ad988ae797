//! What works row by row: embedding, LayerNorm, gated GELU, log-likelihood, and sums of rows.

pub mod add;
pub mod clear;
pub mod column_sums;
pub mod embed;
pub mod embed_grad;
pub mod glu;
pub mod glu_grad;
mod gradient;
pub mod layer_norm;
pub mod layer_norm_grad;
pub mod multiply_add;
pub mod nll;
pub mod nll_grad;
pub mod scatter_rows;
pub mod sum_partials;
pub mod take_last;
