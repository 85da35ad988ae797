//! [`Engine`] chooses where to run, [`Model`] holds what is loaded: parameters on the device and the plans
//! that run them.

use std::sync::{Arc, Mutex, PoisonError};

use super::checkpoint::Checkpoint;
use super::config::ModelConfig;
use super::conventions::Conventions;
use super::ends::EndFiles;
use super::fingerprint::fingerprint;
use super::tokenizer::Tokenizer;
use super::transformer::{self, Build, Ending, Handles};
use super::upload::upload;
use super::vocabulary::GgufVocabulary;
use super::weights::{self, Large, Packed, StoredWeights, WeightType};
use crate::attention::{Attention, Mode};
use crate::error::{Error, ErrorKind, Result};
use crate::exec::{
    CpuExecutor, Executor, GpuExecutor, Memory, Program, Workspace, available, check_memory, check_room,
    stored_bytes,
};
use crate::gpu::{Adapter, AdapterKind, AdapterReport, AdapterRequest, Choice, GpuContext, Needs, select};
use crate::graph::{Plan, Purpose, Role, sum};
use crate::kernels::{DeviceTraits, Precision, Tuning};
use crate::tensor::Capacity;

/// Where models run: an adapter, or the CPU.
#[derive(Debug)]
pub struct Engine {
    target: Target,
    tuning: Arc<Tuning>,
    precision: Precision,
}

#[derive(Clone, Debug)]
enum Target {
    Adapter(Box<Adapter>),
    Executor(Executor),
}

/// What a model is loaded from.
#[derive(Debug)]
pub struct ModelSource {
    /// `config.json`.
    pub config: ModelConfig,
    /// The weights.
    pub checkpoint: Checkpoint,
    /// The tokenizer.
    pub tokenizer: Tokenizer,
    /// How the model is talked to.
    pub conventions: Conventions,
    /// Things worth telling: unknown keys and tensors.
    pub warnings: Vec<String>,
}

/// How a model is loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LoadOptions {
    /// Type of the large matrices in memory; none: as in the checkpoint.
    pub weights: Option<WeightType>,
    /// Sequences a session can hold.
    pub slots: usize,
    /// Most tokens of one prefill call; none: chosen by what fits.
    pub segment: Option<usize>,
    /// Tokens of the key-value cache, for the kinds that have one.
    pub max_context: usize,
    /// Largest binding for weights, bytes: embedding tables above it are cut; none: what the device allows.
    /// Cutting changes no result; a small number makes tests take the path of large vocabularies.
    pub max_binding: Option<usize>,
}

impl Default for LoadOptions {
    fn default() -> Self {
        Self { weights: None, slots: 1, segment: None, max_context: 8192, max_binding: None }
    }
}

/// Bytes a model needs, known before anything is allocated.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct MemoryPlan {
    /// Parameters and constants.
    pub weights: u64,
    /// State of all slots.
    pub state: u64,
    /// Of it, the key-value cache (0 for constant-state models).
    pub cache: u64,
    /// Scratch, inputs and outputs of the prefill and decode plans.
    pub scratch: u64,
    /// Largest single buffer.
    pub largest_buffer: u64,
    /// Tokens of one prefill call.
    pub segment: usize,
    /// Dispatches of a prefill call and of a decoding step.
    pub dispatches: [usize; 2],
}

impl MemoryPlan {
    /// All of it.
    pub fn total(&self) -> u64 {
        sum([self.weights, self.state, self.scratch])
    }
}

/// A loaded model. Cheap to clone; sessions share it.
#[derive(Clone, Debug)]
pub struct Model(pub(super) Arc<Loaded>);

#[derive(Debug)]
pub(super) struct Loaded {
    pub config: ModelConfig,
    pub attention: Attention,
    pub tokenizer: Tokenizer,
    pub conventions: Conventions,
    /// Weights, and constants of the plans.
    pub parameters: Memory,
    pub blueprint: Blueprint,
    /// Ids that are never sampled, where there are any: those without a text.
    pub holes: Option<Vec<bool>>,
    /// What sessions needed so far.
    planned: Mutex<Vec<Planned>>,
    pub fingerprint: u64,
    pub warnings: Vec<String>,
}

