//! A loaded model: tokens, logits, what is known of it.

use std::cell::RefCell;

use js_sys::Function;
use wasm_bindgen::prelude::*;

use super::convert::{Progress, object, to_js};
use super::session::Session;
use crate::error::Result;
use crate::exec::Executor;
use crate::model::{self, Blueprint, Conventions, EncodeOptions, ModelConfig};

/// A loaded model.
#[wasm_bindgen]
#[derive(Debug)]
pub struct Model {
    model: model::Model,
    /// A session nobody uses now. Calls that overlap each take, or make, their own.
    idle: RefCell<Option<model::Session>>,
}

impl Model {
    pub(super) fn new(model: model::Model) -> Self {
        Self { model, idle: RefCell::default() }
    }

    async fn forward(&self, ids: &[u32]) -> Result<Vec<f32>> {
        // Taken out before anything is awaited: no borrow is held while other calls may come.
        let idle = self.idle.take();
        let mut session = match idle {
            Some(session) => session,
            None => model::Session::new(&self.model).await?,
        };
        let (logits, _) = session.forward(&[0], &[ids], false).await?;
        session.reset(0);
        self.idle.replace(Some(session));
        Ok(logits)
    }
}

/// What is told of a model.
pub(super) struct Described<'a> {
    pub config: &'a ModelConfig,
    pub blueprint: &'a Blueprint,
    pub conventions: &'a Conventions,
    pub warnings: &'a [String],
}

/// `ModelInfo` of the package's types.
pub(super) fn described(of: &Described<'_>) -> serde_json::Value {
    let Described { config, blueprint, conventions, warnings } = of;
    let memory = blueprint.memory();
    let json: serde_json::Value = serde_json::from_str(&config.to_json()).unwrap_or_default();
    serde_json::json!({
        "config": json,
        "parameters": config.parameter_count(),
        "memory": {
            "weights": memory.weights,
            "state": memory.state,
            "cache": memory.cache,
            "scratch": memory.scratch,
            "largestBuffer": memory.largest_buffer,
        },
        "weights": blueprint.build.large.name(),
        "segment": memory.segment,
        "context": blueprint.build.context,
        "vocabulary": config.vocab_size,
        "layers": config.num_hidden_layers,
        "heads": config.num_attention_heads,
        "keyHeads": config.num_key_value_heads,
        "headDim": config.head_size(),
        "cacheBytesPerToken": config.softmax_cache_bytes(1),
        "chat": conventions.template.is_some(),
        "linearized": config.adapted().is_some(),
        "warnings": warnings,
    })
}

#[wasm_bindgen]
impl Model {
    /// `ModelInfo` of the package's types.
    #[wasm_bindgen(getter)]
    pub fn info(&self) -> Result<JsValue, JsValue> {
        object(&described(&Described {
            config: self.model.config(),
            blueprint: self.model.blueprint(),
            conventions: self.model.conventions(),
            warnings: self.model.warnings(),
        }))
    }

    /// Compiles the shaders of reading and writing; `onProgress(done, total)`.
    #[wasm_bindgen(js_name = warmUp)]
    pub async fn warm_up(&self, on_progress: Option<Function>) -> Result<(), JsValue> {
        let mut progress = Progress::new(on_progress);
        let result = self.model.warm_up(&mut |done, total| progress.tell(done as f64, total as f64)).await;
        progress.end()?;
        result.map_err(to_js)
    }

    /// Token ids of a text.
    pub fn encode(&self, text: &str, special_as_text: bool) -> Result<Vec<u32>, JsValue> {
        let how = EncodeOptions { special_as_text, ..EncodeOptions::default() };
        self.model.tokenizer().and_then(|t| t.encode_as(text, how, &mut |_| {})).map_err(to_js)
    }

    /// The text of token ids.
    pub fn decode(&self, ids: &[u32]) -> Result<String, JsValue> {
        self.model.tokenizer().map(|t| t.decode(ids)).map_err(to_js)
    }

    /// The logits of every token of one sequence that starts from an empty state: `ids.length` rows of the
    /// vocabulary.
    pub async fn logits(&self, ids: Vec<i32>) -> Result<Vec<f32>, JsValue> {
        // Ids below zero become larger than any vocabulary, and are refused as such.
        let ids: Vec<u32> = ids.into_iter().map(|id| id as u32).collect();
        self.forward(&ids).await.map_err(to_js)
    }

    /// A text of its own.
    #[wasm_bindgen(js_name = createSession)]
    pub async fn create_session(&self) -> Result<Session, JsValue> {
        Ok(Session::new(model::Session::new(&self.model).await.map_err(to_js)?))
    }

    /// Gives the device back at once, with everything on it. What is called afterwards reports a lost device;
    /// on the CPU there is none.
    pub fn destroy(&self) {
        if let Executor::Gpu(gpu) = self.model.executor() {
            gpu.context().destroy();
        }
    }
}
