//! Calls of models in the middle of a few texts: real parameters, and the state that real prefixes leave.

use std::sync::Arc;

use super::case::{Case, Data, bits, start};
use super::models::{RandomModel, few_models, linear_models, plain_models, polysketch_models};
use super::random::Rng;
use crate::attention::Mode;
use crate::error::Result;
use crate::exec::{CpuExecutor, Executor, Memory, Program, Submission};
use crate::graph::{Recompute, Role};
use crate::kernels::DeviceTraits;
use crate::kernels::rows::embed_grad;
use crate::kernels::sample::sample::SETTINGS;
use crate::model::config::ModelConfig;
use crate::model::transformer::{self, Build, Decoder, Ending};
use crate::model::{ModelSource, weights};
use crate::shape;
use crate::tensor::{Call, Capacity, DType, Lane, TensorType, Unit, ring_after};

/// Tokens that a cache has room for.
const CONTEXT: usize = 256;

/// Where a model comes from.
pub(super) type Source = Arc<dyn Fn() -> Result<ModelSource> + Send + Sync>;

/// What is asked of a model.
#[derive(Clone, Debug)]
pub struct Scene {
    /// Which plan.
    pub mode: Mode,
    /// How it ends.
    pub ending: Ending,
    /// Type of the large matrices.
    pub large: DType,
    /// Tokens that each slot has read before.
    pub prefixes: Vec<usize>,
    /// Tokens of the call, in every slot.
    pub tokens: usize,
    /// Tokens the plan is made for.
    pub capacity: usize,
}

impl Scene {
    /// A call of `tokens` tokens in every slot, after prefixes of these lengths (a whole block stays in the
    /// ring, unfolded).
    pub fn new(mode: Mode, ending: Ending, large: DType, prefixes: &[usize], tokens: usize) -> Self {
        Self { mode, ending, large, prefixes: prefixes.to_vec(), tokens, capacity: tokens + 3 }
    }

    fn build(&self, has_cache: bool) -> Build {
        let context = if has_cache { CONTEXT } else { 0 };
        Build { large: self.large.into(), max_binding: usize::MAX, slots: self.prefixes.len(), context }
    }

    fn call(&self, block: usize) -> Call {
        let ring = |n| if n == 0 { 0 } else { ring_after(0, n, block) };
        let lane = |(slot, &n): (usize, &usize)| Lane { slot, position: n, ring: ring(n) };
        let lanes = self.prefixes.iter().enumerate().map(lane).collect();
        Call { lanes, tokens: self.tokens, lane_base: 0 }
    }

    /// The case of a model.
    ///
    /// # Errors
    /// Whatever can go wrong with a model.
    pub fn case(&self, name: &str, config: &ModelConfig, source: Source) -> Result<Case> {
        let attention = transformer::attention(config);
        let build = self.build(attention.has_cache());
        let call = self.call(attention.layout.block);
        let graph = transformer::build(config, self.mode, self.ending, &build)?.graph;
        let slots = self.prefixes.len();
        let capacity = Capacity { lanes: slots, tokens: self.capacity, slots, context: build.context };
        let scene = self.clone();
        Ok(Case::new(name, graph, capacity, call, move || scene.data(&source()?)))
    }

    /// Parameters, the state after the prefixes, and random inputs.
    fn data(&self, source: &ModelSource) -> Result<Data> {
        let config = &source.config;
        let attention = transformer::attention(config);
        let build = self.build(attention.has_cache());
        let mut data = Data::new();
        for packed in weights::packed(config, &attention, self.large, usize::MAX) {
            data.insert(packed.name.clone(), packed.words(&source.checkpoint)?.into());
        }
        let mut rng = Rng(self.prefixes.len() as u64);
        let texts: Vec<Vec<u32>> = self.prefixes.iter().map(|n| rng.tokens(*n, config.vocab_size)).collect();
        pollster::block_on(read(config, &build, &texts, &mut data))?;
        let rows = self.prefixes.len() * self.tokens;
        let ids = rng.tokens(rows, config.vocab_size);
        data.insert("targets".into(), ids.iter().rev().copied().collect::<Vec<_>>().into());
        data.insert("ids".into(), ids.into());
        let slots = self.prefixes.len();
        data.insert("sampler.settings".into(), sampler(slots).into());
        data.insert("sampler.seen".into(), rng.tokens(slots * config.vocab_size, 4).into());
        Ok(data)
    }
}

/// Settings of the sampler: every other slot takes the likeliest token, the others draw.
fn sampler(slots: usize) -> Vec<u32> {
    let [zero, one] = [0.0f32, 1.0].map(f32::to_bits);
    let draws = [0.8f32.to_bits(), 20, 0.95f32.to_bits(), 0.01f32.to_bits(), 1.2f32.to_bits(), 7, 1, 1];
    let greedy = [zero, 0, one, zero, one, 0, 0, 0];
    (0..slots)
        .flat_map(|slot| -> [u32; SETTINGS] {
            if slot % 2 == 0 { greedy } else { draws }
        })
        .collect()
}

