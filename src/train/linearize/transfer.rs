//! Teacher and students on an executor.

use super::calibrate::Given;
use super::settings::TransferSettings;
use crate::attention::Attention;
use crate::error::{Error, ErrorKind, Result};
use crate::exec::{Memory, Program, Submission, check_memory};
use crate::graph::{Plan, Role, sum};
use crate::kernels::DeviceTraits;
use crate::model::adapter::GATE;
use crate::model::config::Linearized;
use crate::model::parameters::linear_sketch;
use crate::model::transformer::{self, Build, Transferring};
use crate::model::weights::{self, Packed};
use crate::model::{Adapter, Engine, ModelSource};
use crate::tensor::{Call, Capacity, DType, TensorId};
use crate::train::learner::measured;
use crate::train::optimizer::{self, AdamW, Measure, Moment};
use crate::train::random::Rng;

/// The teacher of a linearised model and its students, with the optimiser's moments.
#[derive(Debug)]
pub struct Transfer {
    config: crate::model::ModelConfig,
    linearized: Linearized,
    base: u64,
    settings: TransferSettings,
    traits: DeviceTraits,
    build: Build,
    memory: Memory,
    sketches: Vec<Packed>,
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
    /// Squares of errors and of the teacher's outputs of each layer, over a text.
    async fn run(&mut self, tokens: &[u32]) -> Result<Vec<[f64; 2]>> {
        let reads: Vec<_> = self.errors.iter().map(|id| (*id, 2 * tokens.len())).collect();
        let (calls, inputs) = ([Call::start(tokens.len())], [(self.ids, tokens)]);
        let read = self.program.run(Submission { calls: &calls, inputs: &inputs, reads: &reads }).await?;
        let sums = |words: &Vec<u32>| {
            words.chunks_exact(2).fold([0.0, 0.0], |[error, norm], row| {
                [error + f64::from(f32::from_bits(row[0])), norm + f64::from(f32::from_bits(row[1]))]
            })
        };
        Ok(read.iter().map(sums).collect())
    }
}

/// Relative L2 of each layer, from sums of squares.
fn relative(sums: &[[f64; 2]]) -> Vec<f64> {
    sums.iter().map(|[error, norm]| if *norm > 0.0 { (error / norm).sqrt() } else { 0.0 }).collect()
}

impl Transfer {
    /// Plans, allocates, uploads; the students know nothing yet ([`Transfer::calibrate`], [`Transfer::restore`]).
    ///
    /// # Errors
    /// [`ErrorKind::Config`] for a teacher without softmax attention; [`ErrorKind::OutOfMemory`] before anything is
    /// allocated; those of the device.
    pub async fn new(engine: &Engine, teacher: ModelSource, settings: &TransferSettings) -> Result<Self> {
        settings.check()?;
        teacher.check_softmax()?;
        let base = teacher.fingerprint().await?;
        settings.check_student(&teacher.config)?;
        let silent = Adapter::silent(&settings.linearized, base, &teacher)?;
        let source = teacher.adapt(silent).await?;
        let config = source.config.clone();
        let traits = engine.traits();
        let attention = transformer::attention(&config);
        attention.check()?;
        let max_binding = traits.max_binding.min(traits.max_buffer);
        let build = Build { large: DType::F32.into(), max_binding, slots: 1, context: 0 };
        let transfer = transformer::transfer(&config, Transferring::Gradients, &build)?;
        let capacity = Capacity { lanes: 1, tokens: settings.context, slots: 1, context: 0 };
        let plan = transfer.graph.lower("transfer", &traits, capacity)?;
        let carries: Vec<_> =
            transfer.carries.iter().map(|id| transfer.graph.tensors[id.0].clone()).collect();
        let read = |p: &&Packed| plan.tensors.iter().any(|t| t.bytes > 0 && t.tensor.name == p.name);
        let parameters = weights::packed(&config, &attention, DType::F32, build.max_binding);
        let parameters: Vec<Packed> = parameters.iter().filter(read).cloned().collect();
        let sketches: Vec<Packed> =
            parameters.iter().filter(|p| p.name.ends_with(".sketch")).cloned().collect();
        if engine.takes_main_memory() {
            let weights = parameters.iter().chain(sketches.iter().cycle().take(3 * sketches.len()));
            let weights = weights.map(|p| 4 * p.elements as u64);
            let scratch = |role: &Role| !matches!(role, Role::Parameter);
            let all = sum(weights.chain([plan.bytes(scratch) as u64]));
            check_memory("attention transfer", all, "use a smaller --context, or a smaller model")?;
        }
        let executor = engine.executor(largest(&plan, &parameters)).await?;
        let memory = Memory::new(&executor);
        for packed in &parameters {
            memory.store(&packed.name, DType::F32, &packed.read(&source.checkpoint).await?).await?;
        }
        let learn =
            Pass { program: Program::new(plan, &memory).await?, ids: transfer.ids, errors: transfer.errors };
        let one = Capacity { tokens: 1, ..capacity };
        let clear = optimizer::clear(&carries)?.lower("clear", &traits, one)?;
        let clear = Program::new(clear, &memory).await?;
        let mut updates = Vec::new();
        for sketch in &sketches {
            let (graph, measure) = optimizer::update(std::slice::from_ref(sketch), &config.parameters())?;
            updates.push((Program::new(graph.lower("update", &traits, one)?, &memory).await?, measure));
        }
        let (linearized, settings) = (settings.linearized.clone(), settings.clone());
        let observe = None;
        Ok(Self {
            config,
            linearized,
            base,
            settings,
            traits,
            build,
            memory,
            sketches,
            learn,
            clear,
            updates,
            observe,
        })
    }

