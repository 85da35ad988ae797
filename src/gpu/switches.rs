//! The environment variables that the device side reads; all of them are for tests and for
//! machines with trouble.
//!
//! | variable | effect |
//! |---|---|
//! | `POLYSKETCH_WEAK=1` | every adapter is used as the weakest that WebGPU allows: default limits, no optional features |
//! | `POLYSKETCH_CHECKED=1` | our shaders carry checks of bounds and divisors on every adapter, not on software alone |
//! | `WGPU_BACKEND=vulkan,gl,…` | wgpu's own: look for adapters through these APIs only |

/// `POLYSKETCH_WEAK` is set (and not `0`).
pub fn weak() -> bool {
    set("POLYSKETCH_WEAK")
}

/// `POLYSKETCH_CHECKED` is set (and not `0`).
pub fn checked() -> bool {
    set("POLYSKETCH_CHECKED")
}

fn set(name: &str) -> bool {
    std::env::var_os(name).is_some_and(|v| !v.is_empty() && v != "0")
}
