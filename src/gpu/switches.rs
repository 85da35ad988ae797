//! The environment variables that the device side reads; all of them are for tests and for
//! machines with trouble.
//!
//! | variable | effect |
//! |---|---|
//! | `POLYSKETCH_WEAK=1` | every adapter is used as the weakest that WebGPU allows: default limits, no optional features |
//! | `POLYSKETCH_CHECKS=on` or `off` | our shaders carry checks of bounds and divisors on every adapter, or natively on none; else on all but real GPUs |
//! | `WGPU_BACKEND=vulkan,gl,…` | wgpu's own: look for adapters through these APIs only |

use crate::error::{Error, ErrorKind, Result};

const CHECKS: &str = "POLYSKETCH_CHECKS";

/// `POLYSKETCH_WEAK` is set (and not `0`).
pub fn weak() -> bool {
    std::env::var_os("POLYSKETCH_WEAK").is_some_and(|v| !v.is_empty() && v != "0")
}

/// Whether `POLYSKETCH_CHECKS` wants checks in our shaders; `None`: the adapter decides.
///
/// # Errors
/// [`ErrorKind::Input`] for what is neither `on` nor `off`.
pub fn checks() -> Result<Option<bool>> {
    let value = std::env::var_os(CHECKS).unwrap_or_default();
    on_or_off(&value.to_string_lossy())
}

fn on_or_off(value: &str) -> Result<Option<bool>> {
    match value {
        "" => Ok(None),
        "on" => Ok(Some(true)),
        "off" => Ok(Some(false)),
        other => Err(Error::new(ErrorKind::Input, format!("{CHECKS} is {other:?}, not on or off"))
            .help("leave it out, and real GPUs alone go without checks")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checks_are_on_or_off_or_left_to_the_adapter() {
        let read = |value| on_or_off(value).unwrap();
        assert_eq!(["", "on", "off"].map(read), [None, Some(true), Some(false)]);
        for value in ["1", "On", "of\nf"] {
            let error = on_or_off(value).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Input);
            assert!(error.message().starts_with("POLYSKETCH_CHECKS is "), "{error}");
        }
    }
}