    /// Fingerprint of the teacher.
    pub fn base(&self) -> u64 {
        self.base
    }

    fn capacity(&self) -> Capacity {
        Capacity { lanes: 1, tokens: self.settings.context, slots: 1, context: 0 }
    }

    /// The attention of a layer.
    fn attention_of(&self, layer: usize) -> Attention {
        let attention = transformer::attention(&self.config);
        attention.with_near(self.linearized.near[layer], self.linearized.sinks)
    }

    /// The weights before the first step, from one text.
    ///
    /// # Errors
    /// Those of the device.
    pub async fn calibrate(&mut self, tokens: &[u32]) -> Result<()> {
        let graph = transformer::transfer(&self.config, Transferring::Projections, &self.build)?;
        let plan = graph.graph.lower("projections", &self.traits, self.capacity())?;
        let mut program = Program::new(plan, &self.memory).await?;
        let width = transformer::attention(&self.config).layout.qkv_width();
        let reads: Vec<_> = graph.projections.iter().map(|id| (*id, tokens.len() * width)).collect();
        let (calls, inputs) = ([Call::start(tokens.len())], [(graph.ids, tokens)]);
        let read = program.run(Submission { calls: &calls, inputs: &inputs, reads: &reads }).await?;
        for (layer, words) in read.iter().enumerate() {
            let attention = self.attention_of(layer);
            let norms = match attention.layout.normed {
                true => {
                    let name = format!("layers.{layer}.norms");
                    let words = self.memory.read(&name, 0..4 * attention.layout.head).await?;
                    Some(words.into_iter().map(f32::from_bits).collect())
                }
                false => None,
            };
            let projections: Vec<f32> = words.iter().map(|word| f32::from_bits(*word)).collect();
            let rng = Rng::new(self.settings.seed, "sketch", layer as u64);
            let gate = f64::from(GATE);
            let given = Given { attention: &attention, projections: &projections, norms, gate, rng };
            let words: Vec<u32> = given.weights().iter().map(|x| x.to_bits()).collect();
            self.memory.write(&self.sketches[layer].name, 0, &words).await?;
        }
        Ok(())
    }

    /// One step on some texts of at most the context each; `step` counts from 1. Returns the relative L2 of each layer
    /// before it.
    ///
    /// # Errors
    /// [`ErrorKind::Numeric`] for a gradient that is not finite; those of the device.
    pub async fn step(&mut self, texts: &[Vec<u32>], step: u64) -> Result<Vec<f64>> {
        let mut sums = vec![[0.0; 2]; self.sketches.len()];
        for text in texts {
            self.clear.run(Submission { calls: &[Call::start(1)], ..Submission::default() }).await?;
            let found = self.learn.run(text).await?;
            for (sum, [error, norm]) in sums.iter_mut().zip(found) {
                *sum = [sum[0] + error, sum[1] + norm];
            }
        }
        let lr = self.settings.schedule().rate(step);
        let adamw = AdamW { lr, weight_decay: 0.0, clip: texts.len() as f64, ..AdamW::default() };
        let words = optimizer::settings(&adamw, step);
        for ((program, measure), sketch) in self.updates.iter_mut().zip(&self.sketches) {
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
            let graph = transformer::transfer(&self.config, Transferring::Errors, &self.build)?;
            let tokens = texts.iter().map(Vec::len).max().unwrap_or(0).max(self.settings.context);
            let capacity = Capacity { tokens, ..self.capacity() };
            let plan = graph.graph.lower("errors", &self.traits, capacity)?;
            let program = Program::new(plan, &self.memory).await?;
            self.observe = Some(Pass { program, ids: graph.ids, errors: graph.errors });
        }
        let mut sums = vec![[0.0; 2]; self.sketches.len()];
        for text in texts {
            let found = self.observe.as_mut().expect("made above").run(text).await?;
            for (sum, [error, norm]) in sums.iter_mut().zip(found) {
                *sum = [sum[0] + error, sum[1] + norm];
            }
        }
        Ok(relative(&sums))
    }

