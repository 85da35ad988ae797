//! Products with weight matrices, `y = x Wᵀ`, and their gradients `dx = dy W`, `dW = dyᵀ x`.

pub(in crate::kernels) mod few_bits;
mod fuse;
mod gradient;
pub mod linear;
pub mod linear_grad_input;
pub mod linear_grad_weight;
