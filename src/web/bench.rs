//! The benchmark's suites, a row at a time.

use js_sys::{Function, Object, Reflect};
use serde::Deserialize;
use wasm_bindgen::prelude::*;

use super::convert::{field, object, options, to_js};
use super::engine::{Engine, Files};
use crate::bench::{self, BenchModel, BenchOptions, Event, Suite};
use std::ops::ControlFlow;

/// The package's `BenchOptions`.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
struct Request {
    suites: Option<Vec<Suite>>,
    quick: bool,
    budget: Option<f64>,
    most: Option<f64>,
    samples: Option<usize>,
    lengths: Option<Vec<usize>>,
    all_kinds: Option<bool>,
    depths: Option<Vec<usize>>,
    train_lengths: Option<Vec<usize>>,
}

impl Request {
    fn options(self) -> BenchOptions {
        let usual = if self.quick { BenchOptions::quick() } else { BenchOptions::default() };
        let navigator = field(js_sys::global().unchecked_ref(), "navigator");
        BenchOptions {
            suites: self.suites.unwrap_or(usual.suites),
            budget: self.budget.unwrap_or(usual.budget),
            samples: self.samples.unwrap_or(usual.samples),
            lengths: self.lengths.unwrap_or(usual.lengths),
            all_kinds: self.all_kinds.unwrap_or(usual.all_kinds),
            depths: self.depths.unwrap_or(usual.depths),
            train_lengths: self.train_lengths.unwrap_or(usual.train_lengths),
            most: self.most.or(usual.most),
            browser: Reflect::get(&navigator, &"userAgent".into()).ok().and_then(|agent| agent.as_string()),
            ..usual
        }
    }
}

#[wasm_bindgen]
impl Engine {
    /// Runs suites with a model `{ name, config, weights, tokenizer }`. `onEvent` gets `{ event: "started",
    /// name, index, of }` and `{ event: "row", row }`; if it returns true, the benchmark stops.
    pub async fn bench(
        &self,
        given: Option<Object>,
        model: Object,
        on_event: Function,
    ) -> Result<(), JsValue> {
        let request: Request = options("bench options", given)?;
        let name = field(&model, "name").as_string().unwrap_or_default();
        let files = Files::read(&model)?;
        let open = || files.clone().source();
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
        let result =
            bench::run(&self.0, Some(BenchModel { name, open: &open }), &request.options(), &mut tell).await;
        thrown.map_or(result.map_err(to_js), Err)
    }
}
