//! Where to run, and loading.

use js_sys::{Function, JSON, Object};
use wasm_bindgen::prelude::*;

use super::convert::{Progress, bytes, field, is_bytes, missing, object, options, text, to_js};
use super::model::Model;
use crate::gpu::AdapterRequest;
use crate::model::{self, EndFiles, ModelSource};
use crate::web::options::{EngineOptions, LoadOptions};

/// Where models run.
#[wasm_bindgen]
#[derive(Debug)]
pub struct Engine(pub(super) model::Engine);

#[wasm_bindgen]
impl Engine {
    /// Chooses where to run: `{ backend: "auto" | "gpu" | "cpu" }`.
    pub async fn create(given: Option<Object>) -> Result<Engine, JsValue> {
        let given: EngineOptions = options("engine options", given)?;
        let request = AdapterRequest { backend: given.backend, adapter: None };
        Ok(Engine(model::Engine::create(&request).await.map_err(to_js)?))
    }

    /// `{ backend: "webgpu" | "cpu", adapter, kind, features, limits }`; the CPU has no features and no
    /// limits.
    #[wasm_bindgen(getter)]
    pub fn info(&self) -> Result<JsValue, JsValue> {
        object(&match self.0.adapter() {
            Some(a) => {
                serde_json::json!({ "backend": a.backend, "adapter": a.name, "kind": a.kind, "features": a.features, "limits": a.limits })
            }
            None => {
                serde_json::json!({ "backend": "cpu", "adapter": self.0.name(), "kind": "cpu", "features": {}, "limits": {} })
            }
        })
    }

    /// Loads a model from the contents of its files: `{ config, weights, tokenizer }`, and `generationConfig`
    /// and `tokenizerConfig` where they name the end of a text. `config` is the text
    /// of `config.json` or the object in it, `weights` are bytes, `tokenizer` is text or bytes, or missing:
    /// the model then reads bytes. `onProgress(done, total)`, in bytes, may throw to cancel.
    #[wasm_bindgen(js_name = loadModel)]
    pub async fn load_model(
        &self,
        files: Object,
        on_progress: Option<Function>,
        given: Option<Object>,
    ) -> Result<Model, JsValue> {
        let given: LoadOptions = options("load options", given)?;
        let source = Files::read(&files)?.source().map_err(to_js)?;
        let mut progress = Progress::new(on_progress);
        let loaded = self
            .0
            .load(source, &given.options(), &mut |done, total| progress.tell(done as f64, total as f64))
            .await;
        progress.end()?;
        Ok(Model::new(loaded.map_err(to_js)?))
    }
}

/// The contents of a model's files, copied from JavaScript once.
#[derive(Clone)]
pub(super) struct Files {
    config: String,
    weights: Vec<u8>,
    tokenizer: Option<Vec<u8>>,
    ends: EndFiles,
}

impl Files {
    pub fn read(files: &Object) -> Result<Self, JsValue> {
        let config = field(files, "config");
        let config = match config.is_object() && !is_bytes(&config) {
            true => String::from(JSON::stringify(&config)?),
            false => text(&config, "config")?,
        };
        let weights = bytes(&field(files, "weights"), "weights")?;
        let tokenizer = Some(field(files, "tokenizer"))
            .filter(|t| !missing(t))
            .map(|t| bytes(&t, "tokenizer"))
            .transpose()?;
        let optional = |name: &str| {
            Some(field(files, name)).filter(|file| !missing(file)).map(|file| text(&file, name)).transpose()
        };
        let ends = EndFiles {
            generation_config: optional("generationConfig")?,
            tokenizer_config: optional("tokenizerConfig")?,
        };
        Ok(Self { config, weights, tokenizer, ends })
    }

    /// The model in them.
    pub fn source(self) -> crate::Result<ModelSource> {
        ModelSource::from_files(&self.config, self.weights, self.tokenizer.as_deref(), &self.ends)
    }
}
