//! A small model learns a synthetic task, a step a call.

use js_sys::{Object, Reflect, Uint8Array};
use wasm_bindgen::prelude::*;

use super::convert::{object, options, to_js};
use super::engine::Engine;
use crate::error::{Error, ErrorKind, Result};
use crate::model::config::ModelConfig;
use crate::model::tensor_file::{TensorData, safetensors_bytes};
use crate::model::{ModelSource, Tokenizer};
use crate::train::evaluation::{EvaluationSet, evaluate};
use crate::train::initial::new_model;
use crate::train::{Learner, Settings, trainer};
use crate::web::options::train::TrainOptions;

/// Two layers of 64, unless the caller has another one.
const TINY: &str = include_str!("../../../assets/configs/tiny.json");
/// Sequences of an evaluation.
const EVALUATED: usize = 128;

/// A model in training.
#[wasm_bindgen]
#[derive(Debug)]
pub struct Trainer {
    trainer: trainer::Trainer,
    held_out: EvaluationSet,
    config: ModelConfig,
    settings: Settings,
}

#[wasm_bindgen]
impl Trainer {
    /// A new model and its task.
    pub async fn create(engine: &Engine, given: Option<Object>) -> Result<Trainer, JsValue> {
        let given: TrainOptions = options("train options", given)?;
        Self::new(engine, &given).await.map_err(to_js)
    }

    /// Steps in all.
    #[wasm_bindgen(getter)]
    pub fn steps(&self) -> f64 {
        self.settings.steps as f64
    }

    /// Tokens of a step.
    #[wasm_bindgen(getter, js_name = tokensPerStep)]
    pub fn tokens_per_step(&self) -> f64 {
        self.settings.tokens(1) as f64
    }

    /// Steps between evaluations; 0: only at the end.
    #[wasm_bindgen(getter, js_name = evalEvery)]
    pub fn eval_every(&self) -> f64 {
        self.settings.eval_every as f64
    }

    /// One step: `{ step, loss, lr, gradientNorm }`.
    pub async fn step(&mut self) -> Result<JsValue, JsValue> {
        let step = self.trainer.step().await.map_err(to_js)?;
        object(
            &serde_json::json!({ "step": step.step, "loss": step.loss, "lr": step.lr, "gradientNorm": step.gradient_norm }),
        )
    }

    /// Part of the held-out answers that are right.
    pub async fn accuracy(&mut self) -> Result<f64, JsValue> {
        let result =
            evaluate(self.trainer.learner(), &mut self.held_out, self.settings.batch).await.map_err(to_js)?;
        Ok(result.accuracy.unwrap_or_default())
    }

    /// The model as it is now: `{ config, weights }`, the contents of a model folder.
    pub async fn model(&mut self) -> Result<JsValue, JsValue> {
        let tensors = self.trainer.learner().weights().await.map_err(to_js)?;
        let tensors: Vec<TensorData<'_>> =
            tensors.iter().map(|(name, shape, data)| TensorData::f32(name, shape, data)).collect();
        let weights = safetensors_bytes(&tensors, &[]).map_err(to_js)?;
        let model = Object::new();
        Reflect::set(&model, &"config".into(), &self.config.to_json().into())?;
        Reflect::set(&model, &"weights".into(), &Uint8Array::from(&weights[..]))?;
        Ok(model.into())
    }
}

impl Trainer {
    async fn new(engine: &Engine, given: &TrainOptions) -> Result<Self> {
        let text = given.config.as_ref().map_or(TINY.to_string(), ToString::to_string);
        let (config, _) = ModelConfig::from_json(&text, "config")?;
        let settings = given.settings();
        settings.check()?;
        let Some([training, held_out]) = settings.tasks(config.vocab_size)? else {
            return Err(Error::new(ErrorKind::Input, "no task"));
        };
        let source: ModelSource = new_model(config.clone(), Tokenizer::bytes(), settings.seed)?;
        let learner = Learner::new(&engine.0, &source, &settings.learner()).await?;
        let held_out = EvaluationSet { data: Box::new(held_out), count: EVALUATED, answers: true };
        let trainer = trainer::Trainer::new(learner, settings.clone(), Box::new(training), 0);
        Ok(Self { trainer, held_out, config, settings })
    }
}
