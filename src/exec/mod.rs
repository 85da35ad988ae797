//! Executors: run a [`Plan`](crate::graph::Plan) on the CPU or on a GPU, with the same results. Small,
//! because the plan has decided everything.
//!
//! | file | what |
//! |---|---|
//! | `program.rs` | a plan with its memory, compiled when it first runs |
//! | `workspace.rs` | scratch memory and compiled shaders that programs of one plan share |
//! | `submission.rs` | what one run takes and gives |
//! | `memory.rs` | named tensors on an executor: weights, states |
//! | `executor.rs` | where plans run |
//! | `cpu.rs` | by the CPU twins of the kernels |
//! | `wgpu.rs` | by their shaders |
//! | `stored.rs` | one tensor's numbers, and a list of them by name |
//! | `location.rs` | where a plan's tensors lie |
//! | `available.rs` | free memory, asked before much of it is taken |
//! | `profile.rs` | time by kernel |

mod available;
mod cpu;
mod executor;
mod location;
mod memory;
mod profile;
mod program;
#[cfg(test)]
mod program_tests;
mod stored;
mod submission;
mod wgpu;
mod workspace;

pub use self::wgpu::GpuExecutor;
pub(crate) use available::{available, check_memory, check_room, zeros};
pub use cpu::CpuExecutor;
pub use executor::Executor;
pub use memory::{Filling, Memory};
#[cfg(feature = "bench")]
pub(crate) use profile::add_by_kernel;
pub use profile::{KernelTime, by_kernel};
pub use program::Program;
pub(crate) use stored::stored_bytes;
pub use submission::Submission;
pub use workspace::Workspace;
