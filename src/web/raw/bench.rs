//! The benchmark's suites, a row at a time; results of many devices.

use std::ops::ControlFlow;

use js_sys::{Array, Function, Object, Reflect};
use wasm_bindgen::prelude::*;

use super::convert::{field, given, object, options, to_js};
use super::engine::Engine;
use super::files::Files;
use crate::bench::results::{File, Results};
use crate::bench::{self, BenchModel, BenchOptions, Event};
use crate::web::options::bench::asked_for;

/// The browser, as it calls itself.
fn user_agent() -> Option<String> {
    let navigator = field(js_sys::global().unchecked_ref(), "navigator");
    Reflect::get(&navigator, &"userAgent".into()).ok()?.as_string()
}

/// Files of rows `[{ name, text, published }]`, checked and beside each other.
#[wasm_bindgen]
pub fn results(files: Array) -> Result<JsValue, JsValue> {
    let given: Vec<File> = options("files of results", Some(files.unchecked_into()))?;
    object(&Results::new(&given))
}

#[wasm_bindgen]
impl Engine {
    /// Runs suites with a model `{ name, config, weights, tokenizer }`. `onEvent` gets `{ event: "started",
    /// name, index, of }` and `{ event: "row", row }`; if it returns true, the benchmark stops.
    pub async fn bench(
        &self,
        asked: Option<Object>,
        model: Object,
        on_event: Function,
    ) -> Result<(), JsValue> {
        let options = asked_for(given("bench options", asked)?).map_err(to_js)?;
        let options = BenchOptions { browser: user_agent(), ..options };
        let name = field(&model, "name").as_string().unwrap_or_default();
        let files = Files::read(&model)?;
        let open = || files.at_hand();
        // Opened more than once; what cannot be opened is known before anything runs.
        open().map_err(to_js)?;
        let mut thrown = None;
        let mut tell = |event: Event| {
            let event = match event {
                Event::Started { name, index, of } => {
                    object(&serde_json::json!({ "event": "started", "name": name, "index": index, "of": of }))
                }
                Event::Row(row) => object(&serde_json::json!({ "event": "row", "row": row })),
            };
            match event.and_then(|event| on_event.call1(&JsValue::NULL, &event)) {
                Ok(stop) if stop.is_truthy() => ControlFlow::Break(()),
                Ok(_) => ControlFlow::Continue(()),
                Err(error) => {
                    thrown = Some(error);
                    ControlFlow::Break(())
                }
            }
        };
        let result = bench::run(&self.0, Some(BenchModel { name, open: &open }), &options, &mut tell).await;
        thrown.map_or(result.map_err(to_js), Err)
    }
}
