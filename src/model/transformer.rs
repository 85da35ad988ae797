//! The decoder of SPEC §2 as a graph. Reads like the model: embed, layers, norm, logits.

use super::config::{
    ActivationKind, AttentionKind, ModelConfig, NormKind, QkNorm, RopeLayout, RopeWhere, SketchInput,
    SketchKind,
};
use super::weights::{Large, shards};
use crate::attention::{
    Attention, DEFAULT_BLOCK, HeadLayout, Inputs, Kind, LayerHandles, Mask, Mode, Norm, RopeScaling,
    Rotation, Sketch,
};
use crate::error::{Error, ErrorKind, Result};
use crate::graph::{Graph, Plan, Purpose, Recompute, TensorId};
use crate::kernels::DeviceTraits;
use crate::kernels::cpu::Activation;
use crate::kernels::heads::layout::{DIGITS, rotation_table};
use crate::kernels::linear::linear::{Addend, Linear};
use crate::kernels::rows::activate::Activate;
use crate::kernels::rows::add::Add;
use crate::kernels::rows::divergence::Divergence;
use crate::kernels::rows::embed::{Embed, Positions};
use crate::kernels::rows::nll::Nll;
use crate::kernels::rows::norm::Normalize;
use crate::kernels::rows::scatter_rows::ScatterRows;
use crate::kernels::rows::take_last::TakeLast;
use crate::kernels::rows::transfer_error::TransferError;
use crate::kernels::rows::transfer_error_grad::TransferErrorGrad;
use crate::kernels::sample::sample::{SETTINGS, STEPS, Sample};
use crate::shape;
use crate::tensor::{Capacity, DType, TensorType, Unit};

/// What a plan does with the last hidden states.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Ending {
    /// Logits of each lane's last token, into the state `logits [slots, V]`.
    Last,
    /// Logits of all tokens, output `logits_all [rows, V]`; and the hidden states after each layer,
    /// `hidden.{i}`.
    All,
    /// Negative log-likelihood of the input `targets`, output `nll [rows]`.
    Nll,
    /// Nothing: the call only leaves its states; the rest of the last layer is not computed.
    State,
    /// Decoding: samples each lane's next token from the state `logits` first, then runs it.
    Sample,
}

/// What a graph is built for, beside the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Build {
    /// Types of the large matrices.
    pub large: Large,
    /// Largest binding: larger matrices are cut.
    pub max_binding: usize,
    /// Sequences of a session.
    pub slots: usize,
    /// Tokens of a key-value cache.
    pub context: usize,
}

/// The attention layer that a configuration describes.
pub fn attention(config: &ModelConfig) -> Attention {
    let a = &config.attention;
    let (degree, scale) = (a.degree, a.qk_scale);
    let linearized = config.linearized.as_ref();
    let kind = match (a.kind, &a.sketch) {
        (AttentionKind::Softmax | AttentionKind::Linearized, _) if let Some(l) = linearized => {
            Kind::Linearized { hidden: l.hidden, turned: l.turned }
        }
        (AttentionKind::Polynomial, _) => Kind::Polynomial { degree, scale },
        (AttentionKind::Taylor, _) => Kind::Taylor { degree, scale },
        (AttentionKind::Polysketch, Some(s)) => {
            let sketch = match s.kind {
                SketchKind::Learned => Sketch::Learned { levels: s.levels, expansion: s.expansion },
                SketchKind::Gaussian | SketchKind::Hadamard => {
                    Sketch::Random { leaves: degree / 4, gain: s.gain }
                }
            };
            Kind::Polysketch { degree, scale, local_exact: a.local_exact, sketch }
        }
        _ => Kind::Softmax,
    };
    let sketch = match (&kind, linearized) {
        (Kind::Polysketch { .. }, _) => a.sketch.as_ref().map_or(0, |s| s.size),
        (Kind::Linearized { .. }, Some(l)) => l.sketch,
        _ => 0,
    };
    let layout = HeadLayout {
        heads: config.num_key_value_heads,
        group: config.num_attention_heads / config.num_key_value_heads.max(1),
        head: config.head_dim.next_multiple_of(4),
        size: config.head_dim,
        exact: sketch == 0 || a.local_exact || linearized.is_some(),
        normed: a.has_normed_qk(),
        norm: Norm { centred: a.qk_norm != QkNorm::Rms, eps: config.norm.eps },
        shared_norm: a.shared_qk_norm,
        sketch,
        sketch_normed: a.sketch_input == SketchInput::Normed,
        gated: match config.adapted() {
            Some(_) => true,
            None => a.gate == super::config::Gate::Scalar && a.kind != AttentionKind::Softmax,
        },
        rotation: match config.rope.where_ {
            RopeWhere::None => Rotation::None,
            RopeWhere::Raw => Rotation::Raw,
            RopeWhere::Normed => Rotation::Normed,
        },
        // Padding is turned with the rest where nothing is.
        rotated: if config.rope.where_ == RopeWhere::None {
            config.head_dim.next_multiple_of(4)
        } else {
            config.rope.rotary_dim
        },
        interleaved: config.rope.layout == RopeLayout::Interleaved,
        block: match linearized {
            Some(l) => l.block_size,
            None if sketch > 0 => a.block_size,
            None => DEFAULT_BLOCK,
        },
        // Of the first layer that has any; the others may see more or less.
        near: linearized.and_then(|l| l.near.iter().copied().find(|near| *near > 0)).unwrap_or(1),
        sinks: linearized.map_or(0, |l| l.sinks),
        sink_reach: linearized.map_or(0, |l| l.sink_reach),
        lead: 0,
    };
    let mask = if a.causal { Mask::Causal } else { Mask::Full };
    let (theta, scaling) = (config.rope.theta, config.rope.scaling.clone());
    Attention { layout, kind, bias: a.denominator_bias, theta, scaling, mask }
}

