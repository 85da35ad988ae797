//! The numeric core of training: weights, gradients and moments of a model on an executor, and the plans that
//! train it.

use std::collections::BTreeMap;

use super::optimizer::{self, AdamW, Moment};
use super::plan::{LearnerMemory, LearnerOptions, LearnerPlan};
use crate::attention::Mode;
use crate::error::{Error, ErrorKind, Result};
use crate::exec::{Compiled, Executor, Memory, Run};
use crate::graph::gradient_name;
use crate::kernels::DeviceTraits;
use crate::kernels::rows::embed_grad::order;
use crate::kernels::rows::nll::UNSCORED;
use crate::model::config::ModelConfig;
use crate::model::transformer::{self, Ending};
use crate::model::weights::{self, Packed};
use crate::model::{Engine, ModelSource, ParameterSpec};
use crate::tensor::{Call, DType, Lane, lane_table};

/// Tensors of a checkpoint: name, shape, values.
pub type NamedTensors = Vec<(String, Vec<usize>, Vec<f32>)>;

/// Sequences to learn from or to score.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Batch {
    /// Tokens of a sequence.
    pub context: usize,
    /// `[B, context]`
    pub tokens: Vec<u32>,
    /// `[B, context]`: the token to be predicted at each position, [`UNSCORED`] where nothing is.
    pub targets: Vec<u32>,
}

impl Batch {
    /// Number of sequences.
    pub fn sequences(&self) -> usize {
        self.tokens.len() / self.context.max(1)
    }

    /// Number of scored positions.
    pub fn scored(&self) -> usize {
        self.targets.iter().filter(|t| **t != UNSCORED).count()
    }
}

/// Weights, gradients and moments of a model on an executor, and the plans that train it.
#[derive(Debug)]
pub struct Learner {
    executor: Executor,
    config: ModelConfig,
    plan: LearnerPlan,
    traits: DeviceTraits,
    /// Constants of the plans.
    constants: Memory,
    /// Weights, gradients, moments, states.
    memory: Memory,
    forward: Compiled,
    states: Option<Compiled>,
    train: Compiled,
    predict: Option<Compiled>,
    clear: Compiled,
    norm: Compiled,
    update: Compiled,
    times: Option<Vec<(usize, f64)>>,
    /// Sums of squares of the gradients as they are now, if they were computed.
    squares: Option<Vec<f64>>,
}

impl Learner {
    /// Plans, allocates, uploads.
    ///
    /// # Errors
    /// As [`LearnerPlan::new`] and [`LearnerPlan::check_fits`], before anything is allocated; those of the
    /// device.
    pub async fn new(engine: &Engine, source: &ModelSource, options: &LearnerOptions) -> Result<Self> {
        let traits = engine.traits();
        let config = source.config.clone();
        let plan = LearnerPlan::new(&config, &traits, options)?;
        plan.check_fits(engine)?;
        let executor = engine.executor(plan.memory().largest_buffer).await?;
        let (mut constants, mut memory) = (Memory::new(), Memory::new());
        for packed in &plan.parameters {
            executor.store(&mut memory, &packed.name, DType::F32, &packed.words(&source.checkpoint)?).await?;
        }
        let clear = optimizer::clear(&plan.carries)?.lower("clear", &traits, plan.capacity)?;
        let norm = optimizer::norm(&plan.trained)?.0.lower("norm", &traits, plan.capacity)?;
        let update = optimizer::update(&plan.trained, &config.parameters())?.0.lower(
            "update",
            &traits,
            plan.capacity,
        )?;
        for plan in [&plan.forward, &plan.train, &clear, &norm, &update] {
            executor.store_constants(plan, &mut constants).await?;
            executor.reserve_state(plan, &mut memory).await?;
        }
        Ok(Self {
            forward: executor.compile(&plan.forward).await?,
            states: match &plan.states {
                Some(states) => Some(executor.compile(states).await?),
                None => None,
            },
            train: executor.compile(&plan.train).await?,
            clear: executor.compile(&clear).await?,
            norm: executor.compile(&norm).await?,
            update: executor.compile(&update).await?,
            predict: None,
            times: None,
            squares: None,
            executor,
            config,
            plan,
            traits,
            constants,
            memory,
        })
    }

    /// Plans and memory.
    pub fn plan(&self) -> &LearnerPlan {
        &self.plan
    }

    /// Bytes by purpose.
    pub fn memory(&self) -> LearnerMemory {
        self.plan.memory()
    }

    /// Where it runs.
    pub fn executor(&self) -> &Executor {
        &self.executor
    }

    /// Time by kernel of every training call so far, if [`Learner::profile`] was asked for.
    pub fn times(&self) -> &[(usize, f64)] {
        self.times.as_deref().unwrap_or_default()
    }

