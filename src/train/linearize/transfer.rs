//! Stage 1: each layer's student learns its teacher's attention.

use std::ops::ControlFlow;

use super::calibrate::Given;
use super::settings::{LinearizeSettings, Stage};
use super::student::{Prepared, Student};
use crate::attention::Attention;
use crate::error::{Error, ErrorKind, Result};
use crate::exec::{Program, Submission};
use crate::model::adapter::GATE;
use crate::model::transformer::{self, Transferring};
use crate::model::{Adapter, Engine, ModelSource};
use crate::tensor::{Call, TensorId};
use crate::train::learner::measured;
use crate::train::optimizer::{self, AdamW, Measure};
use crate::train::random::Rng;

/// Attention transfer: a student, and the plans that teach it.
#[derive(Debug)]
pub struct Transfer {
    /// What learns.
    pub student: Student,
    learn: Pass,
    clear: Program,
    updates: Vec<(Program, Measure)>,
    observe: Option<Pass>,
}

/// A plan of attention transfer.
#[derive(Debug)]
struct Pass {
    program: Program,
    ids: TensorId,
    errors: Vec<TensorId>,
}

impl Pass {
    /// Adds squares of errors and of the teacher's outputs of each layer, over a text.
    async fn run(&mut self, tokens: &[u32], sums: &mut [[f64; 2]]) -> Result<()> {
        let reads: Vec<_> = self.errors.iter().map(|id| (*id, 2 * tokens.len())).collect();
        let (calls, inputs) = ([Call::start(tokens.len())], [(self.ids, tokens)]);
        let read = self.program.run(Submission { calls: &calls, inputs: &inputs, reads: &reads }).await?;
        for ([errors, norms], words) in sums.iter_mut().zip(&read) {
            let [error, norm] = words.chunks_exact(2).fold([0.0, 0.0], |[error, norm], row| {
                [error + f64::from(f32::from_bits(row[0])), norm + f64::from(f32::from_bits(row[1]))]
            });
            *errors += error;
            *norms += norm;
        }
        Ok(())
    }
}

/// Relative L2 of each layer, from sums of squares.
fn relative(sums: &[[f64; 2]]) -> Vec<f64> {
    sums.iter().map(|[error, norm]| if *norm > 0.0 { (error / norm).sqrt() } else { 0.0 }).collect()
}

/// Relative L2 of each layer of an adapter's student over texts: what [`Transfer::errors`] measures while it
/// learns, and of one that learned from logits too. None of a layer for which less than a block of a text is
/// not exact. `progress` is told texts done, and may stop it.
///
/// # Errors
/// [`ErrorKind::Cancelled`]; as [`Transfer::new`] and [`Student::begin`].
pub async fn layer_errors(
    engine: &Engine,
    teacher: ModelSource,
    adapter: &Adapter,
    texts: &[Vec<u32>],
    progress: &mut dyn FnMut(usize) -> ControlFlow<()>,
) -> Result<Vec<Option<f64>>> {
    let linearized = adapter.linearized.clone();
    let context = texts.iter().map(Vec::len).max().unwrap_or(0);
    let exact =
        |near: &usize| *near == 0 || near.saturating_add(1).saturating_mul(linearized.block_size) > context;
    let exact: Vec<bool> = linearized.near.iter().map(exact).collect();
    if exact.iter().all(|exact| *exact) {
        return Ok(vec![None; exact.len()]);
    }
    let (stage, batch, lr) = (Stage::Attention, 1, 1.0);
    let (steps, warmup, seed, data, begin) = (0, 0, 0, 0, None);
    let settings =
        LinearizeSettings { stage, linearized, context, batch, steps, lr, warmup, seed, data, begin };
    let prepared = Prepared::new(engine, teacher, &settings).await?;
    let graph = transformer::transfer(prepared.config(), Transferring::Errors, &prepared.build)?;
    let plan = prepared.lower(&graph.graph, "errors")?;
    let mut student = prepared.load(engine, &plan, "errors of layers").await?;
    student.begin(adapter).await?;
    let program = Program::new(plan, &student.memory).await?;
    let mut pass = Pass { program, ids: graph.ids, errors: graph.errors };
    let mut sums = vec![[0.0; 2]; exact.len()];
    for (done, text) in texts.iter().enumerate() {
        if progress(done).is_break() {
            return Err(Error::new(ErrorKind::Cancelled, "interrupted"));
        }
        pass.run(text, &mut sums).await?;
    }
    let of_layer = |(error, exact): (f64, bool)| (!exact).then_some(error);
    Ok(relative(&sums).into_iter().zip(exact).map(of_layer).collect())
}