/// A plan of the model, its tensors, and the workspace that all sessions share: it is the model's, and the
/// states are theirs.
#[derive(Clone, Debug)]
struct Planned {
    ending: Ending,
    plan: Arc<Plan>,
    handles: Arc<Handles>,
    workspace: Workspace,
}

/// Everything about a model on a device that is decided before the device is asked for memory.
#[derive(Clone, Debug)]
pub struct Blueprint {
    /// How it is built.
    pub build: Build,
    /// Parameters.
    pub parameters: Vec<Packed>,
    /// The plan of a prefill call, many tokens.
    pub prefill: Arc<Plan>,
    /// The plan of a decoding step.
    pub decode: Arc<Plan>,
    /// Tensors of the two plans.
    handles: [Arc<Handles>; 2],
    /// Capacity of the prefill plan.
    pub capacity: Capacity,
    traits: DeviceTraits,
}

impl ModelSource {
    /// Opens a model folder (SPEC §2), or a GGUF file (SPEC §9).
    ///
    /// # Errors
    /// [`ErrorKind::Io`], [`ErrorKind::Config`], [`ErrorKind::ModelFormat`] or [`ErrorKind::Tokenizer`],
    /// naming the file.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn open(dir: &std::path::Path) -> Result<Self> {
        use crate::files::{Whole, read_text};
        if dir.is_file() {
            return Self::from_gguf(super::gguf::Gguf::open(dir)?);
        }
        let about = "a model is a .gguf file, or a folder with config.json, model.safetensors and, unless it \
                     reads bytes, tokenizer.json";
        if !dir.is_dir() {
            std::fs::metadata(dir).map_err(|e| Error::io(dir.display(), &e))?;
            let what = format!("{}: is neither a folder nor a file", dir.display());
            return Err(Error::new(ErrorKind::Io, what).help(about));
        }
        let path = dir.join("config.json");
        let text =
            read_text(&path, Whole::Settings).map_err(|e| if path.exists() { e } else { e.help(about) })?;
        let (config, warnings) = ModelConfig::from_json(&text, &path.display().to_string())?;
        Self::assemble(config, warnings, Checkpoint::open(dir)?, &Tokenizer::open(dir)?, &EndFiles::open(dir))
    }

    /// The built-in model: a small one trained on public-domain novels, halves. With the feature
    /// `builtin-model`.
    ///
    /// # Errors
    /// None that a sound build could meet.
    #[cfg(feature = "builtin-model")]
    pub fn builtin() -> Result<Self> {
        const CONFIG: &str = include_str!("../../assets/novels-2m/config.json");
        const WEIGHTS: &[u8] = include_bytes!("../../assets/novels-2m/model.safetensors");
        const TOKENIZER: &[u8] = include_bytes!("../../assets/novels-2m/tokenizer.json");
        Self::from_bytes(CONFIG, WEIGHTS, Some(TOKENIZER))
    }

    /// A model from the contents of its files; no tokenizer: bytes.
    ///
    /// # Errors
    /// As [`ModelSource::open`], without I/O.
    pub fn from_bytes(
        config: &str,
        weights: impl Into<std::borrow::Cow<'static, [u8]>>,
        tokenizer: Option<&[u8]>,
    ) -> Result<Self> {
        Self::from_files(config, weights, tokenizer, &EndFiles::default())
    }

    /// The same with the files that may name the ends of a text.
    ///
    /// # Errors
    /// As [`ModelSource::open`], without I/O.
    pub fn from_files(
        config: &str,
        weights: impl Into<std::borrow::Cow<'static, [u8]>>,
        tokenizer: Option<&[u8]>,
        ends: &EndFiles,
    ) -> Result<Self> {
        let tokenizer = match tokenizer {
            Some(bytes) => Tokenizer::from_json_bytes(bytes, "tokenizer.json")?,
            None => Tokenizer::bytes(),
        };
        let checkpoint = Checkpoint::from_bytes(weights, "model.safetensors")?;
        Self::from_parts(config, checkpoint, &tokenizer, ends)
    }

    /// A model from an open checkpoint, with the text of its `config.json`.
    ///
    /// # Errors
    /// As [`ModelSource::open`], without I/O.
    pub fn from_parts(
        config: &str,
        checkpoint: Checkpoint,
        tokenizer: &Tokenizer,
        ends: &EndFiles,
    ) -> Result<Self> {
        let (config, warnings) = ModelConfig::from_json(config, "config.json")?;
        Self::assemble(config, warnings, checkpoint, tokenizer, ends)
    }

    /// A model from a GGUF file whose bytes are fetched: its header now, its weights when they are loaded.
    ///
    /// # Errors
    /// As [`ModelSource::from_gguf`]; those of the file.
    pub async fn fetch_gguf(file: super::bytes::Remote, label: &str) -> Result<Self> {
        Self::from_gguf(super::gguf::Gguf::fetch(file, label, &[super::families::gguf::FREQUENCIES]).await?)
    }

    /// A model from a GGUF file.
    ///
    /// # Errors
    /// [`ErrorKind::ModelFormat`], [`ErrorKind::Config`] or [`ErrorKind::Tokenizer`], naming the key or tensor.
    pub fn from_gguf(file: super::gguf::Gguf) -> Result<Self> {
        let map = super::families::gguf::config(&file)?;
        let (config, warnings) = ModelConfig::from_value(&map.into(), file.label())?;
        let meta = file.metadata();
        let vocabulary = GgufVocabulary::of(meta)?;
        let template = meta.text("tokenizer.chat_template")?;
        let conventions = vocabulary.conventions(template, file.label());
        let tokenizer = vocabulary.tokenizer(file.label())?;
        let checkpoint = Checkpoint::from_gguf(file)?;
        let source = Self::assemble(config, warnings, checkpoint, &tokenizer, &EndFiles::default())?;
        Ok(Self { conventions, ..source })
    }

    fn assemble(
        mut config: ModelConfig,
        mut warnings: Vec<String>,
        checkpoint: Checkpoint,
        tokenizer: &Tokenizer,
        ends: &EndFiles,
    ) -> Result<Self> {
        let (checkpoint, notes) = checkpoint.of(&mut config)?;
        warnings.extend(notes);
        let (tokenizer, odd) = ends.resolve(&config.eos_token_id, tokenizer, config.vocab_size);
        warnings.extend(odd);
        Ok(Self { config, checkpoint, tokenizer, conventions: ends.conventions(), warnings })
    }
}

