//! Pairs of a query and a key: their affinity, a function of the inner product of two vectors, and the passes
//! over pairs that gradients need (SPEC §1).
//!
//! A query i sees keys j up to itself, in its block (the scan) or in the whole text (the dense kinds). With
//! `t_ij = ⟨x_i, x_j⟩`, gate sums g and β in the normaliser:
//!
//! ```text
//! a_ij = e^{g_i - g_j} w(t_ij)              w(t) = (c t)^p,  Σ_{m <= g} (c t)^m / m!,  or e^{t / √h}
//! N_i  = Σ_j a_ij v̂_j                       v̂ = [v | 1]
//! o_i  = N_i[0..h] / D_i                    D_i = β + N_i[h]
//! ```
//!
//! Backwards, from `do`:
//!
//! ```text
//! dN_i  = [do_i | -⟨do_i, o_i⟩] / D_i       one gradient row a query
//! dt_ij = ⟨dN_i, v̂_j⟩ e^{g_i - g_j} w'(t_ij)
//! dx_i  = Σ_j dt_ij x_j                     of the query
//! dx_j  = Σ_i dt_ij x_i,  dv̂_j = Σ_i a_ij dN_i
//! dG_j  = ⟨dN_j, N_j⟩ - ⟨dv̂_j, v̂_j⟩         by the sum of log gates that never restarts
//! ```
//!
//! Affinities are computed again, a tile of pairs at a time: nothing of size n x n is in memory.
//!
//! | file | what is in it |
//! |---|---|
//! | `local_affinity.rs` | w of the scan: even powers, partial sums of exp |
//! | `pair_affinity.rs` | w of the dense kinds: those, or softmax |
//! | `mask.rs` | which keys a query sees |
//! | `pairs.rs` | which pairs, how the two passes are cut, a tile of pairs on the CPU |
//! | `attention_grad_rows.rs` | dN |
//! | `attention_grad_far.rs` | dN of what a state adds to exact softmax |
//! | `attention_grad_queries.rs` | dx of queries |
//! | `attention_grad_keys.rs` | dx and dv̂ of keys, dG |
//! | `gradient.rs` | what a kind of attention appends to get them |

pub mod attention_grad_far;
pub mod attention_grad_keys;
pub mod attention_grad_queries;
pub mod attention_grad_rows;
mod gradient;
pub mod local_affinity;
pub mod mask;
pub mod pair_affinity;
pub mod pairs;
