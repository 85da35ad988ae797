//! The numeric core of training: weights, gradients and moments of a model on an executor, and the plans that
//! train it.

use super::optimizer;
use super::plan::{LearnerMemory, LearnerOptions, LearnerPlan};
use crate::attention::Mode;
use crate::error::{Error, ErrorKind, Result};
use crate::exec::{Executor, Memory, Program, Submission};
use crate::graph::{Graph, Plan};
use crate::kernels::DeviceTraits;
use crate::kernels::rows::embed_grad::order;
use crate::kernels::rows::nll::UNSCORED;
use crate::model::config::ModelConfig;
use crate::model::transformer::{self, Ending};
use crate::model::weights::{self, Packed};
use crate::model::{Engine, ModelSource, ParameterSpec};
use crate::tensor::{Call, DType, Lane, TensorId};

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

/// AdamW (Loshchilov and Hutter 2019), decoupled decay of matrices only, after clipping by the global norm.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdamW {
    /// Learning rate.
    pub lr: f64,
    /// Decay of the first moment.
    pub beta1: f64,
    /// Decay of the second moment.
    pub beta2: f64,
    /// Added to the root of the second moment.
    pub eps: f64,
    /// Decay of matrices, times the learning rate.
    pub weight_decay: f64,
    /// Largest global norm of the gradients; 0: any.
    pub clip: f64,
}

impl Default for AdamW {
    fn default() -> Self {
        Self { lr: 1e-3, beta1: 0.9, beta2: 0.95, eps: 1e-8, weight_decay: 0.1, clip: 1.0 }
    }
}

/// Weights, gradients and moments of a model on an executor, and the plans that train it.
#[derive(Debug)]
pub struct Learner {
    config: ModelConfig,
    plan: LearnerPlan,
    traits: DeviceTraits,
    /// Weights, gradients, moments, states, constants.
    memory: Memory,
    forward: Pass,
    states: Option<Pass>,
    train: Pass,
    /// Inputs of `train` alone.
    order: TensorId,
    weights: TensorId,
    predict: Option<Pass>,
    clear: Program,
    norm: Program,
    update: Program,
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
        let memory = Memory::new(&executor);
        for packed in &plan.parameters {
            memory.store(&packed.name, DType::F32, &packed.words(&source.checkpoint)?).await?;
        }
        let ready = async |plan: &Plan| {
            let mut program = Program::new(plan.clone(), &memory).await?;
            program.compile().await?;
            Ok::<_, Error>(program)
        };
        let forward = Pass::new(ready(&plan.forward).await?, true)?;
        let states = match &plan.states {
            Some(states) => Some(Pass::new(ready(states).await?, false)?),
            None => None,
        };
        let train = Pass::new(ready(&plan.train).await?, true)?;
        let [order, weights] = ["order", "weights"].map(|name| train.program.tensor(name));
        let lower = |graph: Graph, name| graph.lower(name, &traits, plan.capacity);
        Ok(Self {
            forward,
            states,
            train,
            order: order?,
            weights: weights?,
            clear: ready(&lower(optimizer::clear(&plan.train)?, "clear")?).await?,
            norm: ready(&lower(optimizer::norm(&plan.trained)?, "norm")?).await?,
            update: ready(&lower(optimizer::update(&plan.trained, &config.parameters())?, "update")?).await?,
            predict: None,
            times: None,
            squares: None,
            config,
            plan,
            traits,
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
        self.memory.executor()
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
            self.clear.run(Submission { calls: &[Call::start(1)], ..Submission::default() }).await?;
            for segment in segments.iter().rev() {
                let rows = Rows::of(batch, &group, segment);
                let (order, weights) = (order(&rows.ids), vec![weight.to_bits(); rows.ids.len()]);
                let more = [(self.order, &order[..]), (self.weights, &weights[..])];
                let read = self.train.run(rows, &more, self.times.as_mut()).await?;
                group.place(&read, segment, &mut nll, f32::from_bits);
            }
        }
        Ok(nll)
    }

    /// Negative log-likelihood of every scored position `[B, context]`, 0 elsewhere.
    pub async fn score(&mut self, batch: &Batch) -> Result<Vec<f32>> {
        let mut nll = vec![0.0; batch.tokens.len()];
        for group in self.groups(batch)? {
            for segment in &group.segments(self.plan.capacity.tokens) {
                let read = self.forward.run(Rows::of(batch, &group, segment), &[], None).await?;
                group.place(&read, segment, &mut nll, f32::from_bits);
            }
        }
        Ok(nll)
    }

    /// The likeliest next token at every position `[B, context]`.
    pub async fn predict(&mut self, batch: &Batch) -> Result<Vec<u32>> {
        let mut tokens = vec![0; batch.tokens.len()];
        for group in self.groups(batch)? {
            for segment in &group.segments(self.plan.capacity.tokens) {
                let rows = Rows::of(batch, &group, segment);
                let logits = self.predictor().await?.run(rows, &[], None).await?;
                let likeliest: Vec<u32> = logits.chunks_exact(self.config.vocab_size).map(argmax).collect();
                group.place(&likeliest, segment, &mut tokens, |t| t);
            }
        }
        Ok(tokens)
    }

