//! The numeric core of training: weights, gradients and moments of a model on an executor, and the plans that
//! train it.

use std::collections::BTreeMap;

use super::optimizer::{self, AdamW, Measure, Moment};
use super::plan::{LearnerMemory, LearnerOptions, LearnerPlan};
use crate::attention::Mode;
use crate::error::{Error, ErrorKind, Result};
use crate::exec::{Executor, Memory, Program, Submission};
use crate::graph::{Graph, Plan, gradient_name};
use crate::kernels::rows::embed_grad::order;
use crate::kernels::rows::nll::UNSCORED;
use crate::kernels::{Asked, DeviceTraits};
use crate::model::config::ModelConfig;
use crate::model::families::Names;
use crate::model::transformer::{self, Ending, Scores};
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

/// Weights, gradients and moments of a model on an executor, and the plans that train it.
#[derive(Debug)]
pub struct Learner {
    config: ModelConfig,
    names: Names,
    plan: LearnerPlan,
    traits: DeviceTraits,
    /// Weights, gradients, moments, states, constants.
    memory: Memory,
    forward: Pass,
    states: Option<Pass>,
    train: Pass,
    predict: Option<Pass>,
    clear: Program,
    norm: Option<(Program, Measure)>,
    update: (Program, Measure),
    times: Option<Vec<(usize, f64)>>,
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
        // Whatever does not fit the device is told now, and not after hours at the first evaluation.
        let ready = async |plan: Plan| {
            let mut program = Program::new(plan, &memory).await?;
            program.compile().await?;
            Ok::<_, Error>(program)
        };
        let lower = |graph: Graph, name| graph.lower(name, &traits, plan.capacity);
        let scores = plan.forward_handles.scores.expect("a graph with Ending::Nll has scores");
        let forward = Pass::scored(ready(plan.forward.clone()).await?, plan.forward_handles.ids, scores);
        let states = match (&plan.states, &plan.states_handles) {
            (Some(states), Some(handles)) => Some(Pass {
                targets: None,
                output: None,
                ids: handles.ids,
                program: ready(states.clone()).await?,
            }),
            _ => None,
        };
        let of_train = &plan.train_handles;
        let train = Pass::scored(ready(plan.train.clone()).await?, of_train.decoder.ids, of_train.scores);
        let clear = ready(lower(optimizer::clear(&plan.carries)?, "clear")?).await?;
        let (graph, measure) = optimizer::update(&plan.trained, &config.parameters())?;
        let update = (ready(lower(graph, "update")?).await?, measure);
        Ok(Self {
            config,
            names: source.checkpoint.layout(),
            plan,
            traits,
            memory,
            forward,
            states,
            train,
            predict: None,
            clear,
            norm: None,
            update,
            times: None,
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
    ///
    /// # Errors
    /// [`ErrorKind::Shape`] for a batch of other sizes, [`ErrorKind::Input`] for an id beyond the vocabulary;
    /// those of the device.
    pub async fn accumulate(&mut self, batch: &Batch, weight: f32) -> Result<Vec<f32>> {
        let mut nll = vec![0.0; batch.tokens.len()];
        for group in self.groups(batch)? {
            let segments = group.segments(self.plan.capacity.tokens);
            self.leave_states(batch, &group, &segments[..segments.len() - 1]).await?;
            // All that segments hand back, whatever sequences they are of.
            self.clear.run(Submission { calls: &[Call::start(1)], ..Submission::default() }).await?;
            for segment in segments.iter().rev() {
                let rows = Rows::of(batch, &group, segment);
                let (order, weights) = (order(&rows.ids), vec![weight.to_bits(); rows.ids.len()]);
                let mut more = vec![(self.plan.train_handles.weights, &weights[..])];
                more.extend(self.plan.train_handles.gradients.asked(Asked::Order).map(|id| (id, &order[..])));
                let read = self.train.run(rows, &more, self.times.as_mut()).await?;
                group.place(&read, segment, &mut nll, f32::from_bits);
            }
        }
        Ok(nll)
    }

    /// Negative log-likelihood of every scored position `[B, context]`, 0 elsewhere.
    ///
    /// # Errors
    /// As [`Learner::accumulate`].
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
    ///
    /// # Errors
    /// As [`Learner::accumulate`].
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

    /// The pass with all logits, made when it is first needed.
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
        if self.norm.is_none() {
            let (graph, measure) = optimizer::norm(&self.plan.trained)?;
            let plan = graph.lower("norm", &self.traits, self.plan.capacity)?;
            self.norm = Some((Program::new(plan, &self.memory).await?, measure));
        }
        let (program, measure) = self.norm.as_mut().expect("made above");
        let settings = optimizer::settings(&AdamW::default(), 1);
        measured(program, measure, &settings, &self.plan.trained).await
    }

    /// One optimiser step with what was accumulated, which is cleared; `step` counts from 1. Returns the
    /// global norm of the gradients, before clipping.
    ///
    /// # Errors
    /// [`ErrorKind::Numeric`] naming the first layer whose gradient is not finite; no weight has moved then.
    pub async fn update(&mut self, settings: &AdamW, step: u64) -> Result<f64> {
        let (program, measure) = &mut self.update;
        measured(program, measure, &optimizer::settings(settings, step), &self.plan.trained).await
    }

    /// Checkpoint tensors, trained or not, as the model's own files have them.
    ///
    /// # Errors
    /// Those of the device.
    pub async fn weights(&self) -> Result<NamedTensors> {
        let tensors = self.read(&str::to_string, &self.plan.parameters).await?;
        Ok(self.names.to_file(tensors))
    }

    /// Accumulated gradients of the trained tensors, as the model's own files have those.
    ///
    /// # Errors
    /// Those of the device.
    pub async fn gradients(&self) -> Result<NamedTensors> {
        let tensors = self.read(&gradient_name, &self.plan.trained).await?;
        Ok(self.names.to_file(tensors))
    }

    /// First and second moments of the trained tensors, named `first.NAME` and `second.NAME`.
    ///
    /// # Errors
    /// Those of the device.
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
                self.memory.write(&moment.name(&packed.name), 0, &words).await?;
            }
        }
        Ok(())
    }

    /// Checkpoint tensors from what the memory holds of each parameter under the name `of`.
    async fn read(&self, of: &dyn Fn(&str) -> String, parameters: &[Packed]) -> Result<NamedTensors> {
        let mut values = Vec::with_capacity(parameters.len());
        for packed in parameters {
            let words = self.memory.read(&of(&packed.name), 0..packed.elements).await?;
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

/// Runs a plan that measures the gradients, and returns their global norm.
pub(super) async fn measured(
    program: &mut Program,
    measure: &Measure,
    settings: &[u32],
    trained: &[Packed],
) -> Result<f64> {
    let (inputs, reads) = ([(measure.settings, settings)], [(measure.clip, optimizer::CLIP)]);
    let submission = Submission { calls: &[Call::start(1)], inputs: &inputs, reads: &reads };
    let norm = f32::from_bits(program.run(submission).await?[0][0]);
    if norm.is_finite() {
        return Ok(f64::from(norm));
    }
    // The backward pass goes from the last parameter to the first: the last one in the model's order broke
    // first.
    let squares = program.read(measure.squares, 0..trained.len() * optimizer::SQUARE_PARTS).await?;
    let squares = squares.chunks_exact(optimizer::SQUARE_PARTS);
    let broken = |words: &[u32]| words.iter().any(|word| !f32::from_bits(*word).is_finite());
    let broken = trained.iter().zip(squares).rev().find(|(_, words)| broken(words));
    let text = match broken {
        Some((parameter, _)) => format!("the gradient of {} is not finite", parameter.name),
        None => "the norm of the gradients is too large for a number".to_string(),
    };
    Err(Error::new(ErrorKind::Numeric, text)
        .help("lower --lr, raise --warmup or set --clip, and go on from the last checkpoint"))
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
    /// What it gives of each row, and how many numbers.
    output: Option<(TensorId, usize)>,
}

impl Pass {
    /// One that scores.
    fn scored(program: Program, ids: TensorId, scores: Scores) -> Self {
        Self { program, ids, targets: Some(scores.targets), output: Some((scores.nll, 1)) }
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
        // One tensor at most.
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