impl Engine {
    /// Chooses where to run.
    ///
    /// # Errors
    /// [`ErrorKind::Adapter`] or [`ErrorKind::Input`] if the adapter asked for is not there.
    pub async fn create(request: &AdapterRequest) -> Result<Self> {
        Ok(match select(request).await? {
            Choice::Cpu => Self::on(Executor::Cpu(CpuExecutor::default())),
            Choice::Gpu(adapter) => {
                let tuning = Arc::new(known(&adapter.report));
                Self { tuning, target: Target::Adapter(adapter), precision: Precision::F32 }
            }
        })
    }

    /// Runs on a given executor.
    pub fn on(executor: Executor) -> Self {
        Self { target: Target::Executor(executor), tuning: Arc::default(), precision: Precision::F32 }
    }

    /// The same with these variants.
    #[must_use]
    pub fn tuned(&self, tuning: Tuning) -> Self {
        Self { target: self.target.clone(), tuning: Arc::new(tuning), precision: self.precision }
    }

    /// The same with products in this precision.
    ///
    /// # Errors
    /// [`ErrorKind::Adapter`] for mixed precision where the device has no cooperative matrices for it.
    pub fn precise(&self, precision: Precision) -> Result<Self> {
        let lacks = match self.adapter() {
            None => Some("it computes in f32 throughout"),
            Some(report) => report.lacks_mixed(),
        };
        if let (Precision::Mixed, Some(what)) = (precision, lacks) {
            let text = format!("{}: no mixed precision here: {what}", self.name());
            return Err(Error::new(ErrorKind::Adapter, text).help(
                "compute in f32, or take another adapter: `polysketch devices` tells which have \
                 cooperative matrices",
            ));
        }
        Ok(Self { target: self.target.clone(), tuning: self.tuning.clone(), precision })
    }

