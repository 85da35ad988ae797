//! The plans of training, and the bytes they need, before anything is allocated.

use crate::attention::Mode;
use crate::error::{Error, ErrorKind, Result};
use crate::exec::check_memory;
use crate::graph::{Gradients, Graph, Plan, Purpose, Recompute, Role, Tensor, TensorId, sum};
use crate::kernels::DeviceTraits;
use crate::model::Engine;
use crate::model::config::ModelConfig;
use crate::model::transformer::{self, Build, Decoder, Ending, Handles, Scores};
use crate::model::weights::{self, Packed};
use crate::shape;
use crate::tensor::{Capacity, DType, TensorType, Unit};

/// How a model is trained.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LearnerOptions {
    /// Sequences of a batch; a call takes as many of them at a time as suit the device.
    pub lanes: usize,
    /// Tokens of a sequence.
    pub context: usize,
    /// Tokens of a sequence that one call takes; the states between segments are kept and the rest is
    /// recomputed, so that memory does not grow with the context. None: as many as fit. Rounded to whole
    /// blocks; models with a key-value cache take the whole context at once.
    pub segment: Option<usize>,
    /// What a call recomputes.
    pub recompute: Recompute,
}

/// Bytes of training, known before anything is allocated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub struct LearnerMemory {
    /// Weights and constants.
    pub weights: u64,
    /// Gradients and two moments.
    pub optimizer: u64,
    /// States at segment boundaries, and what segments hand back.
    pub state: u64,
    /// Everything that lives within a call: activations and their gradients.
    pub activations: u64,
    /// Largest single buffer.
    pub largest_buffer: u64,
    /// Sequences that one call takes.
    pub lanes: usize,
    /// Tokens of a sequence that one call takes.
    pub segment: usize,
    /// Dispatches of a training call.
    pub dispatches: usize,
}

impl LearnerMemory {
    /// All of it.
    pub fn total(&self) -> u64 {
        sum([self.weights, self.optimizer, self.state, self.activations])
    }
}

/// The plans of training, made before anything is allocated.
#[derive(Clone, Debug)]
pub struct LearnerPlan {
    /// Parameters of the graph.
    pub parameters: Vec<Packed>,
    /// Those that are trained.
    pub trained: Vec<Packed>,
    /// Forward over a segment: scores it, and leaves the state at its end.
    pub forward: Plan,
    /// The same without the scores, for what comes before the last segment; none where a segment is a whole
    /// sequence.
    pub states: Option<Plan>,
    /// Forward and backward over a segment, from the state at its start.
    pub train: Plan,
    /// Tensors of the forward plan.
    pub forward_handles: Handles,
    /// Tensors of the plan that leaves states.
    pub states_handles: Option<Handles>,
    /// Tensors of the training plan.
    pub train_handles: TrainHandles,
    /// What segments hand back: states of the training plan, to be cleared before a sequence's last segment.
    pub(super) carries: Vec<Tensor>,
    pub(super) build: Build,
    pub(super) capacity: Capacity,
    /// Sequences of a batch, and tokens of each.
    batch: usize,
    pub(super) context: usize,
}

/// What a training call reads and gives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrainHandles {
    /// Those of the forward pass.
    pub decoder: Handles,
    /// What it scores.
    pub scores: Scores,
    /// Input `f32 [rows]`: what the negative log-likelihood of each row counts in the loss.
    pub weights: TensorId,
    /// Those of the backward pass.
    pub gradients: Gradients,
}

/// Rows of a call unless memory says less: enough to keep matrix products busy.
const DEFAULT_ROWS: usize = 8192;
/// Rows of a call that takes several sequences on the CPU: the activations of more leave its caches, which
/// costs a tenth of the time.
const CACHED_ROWS: usize = 2048;
/// Most tokens of a sequence: positions, rounded up to whole blocks, are 32-bit numbers.
const MOST_CONTEXT: usize = 1 << 31;

