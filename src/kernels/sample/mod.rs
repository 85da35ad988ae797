//! The sampler.

#[allow(clippy::module_inception)]
pub mod sample;
