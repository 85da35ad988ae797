//! Attention over all pairs, with a cache of keys and values: softmax and the exact polynomial kernel, the
//! baselines that the scan is compared with (SPEC §1).
//!
//! ```text
//! N_i = Σ_j a_ij v̂_j,  o_i = N_i[0..h] / (β + N_i[h])       a and v̂: `pairs/`
//! ```
//!
//! over the keys j <= i of the sequence (or all of them). For softmax β = 0 and affinities are taken relative
//! to a running maximum: with `m_i = max_j t_ij / √h`, `a_ij = e^{t_ij / √h - m_i}`; a new maximum m' scales
//! what is summed so far by `e^{m - m'}`. Decoding cuts the cache into ranges and adds their parts:
//!
//! ```text
//! o = Σ_s e^{m_s - m} sum_s / (β + Σ_s e^{m_s - m} total_s)
//! ```
//!
//! | file | what is in it |
//! |---|---|
//! | `attention_dense.rs` | many queries against a cache or a window |
//! | `attention_dense_decode.rs` | one query a lane against its cache, in parts |
//! | `attention_dense_merge.rs` | the parts added up |
//! | `gradient.rs` | the rule: all pairs, backwards (`pairs/`) |

pub mod attention_dense;
pub mod attention_dense_decode;
pub mod attention_dense_merge;
mod gradient;
