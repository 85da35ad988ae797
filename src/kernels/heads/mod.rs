//! Rows of queries and keys `[x | s | v | gate sum]` from a projection, sums of log gates, and the ring of a block.

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