    /// In what numbers products are computed here.
    pub fn precision(&self) -> Precision {
        self.precision
    }

    /// What was measured of the device, for [`Engine::tuned`].
    pub fn tuning(&self) -> &Tuning {
        &self.tuning
    }

    /// The adapter, unless models run on the CPU.
    pub fn adapter(&self) -> Option<&AdapterReport> {
        match &self.target {
            Target::Adapter(adapter) => Some(&adapter.report),
            Target::Executor(Executor::Gpu(gpu)) => Some(gpu.context().report()),
            Target::Executor(_) => None,
        }
    }

    /// Name for people: the adapter, or the CPU.
    pub fn name(&self) -> String {
        match &self.target {
            Target::Adapter(adapter) => adapter.report.label(),
            Target::Executor(executor) => executor.name(),
        }
    }

    /// What kernels may know of the device.
    pub fn traits(&self) -> DeviceTraits {
        let traits = match &self.target {
            Target::Adapter(_) if crate::gpu::switches::weak() => {
                let real = self.adapter().map_or_else(DeviceTraits::floor, |a| a.traits());
                DeviceTraits {
                    software: real.software,
                    loop_iterations: real.loop_iterations,
                    ..DeviceTraits::floor()
                }
            }
            Target::Adapter(adapter) => adapter.report.traits(),
            Target::Executor(executor) => executor.traits(),
        };
        DeviceTraits { tuning: self.tuning.clone(), precision: self.precision, ..traits }
    }

    /// Whether models here take main memory. How much a card has free is not known: there the driver refuses.
    pub(crate) fn takes_main_memory(&self) -> bool {
        // A page's memory is its own; what a GPU takes is the browser's.
        let shared = |kind| matches!(kind, AdapterKind::Software | AdapterKind::Integrated);
        self.adapter().is_none_or(|a| shared(a.kind) && !cfg!(target_arch = "wasm32"))
    }

    /// Bytes that plans may take here without harm to other programs; none where nobody tells (some systems,
    /// and cards).
    pub fn available_memory(&self) -> Option<u64> {
        available().filter(|_| self.takes_main_memory())
    }

    /// Refuses a plan that needs more than this machine has free, before anything is allocated.
    ///
    /// # Errors
    /// [`ErrorKind::OutOfMemory`].
    pub fn check_fits(&self, plan: &MemoryPlan) -> Result<()> {
        if !self.takes_main_memory() {
            return Ok(());
        }
        check_memory("the model", plan.total(), SMALLER)
    }

    /// What runs plans here, with room for buffers of so many bytes: for graphs of the caller's own.
    ///
    /// # Errors
    /// [`ErrorKind::Device`], [`ErrorKind::Limit`] where the device cannot be opened with such buffers.
    pub async fn executor(&self, largest: u64) -> Result<Executor> {
        Ok(match &self.target {
            Target::Executor(executor) => executor.clone(),
            Target::Adapter(adapter) => {
                let (max_binding, max_buffer, precision) = (largest, largest, self.precision);
                let needs = Needs { max_binding, max_buffer, precision, ..Needs::default() };
                let context = GpuContext::create(adapter, needs).await?;
                Executor::Gpu(GpuExecutor::new(context).await)
            }
        })
    }