/// Whether a model keeps keys and values that grow with the text, in some layer at least.
pub fn has_cache(config: &ModelConfig) -> bool {
    attention(config).has_cache() || config.keeps_softmax()
}

/// Refuses a linearised configuration of which some layer cannot be run.
///
/// # Errors
/// As [`Attention::check`], naming the layer.
pub fn check_layers(config: &ModelConfig) -> Result<()> {
    let attention = attention(config);
    let Some(l) = &config.linearized else { return attention.check() };
    // Products go by four columns.
    if !l.rank.is_multiple_of(4) || l.rank > config.hidden_size {
        let text =
            format!("updates of rank {}: must be a multiple of 4, at most {}", l.rank, config.hidden_size);
        return Err(Error::new(ErrorKind::Config, text));
    }
    if l.near.iter().all(|near| *near == 0) {
        return Err(Error::new(ErrorKind::Config, "all layers keep their softmax: nothing is made linear"));
    }
    for (layer, near) in l.near.iter().enumerate().filter(|(_, near)| **near > 0) {
        let of_layer = attention.clone().with_near(*near, l.sinks).check();
        of_layer.map_err(|e| Error::new(e.kind(), format!("layer {layer}: {}", e.message())))?;
    }
    Ok(())
}

/// A decoder's graph, and what its caller writes, reads and keeps of it.
#[derive(Clone, Debug)]
pub struct Decoder {
    /// The operations.
    pub graph: Graph,
    /// The tensors.
    pub handles: Handles,
}

/// The tensors of a decoder's graph, and of the plans it is lowered to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Handles {
    /// The lane table `u32 [STEPS * lanes, 4]`.
    pub lanes: TensorId,
    /// Input `u32 [rows]`: the tokens. With [`Ending::Sample`] the state `u32 [slots]` that the sampler
    /// writes.
    pub ids: TensorId,
    /// The attention of each layer.
    pub layers: Vec<LayerHandles>,
    /// State `[slots, V]`: logits of the next token, with [`Ending::Last`] and [`Ending::Sample`].
    pub logits: Option<TensorId>,
    /// With [`Ending::All`].
    pub all: Option<AllLogits>,
    /// With [`Ending::Nll`].
    pub scores: Option<Scores>,
    /// With [`Ending::Sample`].
    pub sampler: Option<Sampler>,
}

/// What [`Ending::All`] gives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AllLogits {
    /// Output `[rows, V]`.
    pub logits: TensorId,
    /// Outputs `[rows, d]`: the hidden states after each layer.
    pub hidden: Vec<TensorId>,
}

