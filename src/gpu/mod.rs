//! The device side: adapters, limits, errors, buffers, pipelines, timestamps. The only place, with
//! [`crate::exec`], that knows wgpu.
//!
//! | file | what |
//! |---|---|
//! | `switches.rs` | the environment variables this module reads |
//! | `adapter.rs`, `hardware.rs` | what adapters there are, what they can do; who made them |
//! | `select.rs` | which of them to take |
//! | `checks.rs` | where our own shaders go without checks of bounds and divisors |
//! | `mixed.rs` | what an adapter has for mixed precision, or lacks |
//! | `context.rs` | [`GpuContext`]: a device with the limits a model needs |
//! | `fault.rs` | driver errors as values: nothing here panics or aborts |
//! | `wait.rs` | waiting for the device without blocking a browser |
//! | `counted.rs`, `buffers.rs` | buffers and their count; checked allocation and bounded uploads |
//! | `readback.rs`, `staging.rs` | bytes back from the device, through a pool of staging buffers |
//! | `pipelines.rs` | WGSL to compiled pipelines, each once |
//! | `footprint.rs` | refuses shaders of a caller's own that are too large for the device |
//! | `pipeline_cache.rs` | what the driver compiled, kept on disk between runs |
//! | `tuned.rs` | what was found best on an adapter, kept on disk |
//! | `timestamps.rs` | how long each pass took, where the device can tell |
//!
//! Everything is `async`, because a browser cannot block; native callers drive it with pollster.

pub(crate) mod adapter;
mod buffers;
mod checks;
pub(crate) mod context;
mod counted;
mod fault;
#[cfg(not(target_arch = "wasm32"))]
mod footprint;
mod hardware;
mod mixed;
#[cfg(not(target_arch = "wasm32"))]
mod pipeline_cache;
pub(crate) mod pipelines;
pub(crate) mod readback;
#[doc(hidden)]
pub mod select;
mod staging;
#[doc(hidden)]
pub mod switches;
#[cfg(test)]
mod tests;
pub(crate) mod timestamps;
#[cfg(not(target_arch = "wasm32"))]
#[doc(hidden)]
pub mod tuned;
mod wait;

pub use adapter::{Adapter, AdapterFeatures, AdapterKind, AdapterLimits, AdapterReport, enumerate};
#[cfg(feature = "bench")]
pub(crate) use checks::unchecked;
pub use context::{GpuContext, Needs};
pub use counted::Buffer;
pub use fault::hush_driver_panics;
pub use hardware::Hardware;
pub use pipelines::{Layout, Pipeline, Pipelines, Region, Shader};
pub use readback::Readback;
pub use select::{AdapterRequest, Backend, Choice, select};
pub use timestamps::Timestamps;
