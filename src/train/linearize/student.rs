//! A student on an executor, with its teacher's weights beside its own.

use std::collections::BTreeMap;
use std::ops::Range;

use super::settings::LinearizeSettings;
use crate::error::{Error, ErrorKind, Result};
use crate::exec::{Memory, Program, check_memory};
use crate::graph::{Graph, Plan, Role, sum};
use crate::kernels::DeviceTraits;
use crate::model::parameters::{linear_gate, linear_sketch};
use crate::model::transformer::{self, Build};
use crate::model::weights::{self, Packed};
use crate::model::{Adapter, Engine, ModelConfig, ModelSource};
use crate::tensor::{Capacity, DType, TensorId};
use crate::train::optimizer::{self, Moment};
use crate::train::random::Rng;

/// What plans of linearising are made for.
pub(super) struct Prepared {
    /// The teacher with a silent student.
    source: ModelSource,
    base: u64,
    settings: LinearizeSettings,
    traits: DeviceTraits,
    /// Options of the graphs.
    pub build: Build,
}

impl Prepared {
    /// Of a teacher and what is asked for.
    pub async fn new(engine: &Engine, teacher: ModelSource, settings: &LinearizeSettings) -> Result<Self> {
        settings.check()?;
        teacher.check_softmax()?;
        let base = teacher.fingerprint().await?;
        settings.check_student(&teacher.config)?;
        let silent = Adapter::silent(&settings.linearized, base, &teacher)?;
        // Made for this teacher just now: its weights need no second look.
        let source = teacher.adapt_unread(silent)?;
        let traits = engine.traits();
        let max_binding = traits.max_binding.min(traits.max_buffer);
        let build = Build { large: DType::F32.into(), max_binding, slots: 1, context: 0 };
        Ok(Self { source, base, settings: settings.clone(), traits, build })
    }

    /// The linearised model.
    pub fn config(&self) -> &ModelConfig {
        &self.source.config
    }

    /// The plan of a graph, for a text of the context.
    pub fn lower(&self, graph: &Graph, name: &str) -> Result<Plan> {
        graph.lower(name, &self.traits, capacity(self.settings.context))
    }

    /// Takes the memory of a plan and of the weights it reads.
    pub async fn load(self, engine: &Engine, plan: &Plan, what: &str) -> Result<Student> {
        let Self { source, base, settings, traits, build } = self;
        let attention = transformer::attention(&source.config);
        let read = |p: &Packed| plan.tensors.iter().any(|t| t.bytes > 0 && t.tensor.name == p.name);
        let mut parameters = weights::packed(&source.config, &attention, DType::F32, build.max_binding);
        parameters.retain(read);
        let learned: Vec<Packed> = parameters.iter().filter(|p| learns(&p.name)).cloned().collect();
        if engine.takes_main_memory() {
            let weights = parameters.iter().chain(learned.iter().cycle().take(3 * learned.len()));
            let weights = weights.map(|p| 4 * p.elements as u64);
            let scratch = |role: &Role| !matches!(role, Role::Parameter);
            let all = sum(weights.chain([plan.bytes(scratch) as u64]));
            check_memory(what, all, "use a smaller --context, or a smaller model")?;
        }
        let largest = parameters.iter().map(|p| 4 * p.elements as u64).max().unwrap_or(0);
        let executor = engine.executor(largest.max(plan.largest_buffer() as u64)).await?;
        let memory = Memory::new(&executor);
        for packed in &parameters {
            memory.store(&packed.name, DType::F32, &packed.read(&source.checkpoint).await?).await?;
        }
        let main_memory = engine.takes_main_memory();
        Ok(Student { config: source.config, base, settings, traits, build, memory, learned, main_memory })
    }
}

/// Whether a parameter of a linearised model is the student's own.
pub(super) fn learns(name: &str) -> bool {
    [".sketch", ".lora_a", ".lora_b"].iter().any(|end| name.ends_with(end))
}

fn capacity(tokens: usize) -> Capacity {
    Capacity { lanes: 1, tokens, slots: 1, context: 0 }
}