/// What [`Ending::Nll`] reads and gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scores {
    /// Input `u32 [rows]`: the tokens to be predicted.
    pub targets: TensorId,
    /// Output `[rows]`, in nats.
    pub nll: TensorId,
}

/// The states of the sampler.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sampler {
    /// `u32 [slots, SETTINGS]`.
    pub settings: TensorId,
    /// `u32 [slots, V]`: which tokens occurred.
    pub seen: TensorId,
    /// `u32 [slots]`: the token that the call runs.
    pub token: TensorId,
    /// `u32 [STEPS, slots]`: the tokens of a submission.
    pub sampled: TensorId,
}

impl Decoder {
    /// [`Graph::lower`]; the handles hold for the plan too.
    ///
    /// # Errors
    /// As [`Graph::lower`].
    pub fn lower(&self, name: &str, device: &DeviceTraits, capacity: Capacity) -> Result<Plan> {
        self.graph.lower(name, device, capacity)
    }
}

/// The graph of a model for one mode and ending.
///
/// # Errors
/// [`ErrorKind::Shape`](crate::ErrorKind::Shape) for a mode that the attention does not have.
pub fn build(config: &ModelConfig, mode: Mode, ending: Ending, options: &Build) -> Result<Decoder> {
    build_with(config, &attention(config), mode, ending, options)
}

/// [`build`] with another attention than the configuration's, which must read the same parameters: what a
/// comparison of kernels on the same projections needs.
///
/// # Errors
/// As [`build`].
pub fn build_with(
    config: &ModelConfig,
    attention: &Attention,
    mode: Mode,
    ending: Ending,
    options: &Build,
) -> Result<Decoder> {
    let attention = attention.clone();
    let mut b = Builder::new(config, options, attention);
    let lanes = b.g.lanes(STEPS);
    let sampler = if ending == Ending::Sample { Some(b.sample(lanes)?) } else { None };
    let ids = match sampler {
        Some(sampler) => sampler.token,
        None => b.g.input("ids", TensorType::u32(shape![Unit::Rows])),
    };
    let mut x = b.embed(ids, lanes, sampler.is_some())?;
    let (mut layers, mut hidden) = (Vec::new(), Vec::new());
    for layer in 0..config.num_hidden_layers {
        let first = b.g.nodes.len();
        let attention;
        (x, attention) = b.layer(layer, mode, x, lanes)?;
        layers.push(attention);
        b.g.section(first);
        if ending == Ending::All {
            b.g.output(x, &format!("hidden.{layer}"));
            hidden.push(x);
        }
    }
    let mut handles = Handles { lanes, ids, layers, logits: None, all: None, scores: None, sampler };
    match ending {
        Ending::State => {}
        Ending::All => {
            let logits = b.logits(x, Unit::Rows)?;
            b.g.output(logits, "logits_all");
            handles.all = Some(AllLogits { logits, hidden });
        }
        Ending::Nll => {
            let logits = b.logits(x, Unit::Rows)?;
            let targets = b.g.input("targets", TensorType::u32(shape![Unit::Rows]));
            let nll = b.g.apply1("nll", Nll { vocabulary: config.vocab_size }, &[logits, targets])?;
            b.g.output(nll, "nll");
            handles.scores = Some(Scores { targets, nll });
        }
        Ending::Last | Ending::Sample => {
            let last = b.g.apply1("last", TakeLast { width: config.hidden_size }, &[x])?;
            let logits = b.logits(last, Unit::Lanes)?;
            let state = b.logits_state();
            b.g.apply("keep_logits", ScatterRows { width: config.vocab_size }, &[logits, lanes], &[state])?;
            handles.logits = Some(state);
        }
    }
    Ok(Decoder { graph: b.g, handles })
}

/// The teacher of a linearised model with its students: what attention transfer runs (SPEC §10).
#[derive(Clone, Debug)]
pub struct Transfer {
    /// The operations: layer by layer the teacher's, and beside its attention the student's, with the gradients of its
    /// sketches where they learn.
    pub graph: Graph,
    /// The lane table.
    pub lanes: TensorId,
    /// Input `u32 [rows]`: the tokens.
    pub ids: TensorId,
    /// Outputs `[rows, 2]` of each layer: squares of error and of the teacher's output, both behind the projection o.
    pub errors: Vec<TensorId>,
    /// Outputs `[rows, qkv_width]` of each layer that is made linear, where asked for.
    pub projections: Vec<TensorId>,
    /// What backward passes carry, to be cleared before each call.
    pub carries: Vec<TensorId>,
}

