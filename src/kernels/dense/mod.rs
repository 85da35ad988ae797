//! Softmax and polynomial attention over all pairs: the baselines, with a cache.

pub mod attention_dense;
pub mod attention_dense_decode;
pub mod attention_dense_merge;
mod gradient;
