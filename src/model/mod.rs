//! Models: configuration, checkpoint, tokenizer, the transformer as a graph, sessions.

mod byte_level;
pub mod checkpoint;
pub mod config;
mod config_json;
pub mod engine;
pub mod files;
pub mod generation;
pub mod parameters;
pub mod sampling;
pub mod session;
mod session_state;
mod state_file;
pub mod tensor_file;
pub mod text_stream;
pub mod tokenizer;
pub mod tokenizer_train;
pub mod transformer;
pub mod weights;

pub use config::ModelConfig;
pub use engine::{Blueprint, Engine, LoadOptions, MemoryPlan, Model, ModelSource};
pub use generation::Generation;
pub use parameters::{ParameterKind, ParameterSpec};
pub use sampling::{GenerateOptions, Generated, StopReason};
pub use session::Session;
pub use tokenizer::Tokenizer;