/// A student's weights, their moments, and those of its teacher.
#[derive(Debug)]
pub struct Student {
    /// The linearised model.
    pub(super) config: ModelConfig,
    /// What is asked of it.
    pub(super) settings: LinearizeSettings,
    /// Options of its graphs.
    pub(super) build: Build,
    /// All weights.
    pub(super) memory: Memory,
    /// Its own parameters.
    pub(super) learned: Vec<Packed>,
    base: u64,
    traits: DeviceTraits,
    /// Whether programs take the machine's own memory.
    main_memory: bool,
}

impl Student {
    /// Fingerprint of the teacher.
    pub fn base(&self) -> u64 {
        self.base
    }

    /// A program over its memory, for texts of so many tokens.
    pub(super) async fn program(&self, graph: &Graph, name: &str, tokens: usize) -> Result<Program> {
        let plan = graph.lower(name, &self.traits, capacity(tokens))?;
        if self.main_memory {
            let scratch = plan.bytes(|role| !matches!(role, Role::Parameter | Role::State(_))) as u64;
            check_memory(&format!("{name} of {tokens} tokens"), scratch, "use a smaller --context")?;
        }
        Program::new(plan, &self.memory).await
    }

    /// The program that clears what a backward pass of a graph carries.
    pub(super) async fn clear(&self, graph: &Graph, carries: &[TensorId]) -> Result<Program> {
        let carries: Vec<_> = carries.iter().map(|id| graph.tensors[id.0].clone()).collect();
        self.program(&optimizer::clear(&carries)?, "clear", 1).await
    }

    /// The students of another adapter of the same teacher, whatever is near in it. What it does not have begins as
    /// nothing that is added.
    ///
    /// # Errors
    /// [`ErrorKind::ModelFormat`] for an adapter of another teacher, or with weights of another size; those of the
    /// device.
    pub async fn begin(&mut self, adapter: &Adapter) -> Result<()> {
        adapter.check_base(self.base, "the teacher", "begin from an adapter of this teacher")?;
        let [before, own] = [adapter.linearized.rank, self.settings.linearized.rank];
        if before > 0 && own == 0 {
            let label = adapter.tensors.label();
            let text =
                format!("{label}: adds updates of rank {before} to projections, this student has none");
            return Err(Error::new(ErrorKind::Input, text)
                .help("begin from an adapter of --stage attention, or go on with --stage logits"));
        }
        if let Some(layer) = self.layers().find(|layer| adapter.linearized.keeps(*layer)) {
            let text = format!("{}: layer {layer} keeps its softmax there", adapter.tensors.label());
            return Err(Error::new(ErrorKind::Input, text).help("keep it here too: --keep-softmax"));
        }
        let names = adapter.tensors.names();
        let mut state = Vec::new();
        for (number, packed) in self.learned.iter().enumerate() {
            let name = packed.tensors().next().unwrap_or_default();
            let values = if names.iter().any(|known| *known == name) {
                adapter.tensors.f32(name)?
            } else if packed.name.ends_with(".lora_a") {
                let mut rng = Rng::new(self.settings.seed, "lora", number as u64);
                let spread = (self.settings.linearized.rank as f64 / packed.elements as f64).sqrt();
                (0..packed.elements).map(|_| (spread * rng.normal()) as f32).collect()
            } else {
                continue;
            };
            state.push((packed.name.clone(), values));
        }
        for layer in self.layers() {
            let name = linear_gate(layer);
            let values = adapter.tensors.f32(&name)?;
            state.push((name, values));
        }
        self.restore(&state).await
    }

    /// Gives every gate a logit.
    ///
    /// # Errors
    /// Those of the device.
    pub async fn open_gates(&mut self, logit: f32) -> Result<()> {
        let heads = self.config.num_key_value_heads;
        let state: Vec<_> = self.layers().map(|layer| (linear_gate(layer), vec![logit; heads])).collect();
        self.restore(&state).await
    }

    /// The layers that are made linear.
    pub(super) fn layers(&self) -> impl Iterator<Item = usize> + use<> {
        let kept = self.settings.linearized.kept();
        (0..self.config.num_hidden_layers).filter(move |layer| !kept.contains(layer))
    }

