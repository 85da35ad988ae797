//! Stages 2 and 3: the student as a whole learns its teacher's predictions.

use super::settings::LinearizeSettings;
use super::student::{Prepared, Student, learns};
use crate::error::Result;
use crate::exec::{Program, Submission};
use crate::graph::Recompute;
use crate::model::transformer;
use crate::model::{Engine, ModelSource};
use crate::tensor::{Call, TensorId};
use crate::train::learner::measured;
use crate::train::optimizer::{self, AdamW, Measure};

/// Learning from logits: a student, and the plans that teach it.
#[derive(Debug)]
pub struct Distill {
    /// What learns.
    pub student: Student,
    learn: Pass,
    clear: Program,
    update: (Program, Measure),
    observe: Option<Pass>,
}

/// A plan that reads a text with teacher and student.
#[derive(Debug)]
struct Pass {
    program: Program,
    ids: TensorId,
    kl: TensorId,
    /// What each row counts, where it learns.
    weights: Option<TensorId>,
}

impl Pass {
    /// Sum of the KL of a text's positions, each of which counts so much in the loss.
    async fn run(&mut self, tokens: &[u32], weight: f64) -> Result<f64> {
        let weights = vec![(weight as f32).to_bits(); tokens.len()];
        let mut inputs = vec![(self.ids, tokens)];
        inputs.extend(self.weights.map(|id| (id, weights.as_slice())));
        let (calls, reads) = ([Call::start(tokens.len())], [(self.kl, tokens.len())]);
        let read = self.program.run(Submission { calls: &calls, inputs: &inputs, reads: &reads }).await?;
        Ok(read[0].iter().map(|word| f64::from(f32::from_bits(*word))).sum())
    }
}

impl Distill {
    /// Plans, allocates, uploads; the student knows nothing yet ([`Student::begin`], [`Student::restore`]).
    ///
    /// # Errors
    /// As [`Transfer::new`](super::Transfer::new).
    pub async fn new(
        engine: &Engine,
        teacher: ModelSource,
        settings: &LinearizeSettings,
        recompute: Recompute,
    ) -> Result<Self> {
        let prepared = Prepared::new(engine, teacher, settings).await?;
        let trained = Some((&learns as &dyn Fn(&str) -> bool, recompute));
        let graph = transformer::distillation(prepared.config(), trained, &prepared.build)?;
        let plan = prepared.lower(&graph.graph, "distillation")?;
        let student = prepared.load(engine, &plan, "learning from logits").await?;
        let program = Program::new(plan, &student.memory).await?;
        let learn = Pass { program, ids: graph.ids, kl: graph.kl, weights: graph.weights };
        let clear = student.clear(&graph.graph, &graph.carries).await?;
        let (graph, measure) = optimizer::update(&student.learned, &student.config.parameters())?;
        let update = (student.program(&graph, "update", 1).await?, measure);
        Ok(Self { student, learn, clear, update, observe: None })
    }

    /// One step on some texts of at most the context each; `step` counts from 1. Returns the mean KL before it, in nats
    /// a token.
    ///
    /// # Errors
    /// [`ErrorKind::Numeric`](crate::ErrorKind::Numeric) for a gradient that is not finite; those of the device.
    pub async fn step(&mut self, texts: &[Vec<u32>], step: u64) -> Result<f64> {
        let tokens: usize = texts.iter().map(Vec::len).sum();
        let mut sum = 0.0;
        for text in texts {
            self.clear.run(Submission { calls: &[Call::start(1)], ..Submission::default() }).await?;
            sum += self.learn.run(text, 1.0 / tokens as f64).await?;
        }
        let lr = self.student.settings.schedule().rate(step);
        let adamw = AdamW { lr, weight_decay: 0.0, ..AdamW::default() };
        let words = optimizer::settings(&adamw, step);
        let (program, measure) = &mut self.update;
        measured(program, measure, &words, &self.student.learned).await?;
        Ok(sum / tokens as f64)
    }

    /// Mean KL over texts, in nats a token, learning nothing.
    ///
    /// # Errors
    /// Those of the device.
    pub async fn divergence(&mut self, texts: &[Vec<u32>]) -> Result<f64> {
        if self.observe.is_none() {
            let student = &self.student;
            let graph = transformer::distillation(&student.config, None, &student.build)?;
            let tokens = texts.iter().map(Vec::len).max().unwrap_or(0).max(student.settings.context);
            let program = student.program(&graph.graph, "divergence", tokens).await?;
            self.observe = Some(Pass { program, ids: graph.ids, kl: graph.kl, weights: None });
        }
        let (mut sum, mut tokens) = (0.0, 0);
        for text in texts {
            sum += self.observe.as_mut().expect("made above").run(text, 0.0).await?;
            tokens += text.len();
        }
        Ok(sum / tokens.max(1) as f64)
    }
}
