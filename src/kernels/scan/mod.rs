//! The block-causal scan: states of blocks, their prefix, outputs, and the same backwards (SPEC §1).

pub mod features;
mod gradient;
pub mod scan_decode;
pub mod scan_grad_keys;
pub mod scan_grad_queries;
pub mod scan_output;
pub mod scan_prefix;
pub mod scan_states;
pub mod scan_suffix;
