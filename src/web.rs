//! The JavaScript face (SPEC §4): [`Engine`] → [`Model`] → logits, every call asynchronous, every error a JavaScript `Error`
//! whose `name` is the [`ErrorKind`](crate::ErrorKind), with the way out, if there is one, as `advice`.

use std::cell::RefCell;

use js_sys::{Array, Function, JSON, Object, Reflect, Uint8Array};
use wasm_bindgen::prelude::*;

use crate::error::{Error, ErrorKind, Result};
use crate::gpu::AdapterRequest;
use crate::kernels::shader::PERMUTATIONS;
use crate::model::{self, LoadOptions, ModelSource, Session};

/// Where models run.
#[wasm_bindgen]
#[derive(Debug)]
pub struct Engine(model::Engine);

/// A loaded model.
#[wasm_bindgen]
#[derive(Debug)]
pub struct Model {
    model: model::Model,
    /// A session nobody uses now. Calls that overlap each take, or make, their own.
    idle: RefCell<Option<Session>>,
}

/// A panic is a bug; at least the console then says where.
#[wasm_bindgen(start)]
fn start() {
    console_error_panic_hook::set_once();
}

#[wasm_bindgen]
impl Engine {
    /// Chooses where to run: `{ backend: "auto" | "gpu" | "cpu" }`.
    pub async fn create(options: Option<Object>) -> Result<Engine, JsValue> {
        let backend = match options.as_ref().map(|o| field(o, "backend")) {
            Some(value) if !missing(&value) => text(&value, "backend")?.parse().map_err(to_js)?,
            _ => Default::default(),
        };
        let request = AdapterRequest { backend, adapter: None };
        Ok(Engine(model::Engine::create(&request).await.map_err(to_js)?))
    }

    /// `{ backend: "webgpu" | "cpu", adapter, kind, features, limits }`; the CPU has no features and no limits.
    #[wasm_bindgen(getter)]
    pub fn info(&self) -> Result<JsValue, JsValue> {
        let info = match self.0.adapter() {
            Some(a) => {
                serde_json::json!({ "backend": a.backend, "adapter": a.name, "kind": a.kind, "features": a.features, "limits": a.limits })
            }
            None => serde_json::json!({ "backend": "cpu", "adapter": self.0.name(), "kind": "cpu", "features": {}, "limits": {} }),
        };
        JSON::parse(&info.to_string())
    }

    /// Loads a model from the contents of its files: `{ config, weights, tokenizer }`. `config` is the text of `config.json`
    /// or the object in it, `weights` are bytes, `tokenizer` is text or bytes, or missing: the model then reads bytes.
    /// `onProgress(done, total)`, in bytes, may throw to cancel.
    #[wasm_bindgen(js_name = loadModel)]
    pub async fn load_model(&self, files: Object, on_progress: Option<Function>) -> Result<Model, JsValue> {
        let config = field(&files, "config");
        let config = match config.is_object() && !is_bytes(&config) {
            true => String::from(JSON::stringify(&config)?),
            false => text(&config, "config")?,
        };
        let weights = bytes(&field(&files, "weights"), "weights")?;
        let tokenizer = Some(field(&files, "tokenizer")).filter(|t| !missing(t)).map(|t| bytes(&t, "tokenizer")).transpose()?;
        let source = ModelSource::from_bytes(&config, weights, tokenizer.as_deref()).map_err(to_js)?;
        let mut thrown = None;
        let mut progress = |done: u64, total: u64| {
            if let (Some(f), None) = (&on_progress, &thrown) {
                thrown = f.call2(&JsValue::NULL, &(done as f64).into(), &(total as f64).into()).err();
            }
        };
        let loaded = self.0.load(source, &LoadOptions::default(), &mut progress).await;
        match thrown {
            Some(error) => Err(error),
            None => Ok(Model { model: loaded.map_err(to_js)?, idle: RefCell::default() }),
        }
    }
}

#[wasm_bindgen]
impl Model {
    /// The logits of every token of one sequence that starts from an empty state: `ids.length` rows of the vocabulary.
    pub async fn logits(&self, ids: Vec<i32>) -> Result<Vec<f32>, JsValue> {
        // Ids below zero become larger than any vocabulary, and are refused as such.
        let ids: Vec<u32> = ids.into_iter().map(|id| id as u32).collect();
        self.forward(&ids).await.map_err(to_js)
    }

    async fn forward(&self, ids: &[u32]) -> Result<Vec<f32>> {
        // Taken out before anything is awaited: no borrow is held while other calls may come.
        let idle = self.idle.take();
        let mut session = match idle {
            Some(session) => session,
            None => Session::new(&self.model).await?,
        };
        let (logits, _) = session.forward(&[0], &[ids], false).await?;
        session.reset(0);
        self.idle.replace(Some(session));
        Ok(logits)
    }
}

/// Every shader permutation, preprocessed, as `[{ name, source }]`: for tests that pass them to the browser's own compiler.
#[wasm_bindgen]
pub fn shaders() -> Result<Array, JsValue> {
    let list = Array::new();
    for permutation in PERMUTATIONS {
        let shader = Object::new();
        Reflect::set(&shader, &"name".into(), &permutation.key.into())?;
        Reflect::set(&shader, &"source".into(), &permutation.source().map_err(to_js)?.into())?;
        list.push(&shader);
    }
    Ok(list)
}

fn to_js(error: Error) -> JsValue {
    let js = js_sys::Error::new(error.message());
    js.set_name(&format!("{:?}", error.kind()));
    if let Some(advice) = error.advice() {
        // Cannot fail on an object made here.
        let _ = Reflect::set(&js, &"advice".into(), &advice.into());
    }
    js.into()
}

fn field(object: &Object, name: &str) -> JsValue {
    Reflect::get(object, &name.into()).unwrap_or(JsValue::UNDEFINED)
}

fn missing(value: &JsValue) -> bool {
    value.is_undefined() || value.is_null()
}

fn is_bytes(value: &JsValue) -> bool {
    value.is_instance_of::<Uint8Array>() || value.is_instance_of::<js_sys::ArrayBuffer>()
}

/// The bytes of a `Uint8Array`, an `ArrayBuffer` or a string.
fn bytes(value: &JsValue, name: &str) -> Result<Vec<u8>, JsValue> {
    match value.as_string() {
        Some(text) => Ok(text.into_bytes()),
        None if is_bytes(value) => Ok(Uint8Array::new(value).to_vec()),
        None => Err(unusable(value, name, "give a Uint8Array, an ArrayBuffer or a string")),
    }
}

fn text(value: &JsValue, name: &str) -> Result<String, JsValue> {
    String::from_utf8(bytes(value, name)?).map_err(|_| unusable(value, name, "give UTF-8 text"))
}

fn unusable(value: &JsValue, name: &str, help: &str) -> JsValue {
    let found = if missing(value) {
        "is missing".to_string()
    } else {
        format!("cannot be a value of type {}", value.js_typeof().as_string().unwrap_or_default())
    };
    to_js(Error::new(ErrorKind::Input, format!("{name} {found}")).help(help))
}
