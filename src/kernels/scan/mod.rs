//! The block-causal scan (SPEC §1): attention whose far part goes through a state of fixed size.
//!
//! The affinity of a pair in one block is computed exactly (`pairs/`), that of pairs further apart is an
//! inner product of features φ. With `v̂ = [v | 1]`, g the sum of log gates since the block began (`g_last`
//! at its end), block l of b tokens:
//!
//! ```text
//! H_l     = Σ_{j in block l} e^{g_last - g_j} φ(k_j) v̂_jᵀ         a block's own state
//! Z_{l+1} = e^{g_last(l)} Z_l + H_l                                the state before block l + 1
//! N_i     = Σ_{j in block, j <= i} a_ij v̂_j + e^{g_i} Z_lᵀ φ(q_i)
//! o_i     = N_i[0..h] / (β + N_i[h])
//! ```
//!
//! and backwards, from the gradient rows dN of `pairs/`, blocks last to first:
//!
//! ```text
//! dφ(q_i) = e^{g_i} Z_l dN_i
//! dZ_l    = Σ_i e^{g_i} φ(q_i) dN_iᵀ
//! T_l     = dH_l:  T_last = carry,  T_{l-1} = dZ_l + e^{g_last(l)} T_l
//! dφ(k_j) = e^{g_last - g_j} T_l v̂_j,   dv̂_j = e^{g_last - g_j} T_lᵀ φ(k_j)
//! ```
//!
//! φ is a product of elements of a vector (a sketch, or x itself), built where it is used and never stored;
//! its gradient is the product rule. A state is `[F, h]`, then `[F]` for the normaliser.
//!
//! | file | what is in it |
//! |---|---|
//! | `features.rs` | φ: which products, their scales, the product rule |
//! | `scan_states.rs` | H, dZ; in decoding, a full ring onto Z |
//! | `scan_prefix.rs` | Z |
//! | `scan_output.rs` | o |
//! | `scan_decode.rs` | o of one token a lane |
//! | `scan_grad_queries.rs` | dφ(q), through the features |
//! | `scan_suffix.rs` | T |
//! | `scan_grad_keys.rs` | dφ(k), through the features, and dv̂ |
//! | `gradient.rs` | the rules |

pub mod features;
mod gradient;
pub mod scan_decode;
pub mod scan_grad_keys;
pub mod scan_grad_queries;
pub mod scan_output;
pub mod scan_prefix;
pub mod scan_states;
pub mod scan_suffix;
#[cfg(test)]
mod tests;
