//! The environment variables that the device side reads; all of them are for tests and for
//! machines with trouble.
//!
//! | variable | effect |
//! |---|---|
//! | `POLYSKETCH_WEAK=1` | every adapter is used as the weakest that WebGPU allows: default limits, no optional features |
//! | `POLYSKETCH_CACHE_DIR=DIR` | where compiled pipelines are kept (default: the user's cache folder); `off` keeps none |
//! | `WGPU_BACKEND=vulkan,gl,…` | wgpu's own: look for adapters through these APIs only |

/// `POLYSKETCH_WEAK` is set (and not `0`).
pub fn weak() -> bool {
    std::env::var_os("POLYSKETCH_WEAK").is_some_and(|v| !v.is_empty() && v != "0")
}

/// Where compiled pipelines are kept, if anywhere.
#[cfg(not(target_arch = "wasm32"))]
pub fn cache_dir() -> Option<std::path::PathBuf> {
    use std::path::PathBuf;
    let set = |name: &str| std::env::var_os(name).filter(|v| !v.is_empty());
    match set("POLYSKETCH_CACHE_DIR") {
        Some(dir) if dir == "off" => None,
        Some(dir) => Some(PathBuf::from(dir)),
        None => {
            let base = if cfg!(windows) {
                set("LOCALAPPDATA").map(PathBuf::from)
            } else {
                set("XDG_CACHE_HOME")
                    .map(PathBuf::from)
                    .or_else(|| set("HOME").map(|home| PathBuf::from(home).join(".cache")))
            };
            Some(base?.join("polysketch"))
        }
    }
}