impl LearnerPlan {
    /// Plans the training of a model on a device.
    ///
    /// # Errors
    /// [`ErrorKind::Input`] for impossible options, [`ErrorKind::Limit`] if no segment fits the device.
    pub fn new(config: &ModelConfig, traits: &DeviceTraits, options: &LearnerOptions) -> Result<Self> {
        if options.lanes == 0 || options.context == 0 || options.segment == Some(0) {
            let text = format!(
                "{} sequences of {} tokens in segments of {:?}",
                options.lanes, options.context, options.segment
            );
            return Err(Error::new(ErrorKind::Input, text).help("use at least 1 of each"));
        }
        if options.context > MOST_CONTEXT {
            let text =
                format!("a context of {} tokens, at most {MOST_CONTEXT} are possible", options.context);
            return Err(Error::new(ErrorKind::Input, text).help("use a smaller --context"));
        }
        if config.learned_positions > 0 && options.context > config.learned_positions {
            let text = format!(
                "a context of {} tokens, the model has learned {} positions",
                options.context, config.learned_positions
            );
            return Err(Error::new(ErrorKind::Input, text).help("use a smaller --context"));
        }
        config.check_decoder()?;
        let attention = transformer::attention(config);
        attention.check()?;
        let lanes = lanes_of_a_call(traits, options);
        let block = attention.layout.block;
        let build = Build {
            large: DType::F32.into(),
            max_binding: traits.max_binding.min(traits.max_buffer),
            slots: lanes,
            context: 0,
        };
        let parameters = weights::packed(config, &attention, DType::F32, build.max_binding);
        let trained = trained(config, &parameters);
        let at = |segment: usize| -> Result<Self> {
            // The state at every boundary, the end included, where the last segment leaves one too.
            let slots = lanes.saturating_mul(options.context.div_ceil(segment) + 1);
            let build = Build { slots, ..build.clone() };
            let capacity = Capacity { lanes, tokens: segment, slots, context: 0 };
            // The largest plan first: a segment that it does not fit costs no other plan.
            let (graph, train_handles) = backward(config, &build, &trained, options.recompute)?;
            let train = graph.lower("train", traits, capacity)?;
            let pass = |ending, name| -> Result<(Plan, Handles)> {
                let decoder = transformer::build(config, Mode::Forward, ending, &build)?;
                Ok((decoder.lower(name, traits, capacity)?, decoder.handles))
            };
            let (forward, forward_handles) = pass(Ending::Nll, "forward")?;
            let states = (segment < options.context).then(|| pass(Ending::State, "states")).transpose()?;
            let (states, states_handles) = states.unzip();
            let carries = &train_handles.gradients.carries;
            Ok(Self {
                parameters: parameters.clone(),
                trained: trained.clone(),
                forward,
                states,
                train,
                forward_handles,
                states_handles,
                carries: carries.iter().map(|id| graph.tensors[id.0].clone()).collect(),
                train_handles,
                build,
                capacity,
                batch: options.lanes,
                context: options.context,
            })
        };
        let whole = options.context.next_multiple_of(block);
        // What is near reaches over the ends of segments.
        if attention.has_cache() || config.linearized.is_some() {
            return at(options.context);
        }
        match options.segment {
            Some(tokens) => at(tokens.min(whole).next_multiple_of(block)),
            None => {
                let mut segment = (DEFAULT_ROWS / lanes).max(1).next_multiple_of(block).min(whole);
                loop {
                    match at(segment) {
                        Err(e) if e.kind() == ErrorKind::Limit && segment > block => {
                            segment = (segment / 2).next_multiple_of(block);
                        }
                        result => return result,
                    }
                }
            }
        }
    }

    /// Bytes by purpose.
    pub fn memory(&self) -> LearnerMemory {
        let scratch = |role: &Role| matches!(role, Role::Scratch | Role::Input | Role::Lanes | Role::Output);
        let weights: u64 = self.parameters.iter().map(|p| 4 * p.elements as u64).sum();
        let gradient = |role: &Role| *role == Role::State(Purpose::Gradient);
        let mut states = std::collections::HashMap::new();
        for buffer in self.forward.buffers.iter().chain(&self.train.buffers) {
            if matches!(buffer.role, Role::State(purpose) if purpose != Purpose::Gradient) {
                states.insert(buffer.name.as_str(), buffer.bytes as u64);
            }
        }
        LearnerMemory {
            weights: weights + self.train.bytes(|r| matches!(r, Role::Constant(_))) as u64,
            optimizer: (self.train.bytes(gradient) as u64).saturating_mul(3),
            state: sum(states.values().copied()),
            activations: sum([&self.train, &self.forward]
                .into_iter()
                .chain(&self.states)
                .map(|plan| plan.bytes(scratch) as u64)),
            largest_buffer: self.train.largest_buffer().max(self.forward.largest_buffer()) as u64,
            lanes: self.capacity.lanes,
            segment: self.capacity.tokens,
            dispatches: self.train.steps.len(),
        }
    }

    /// Refuses more than this machine has free, before any of it is taken.
    ///
    /// # Errors
    /// [`ErrorKind::OutOfMemory`].
    pub fn check_fits(&self, engine: &Engine) -> Result<()> {
        // Wherever the plans run: a batch's tokens, targets and losses, and the weights and moments, or
        // gradients, that are read to be saved.
        let rows = (self.batch as u64).saturating_mul(self.context as u64);
        let saved: u64 = self.trained.iter().map(|p| p.elements as u64).sum();
        let host = rows.saturating_add(saved).saturating_mul(12);
        let planned = if engine.takes_main_memory() { self.memory().total() } else { 0 };
        let (sequences, tokens) = (self.batch, self.capacity.tokens);
        let what = format!(
            "training on {sequences} sequences of {} tokens at a time, {tokens} tokens a segment,",
            self.context
        );
        let help = "use a smaller --segment, --recompute layers, or a smaller --context or --batch";
        check_memory(&what, planned.saturating_add(host), help)
    }
}

/// Sequences that a call takes at a time.
fn lanes_of_a_call(traits: &DeviceTraits, options: &LearnerOptions) -> usize {
    if traits.shaders {
        return options.lanes;
    }
    let tokens = options.segment.map_or(options.context, |segment| segment.min(options.context));
    let most = (CACHED_ROWS / tokens).clamp(1, options.lanes);
    // As many in the last call as in the others.
    options.lanes.div_ceil(options.lanes.div_ceil(most))
}