/// Reads a text in each slot, on the CPU; leaves the state in `data`.
async fn read(config: &ModelConfig, build: &Build, texts: &[Vec<u32>], data: &mut Data) -> Result<()> {
    let longest = texts.iter().map(Vec::len).max().unwrap_or(0).max(1);
    let capacity = Capacity { lanes: 1, tokens: longest, slots: texts.len(), context: build.context };
    let decoder = transformer::build(config, Mode::Prefill, Ending::Last, build)?;
    let plan = decoder.lower("before", &DeviceTraits::cpu(), capacity)?;
    let memory = Memory::new(&Executor::Cpu(CpuExecutor::default()));
    for t in plan.tensors.iter().filter(|t| t.bytes > 0 && t.tensor.role == Role::Parameter) {
        memory.store(&t.tensor.name, t.tensor.ty.dtype, &data[&t.tensor.name]).await?;
    }
    let mut program = Program::new(plan, &memory).await?;
    for (slot, ids) in texts.iter().enumerate().filter(|(_, ids)| !ids.is_empty()) {
        let lanes = vec![Lane { slot, position: 0, ring: 0 }];
        let calls = [Call { lanes, tokens: ids.len(), lane_base: 0 }];
        let inputs = [(decoder.handles.ids, &ids[..])];
        program.run(Submission { calls: &calls, inputs: &inputs, reads: &[] }).await?;
    }
    let plan = program.plan();
    for t in plan.tensors.iter().filter(|t| t.bytes > 0 && matches!(t.tensor.role, Role::State(_))) {
        let elements = t.tensor.ty.shape.elements(&plan.capacity);
        data.insert(t.tensor.name.clone(), memory.read(&t.tensor.name, 0..elements).await?.into());
    }
    Ok(())
}

/// The case of a training step: `tokens` of a text from its start, forward and backward.
///
/// # Errors
/// Whatever can go wrong with a model.
pub fn training(name: &str, config: &ModelConfig, source: Source, tokens: usize) -> Result<Case> {
    let scene = Scene::new(Mode::Train, Ending::Nll, DType::F32, &[0], tokens);
    let build = Build { context: 0, ..scene.build(false) };
    let Decoder { mut graph, handles } = transformer::build(config, scene.mode, scene.ending, &build)?;
    let nll = handles.scores.expect("a graph with Ending::Nll has scores").nll;
    let weights = graph.input("weights", TensorType::f32(shape![Unit::Rows]));
    graph.backward(&[(nll, weights)], &|_| true, Recompute::Nothing)?;
    let (call, capacity) = (start(1, tokens), Capacity { lanes: 1, tokens, slots: 1, context: 0 });
    Ok(Case::new(name, graph, capacity, call, move || {
        let mut data = scene.data(&source()?)?;
        let order = embed_grad::order(&data["ids"]);
        data.insert("order".into(), order.into());
        data.insert("weights".into(), bits(vec![1.0 / tokens as f32; tokens]).into());
        Ok(data)
    }))
}

/// A model's plans at the sizes of its work: a whole call of reading, the token after it, a step of training.
///
/// # Errors
/// Whatever can go wrong with a model.
pub(super) fn working(name: &str, source: Source) -> Result<Vec<Case>> {
    const TOKENS: usize = 1024;
    let config = source()?.config;
    let prefill =
        Scene { capacity: TOKENS, ..Scene::new(Mode::Prefill, Ending::Last, DType::F32, &[0], TOKENS) };
    let decode = Scene::new(Mode::Decode, Ending::Sample, DType::F32, &[TOKENS], 1);
    Ok(vec![
        prefill.case(&format!("{name} prefill"), &config, source.clone())?,
        decode.case(&format!("{name} decode"), &config, source.clone())?,
        training(&format!("{name} train"), &config, source, TOKENS)?,
    ])
}

/// Reading and writing: a model's two plans, the first with one of its three endings.
fn both(model: &RandomModel, at: usize) -> Result<[Case; 2]> {
    let (config, block) = (model.parsed(), model.block());
    let large = if at.is_multiple_of(2) { DType::F32 } else { DType::F16 };
    let prefixes = [block, 0, block + 3, 2 * block - 1];
    // Decoding needs a token before it.
    let begun = prefixes.map(|n| n.max(1));
    let ending = [Ending::All, Ending::Nll, Ending::Last][at % 3];
    let of = model.clone();
    let source: Source = Arc::new(move || Ok(of.source()));
    let prefill = Scene::new(Mode::Prefill, ending, large, &prefixes, block.min(37) + 5);
    let decode = Scene::new(Mode::Decode, Ending::Sample, large, &begun, 1);
    Ok([
        prefill.case(&format!("{} prefill", model.name), &config, source.clone())?,
        decode.case(&format!("{} decode", model.name), &config, source)?,
    ])
}

/// Reading one text of 77 tokens in plans that could take many more, and so have the largest tiles.
fn large_tiles(model: &RandomModel, at: usize) -> Result<Case> {
    let of = model.clone();
    let large = if at.is_multiple_of(4) { DType::F32 } else { DType::F16 };
    let scene = Scene { capacity: 4 << 10, ..Scene::new(Mode::Prefill, Ending::All, large, &[3], 77) };
    scene.case(&format!("{} large tiles", model.name), &model.parsed(), Arc::new(move || Ok(of.source())))
}

/// All of them: every kernel of a model, most flags by the few first, the rest by the wide ones.
pub(super) fn cases() -> Result<Vec<Case>> {
    let mut list = Vec::new();
    for (at, model) in few_models().iter().enumerate() {
        list.extend(both(model, at)?);
        if at.is_multiple_of(2) {
            list.push(large_tiles(model, at)?);
        }
    }
    for (at, model) in plain_models().iter().chain(&polysketch_models()).chain(&linear_models()).enumerate() {
        // Some of every sort also where shaders compile slowly.
        let core = at % 25 == 4;
        list.extend(both(model, at)?.map(|case| if core { case } else { case.wide() }));
    }
    Ok(list)
}
