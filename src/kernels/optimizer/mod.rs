//! The global norm, clipping, AdamW.

pub mod adamw;
pub mod clip_factor;
pub mod square_sums;