/// What [`transfer`] makes beside the errors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transferring {
    /// Nothing.
    Errors,
    /// The projections of each layer.
    Projections,
    /// The gradients of the sketches' weights.
    Gradients,
}

/// The graph of attention transfer of a linearised model. Students see their teacher's input, so that layers are
/// independent; positions that are exact count for nothing. What an adapter adds to projections is the
/// student's alone.
///
/// # Errors
/// As [`build`].
pub fn transfer(config: &ModelConfig, what: Transferring, options: &Build) -> Result<Transfer> {
    let mut b = Builder::new(config, options, attention(config));
    let lanes = b.g.lanes(1);
    let ids = b.g.input("ids", TensorType::u32(shape![Unit::Rows]));
    let mut x = b.embed(ids, lanes, false)?;
    let (mut errors, mut projections, mut carries) = (Vec::new(), Vec::new(), Vec::new());
    let d = config.hidden_size;
    for i in 0..config.num_hidden_layers {
        let own = b.attention_of(i);
        let l = own.layout.clone();
        let kept = config.linearized.as_ref().is_some_and(|l| l.keeps(i));
        let mode = if kept { Mode::Train } else { Mode::Transfer };
        let (qkv, student) = b.attend(i, &own, mode, x, lanes)?;
        if what == Transferring::Projections && !kept {
            b.g.output(qkv, &format!("projections.{i}"));
            projections.push(qkv);
        }
        let y = b.projection(i, "o", student.output, [l.width(), d], config.biases.o, None)?;
        // Nothing is added to the teacher's projections.
        let rank = std::mem::take(&mut b.rank);
        let teacher = match rank {
            _ if kept => student.output,
            0 => own.teacher(&mut b.g, &format!("layers.{i}.teacher"), lanes, &student)?,
            // Its rows are not those of the student.
            _ => b.attend(i, &own.as_softmax(), Mode::Train, x, lanes)?.1.output,
        };
        b.rank = rank;
        let t = b.linear(&format!("layers.{i}.o"), teacher, l.width(), d, config.biases.o, None)?;
        let kernel = TransferError { width: d, first: l.near * l.block };
        let error = b.g.apply1(&format!("layers.{i}.error"), kernel.clone(), &[y, t, lanes])?;
        if what == Transferring::Gradients && !kept {
            let label = format!("layers.{i}.error_grad");
            let dy = b.g.apply1(&label, TransferErrorGrad(kernel), &[y, t, error, lanes])?;
            let sketch = format!("layers.{i}.sketch");
            let found = b.g.backward(&[(y, dy)], &|name| name == sketch, Recompute::Nothing)?;
            carries.extend(found.carries);
        }
        b.g.output(error, &format!("errors.{i}"));
        errors.push(error);
        let ty = b.g.tensors[x.0].ty.clone();
        let between = b.g.apply1(&format!("layers.{i}.between"), Add { ty, in_place: false }, &[x, t])?;
        x = b.feed_forward(i, x, between)?;
    }
    Ok(Transfer { graph: b.g, lanes, ids, errors, projections, carries })
}

/// The norm of the residual stream.
fn row_norm(config: &ModelConfig) -> Norm {
    Norm { centred: config.norm.kind == NormKind::Layer, eps: config.norm.eps }
}

fn activation(kind: ActivationKind) -> Activation {
    match kind {
        ActivationKind::GeluTanh => Activation::GeluTanh,
        ActivationKind::Gelu => Activation::Gelu,
        ActivationKind::Silu => Activation::Silu,
        ActivationKind::Relu => Activation::Relu,
    }
}

/// A linearised model beside its teacher: what learning from logits runs (SPEC §10).
#[derive(Clone, Debug)]
pub struct Distillation {
    /// The operations: the teacher's, then the student's, then gradients where it learns.
    pub graph: Graph,
    /// Input `u32 [rows]`: the tokens.
    pub ids: TensorId,
    /// Output `[rows]`: KL of the student's predictions to the teacher's.
    pub kl: TensorId,
    /// Input `[rows]`: what the KL of each row counts in the loss, where it learns.
    pub weights: Option<TensorId>,
    /// What the backward pass carries, to be cleared before each call.
    pub carries: Vec<TensorId>,
}

