//! Random and learned sketches `s: R^h → R^r` of heads (SPEC §1, Sketches): whole nets in one kernel.
//!
//! ```text
//! random    a binary tree over p / 2 copies of x:  node = gain · (L a) ⊙ (R b)
//!           a leaf has a = b = x, another node its two children;  s = the root
//! learned   two branches, left and right, of levels  y = D gelu(U LN(x)),  U [e r, i], D [r, e r],
//!           i = h at the first level and then r;  s = √r tanh(left(x) ⊙ right(x) / √r)
//! affine    s = e^{γ/2} (c + W d + B gelu(A d)),  d = x - mean,  γ = α + ⟨u, x⟩; of each key head, for queries
//!           and keys apart
//! ```
//!
//! Vectors of queries `[lanes, G, tokens, M]` come first, then those of keys `[lanes, G, tokens]`. A workgroup, or a thread, takes a tile of them
//! through the whole net: the hidden layers never leave its memory. The gradients keep nothing of the forward
//! pass: they compute a tile again, walk it backwards, and add to partial sums of their own (*slabs*), so
//! that nothing is atomic.
//!
//! | file | what it computes |
//! |---|---|
//! | `sketch_random.rs`, `sketch_learned.rs`, `sketch_affine.rs` | the sketches |
//! | `sketch_rows.rs` | the learned sketch of a token, and its query and key rows with it |
//! | `gradient.rs` | the rules that give gradients |
//! | `sketch_random_grad.rs`, `sketch_learned_grad.rs`, `sketch_affine_grad.rs` | what the rules append |
//! | `slabs.rs` | how the gradients' partial sums lie, and their dispatches |
//! | `vectors.rs` | the vectors of a call on a CPU, a tile at a time |

mod gradient;
pub mod sketch_affine;
pub mod sketch_affine_grad;
pub mod sketch_learned;
pub mod sketch_learned_grad;
pub mod sketch_random;
pub mod sketch_random_grad;
pub mod sketch_rows;
mod slabs;
mod vectors;