    /// The plans and the memory of a model here, before anything is allocated.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] for attention that looks ahead; [`ErrorKind::Input`] for a session of no texts;
    /// [`ErrorKind::Limit`] for what no binding of the device holds.
    pub fn blueprint(
        &self,
        config: &ModelConfig,
        stored: impl Into<StoredWeights>,
        options: &LoadOptions,
    ) -> Result<Blueprint> {
        Blueprint::new(config, &stored.into(), self.traits(), options)
    }

    /// Loads a model: plans, checks limits and memory, asks the device for what is needed, uploads the
    /// parameters. `progress` is told bytes done and bytes in all.
    ///
    /// # Errors
    /// [`ErrorKind::Limit`] or [`ErrorKind::OutOfMemory`] if the model and one session are too large, before
    /// anything is allocated; [`ErrorKind::ModelFormat`] for weights that are not finite; those of the
    /// device.
    pub async fn load(
        &self,
        source: ModelSource,
        options: &LoadOptions,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<Model> {
        let blueprint = self.blueprint(&source.config, source.stored(), options)?;
        let memory = blueprint.memory();
        self.check_fits(&memory)?;
        if self.takes_main_memory() {
            check_room("the model", memory.total(), SMALLER)?;
        }
        let executor = self.executor(memory.largest_buffer).await?;
        let parameters = Memory::new(&executor);
        upload(&parameters, &blueprint.parameters, &source.checkpoint, progress).await?;
        for plan in [&blueprint.prefill, &blueprint.decode] {
            parameters.store_constants(plan).await?;
        }
        Ok(Model(Arc::new(Loaded {
            attention: transformer::attention(&source.config),
            fingerprint: fingerprint(&source.config, &source.checkpoint).await?,
            holes: holes(&source.tokenizer, source.config.vocab_size),
            config: source.config,
            tokenizer: source.tokenizer,
            conventions: source.conventions,
            parameters,
            blueprint,
            planned: Mutex::default(),
            warnings: source.warnings,
        })))
    }
}

/// Ids of a vocabulary that have no text. None has none; nor where the tokenizer is another model's, because
/// ids are all that such a model writes.
fn holes(tokenizer: &Tokenizer, vocabulary: usize) -> Option<Vec<bool>> {
    tokenizer.check_model(vocabulary).ok()?;
    let hole = |id: u32| !tokenizer.has_text(id) && !tokenizer.ends().contains(&id);
    let holes: Vec<bool> = (0..vocabulary as u32).map(hole).collect();
    holes.contains(&true).then_some(holes)
}

/// What an earlier run found best on an adapter (`bench tune`).
#[cfg(not(target_arch = "wasm32"))]
fn known(adapter: &AdapterReport) -> Tuning {
    let folder = crate::files::cache_dir().filter(|_| !crate::gpu::switches::weak());
    folder.and_then(|folder| crate::gpu::tuned::load(&folder, adapter)).unwrap_or_default()
}

#[cfg(target_arch = "wasm32")]
fn known(_: &AdapterReport) -> Tuning {
    Tuning::default()
}

impl ModelSource {
    /// How the large matrices are stored.
    pub fn stored(&self) -> StoredWeights {
        StoredWeights::of(&self.config, &self.checkpoint)
    }
}

impl Blueprint {
    /// [`Engine::blueprint`], for a device that need not be there.
    pub(crate) fn new(
        config: &ModelConfig,
        stored: &StoredWeights,
        traits: DeviceTraits,
        options: &LoadOptions,
    ) -> Result<Self> {
        if options.slots == 0 {
            return Err(Error::new(ErrorKind::Input, "a session of 0 sequences").help("use at least 1"));
        }
        config.check_decoder()?;
        let attention = transformer::attention(config);
        attention.check()?;
        let context = if transformer::has_cache(config) { options.max_context } else { 0 };
        let large = Large::choose(config, &attention, stored, options.weights);
        let max_binding =
            traits.max_binding.min(traits.max_buffer).min(options.max_binding.unwrap_or(usize::MAX));
        let build = Build { large, max_binding, slots: options.slots, context };
        let parameters = weights::packed(config, &attention, &build.large, build.max_binding);
        let capacity =
            |tokens: usize| Capacity { lanes: options.slots, tokens, slots: options.slots, context };
        let sampler = transformer::build(config, Mode::Decode, Ending::Sample, &build)?;
        let decode = sampler.lower("decode", &traits, capacity(1))?;
        let decoder = transformer::build(config, Mode::Prefill, Ending::Last, &build)?;
        let lower = |tokens: usize| decoder.lower("prefill", &traits, capacity(tokens));
        let large = traits.processors.is_some_and(|n| n >= LARGE_DEVICE);
        let prefill = match (options.segment, traits.tuning.segment) {
            (Some(tokens), _) => lower(tokens)?,
            (None, Some(most)) => largest_that_fits(most, lower)?,
            (None, None) if large => largest_that_fits(LARGE_SEGMENT, |tokens| with_little(lower(tokens)?))?,
            (None, None) => largest_that_fits(DEFAULT_SEGMENT, lower)?,
        };
        Ok(Self {
            build,
            parameters,
            capacity: prefill.capacity,
            prefill: Arc::new(prefill),
            decode: Arc::new(decode),
            handles: [decoder.handles, sampler.handles].map(Arc::new),
            traits,
        })
    }

