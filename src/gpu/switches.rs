//! The environment variables that the device side reads; all of them are for tests and for
//! machines with trouble.
//!
//! | variable | effect |
//! |---|---|
//! | `POLYSKETCH_WEAK=1` | every adapter is used as the weakest that WebGPU allows: default limits, no optional features |
//! | `WGPU_BACKEND=vulkan,gl,…` | wgpu's own: look for adapters through these APIs only |

/// `POLYSKETCH_WEAK` is set (and not `0`).
pub fn weak() -> bool {
    std::env::var_os("POLYSKETCH_WEAK").is_some_and(|v| !v.is_empty() && v != "0")
}
