//! What the theory promises, held against the engine: numbers for tables and plots (SPEC §1). On the CPU,
//! where every kernel has a twin in f64.
//!
//! | file | what |
//! |---|---|
//! | `gradient.rs` | gradients of a whole model with truncated exponentials, against exact softmax |
//! | `cost.rs` | their time and memory against the length of the text |
//! | `linearize.rs` | a linearised model beside its teacher |
//! | `sketch.rs` | random and learned sketches against the kernels they stand for |
//! | `past.rs` | what a longer past is worth to a model |
//! | `bench.rs`, `peak.rs` | running a graph; resident memory |

mod bench;
#[cfg(test)]
mod closed_form_tests;
pub mod cost;
pub mod gradient;
pub mod linearize;
pub mod past;
mod peak;
pub mod sketch;

/// A text for the measurements: the opening of Disraeli's *Sybil* (1845).
const PASSAGE: &str = include_str!("../../assets/passage.txt");
