//! Affinities of pairs of tokens as functions of their inner product, and the passes over pairs that gradients need.

pub mod attention_grad_keys;
pub mod attention_grad_queries;
pub mod attention_grad_rows;
pub mod dense_weight;
mod gradient;
pub mod local_weight;
pub mod mask;
#[allow(clippy::module_inception)]
pub mod pairs;
