//! polysketch: a portable WGSL compute engine for linear-time transformers.
pub mod attention;
pub mod error;
pub mod exec;
pub mod gpu;
pub mod graph;
pub mod kernels;
pub mod model;
pub mod tensor;
#[cfg(target_arch = "wasm32")]
pub mod web;

pub use error::{Error, ErrorKind, Result};
