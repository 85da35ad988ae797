//! Random and learned sketches `s(x)` of heads: whole nets in one kernel (SPEC §1, Sketches).

mod gradient;
pub mod sketch_learned;
pub mod sketch_learned_grad;
pub mod sketch_random;
pub mod sketch_random_grad;
mod slabs;
mod vectors;
