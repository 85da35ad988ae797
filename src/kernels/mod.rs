//! The kernels, by family: a kernel is `<family>/<stem>.rs` beside `shaders/<family>/<stem>.wgsl` and holds
//! its parameters, dispatch geometry, choice of shader variant and CPU twin; what gives its gradients is in
//! the family's `gradient.rs`. Knows tensors, not models, not wgpu.
//!
//! | folder | what is in it |
//! |---|---|
//! | `cpu/` | numbers beneath the twins: float type, products, loops, threads |
//! | `contract/` | the trait `Kernel`, arguments, variants, device traits, the table of shaders |
//! | `tiles/` | how work is cut for a device |
//! | `linear/` | products with weight matrices |
//! | `rows/` | what works row by row: embedding, norms, activations, losses, sums |
//! | `heads/` | rows of queries and keys, gates, the ring |
//! | `pairs/` | affinities of pairs of tokens, and their gradients |
//! | `sketch/` | random and learned sketches |
//! | `scan/` | the block-causal scan |
//! | `dense/` | softmax and polynomial attention over all pairs |
//! | `sample/` | the sampler |
//! | `optimizer/` | norm, clipping, AdamW |

pub mod contract;
pub mod cpu;
#[doc(hidden)]
pub mod dense;
#[doc(hidden)]
pub mod heads;
#[doc(hidden)]
pub mod linear;
#[doc(hidden)]
pub mod optimizer;
#[doc(hidden)]
pub mod pairs;
#[doc(hidden)]
pub mod rows;
#[doc(hidden)]
pub mod sample;
#[doc(hidden)]
pub mod scan;
#[doc(hidden)]
pub mod sketch;
#[doc(hidden)]
pub mod tiles;

pub(crate) use contract::shape_error;
pub use contract::{
    Asked, Backward, BackwardExt, DeviceTraits, Dispatch, Fused, Gradient, Kernel, Operand, OwnShader,
    Permutation, Precision, Shader, Split, Tile, Tuning, Variant, Vendor, View, Views, Weights, shader,
    twins,
};
pub use cpu::Real;