    /// Times every dispatch of training calls from now on: (step of the plan, nanoseconds). Slower as a
    /// whole.
    pub fn profile(&mut self) {
        self.times = Some(Vec::new());
    }

    /// Negative log-likelihood of every scored position `[B, context]`; adds the gradients of `Σ weight ·
    /// nll` to the accumulators.
    pub async fn accumulate(&mut self, batch: &Batch, weight: f32) -> Result<Vec<f32>> {
        self.squares = None;
        let mut nll = vec![0.0; batch.tokens.len()];
        for group in self.groups(batch)? {
            let segments = group.segments(self.plan.capacity.tokens);
            self.leave_states(batch, &group, &segments[..segments.len() - 1]).await?;
            // All that segments hand back, whatever sequences they are of.
            let run = Run { calls: &[Call::start(1)], ..Run::default() };
            self.executor.run(&mut self.clear, &self.constants, &mut self.memory, run).await?;
            for segment in segments.iter().rev() {
                let call = group.call(segment);
                let (ids, targets) =
                    (group.rows(&batch.tokens, segment), group.rows(&batch.targets, segment));
                let (lanes, order) = (lane_table(std::slice::from_ref(&call)), order(&ids));
                let weights = vec![weight.to_bits(); ids.len()];
                let inputs: [(&str, &[u32]); 5] = [
                    ("ids", &ids),
                    ("lanes", &lanes),
                    ("targets", &targets),
                    ("order", &order),
                    ("weights", &weights),
                ];
                let run = Run { calls: &[call], inputs: &inputs, reads: &[("nll", ids.len())] };
                let read = match &mut self.times {
                    None => {
                        self.executor.run(&mut self.train, &self.constants, &mut self.memory, run).await?
                    }
                    Some(all) => {
                        let (read, times) = self
                            .executor
                            .run_timed(&mut self.train, &self.constants, &mut self.memory, run)
                            .await?;
                        all.extend(times);
                        read
                    }
                };
                group.place(&read[0], segment, &mut nll, f32::from_bits);
            }
        }
        Ok(nll)
    }

    /// Negative log-likelihood of every scored position `[B, context]`, 0 elsewhere.
    pub async fn score(&mut self, batch: &Batch) -> Result<Vec<f32>> {
        let mut nll = vec![0.0; batch.tokens.len()];
        for group in self.groups(batch)? {
            for segment in &group.segments(self.plan.capacity.tokens) {
                let read = self.run_forward(batch, &group, segment).await?;
                group.place(&read, segment, &mut nll, f32::from_bits);
            }
        }
        Ok(nll)
    }

    /// The likeliest next token at every position `[B, context]`.
    pub async fn predict(&mut self, batch: &Batch) -> Result<Vec<u32>> {
        let vocabulary = self.config.vocab_size;
        if self.predict.is_none() {
            let graph = transformer::build(&self.config, Mode::Forward, Ending::All, &self.plan.build)?;
            let plan = graph.lower("predict", &self.traits, self.plan.capacity)?;
            self.executor.reserve_state(&plan, &mut self.memory).await?;
            self.predict = Some(self.executor.compile(&plan).await?);
        }
        let mut tokens = vec![0; batch.tokens.len()];
        for group in self.groups(batch)? {
            for segment in &group.segments(self.plan.capacity.tokens) {
                let call = group.call(segment);
                let ids = group.rows(&batch.tokens, segment);
                let lanes = lane_table(std::slice::from_ref(&call));
                let inputs: [(&str, &[u32]); 2] = [("ids", &ids), ("lanes", &lanes)];
                let run =
                    Run { calls: &[call], inputs: &inputs, reads: &[("logits_all", ids.len() * vocabulary)] };
                let Some(predict) = &mut self.predict else { continue };
                let logits =
                    self.executor.run(predict, &self.constants, &mut self.memory, run).await?.swap_remove(0);
                let likeliest: Vec<u32> = logits.chunks_exact(vocabulary).map(argmax).collect();
                group.place(&likeliest, segment, &mut tokens, |t| t);
            }
        }
        Ok(tokens)
    }

    /// Global norm of the accumulated gradients.
    ///
    /// # Errors
    /// [`ErrorKind::Numeric`] naming the first layer whose gradient is not finite.
    pub async fn gradient_norm(&mut self) -> Result<f64> {
        let squares = self.squares().await?;
        let total: f64 = squares.iter().sum();
        if total.is_finite() {
            return Ok(total.sqrt());
        }
        // The backward pass goes from the last parameter to the first: the last one in the model's order
        // broke first.
        let broken = self
            .plan
            .trained
            .iter()
            .zip(&squares)
            .rev()
            .find(|(_, square)| !square.is_finite())
            .map_or("", |(p, _)| p.name.as_str());
        Err(Error::new(ErrorKind::Numeric, format!("the gradient of {broken} is not finite"))
            .help("lower --lr, raise --warmup or set --clip, and go on from the last checkpoint"))
    }

