//! polysketch: a portable WGSL compute engine for linear-time transformers.
//!
//! Attention by polynomial kernels and their sketches costs the same per token at any position, on top of a
//! state of constant size. This crate runs language models built on it: on Vulkan, Metal, DX12 and GL through
//! wgpu, in the browser on WebGPU, and on the CPU, with the same results.
//!
//! # A text from a model
//!
//! ```no_run
//! use std::ops::ControlFlow;
//! use polysketch::{AdapterRequest, Engine, GenerateOptions, LoadOptions, ModelSource, Session};
//!
//! # async fn tell() -> polysketch::Result<()> {
//! let engine = Engine::create(&AdapterRequest::default()).await?;
//! let model = engine.load(ModelSource::builtin()?, &LoadOptions::default(), &mut |_, _| {}).await?;
//! let mut session = Session::new(&model).await?;
//! let ids = model.tokenizer()?.encode("She opened the letter, and")?;
//! session.prefill(0, &ids, &mut |_| ControlFlow::Continue(())).await?;
//! let said = session.generate(0, &GenerateOptions::greedy(40), &mut |_| ControlFlow::Continue(())).await?;
//! println!("{}", said.text);
//! # Ok(()) }
//! ```
//!
//! Everything that may wait is `async`, because a browser cannot block; natively, drive it with
//! `pollster::block_on`.
//!
//! # The layers, from the top
//!
//! What most callers need stands at the crate's root. The modules below it are for those who build on a
//! layer: attention alone, a training loop of their own, a kernel of their own.
//!
//! * `check` (native): every shader against its CPU twin, and models against results that are known.
//! * `report` (native): what the theory of gradients and sketches promises, measured.
//! * `gauge` (Linux, a feature of its own): what the compilers of four vendors make of the kernels.
//! * [`mod@bench`]: suites of measurements, one documented row each.
//! * [`train`]: gradients of whole models in linear time and constant memory, the optimiser, the training
//!   loop.
//! * [`model`]: configuration, checkpoint, tokenizer, [`Engine`] → [`Model`] → [`Session`].
//! * [`attention`]: every kind of attention as graph nodes, and [`AttentionLayer`] for attention alone on the
//!   caller's own device and buffers.
//! * [`exec`]: runs a plan, by its shaders or by their CPU twins.
//! * [`graph`]: typed tensors and operations, lowered to a [`Plan`](graph::Plan) in which everything is
//!   decided.
//! * [`gpu`]: adapters, devices, and which of them to take.
//! * [`kernels`]: what a kernel is: its parameters, geometry, shader and CPU twin.
//! * [`tensor`]: element types, shapes, and the sizes that only a call knows.
//!
//! # Features
//!
//! All but the last are on unless `default-features = false` says otherwise.
//!
//! * `cli`: the command line program, with its argument parser, progress bars and plots.
//! * `builtin-model`: a small model inside the library, 4.4 MB of it
//!   ([`ModelSource::builtin`]).
//! * `hub`: models by their names on the Hugging Face hub (`model::hub`), fetched over HTTPS into its cache.
//! * `train`: the module [`train`].
//! * `bench`: the modules [`mod@bench`], `check` and `report`; needs `train`, which it measures.
//! * `gauge`: the module and command of this name, for work on kernels; off unless asked for.

#![cfg_attr(not(test), warn(clippy::unwrap_used))]

pub mod attention;
#[cfg(feature = "bench")]
pub mod bench;
#[cfg(all(feature = "bench", not(target_arch = "wasm32")))]
pub mod check;
mod clock;
#[doc(hidden)]
pub mod error;
pub mod exec;
#[doc(hidden)]
pub mod files;
#[cfg(all(feature = "gauge", target_os = "linux"))]
pub mod gauge;
pub mod gpu;
pub mod graph;
pub mod kernels;
pub mod model;
#[cfg(all(feature = "bench", not(target_arch = "wasm32")))]
pub mod report;
pub mod tensor;
#[doc(hidden)]
pub mod text;
#[cfg(feature = "train")]
pub mod train;
#[cfg(any(target_arch = "wasm32", test))]
pub mod web;

pub use attention::{Attention, AttentionLayer};
pub use error::{Error, ErrorKind, Result};
pub use gpu::{AdapterRequest, Backend};
pub use model::{
    Engine, GenerateOptions, Generated, Generation, LoadOptions, Model, ModelConfig, ModelSource, Session,
    StopReason, Tokenizer,
};
// The crate's own files call the two macros by these short names; others find them beside what they make.
pub(crate) use kernels::twins;
pub(crate) use tensor::shape;