    /// Where the gates of a layer are: they are as they began, but for what is added to the projection.
    fn gates(&self, layer: usize) -> (String, Range<usize>) {
        let heads = self.config.num_key_value_heads;
        let end = transformer::attention(&self.config).layout.qkv_width();
        let first = end - heads.next_multiple_of(4);
        (format!("layers.{layer}.qkv_bias"), first..first + heads)
    }

    async fn gates_of(&self, layer: usize) -> Result<Vec<f32>> {
        let (name, gates) = self.gates(layer);
        let words = self.memory.read(&name, gates).await?;
        Ok(words.into_iter().map(f32::from_bits).collect())
    }

    /// What it has learned, by the names of an adapter's tensors.
    async fn values(&self) -> Result<BTreeMap<String, Vec<f32>>> {
        let values = self.read(&str::to_string).await?;
        Ok(weights::unpack(self.learned.iter().zip(values.iter().map(Vec::as_slice))))
    }

    /// The adapter of what was learned, with notes of the caller's.
    ///
    /// # Errors
    /// [`ErrorKind::Numeric`] for weights that are not finite; those of the device.
    pub async fn adapter(&self, notes: &[(&str, &str)]) -> Result<Vec<u8>> {
        let mut values = self.values().await?;
        let wrong = |x: &f32| !x.is_finite() || x.abs() > 65504.0;
        if let Some((name, _)) = values.iter().find(|(_, values)| values.iter().any(wrong)) {
            let text = format!("{name} holds no numbers that an adapter can have");
            return Err(Error::new(ErrorKind::Numeric, text).help("lower --lr"));
        }
        for layer in self.layers() {
            values.insert(linear_gate(layer), self.gates_of(layer).await?);
        }
        Adapter::to_bytes(&self.config, self.base, &values, notes)
    }

    async fn read(&self, of: &dyn Fn(&str) -> String) -> Result<Vec<Vec<f32>>> {
        let mut all = Vec::new();
        for packed in &self.learned {
            let words = self.memory.read(&of(&packed.name), 0..packed.elements).await?;
            all.push(words.into_iter().map(f32::from_bits).collect());
        }
        Ok(all)
    }

    /// The sketches of each layer, packed.
    ///
    /// # Errors
    /// Those of the device.
    pub async fn sketches(&self) -> Result<Vec<Vec<f32>>> {
        let values = self.values().await?;
        Ok((0..self.config.num_hidden_layers)
            .filter_map(|i| values.get(&linear_sketch(i)).cloned())
            .collect())
    }

    /// Everything that a run goes on from: weights and moments by name.
    ///
    /// # Errors
    /// Those of the device.
    pub async fn state(&self) -> Result<Vec<(String, Vec<f32>)>> {
        let names = |of: &dyn Fn(&str) -> String| -> Vec<String> {
            self.learned.iter().map(|packed| of(&packed.name)).collect()
        };
        let mut all: Vec<_> =
            names(&str::to_string).into_iter().zip(self.read(&str::to_string).await?).collect();
        for moment in Moment::ALL {
            let of = |name: &str| moment.name(name);
            all.extend(names(&of).into_iter().zip(self.read(&of).await?));
        }
        for layer in self.layers() {
            all.push((linear_gate(layer), self.gates_of(layer).await?));
        }
        Ok(all)
    }

    /// Puts back what [`Student::state`] returned, or the weights alone.
    ///
    /// # Errors
    /// [`ErrorKind::ModelFormat`] for numbers of another run; those of the device.
    pub async fn restore(&mut self, state: &[(String, Vec<f32>)]) -> Result<()> {
        for (name, values) in state {
            let gates =
                self.layers().find(|layer| linear_gate(*layer) == *name).map(|layer| self.gates(layer));
            let own = self.learned.iter().find(|packed| name.ends_with(&packed.name));
            let place = gates.or_else(|| own.map(|packed| (name.clone(), 0..packed.elements)));
            let Some((place, range)) = place.filter(|(_, range)| range.len() == values.len()) else {
                let text = format!("{name} has {} numbers, which is another student's", values.len());
                return Err(Error::new(ErrorKind::ModelFormat, text).help("begin anew with another --out"));
            };
            let words: Vec<u32> = values.iter().map(|x| x.to_bits()).collect();
            self.memory.write(&place, range.start, &words).await?;
        }
        Ok(())
    }
}
