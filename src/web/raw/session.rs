//! A text: reading, writing, conversations, saved states. Calls must not overlap; the package queues them.

use std::ops::ControlFlow;

use js_sys::{Float32Array, Object, Reflect};
use wasm_bindgen::prelude::*;

use super::convert::{given, object, to_js};
use crate::error::{Error, ErrorKind};
use crate::model::{self, Conversation, EncodeOptions, GenerateOptions, Generation, Message};
use crate::web::options::generate::{asked_for, usual_chat};
use crate::web::options::read;

/// A text and its state.
#[wasm_bindgen]
#[derive(Debug)]
pub struct Session {
    session: model::Session,
    generation: Option<Generation>,
    /// What the text is, if it is one.
    conversation: Option<Conversation>,
}

impl Session {
    pub(super) fn new(session: model::Session) -> Self {
        Self { session, generation: None, conversation: None }
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

    /// Begins to continue the text; [`Session::advance`] does it. `chat`: as an answer, with what is usual there.
    pub fn generate(&mut self, asked: Option<Object>, chat: bool) -> Result<(), JsValue> {
        let what = if chat { "chat options" } else { "generate options" };
        let usual = if chat { usual_chat() } else { GenerateOptions::default() };
        let model = &self.session.model().conventions().sampling;
        let mut options = asked_for(what, given(what, asked)?, model, usual).map_err(to_js)?;
        if chat {
            // A cache that is full ends an answer, not the conversation.
            options.max_tokens = options.max_tokens.min(self.session.room(0).unwrap_or(usize::MAX));
        }
        self.generation = Some(Generation::new(self.session.model(), 0, &options).map_err(to_js)?);
        Ok(())
    }

    /// Takes all messages of a conversation, `[{ role, content }]`; returns the tokens that are to be read
    /// before it is answered: those that the text does not have yet. `template`: instead of the model's own.
    pub fn ask(&mut self, messages: Object, template: Option<String>) -> Result<Vec<u32>, JsValue> {
        let messages: Vec<Message> = read("messages", given("messages", Some(messages))?).map_err(to_js)?;
        let conventions = self.session.model().conventions();
        let template = match &template {
            Some(text) => conventions.other_template(text, "the template"),
            None => conventions.template().cloned(),
        };
        let template = template.map_err(to_js)?;
        self.generation = None;
        let session = &mut self.session;
        let conversation = match &mut self.conversation {
            Some(conversation) => {
                conversation.set_template(template);
                conversation
            }
            None => {
                let mut new = Conversation::new(template, None);
                new.resume(session, 0);
                self.conversation.insert(new)
            }
        };
        Ok(conversation.ask_all(session, 0, messages).map_err(to_js)?.ids)
    }

    /// Takes the answer into the conversation, as far as it was generated; returns the rest of its text, which
    /// was held back.
    pub fn answered(&mut self) -> Result<String, JsValue> {
        let Some(conversation) = &mut self.conversation else { return Ok(String::new()) };
        match self.generation.take() {
            Some(generation) => {
                conversation.answered(&mut self.session, 0, &mut generation.finish()).map_err(to_js)
            }
            None => {
                conversation.take_back();
                Ok(String::new())
            }
        }
    }

    /// What was said in the conversation that the text is: `[{ role, content }]`.
    pub fn messages(&self) -> Result<JsValue, JsValue> {
        object(&self.conversation.as_ref().map(Conversation::messages).unwrap_or_default())
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
        if generation.ended() && self.conversation.is_none() {
            self.generation = None;
        }
        object(&said)
    }

    /// Empties the text.
    pub fn reset(&mut self) {
        self.generation = None;
        self.conversation = None;
        self.session.reset(0);
    }

    /// The text's state as bytes, as the native program's `--state-out` writes it.
    #[wasm_bindgen(js_name = saveState)]
    pub async fn save_state(&mut self) -> Result<Vec<u8>, JsValue> {
        match &self.conversation {
            Some(conversation) => conversation.save(&mut self.session, 0).await,
            None => self.session.save(0).await,
        }
        .map_err(to_js)
    }

    /// Loads a saved state, from here or from the native program.
    #[wasm_bindgen(js_name = loadState)]
    pub async fn load_state(&mut self, bytes: Vec<u8>) -> Result<(), JsValue> {
        self.generation = None;
        self.session.load(0, &bytes, "the saved state").await.map_err(to_js)?;
        self.conversation = None;
        if let Ok(template) = self.session.model().conventions().template() {
            let mut saved = Conversation::new(template.clone(), None);
            self.conversation = saved.resume(&self.session, 0).then_some(saved);
        }
        Ok(())
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