/// Which parameters learn, by their names, and what their gradients compute again.
pub type Trained<'a> = (&'a dyn Fn(&str) -> bool, Recompute);

/// The graph of learning from the teacher's logits: both models read the same text from its start. `trained` says which
/// parameters learn, none: neither do the others.
///
/// # Errors
/// As [`build`].
pub fn distillation(
    config: &ModelConfig,
    trained: Option<Trained<'_>>,
    options: &Build,
) -> Result<Distillation> {
    let own = attention(config);
    let mut b = Builder::new(config, options, own.as_softmax());
    let lanes = b.g.lanes(1);
    let ids = b.g.input("ids", TensorType::u32(shape![Unit::Rows]));
    let first = b.embed(ids, lanes, false)?;
    b.rank = 0;
    let mut x = first;
    for layer in 0..config.num_hidden_layers {
        let teacher = b.attention_of(layer);
        (x, _) = b.layer_with(layer, &teacher, Mode::Train, x, lanes)?;
    }
    let teacher = b.logits(x, Unit::Rows)?;
    b.rank = config.adapted().map_or(0, |l| l.rank);
    b.attention = own;
    x = first;
    for layer in 0..config.num_hidden_layers {
        let begin = b.g.nodes.len();
        (x, _) = b.layer(layer, Mode::Train, x, lanes)?;
        b.g.section(begin);
    }
    let logits = b.logits(x, Unit::Rows)?;
    let kl = Divergence { vocabulary: config.vocab_size };
    let kl = b.g.apply1("divergence", kl, &[logits, teacher])?;
    b.g.output(kl, "kl");
    let (mut weights, mut carries) = (None, Vec::new());
    if let Some((trained, recompute)) = trained {
        let counts = b.g.input("weights", TensorType::f32(shape![Unit::Rows]));
        carries = b.g.backward(&[(kl, counts)], trained, recompute)?.carries;
        weights = Some(counts);
    }
    Ok(Distillation { graph: b.g, ids, kl, weights, carries })
}

struct Builder<'a> {
    g: Graph,
    config: &'a ModelConfig,
    options: &'a Build,
    attention: Attention,
    /// Of what an adapter adds to the projections of attention.
    rank: usize,
}

impl<'a> Builder<'a> {
    fn new(config: &'a ModelConfig, options: &'a Build, attention: Attention) -> Self {
        let rank = config.adapted().map_or(0, |l| l.rank);
        Self { g: Graph::new(), config, options, attention, rank }
    }

    fn norm(&mut self, label: &str, x: TensorId, rows: Unit) -> Result<TensorId> {
        let width = self.config.hidden_size;
        let weights = self.g.parameter(label, DType::F32, shape![2, width]);
        self.g.apply1(
            &format!("{label}.out"),
            Normalize { width, rows, norm: row_norm(self.config) },
            &[x, weights],
        )
    }

    fn linear(
        &mut self,
        label: &str,
        x: TensorId,
        inputs: usize,
        outputs: usize,
        has_bias: bool,
        residual: Option<TensorId>,
    ) -> Result<TensorId> {
        let dtype = self.options.large.of(label);
        let w = self.g.parameter(label, dtype, shape![outputs, inputs]);
        let bias = has_bias.then(|| self.g.parameter(&format!("{label}_bias"), DType::F32, shape![outputs]));
        let kernel = Linear {
            dtype,
            addend: Addend::of(has_bias, residual.is_some()),
            ..Linear::new(inputs, outputs)
        };
        let arguments: Vec<TensorId> = [Some(x), Some(w), bias, residual].into_iter().flatten().collect();
        self.g.apply1(&format!("{label}.out"), kernel, &arguments)
    }

