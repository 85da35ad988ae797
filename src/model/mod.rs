//! Models: configuration, checkpoint, tokenizer, the transformer as a graph, sessions.

pub mod adapter;
pub mod buckets;
mod byte_level;
#[doc(hidden)]
pub mod bytes;
pub(crate) mod chat;
#[doc(hidden)]
pub mod checkpoint;
pub(crate) mod coder;
pub mod config;
mod config_json;
mod config_linearized;
mod config_reader;
mod config_written;
pub(crate) mod conventions;
#[cfg(not(target_arch = "wasm32"))]
pub(crate) mod convert;
pub(crate) mod ends;
pub(crate) mod engine;
mod extract;
pub mod families;
mod fingerprint;
pub(crate) mod generation;
#[doc(hidden)]
pub mod gguf;
#[cfg(all(feature = "hub", not(target_arch = "wasm32")))]
pub mod hub;
#[doc(hidden)]
pub mod parameters;
mod pieces;
pub(crate) mod sampling;
pub(crate) mod session;
mod session_state;
mod splits;
mod state_file;
#[doc(hidden)]
pub mod tensor_file;
pub(crate) mod text_stream;
#[cfg(all(test, not(target_arch = "wasm32")))]
mod text_tests;
pub(crate) mod tokenizer;
#[doc(hidden)]
pub mod tokenizer_train;
#[doc(hidden)]
pub mod transformer;
mod upload;
pub(crate) mod vocabulary;
#[doc(hidden)]
pub mod weights;

#[doc(hidden)]
pub use crate::files;
pub use adapter::Adapter;
pub use chat::{ChatTemplate, Conversation, Message, Reading};
pub use coder::EncodeOptions;
pub use config::{Family, ModelConfig};
pub use conventions::{Conventions, SamplingDefaults};
#[cfg(not(target_arch = "wasm32"))]
pub use convert::{Conversion, Written};
pub use ends::EndFiles;
pub use engine::{Blueprint, Engine, LoadOptions, MemoryPlan, Model, ModelSource};
pub use generation::Generation;
pub use parameters::{ParameterKind, ParameterSpec};
pub use sampling::{GenerateOptions, Generated, StopReason};
pub use session::Session;
#[cfg(not(target_arch = "wasm32"))]
pub use state_file::read_state;
pub use text_stream::{Seam, StopStrings, TextStream};
pub use tokenizer::{Tokenizer, documents};
pub use vocabulary::GgufVocabulary;
pub use weights::{StoredWeights, WeightType};