    /// The plan for an ending, and its tensors. One that is made here has the same capacity of lanes, with as
    /// many tokens as fit.
    fn plan(&self, config: &ModelConfig, ending: Ending) -> Result<(Arc<Plan>, Arc<Handles>)> {
        let [prefill, decode] = &self.handles;
        match ending {
            Ending::Last => return Ok((self.prefill.clone(), prefill.clone())),
            Ending::Sample => return Ok((self.decode.clone(), decode.clone())),
            Ending::All | Ending::Nll | Ending::State => {}
        }
        let decoder = transformer::build(config, Mode::Prefill, ending, &self.build)?;
        let name = format!("{ending:?}").to_lowercase();
        let plan = largest_that_fits(self.capacity.tokens, |tokens| {
            decoder.lower(&name, &self.traits, Capacity { tokens, ..self.capacity })
        })?;
        Ok((Arc::new(plan), Arc::new(decoder.handles)))
    }

    /// Bytes by purpose.
    pub fn memory(&self) -> MemoryPlan {
        let scratch = |role: &Role| matches!(role, Role::Scratch | Role::Input | Role::Lanes | Role::Output);
        let mut states = std::collections::HashMap::new();
        for buffer in self.prefill.buffers.iter().chain(&self.decode.buffers) {
            if let Role::State(purpose) = buffer.role {
                states.insert(buffer.name.as_str(), (purpose, buffer.bytes as u64));
            }
        }
        let cached = states.values().filter(|(purpose, _)| *purpose == Purpose::Cache);
        let constants = self.prefill.bytes(|r| matches!(r, Role::Constant(_))) as u64;
        let weights = |p: &Packed| stored_bytes(&self.traits, p.dtype, p.elements);
        MemoryPlan {
            weights: sum(self.parameters.iter().map(weights).chain([constants])),
            state: sum(states.values().map(|(_, bytes)| *bytes)),
            cache: sum(cached.map(|(_, bytes)| *bytes)),
            scratch: sum([&self.prefill, &self.decode].map(|plan| plan.bytes(scratch) as u64)),
            largest_buffer: self.prefill.largest_buffer().max(self.decode.largest_buffer()) as u64,
            segment: self.capacity.tokens,
            dispatches: [self.prefill.steps.len(), self.decode.steps.len()],
        }
    }
}

/// What helps where memory is short.
const SMALLER: &str = "use a smaller model, or a smaller --segment, --max-context or --slots";

/// Tokens of a prefill call unless memory says less: enough blocks to fill a GPU, small enough that a CPU
/// keeps activations of a small model in cache.
const DEFAULT_SEGMENT: usize = 1024;

/// Tokens of a call that keeps a large device busy: at 1 024, kernels of narrow matrices have fewer workgroups than it
/// has processors.
const LARGE_SEGMENT: usize = 4096;

/// Processors that make a device a large one; those of laptops and telephones have fewer.
const LARGE_DEVICE: usize = 32;

/// Scratch memory that a larger call may take: as much as any such device has.
const LARGE_SCRATCH: usize = 512 << 20;

/// Refuses a call that is larger than usual for more scratch memory than that.
fn with_little(plan: Plan) -> Result<Plan> {
    let (tokens, scratch) =
        (plan.capacity.tokens, plan.bytes(|role| matches!(role, Role::Scratch | Role::Output)));
    if tokens <= DEFAULT_SEGMENT || scratch <= LARGE_SCRATCH {
        return Ok(plan);
    }
    Err(Error::new(ErrorKind::Limit, format!("a call of {tokens} tokens takes {scratch} bytes of scratch")))
}

/// The plan for `most` tokens, or for the largest half, quarter, … that the device's limits allow.
fn largest_that_fits(most: usize, lower: impl Fn(usize) -> Result<Plan>) -> Result<Plan> {
    let mut tokens = most;
    loop {
        match lower(tokens) {
            Err(e) if e.kind() == ErrorKind::Limit && tokens > 16 => tokens /= 2,
            result => return result,
        }
    }
}

impl Model {
    /// The configuration.
    pub fn config(&self) -> &ModelConfig {
        &self.0.config
    }

