//! What kernels promise to the graph and the executors, and what they may know of a device. Knows tensors,
//! not models, not wgpu.
//!
//! | file | what it holds |
//! |---|---|
//! | `kernel.rs` | the traits [`Kernel`] (types, variant, dispatches, CPU twins), [`Gradient`], [`Backward`] |
//! | `gradient.rs` | shorthands of gradient rules |
//! | `device.rs` | [`DeviceTraits`] |
//! | `tuning.rs` | plain data: what was measured on a device |
//! | `variant.rs` | [`Variant`], [`Dispatch`] |
//! | `args.rs` | the tensors of a CPU twin |
//! | `shader.rs`, `preprocess.rs` | the table of shaders that the build generates, and their preprocessor |

pub mod args;
pub mod device;
pub mod gradient;
pub mod kernel;
pub mod preprocess;
pub mod shader;
pub mod tuning;
pub mod variant;

pub use args::{Args, View, Weights};
pub use device::DeviceTraits;
pub use gradient::BackwardExt;
pub(crate) use kernel::shape_error;
pub use kernel::{Backward, Gradient, Kernel};
pub use tuning::{Tile, Tuning};
pub use variant::{Dispatch, Variant};