/// Which parameters of the graph are trained.
fn trained(config: &ModelConfig, parameters: &[Packed]) -> Vec<Packed> {
    let fixed: Vec<String> =
        config.parameters().into_iter().filter(|p| !p.kind.is_trained()).map(|p| p.name).collect();
    parameters.iter().filter(|p| !p.tensors().any(|name| fixed.iter().any(|f| f == name))).cloned().collect()
}

/// The graph of the loss and of its gradients.
fn backward(
    config: &ModelConfig,
    build: &Build,
    trained: &[Packed],
    recompute: Recompute,
) -> Result<(Graph, TrainHandles)> {
    let Decoder { mut graph, handles } = transformer::build(config, Mode::Train, Ending::Nll, build)?;
    let scores = handles.scores.expect("a graph with Ending::Nll has scores");
    let weights = graph.input("weights", TensorType::f32(shape![Unit::Rows]));
    let trained = |name: &str| trained.iter().any(|p| p.name == name);
    let gradients = graph.backward(&[(scores.nll, weights)], &trained, recompute)?;
    Ok((graph, TrainHandles { decoder: handles, scores, weights, gradients }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exec::{CpuExecutor, Executor};
    use crate::model::ModelSource;

    fn engine() -> Engine {
        Engine::on(Executor::Cpu(CpuExecutor::default()))
    }

    fn plan(lanes: usize, context: usize, segment: Option<usize>) -> Result<LearnerPlan> {
        plan_on(&engine().traits(), lanes, context, segment)
    }

    fn plan_on(
        traits: &DeviceTraits,
        lanes: usize,
        context: usize,
        segment: Option<usize>,
    ) -> Result<LearnerPlan> {
        let config = ModelSource::open("assets/novels-2m".as_ref()).expect("opens").config;
        LearnerPlan::new(
            &config,
            traits,
            &LearnerOptions { lanes, context, segment, recompute: Recompute::Nothing },
        )
    }

    #[test]
    fn calls_on_the_cpu_stay_in_its_caches() {
        let shape = |lanes, context, segment| {
            let memory = plan(lanes, context, segment).expect("plans").memory();
            [memory.lanes, memory.segment]
        };
        assert_eq!(shape(8, 1024, None), [2, 1024]);
        assert_eq!(shape(5, 1024, None), [2, 1024]);
        assert_eq!(shape(5, 512, None), [3, 512]);
        assert_eq!(shape(64, 32, None), [64, 128]);
        assert_eq!(shape(4, 16384, None), [1, 8192]);
        assert_eq!(shape(4, 16384, Some(512)), [4, 512]);
        // A card takes the batch at once.
        let card = DeviceTraits { shaders: true, ..engine().traits() };
        assert_eq!(plan_on(&card, 8, 1024, None).expect("plans").memory().lanes, 8);
    }

    #[test]
    fn what_only_leaves_states_ends_with_the_last_one() {
        let whole = plan(2, 1000, Some(4096)).expect("plans");
        assert!(whole.states.is_none());
        let cut = plan(2, 1000, Some(1)).expect("plans");
        let states = cut.states.as_ref().expect("several segments");
        let last = states.steps.last().expect("steps");
        assert_eq!(last.kernel.stem(), "scan_prefix");
        assert!(states.steps.iter().all(|step| !step.label.starts_with("logits")), "{}", states.listing());
        let of_state = |plan: &Plan| {
            plan.buffers
                .iter()
                .filter(|b| matches!(b.role, Role::State(_)))
                .map(|b| b.name.clone())
                .collect::<Vec<_>>()
        };
        assert_eq!(of_state(states), of_state(&cut.forward));
    }

    /// Sizes that no machine has are planned, told and refused: nothing wraps around, nothing is allocated.
    #[test]
    fn what_no_machine_holds_is_refused() {
        let engine = engine();
        assert!(plan(1, 64, None).expect("plans").check_fits(&engine).is_ok());
        for (lanes, context, segment) in [
            (1 << 20, MOST_CONTEXT, None),
            (1 << 20, MOST_CONTEXT, Some(usize::MAX)),
            (usize::MAX, 1 << 20, None),
        ] {
            let card = DeviceTraits { shaders: true, ..engine.traits() };
            let memory = plan_on(&card, lanes, context, segment).expect("plans").memory();
            assert!(memory.total() > 1 << 50, "{memory:?}");
            let plan = plan(lanes, context, segment).expect("plans");
            if cfg!(target_os = "linux") {
                let error = plan.check_fits(&engine).expect_err("too large");
                assert_eq!(error.kind(), ErrorKind::OutOfMemory);
                assert!(
                    error.message().contains(&format!("{context} tokens at a time"))
                        && error.advice().is_some(),
                    "{error}"
                );
            }
        }
        assert_eq!(plan(1, MOST_CONTEXT + 1, None).expect_err("too long").kind(), ErrorKind::Input);
    }
}