    /// The tokenizer.
    ///
    /// # Errors
    /// [`ErrorKind::Tokenizer`] if it has more tokens than the model. Token ids in and out work all the same.
    pub fn tokenizer(&self) -> Result<&Tokenizer> {
        self.0.tokenizer.check_model(self.0.config.vocab_size)?;
        Ok(&self.0.tokenizer)
    }

    /// How it is talked to: its chat template, and how its makers sample from it.
    pub fn conventions(&self) -> &Conventions {
        &self.0.conventions
    }

    /// Where it runs.
    pub fn executor(&self) -> &Executor {
        self.0.parameters.executor()
    }

    /// The attention layer.
    pub fn attention(&self) -> &Attention {
        &self.0.attention
    }

    /// A program for an ending on a session's memory, and its tensors.
    ///
    /// # Errors
    /// As [`Program::new`]; [`ErrorKind::Limit`] where no plan fits the device.
    pub(super) async fn program(&self, ending: Ending, memory: &Memory) -> Result<(Program, Arc<Handles>)> {
        let Planned { plan, handles, workspace, .. } = self.planned(ending)?;
        Ok((Program::sharing(plan, memory, &workspace).await?, handles))
    }

    /// The plan for an ending, made when it is first asked for.
    fn planned(&self, ending: Ending) -> Result<Planned> {
        let Loaded { blueprint, config, planned, .. } = &*self.0;
        let mut planned = planned.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = planned.iter().find(|known| known.ending == ending) {
            return Ok(known.clone());
        }
        let (plan, handles) = blueprint.plan(config, ending)?;
        let made = Planned { ending, plan, handles, workspace: Workspace::default() };
        planned.push(made.clone());
        Ok(made)
    }

    /// Compiles the shaders that reading and writing need, so that the first text does not wait for them.
    /// `progress` is told the dispatches that can run, and how many there are; on the CPU there is nothing to
    /// do.
    ///
    /// # Errors
    /// [`ErrorKind::Device`] for a shader that the driver refuses; those of the device.
    pub async fn warm_up(&self, progress: &mut dyn FnMut(usize, usize)) -> Result<()> {
        let Blueprint { prefill, decode, .. } = &self.0.blueprint;
        self.executor().warm_up(&[prefill, decode], progress).await
    }

    /// Plans and memory.
    pub fn blueprint(&self) -> &Blueprint {
        &self.0.blueprint
    }

    /// Identifies configuration and weights, on every platform the same.
    pub fn fingerprint(&self) -> u64 {
        self.0.fingerprint
    }

    /// Unknown keys and tensors met when loading.
    pub fn warnings(&self) -> &[String] {
        &self.0.warnings
    }
}