    /// [`Builder::linear`] of a projection of attention, with what an adapter adds to it.
    fn projection(
        &mut self,
        layer: usize,
        which: &str,
        x: TensorId,
        [inputs, outputs]: [usize; 2],
        has_bias: bool,
        residual: Option<TensorId>,
    ) -> Result<TensorId> {
        let label = format!("layers.{layer}.{which}");
        let y = self.linear(&label, x, inputs, outputs, has_bias, residual)?;
        if self.rank == 0 || self.config.adapted_in(layer).is_none() {
            return Ok(y);
        }
        let a = self.g.parameter(&format!("{label}.lora_a"), DType::F32, shape![self.rank, inputs]);
        let b = self.g.parameter(&format!("{label}.lora_b"), DType::F32, shape![outputs, self.rank]);
        let low = self.g.apply1(&format!("{label}.low"), Linear::new(inputs, self.rank), &[x, a])?;
        let kernel = Linear { addend: Addend::of(false, true), ..Linear::new(self.rank, outputs) };
        self.g.apply1(&format!("{label}.sum"), kernel, &[low, b, y])
    }

    /// The type of a table, and how it is cut: (first row, rows).
    fn shards(&self, table: &str) -> (DType, Vec<(usize, usize)>) {
        let dtype = self.options.large.of(table);
        let row = dtype.bytes(self.config.hidden_size);
        (dtype, shards(self.config.vocab_size, row, self.options.max_binding))
    }

    fn embed(&mut self, ids: TensorId, lanes: TensorId, by_slot: bool) -> Result<TensorId> {
        let width = self.config.hidden_size;
        let positions = match self.config.learned_positions {
            0 if self.config.sinusoidal => Positions::Sinusoidal,
            0 => Positions::None,
            n => Positions::Learned(n),
        };
        let mut x = ids;
        let (dtype, shards) = self.shards("embedding");
        for (i, (first, rows)) in shards.into_iter().enumerate() {
            let table = self.g.parameter(&format!("embedding.{i}"), dtype, shape![rows, width]);
            let kernel = Embed { width, first, rows, dtype, positions, by_slot };
            let mut arguments = vec![ids, lanes, table];
            match positions {
                Positions::None => {}
                Positions::Sinusoidal => {
                    let table = rotation_table(&RopeScaling::None.frequencies(width, 10_000.0));
                    let shape = shape![DIGITS * 256, width / 2, 2];
                    arguments.push(self.g.constant_f32("constant.positions", shape, &table));
                }
                Positions::Learned(n) => {
                    arguments.push(self.g.parameter("positions", DType::F32, shape![n, width]));
                }
            }
            let updates = if first == 0 { vec![] } else { vec![x] };
            let outputs = self.g.apply(&format!("embed.{i}"), kernel, &arguments, &updates)?;
            x = outputs.first().copied().unwrap_or(x);
        }
        Ok(x)
    }

    /// The attention of a layer: layers of a linearised model see more or less exactly, or stay as they are.
    fn attention_of(&self, layer: usize) -> Attention {
        let attention = self.attention.clone();
        match self.config.linearized.as_ref().and_then(|l| l.near.get(layer).copied()) {
            Some(0) => self::attention(&ModelConfig { linearized: None, ..self.config.clone() }),
            Some(near) => {
                let sinks = attention.layout.sinks;
                attention.with_near(near, sinks)
            }
            None => attention,
        }
    }

    /// `x += attention(norm(x)); x += mlp(norm(x))`, or both on the same x (SPEC §9).
    fn layer(
        &mut self,
        i: usize,
        mode: Mode,
        x: TensorId,
        lanes: TensorId,
    ) -> Result<(TensorId, LayerHandles)> {
        let attention = self.attention_of(i);
        self.layer_with(i, &attention, mode, x, lanes)
    }

    fn layer_with(
        &mut self,
        i: usize,
        attention: &Attention,
        mode: Mode,
        x: TensorId,
        lanes: TensorId,
    ) -> Result<(TensorId, LayerHandles)> {
        let (_, handles) = self.attend(i, attention, mode, x, lanes)?;
        let (shape, bias) = ([attention.layout.width(), self.config.hidden_size], self.config.biases.o);
        let between = self.projection(i, "o", handles.output, shape, bias, Some(x))?;
        Ok((self.feed_forward(i, x, between)?, handles))
    }