    /// The plan of all logits, made when it is first needed.
    async fn predictor(&mut self) -> Result<&mut Pass> {
        if self.predict.is_none() {
            let build = &self.plan.build;
            let decoder = transformer::build(&self.config, Mode::Forward, Ending::All, build)?;
            let plan = decoder.lower("predict", &self.traits, self.plan.capacity)?;
            let all = decoder.handles.all.expect("a graph with Ending::All gives all logits");
            let program = Program::new(plan, &self.memory).await?;
            let output = Some((all.logits, self.config.vocab_size));
            self.predict = Some(Pass { program, ids: decoder.handles.ids, targets: None, output });
        }
        Ok(self.predict.as_mut().expect("made above"))
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
        let reads = [(self.norm.tensor("norms")?, partials)];
        let submission = Submission { calls: &[Call::start(1)], inputs: &[], reads: &reads };
        let read = self.norm.run(submission).await?;
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
        let inputs = [(self.update.tensor("settings")?, &settings[..])];
        self.update.run(Submission { calls: &[Call::start(1)], inputs: &inputs, reads: &[] }).await.map(drop)
    }

    /// Checkpoint tensors, trained or not.
    pub async fn weights(&self) -> Result<NamedTensors> {
        self.read("", &self.plan.parameters).await
    }

    /// Accumulated gradients of the trained tensors.
    pub async fn gradients(&self) -> Result<NamedTensors> {
        self.read("gradient.", &self.plan.trained).await
    }

    /// First and second moments of the trained tensors, named `first.NAME` and `second.NAME`.
    pub async fn moments(&self) -> Result<NamedTensors> {
        let mut tensors = Vec::new();
        for moment in ["first", "second"] {
            let list = self.read(&format!("{moment}."), &self.plan.trained).await?;
            tensors.extend(
                list.into_iter().map(|(name, shape, values)| (format!("{moment}.{name}"), shape, values)),
            );
        }
        Ok(tensors)
    }

    /// Puts back what [`Learner::moments`] returned.
    ///
    /// # Errors
    /// [`ErrorKind::ModelFormat`] for moments of another model.
    pub async fn restore_moments(&mut self, tensors: NamedTensors) -> Result<()> {
        let shapes: std::collections::BTreeMap<String, Vec<usize>> =
            self.config.parameters().into_iter().map(|s| (s.name, s.shape)).collect();
        for (name, shape, values) in &tensors {
            let parameter = name.split_once('.').map_or(name.as_str(), |(_, parameter)| parameter);
            let fits =
                |needed: &Vec<usize>| needed == shape && values.len() == shape.iter().product::<usize>();
            if let Some(needed) = shapes.get(parameter).filter(|needed| !fits(needed)) {
                let text = format!(
                    "the moment {name} has shape {shape:?} and {} numbers, the model needs {needed:?}",
                    values.len()
                );
                return Err(Error::new(ErrorKind::ModelFormat, text)
                    .help("train from the checkpoint's weights with --model and another --out"));
            }
        }
        let tensors: std::collections::BTreeMap<String, Vec<f32>> =
            tensors.into_iter().map(|(name, _, values)| (name, values)).collect();
        for moment in ["first", "second"] {
            let prefix = format!("{moment}.");
            let of_moment = tensors
                .iter()
                .filter_map(|(name, values)| Some((name.strip_prefix(&prefix)?.to_string(), values.clone())))
                .collect();
            for packed in &self.plan.trained {
                let words: Vec<u32> = packed.pack(&of_moment).into_iter().map(f32::to_bits).collect();
                self.memory.write(&format!("{prefix}{}", packed.name), 0, &words).await?;
            }
        }
        Ok(())
    }

    /// Checkpoint tensors from the graph's tensors `prefix + name`.
    async fn read(&self, prefix: &str, parameters: &[Packed]) -> Result<NamedTensors> {
        let mut values = Vec::with_capacity(parameters.len());
        for packed in parameters {
            let words = self.memory.read(&format!("{prefix}{}", packed.name), 0..packed.elements).await?;
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
            states.run(Rows::of(batch, group, segment), &[], None).await?;
            // A queue without end would hold memory.
            self.memory.executor().finish().await?;
        }
        Ok(())
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

/// A plan over a segment of sequences, and its tensors.
#[derive(Debug)]
struct Pass {
    program: Program,
    ids: TensorId,
    targets: Option<TensorId>,
    /// What it leaves of each row, and how many numbers.
    output: Option<(TensorId, usize)>,
}

impl Pass {
    /// A pass that scores, or only leaves its states.
    fn new(program: Program, scores: bool) -> Result<Self> {
        let ids = program.tensor("ids")?;
        let (targets, output) = match scores {
            true => (Some(program.tensor("targets")?), Some((program.tensor("nll")?, 1))),
            false => (None, None),
        };
        Ok(Self { program, ids, targets, output })
    }

    /// Runs a call and returns its output; adds to `times`, if they are wanted.
    async fn run(
        &mut self,
        rows: Rows,
        more: &[(TensorId, &[u32])],
        times: Option<&mut Vec<(usize, f64)>>,
    ) -> Result<Vec<u32>> {
        let mut inputs = vec![(self.ids, &rows.ids[..])];
        inputs.extend(self.targets.map(|id| (id, &rows.targets[..])));
        inputs.extend(more);
        let reads: Vec<_> = self.output.iter().map(|(id, width)| (*id, rows.ids.len() * width)).collect();
        let submission = Submission { calls: &[rows.call], inputs: &inputs, reads: &reads };
        let read = match times {
            None => self.program.run(submission).await?,
            Some(all) => {
                let (read, times) = self.program.run_timed(submission).await?;
                all.extend(times);
                read
            }
        };
        Ok(read.concat())
    }
}

/// What a call takes of a batch.
struct Rows {
    call: Call,
    ids: Vec<u32>,
    targets: Vec<u32>,
}

impl Rows {
    fn of(batch: &Batch, group: &Group, segment: &Segment) -> Self {
        Self {
            call: group.call(segment),
            ids: group.rows(&batch.tokens, segment),
            targets: group.rows(&batch.targets, segment),
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
