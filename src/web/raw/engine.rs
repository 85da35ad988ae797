//! Where to run, and loading.

use js_sys::{Function, Object};
use wasm_bindgen::prelude::*;

use super::convert::{Progress, object, options, to_js};
use super::files::Files;
use super::model::{Described, Model, described};
use crate::gpu::AdapterRequest;
use crate::model;
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

    /// What a model is and needs here, `ModelPlan` of the package's types: nothing of its weights is read.
    pub async fn plan(&self, files: Object, given: Option<Object>) -> Result<JsValue, JsValue> {
        let given: LoadOptions = options("load options", given)?;
        let files = Files::read(&files)?;
        let source = files.unread().await.map_err(|error| files.told(error))?;
        let stored = source.stored();
        let blueprint = self.0.blueprint(&source.config, stored.clone(), &given.options()).map_err(to_js)?;
        self.0.check_fits(&blueprint.memory()).map_err(to_js)?;
        object(&described(&Described {
            config: &source.config,
            blueprint: &blueprint,
            conventions: &source.conventions,
            warnings: &source.warnings,
        }))
    }

    /// Loads a model: `{ gguf }`, a file `{ name, size, read(from, to) }` that is read range by range, or the
    /// contents of a folder, `{ config, weights, tokenizer }` with `generationConfig`, `tokenizerConfig` and
    /// `chatTemplate` where there are such, and `vocab` with `merges` where there is no `tokenizer`. `config` is
    /// the text of `config.json` or the object in it, `weights` are bytes or a list of such files, `tokenizer`
    /// is text or bytes, or missing: the model then reads bytes. `adapter`, another such file, makes its softmax
    /// attention linear. `onProgress(done, total)`, in bytes, may throw to cancel.
    #[wasm_bindgen(js_name = loadModel)]
    pub async fn load_model(
        &self,
        files: Object,
        on_progress: Option<Function>,
        given: Option<Object>,
    ) -> Result<Model, JsValue> {
        let given: LoadOptions = options("load options", given)?;
        let files = Files::read(&files)?;
        let source = files.source().await.map_err(|error| files.told(error))?;
        let mut progress = Progress::new(on_progress);
        let loaded = self
            .0
            .load(source, &given.options(), &mut |done, total| progress.tell(done as f64, total as f64))
            .await;
        progress.end()?;
        Ok(Model::new(loaded.map_err(|error| files.told(error))?))
    }
}