    /// The projections of a layer `[rows, qkv_width]`, and its attention of them.
    fn attend(
        &mut self,
        i: usize,
        attention: &Attention,
        mode: Mode,
        x: TensorId,
        lanes: TensorId,
    ) -> Result<(TensorId, LayerHandles)> {
        let (d, l) = (self.config.hidden_size, attention.layout.clone());
        let y = self.norm(&format!("layers.{i}.attention_norm"), x, Unit::Rows)?;
        let has_bias = self.config.has_qkv_bias(i);
        let qkv = self.projection(i, "qkv", y, [d, l.qkv_width()], has_bias, None)?;
        let norms =
            l.normed.then(|| self.g.parameter(&format!("layers.{i}.norms"), DType::F32, shape![4, l.head]));
        let sketch = attention
            .sketch_weights()
            .map(|n| self.g.parameter(&format!("layers.{i}.sketch"), DType::F32, shape![n]));
        let inputs = Inputs { qkv, lanes, norms, sketch };
        let label = format!("layers.{i}.attention");
        let handles = attention.build(&mut self.g, &label, mode, inputs, self.options.context)?;
        Ok((qkv, handles))
    }

    /// `between + mlp(norm(between))`, or of a parallel residual `between + mlp(norm(x))`.
    fn feed_forward(&mut self, i: usize, x: TensorId, between: TensorId) -> Result<TensorId> {
        let (d, m) = (self.config.hidden_size, self.config.intermediate_size);
        let (biases, mlp) = (self.config.biases, self.config.mlp);
        let input = if self.config.parallel_residual { x } else { between };
        let y = self.norm(&format!("layers.{i}.mlp_norm"), input, Unit::Rows)?;
        let hidden = if mlp.gated { 2 * m } else { m };
        let both = self.linear(&format!("layers.{i}.up"), y, d, hidden, biases.mlp, None)?;
        let kernel = Activate { width: m, activation: activation(mlp.activation), gated: mlp.gated };
        let z = self.g.apply1(&format!("layers.{i}.activate"), kernel, &[both])?;
        self.linear(&format!("layers.{i}.down"), z, m, d, biases.mlp, Some(between))
    }

    /// Final norm, then the output projection, the embedding or a matrix of its own, shard by shard.
    fn logits(&mut self, x: TensorId, rows: Unit) -> Result<TensorId> {
        let (d, v) = (self.config.hidden_size, self.config.vocab_size);
        let y = self.norm("norm", x, rows)?;
        let bias = self.config.logit_bias.then(|| self.g.parameter("logit_bias", DType::F32, shape![v]));
        let mut logits = y;
        let label = if self.config.tie_word_embeddings { "embedding" } else { "head" };
        let (dtype, shards) = self.shards(label);
        for (i, (first, shard)) in shards.into_iter().enumerate() {
            let w = self.g.parameter(&format!("{label}.{i}"), dtype, shape![shard, d]);
            let addend = if bias.is_some() { Addend::Bias } else { Addend::None };
            let kernel = Linear { first, shard, rows, dtype, addend, ..Linear::new(d, v) };
            let arguments: Vec<TensorId> = [Some(y), Some(w), bias].into_iter().flatten().collect();
            let updates = if first == 0 { vec![] } else { vec![logits] };
            let outputs = self.g.apply(&format!("logits.{i}"), kernel, &arguments, &updates)?;
            logits = outputs.first().copied().unwrap_or(logits);
        }
        Ok(logits)
    }

    fn logits_state(&mut self) -> TensorId {
        self.g.state("logits", Purpose::Logits, TensorType::f32(shape![Unit::Slots, self.config.vocab_size]))
    }

    /// Samples the next token of each lane's slot.
    fn sample(&mut self, lanes: TensorId) -> Result<Sampler> {
        let v = self.config.vocab_size;
        let logits = self.logits_state();
        let mut state = |name, shape| self.g.state(name, Purpose::Sampler, TensorType::u32(shape));
        let settings = state("sampler.settings", shape![Unit::Slots, SETTINGS]);
        let seen = state("sampler.seen", shape![Unit::Slots, v]);
        let token = state("sampler.token", shape![Unit::Slots]);
        let sampled = state("sampler.sampled", shape![STEPS, Unit::Slots]);
        let kernel = Sample { vocabulary: v, slots: self.options.slots };
        self.g.apply("sample", kernel, &[lanes, settings, logits], &[seen, token, sampled])?;
        Ok(Sampler { settings, seen, token, sampled })
    }
}
