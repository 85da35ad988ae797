//! A text: reading, writing, saved states. Calls must not overlap; the package queues them.

use std::ops::ControlFlow;

use js_sys::{Float32Array, Object, Reflect};
use wasm_bindgen::prelude::*;

use super::convert::{object, options, to_js};
use crate::error::{Error, ErrorKind};
use crate::model::{self, EncodeOptions, GenerateOptions, Generation};

/// A text and its state.
#[wasm_bindgen]
#[derive(Debug)]
pub struct Session {
    session: model::Session,
    generation: Option<Generation>,
}

impl Session {
    pub(super) fn new(session: model::Session) -> Self {
        Self { session, generation: None }
    }
}

#[wasm_bindgen]
impl Session {
    /// Tokens of the text so far.
    #[wasm_bindgen(getter)]
    pub fn position(&self) -> f64 {
        self.session.position(0) as f64
    }

    /// Bytes of the text's state.
    #[wasm_bindgen(getter, js_name = stateBytes)]
    pub fn state_bytes(&self) -> f64 {
        self.session.state_bytes() as f64
    }

    /// Token ids of a text that is to be read next: at the head of the session's text, or a continuation of it.
    pub fn encode(&self, text: &str, special_as_text: bool) -> Result<Vec<u32>, JsValue> {
        let continues = self.session.position(0) > 0;
        let how = EncodeOptions { continues, begins: !continues, special_as_text };
        let tokenizer = self.session.model().tokenizer().map_err(to_js)?;
        tokenizer.encode_as(text, how, &mut |_| {}).map_err(to_js)
    }

    /// What the last generation held back, for a text that is not continued.
    #[wasm_bindgen(js_name = finishText)]
    pub fn finish_text(&mut self) -> String {
        self.session.finish_text(0)
    }

    /// Reads token ids. Give a part of a long text at a time: a call cannot be cancelled.
    pub async fn read(&mut self, ids: Vec<u32>) -> Result<(), JsValue> {
        self.session.prefill(0, &ids, &mut |_| ControlFlow::Continue(())).await.map_err(to_js)
    }

    /// Reads token ids and returns the negative log-likelihood of each, in nats (of all but the first where
    /// the text before them was not scored).
    pub async fn score(&mut self, ids: Vec<u32>) -> Result<Vec<f32>, JsValue> {
        let mut all = Vec::new();
        self.session
            .score(0, &ids, &mut |_, nll| {
                all.extend_from_slice(nll);
                ControlFlow::Continue(())
            })
            .await
            .map_err(to_js)?;
        Ok(all)
    }

    /// Begins to continue the text; [`Session::advance`] does it.
    pub fn generate(&mut self, given: Option<Object>) -> Result<(), JsValue> {
        let given: GenerateOptions = options("generate options", given)?;
        self.generation = Some(Generation::new(self.session.model(), 0, &given).map_err(to_js)?);
        Ok(())
    }

    /// Runs one submission of the continuation: `{ text, ended, tokens, reason }`.
    pub async fn advance(&mut self) -> Result<JsValue, JsValue> {
        let Some(generation) = &mut self.generation else {
            return Err(to_js(
                Error::new(ErrorKind::Input, "nothing is being generated").help("call generate first"),
            ));
        };
        let mut text = String::new();
        let result = generation
            .advance(&mut self.session, &mut |piece| {
                text.push_str(piece);
                ControlFlow::Continue(())
            })
            .await;
        if let Err(error) = result {
            self.generation = None;
            return Err(to_js(error));
        }
        let done = generation.done();
        let said = serde_json::json!({ "text": text, "ended": generation.ended(), "tokens": done.ids.len(), "reason": done.reason });
        if generation.ended() {
            self.generation = None;
        }
        object(&said)
    }

    /// Empties the text.
    pub fn reset(&mut self) {
        self.generation = None;
        self.session.reset(0);
    }

    /// The text's state as bytes, as the native program's `--state-out` writes it.
    #[wasm_bindgen(js_name = saveState)]
    pub async fn save_state(&self) -> Result<Vec<u8>, JsValue> {
        self.session.save(0).await.map_err(to_js)
    }

    /// Loads a saved state, from here or from the native program.
    #[wasm_bindgen(js_name = loadState)]
    pub async fn load_state(&mut self, bytes: Vec<u8>) -> Result<(), JsValue> {
        self.generation = None;
        self.session.load(0, &bytes, "the saved state").await.map_err(to_js)
    }

    /// What the heads of a layer remember: `{ sums [H, F, h], normaliser [H, F] }`; nothing for kinds with a
    /// cache.
    #[wasm_bindgen(js_name = attentionState)]
    pub async fn attention_state(&self, layer: usize) -> Result<JsValue, JsValue> {
        let Some([sums, normaliser]) = self.session.attention_state(0, layer).await.map_err(to_js)? else {
            return Ok(JsValue::UNDEFINED);
        };
        let state = Object::new();
        Reflect::set(&state, &"sums".into(), &Float32Array::from(&sums[..]))?;
        Reflect::set(&state, &"normaliser".into(), &Float32Array::from(&normaliser[..]))?;
        Ok(state.into())
    }
}