    /// The weights of the students, packed, a layer each.
    ///
    /// # Errors
    /// Those of the device.
    pub async fn sketches(&self) -> Result<Vec<Vec<f32>>> {
        self.read(&str::to_string).await
    }

    /// The adapter of what was learned, with notes of the caller's.
    ///
    /// # Errors
    /// [`ErrorKind::Numeric`] for weights that are not finite; those of the device.
    pub async fn adapter(&self, notes: &[(&str, &str)]) -> Result<Vec<u8>> {
        let sketches = self.sketches().await?;
        if let Some(layer) =
            sketches.iter().position(|s| s.iter().any(|x| !x.is_finite() || x.abs() > 65504.0))
        {
            let text = format!("the sketches of layer {layer} are no numbers that an adapter can hold");
            return Err(Error::new(ErrorKind::Numeric, text).help("lower --lr"));
        }
        let gates = vec![vec![GATE; self.config.num_key_value_heads]; sketches.len()];
        Adapter::to_bytes(&self.linearized, self.base, &sketches, &gates, notes)
    }

    async fn read(&self, of: &dyn Fn(&str) -> String) -> Result<Vec<Vec<f32>>> {
        let mut all = Vec::new();
        for sketch in &self.sketches {
            let words = self.memory.read(&of(&sketch.name), 0..sketch.elements).await?;
            all.push(words.into_iter().map(f32::from_bits).collect());
        }
        Ok(all)
    }

    /// Everything that a run goes on from: weights and moments by name.
    ///
    /// # Errors
    /// Those of the device.
    pub async fn state(&self) -> Result<Vec<(String, Vec<f32>)>> {
        let mut all = Vec::new();
        let names = |of: &dyn Fn(&str) -> String| -> Vec<String> {
            self.sketches.iter().map(|sketch| of(&sketch.name)).collect()
        };
        all.extend(names(&str::to_string).into_iter().zip(self.sketches().await?));
        for moment in Moment::ALL {
            let of = |name: &str| moment.name(name);
            all.extend(names(&of).into_iter().zip(self.read(&of).await?));
        }
        Ok(all)
    }

    /// The students of another adapter of the same teacher, whatever is near in it.
    ///
    /// # Errors
    /// [`ErrorKind::ModelFormat`] for an adapter of another teacher, or with sketches of another size; those of the
    /// device.
    pub async fn begin(&mut self, adapter: &Adapter) -> Result<()> {
        let label = adapter.tensors.label();
        if adapter.base != self.base {
            let text =
                format!("{label}: is for the model {:016x}, the teacher is {:016x}", adapter.base, self.base);
            return Err(
                Error::new(ErrorKind::ModelFormat, text).help("begin from an adapter of this teacher")
            );
        }
        let mut state = Vec::new();
        for (layer, sketch) in self.sketches.iter().enumerate() {
            state.push((sketch.name.clone(), adapter.tensors.f32(&linear_sketch(layer))?));
        }
        self.restore(&state).await
    }

    /// Puts back what [`Transfer::state`] returned, or the weights alone.
    ///
    /// # Errors
    /// [`ErrorKind::ModelFormat`] for numbers of another run; those of the device.
    pub async fn restore(&mut self, state: &[(String, Vec<f32>)]) -> Result<()> {
        for (name, values) in state {
            let own = self.sketches.iter().find(|sketch| name.ends_with(&sketch.name));
            if own.is_none_or(|sketch| sketch.elements != values.len()) {
                let text = format!("{name} has {} numbers, which is another student's", values.len());
                return Err(Error::new(ErrorKind::ModelFormat, text).help("begin anew with another --out"));
            }
            let words: Vec<u32> = values.iter().map(|x| x.to_bits()).collect();
            self.memory.write(name, 0, &words).await?;
        }
        Ok(())
    }
}

fn largest(plan: &Plan, parameters: &[Packed]) -> u64 {
    let weights = parameters.iter().map(|p| 4 * p.elements as u64).max().unwrap_or(0);
    weights.max(plan.largest_buffer() as u64)
}
