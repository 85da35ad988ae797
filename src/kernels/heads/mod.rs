//! What attention reads of a token, head by head: rows of queries and keys, sums of log gates, the ring of a
//! block.
//!
//! A token's projections are `[q | k | v | gate logits]`, of q, k and v H vectors of h numbers each. Of one
//! head, at position t, with `R_t` the rotation of pairs by `t θ^(-2i/h)` (SPEC §1, Position):
//!
//! ```text
//! raw      q̃ = R_t q          where raw vectors are rotated, else q
//! normed   q̄ = LN(q̃)          with a weight and bias for queries, and one for keys
//! exact    x = q̄              what the exact kernel reads: rotated where normed vectors are; softmax: q̃
//! sketch   s = s(q̄) or s(q̃)   what the far keys are met with (`kernels/sketch/`)
//! gate     G_t = G_{t-1} + log σ(logit_t),  from 0 at the first token of each block
//! rows     query [x | s],  key [x | s | v | G],  each part only where a kind has it
//! ```
//!
//! G is kept as (integer, fraction), so that the difference of two sums is exact however long the text is; a
//! pair decays by `exp(G_i - G_j)`. Key rows go to the call's *window*, behind the *ring*: a lane's
//! last block, kept from call to call; in decoding into the ring itself; kinds without blocks have a *cache*.
//!
//! | file | what it computes |
//! |---|---|
//! | `layout.rs` | where everything lies; rotation tables; the head vectors on a CPU |
//! | `gate_sum.rs` | sums of log gates and the decays between them, on a CPU |
//! | `join_columns.rs` | q, k, v and gate logits of a caller as projections |
//! | `gate_prefix.rs` | G |
//! | `pack_heads.rs` | the rows |
//! | `ring_copy.rs` | ring to window, window to ring |
//! | `gradient.rs` | the rules that give gradients |
//! | `pack_heads_grad.rs`, `unpack_heads.rs`, `gate_prefix_grad.rs` | what the rules append |
//! | `vector_grad.rs` | gradients of the head vectors on a CPU |

pub mod gate_prefix;
pub mod gate_prefix_grad;
pub mod gate_sum;
mod gradient;
pub mod join_columns;
pub mod layout;
pub mod pack_heads;
pub mod pack_heads_grad;
pub mod ring_copy;
pub(in crate::kernels) mod row_tasks;
pub mod unpack_heads;
pub mod vector_grad;