    /// Sum of squares of every trained parameter's gradient.
    async fn squares(&mut self) -> Result<Vec<f64>> {
        if let Some(squares) = &self.squares {
            return Ok(squares.clone());
        }
        let partials = self.plan.trained.len() * optimizer::SQUARE_PARTS;
        let run = Run { calls: &[Call::start(1)], inputs: &[], reads: &[("norms", partials)] };
        let read = self.executor.run(&mut self.norm, &self.constants, &mut self.memory, run).await?;
        let sum = |words: &[u32]| words.iter().map(|w| f64::from(f32::from_bits(*w))).sum();
        let squares: Vec<f64> = read[0].chunks_exact(optimizer::SQUARE_PARTS).map(sum).collect();
        self.squares = Some(squares.clone());
        Ok(squares)
    }

    /// One optimiser step with what was accumulated, which is cleared; `step` counts from 1.
    pub async fn update(&mut self, settings: &AdamW, step: u64) -> Result<()> {
        self.squares().await?;
        self.squares = None;
        let settings = optimizer::settings(settings, step);
        let run = Run { calls: &[Call::start(1)], inputs: &[("settings", &settings)], reads: &[] };
        self.executor.run(&mut self.update, &self.constants, &mut self.memory, run).await.map(drop)
    }

    /// Checkpoint tensors, trained or not.
    pub async fn weights(&self) -> Result<NamedTensors> {
        self.read(&str::to_string, &self.plan.parameters).await
    }

    /// Accumulated gradients of the trained tensors.
    pub async fn gradients(&self) -> Result<NamedTensors> {
        self.read(&gradient_name, &self.plan.trained).await
    }

    /// First and second moments of the trained tensors, named `first.NAME` and `second.NAME`.
    pub async fn moments(&self) -> Result<NamedTensors> {
        let mut tensors = Vec::new();
        for moment in Moment::ALL {
            let list = self.read(&|parameter| moment.name(parameter), &self.plan.trained).await?;
            tensors.extend(list.into_iter().map(|(name, shape, values)| (moment.name(&name), shape, values)));
        }
        Ok(tensors)
    }

    /// Puts back what [`Learner::moments`] returned.
    ///
    /// # Errors
    /// [`ErrorKind::ModelFormat`] for moments of another model.
    pub async fn restore_moments(&mut self, tensors: NamedTensors) -> Result<()> {
        let moments: BTreeMap<String, (Vec<usize>, Vec<f32>)> =
            tensors.into_iter().map(|(name, shape, values)| (name, (shape, values))).collect();
        let mut restored = Vec::new();
        for moment in Moment::ALL {
            let mut of_moment = BTreeMap::new();
            for spec in self.config.parameters() {
                let name = moment.name(&spec.name);
                let Some((shape, values)) = moments.get(&name) else { continue };
                if *shape != spec.shape || values.len() != shape.iter().product::<usize>() {
                    let text = format!(
                        "the moment {name} has shape {shape:?} and {} numbers, the model needs {:?}",
                        values.len(),
                        spec.shape
                    );
                    return Err(Error::new(ErrorKind::ModelFormat, text)
                        .help("train from the checkpoint's weights with --model and another --out"));
                }
                of_moment.insert(spec.name, values.clone());
            }
            restored.push((moment, of_moment));
        }
        for (moment, of_moment) in &restored {
            for packed in &self.plan.trained {
                let words: Vec<u32> = packed.pack(of_moment).into_iter().map(f32::to_bits).collect();
                self.executor.write(&mut self.memory, &moment.name(&packed.name), 0, &words).await?;
            }
        }
        Ok(())
    }

    /// Checkpoint tensors from what the memory holds of each parameter under the name `of`.
    async fn read(&self, of: &dyn Fn(&str) -> String, parameters: &[Packed]) -> Result<NamedTensors> {
        let mut values = Vec::with_capacity(parameters.len());
        for packed in parameters {
            let words = self.executor.read(&self.memory, &of(&packed.name), 0..packed.elements).await?;
            values.push(words.into_iter().map(f32::from_bits).collect::<Vec<f32>>());
        }
        let mut tensors = weights::unpack(parameters.iter().zip(values.iter().map(Vec::as_slice)));
        let specs: Vec<ParameterSpec> = self.config.parameters();
        Ok(specs
            .into_iter()
            .filter_map(|s| tensors.remove(&s.name).map(|values| (s.name, s.shape, values)))
            .collect())
    }