impl Transfer {
    /// Plans, allocates, uploads; the students know nothing yet ([`Transfer::calibrate`], [`Student::begin`],
    /// [`Student::restore`]).
    ///
    /// # Errors
    /// [`ErrorKind::Config`] for a teacher without softmax attention;
    /// [`ErrorKind::OutOfMemory`] before anything is allocated; those of the device.
    pub async fn new(engine: &Engine, teacher: ModelSource, settings: &LinearizeSettings) -> Result<Self> {
        let prepared = Prepared::new(engine, teacher, settings).await?;
        let transfer = transformer::transfer(prepared.config(), Transferring::Gradients, &prepared.build)?;
        let plan = prepared.lower(&transfer.graph, "transfer")?;
        let student = prepared.load(engine, &plan, "attention transfer").await?;
        let program = Program::new(plan, &student.memory).await?;
        let learn = Pass { program, ids: transfer.ids, errors: transfer.errors };
        let clear = student.clear(&transfer.graph, &transfer.carries).await?;
        let mut updates = Vec::new();
        for sketch in &student.learned {
            // Layers are independent: each has a norm of its gradients.
            let one = std::slice::from_ref(sketch);
            let (graph, measure) = optimizer::update(one, &student.config.parameters())?;
            updates.push((student.program(&graph, "update", 1).await?, measure));
        }
        Ok(Self { student, learn, clear, updates, observe: None })
    }

    /// The attention of a layer.
    fn attention_of(&self, layer: usize) -> Attention {
        let linearized = &self.student.settings.linearized;
        let attention = transformer::attention(&self.student.config);
        attention.with_near(linearized.near[layer], linearized.sinks)
    }

    /// The weights before the first step, from one text.
    ///
    /// # Errors
    /// Those of the device.
    pub async fn calibrate(&mut self, tokens: &[u32]) -> Result<()> {
        let student = &self.student;
        let graph = transformer::transfer(&student.config, Transferring::Projections, &student.build)?;
        let mut program = student.program(&graph.graph, "projections", tokens.len()).await?;
        let width = transformer::attention(&student.config).layout.qkv_width();
        let reads: Vec<_> = graph.projections.iter().map(|id| (*id, tokens.len() * width)).collect();
        let (calls, inputs) = ([Call::start(tokens.len())], [(graph.ids, tokens)]);
        let read = program.run(Submission { calls: &calls, inputs: &inputs, reads: &reads }).await?;
        for (number, (layer, words)) in student.layers().zip(&read).enumerate() {
            let attention = self.attention_of(layer);
            let norms = match attention.layout.normed {
                true => {
                    let name = format!("layers.{layer}.norms");
                    let words = student.memory.read(&name, 0..4 * attention.layout.head).await?;
                    Some(words.into_iter().map(f32::from_bits).collect())
                }
                false => None,
            };
            let projections: Vec<f32> = words.iter().map(|word| f32::from_bits(*word)).collect();
            let rng = Rng::new(student.settings.seed, "sketch", layer as u64);
            let gate = f64::from(GATE);
            let given = Given { attention: &attention, projections: &projections, norms, gate, rng };
            let words: Vec<u32> = given.weights().iter().map(|x| x.to_bits()).collect();
            student.memory.write(&student.learned[number].name, 0, &words).await?;
        }
        Ok(())
    }

    /// One step on some texts of at most the context each; `step` counts from 1. Returns the relative L2 of each layer
    /// before it.
    ///
    /// # Errors
    /// [`ErrorKind::Numeric`] for a gradient that is not finite; those of the device.
    pub async fn step(&mut self, texts: &[Vec<u32>], step: u64) -> Result<Vec<f64>> {
        let mut sums = vec![[0.0; 2]; self.student.config.num_hidden_layers];
        for text in texts {
            self.clear.run(Submission { calls: &[Call::start(1)], ..Submission::default() }).await?;
            self.learn.run(text, &mut sums).await?;
        }
        let lr = self.student.settings.schedule().rate(step);
        let adamw = AdamW { lr, weight_decay: 0.0, clip: texts.len() as f64, ..AdamW::default() };
        let words = optimizer::settings(&adamw, step);
        for ((program, measure), sketch) in self.updates.iter_mut().zip(&self.student.learned) {
            measured(program, measure, &words, std::slice::from_ref(sketch)).await?;
        }
        Ok(relative(&sums))
    }

    /// Relative L2 of each layer over texts, learning nothing.
    ///
    /// # Errors
    /// Those of the device.
    pub async fn errors(&mut self, texts: &[Vec<u32>]) -> Result<Vec<f64>> {
        if self.observe.is_none() {
            let student = &self.student;
            let graph = transformer::transfer(&student.config, Transferring::Errors, &student.build)?;
            let tokens = texts.iter().map(Vec::len).max().unwrap_or(0).max(student.settings.context);
            let program = student.program(&graph.graph, "errors", tokens).await?;
            self.observe = Some(Pass { program, ids: graph.ids, errors: graph.errors });
        }
        let mut sums = vec![[0.0; 2]; self.student.config.num_hidden_layers];
        for text in texts {
            self.observe.as_mut().expect("made above").run(text, &mut sums).await?;
        }
        Ok(relative(&sums))
    }
}