    /// Runs segments that later ones build on.
    async fn leave_states(&mut self, batch: &Batch, group: &Group, segments: &[Segment]) -> Result<()> {
        let Some(states) = &mut self.states else { return Ok(()) };
        for segment in segments {
            let call = group.call(segment);
            let ids = group.rows(&batch.tokens, segment);
            let lanes = lane_table(std::slice::from_ref(&call));
            let run = Run { calls: &[call], inputs: &[("ids", &ids), ("lanes", &lanes)], reads: &[] };
            self.executor.run(states, &self.constants, &mut self.memory, run).await?;
            // A queue without end would hold memory.
            self.executor.finish().await?;
        }
        Ok(())
    }

    async fn run_forward(&mut self, batch: &Batch, group: &Group, segment: &Segment) -> Result<Vec<u32>> {
        let call = group.call(segment);
        let (ids, targets) = (group.rows(&batch.tokens, segment), group.rows(&batch.targets, segment));
        let lanes = lane_table(std::slice::from_ref(&call));
        let inputs: [(&str, &[u32]); 3] = [("ids", &ids), ("lanes", &lanes), ("targets", &targets)];
        let run = Run { calls: &[call], inputs: &inputs, reads: &[("nll", ids.len())] };
        Ok(self.executor.run(&mut self.forward, &self.constants, &mut self.memory, run).await?.swap_remove(0))
    }

    /// The batch, as many sequences at a time as a call has lanes.
    fn groups(&self, batch: &Batch) -> Result<Vec<Group>> {
        let n = batch.context;
        let whole = n > 0
            && !batch.tokens.is_empty()
            && batch.tokens.len().is_multiple_of(n)
            && batch.targets.len() == batch.tokens.len();
        if !whole || n > self.plan.context {
            let text = format!(
                "a batch of {} tokens and {} targets in sequences of {n}",
                batch.tokens.len(),
                batch.targets.len()
            );
            return Err(Error::new(ErrorKind::Shape, text)
                .help(format!("the learner was made for sequences of up to {} tokens", self.plan.context)));
        }
        if let Some(id) = batch.tokens.iter().find(|id| **id as usize >= self.config.vocab_size) {
            return Err(Error::new(
                ErrorKind::Input,
                format!("token {id} is outside the vocabulary of {}", self.config.vocab_size),
            ));
        }
        let lanes = self.plan.capacity.lanes;
        Ok((0..batch.sequences())
            .step_by(lanes)
            .map(|first| Group { first, lanes: lanes.min(batch.sequences() - first), context: n })
            .collect())
    }
}

/// Sequences of a batch that are run together.
struct Group {
    first: usize,
    lanes: usize,
    context: usize,
}

impl Group {
    fn segments(&self, length: usize) -> Vec<Segment> {
        let range = |start: usize| start..self.context.min(start + length);
        (0..self.context)
            .step_by(length)
            .enumerate()
            .map(|(number, start)| Segment { number, range: range(start) })
            .collect()
    }

    /// A segment's call. Its slots are those of its number, so that the states at all boundaries lie side by
    /// side.
    fn call(&self, segment: &Segment) -> Call {
        let lane = |at: usize| Lane {
            slot: segment.number * self.lanes + at,
            position: segment.range.start,
            ring: 0,
        };
        Call { lanes: (0..self.lanes).map(lane).collect(), tokens: segment.range.len(), lane_base: 0 }
    }

    /// The segment's part of `[B, context]`, as rows `[lanes, tokens]`.
    fn rows(&self, all: &[u32], segment: &Segment) -> Vec<u32> {
        (0..self.lanes)
            .flat_map(|at| all[(self.first + at) * self.context..][segment.range.clone()].iter().copied())
            .collect()
    }

    fn place<T>(&self, rows: &[u32], segment: &Segment, all: &mut [T], from: impl Fn(u32) -> T) {
        for (at, rows) in rows.chunks_exact(segment.range.len()).take(self.lanes).enumerate() {
            let out = &mut all[(self.first + at) * self.context..][segment.range.clone()];
            out.iter_mut().zip(rows).for_each(|(out, row)| *out = from(*row));
        }
    }
}

/// A part of the sequences that one call takes.
struct Segment {
    number: usize,
    range: std::ops::Range<usize>,
}

/// Index of the largest of some floats, given as words.
fn argmax(words: &[u32]) -> u32 {
    let value = |i: usize| f32::from_bits(words[i]);
    (0..words.len()).fold(0, |best, i| if value(i) > value(best) { i } else { best }) as u32
}
