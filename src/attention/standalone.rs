//! [`AttentionLayer`]: attention alone, on a device, queue and buffers of the caller's (SPEC §4), or on the
//! CPU with slices.

use super::{Attention, Inputs, Mask, Mode};
use crate::error::{Error, ErrorKind, Result};
use crate::exec::{Executor, GpuExecutor, Memory, Program, Submission};
use crate::gpu::GpuContext;
use crate::graph::{Graph, Plan, Role, TensorId};
use crate::kernels::heads::join_columns::JoinColumns;
use crate::shape;
use crate::tensor::{Call, Capacity, DType, Lane, TensorType, Unit, ring_after};

/// Upper bounds that a layer is made for; its memory is planned from them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LayerCapacity {
    /// Most sequences, B.
    pub batch: usize,
    /// Most tokens of a sequence in one call, n.
    pub tokens: usize,
    /// Most tokens of a sequence over all calls: the length of the key-value cache of causal softmax and of
    /// causal polynomials of degree 4 and more. The other kinds have constant state and ignore it.
    pub context: usize,
}

/// What a layer has learned, or drawn.
#[derive(Clone, Copy, Debug, Default)]
pub struct Weights<'a> {
    /// `[4, h]`: weight and bias of the query LayerNorm, then of the key LayerNorm. None: ones and zeros.
    pub norms: Option<&'a [f32]>,
    /// The packed sketch, [`Attention::sketch_weights`] numbers. Learned: left branch then right, a level is
    /// norm weight `[i]`, norm bias `[i]`, up `[e r, i]`, down `[r, e r]`. Random: node by node from the
    /// leaves to the root, left then right matrix `[i, r]`. i = h at the first level, then r.
    pub sketch: Option<&'a [f32]>,
}

/// Device buffers of a call, all row-major f32 from their first byte on; they may be larger than the call.
/// Buffers may be the same one: `out` is written after the others were read.
#[derive(Clone, Copy, Debug)]
pub struct Buffers<'a> {
    /// Queries `[B, n, H, h]`.
    pub q: &'a wgpu::Buffer,
    /// Keys `[B, n, G, h]` of G key heads.
    pub k: &'a wgpu::Buffer,
    /// Values `[B, n, G, h]`.
    pub v: &'a wgpu::Buffer,
    /// Gate logits `[B, n, G]`, of a layer with a gate.
    pub gate: Option<&'a wgpu::Buffer>,
    /// Result `[B, n, H, h]`.
    pub out: &'a wgpu::Buffer,
}

/// Numbers of a call, as [`Buffers`].
#[derive(Debug)]
pub struct Slices<'a> {
    /// Queries `[B, n, H, h]`.
    pub q: &'a [f32],
    /// Keys `[B, n, G, h]` of G key heads.
    pub k: &'a [f32],
    /// Values `[B, n, G, h]`.
    pub v: &'a [f32],
    /// Gate logits `[B, n, G]`, of a layer with a gate.
    pub gate: Option<&'a [f32]>,
    /// Result `[B, n, H, h]`.
    pub out: &'a mut [f32],
}

/// One attention layer without a model.
///
/// ```no_run
/// # async fn example(device: wgpu::Device, queue: wgpu::Queue, b: polysketch::attention::Buffers<'_>) -> polysketch::Result<()> {
/// use polysketch::attention::{Attention, AttentionLayer, LayerCapacity, Weights};
/// let capacity = LayerCapacity { batch: 1, tokens: 1024, context: 0 };
/// let taylor = Attention::taylor(4, 16, 2);
/// let mut layer = AttentionLayer::new(device, queue, taylor, Weights::default(), capacity).await?;
/// layer.forward(1, 1000, b).await?; // tokens 0..1000
/// layer.forward(1, 24, b).await?; // tokens 1000..1024, on top of the state
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct AttentionLayer {
    attention: Attention,
    capacity: LayerCapacity,
    /// Weights, the scan's state or the cache, and the tensors of a call.
    memory: Memory,
    many: Calls,
    /// The plan of one token a sequence, made when it is first needed.
    one: Option<Calls>,
    lanes: Vec<Lane>,
    /// The tensors of a call lie in the layer's own memory (slices), not in the caller's buffers.
    owns_tensors: bool,
}

/// A program of the layer, and the tensor it leaves its result in.
#[derive(Debug)]
struct Calls {
    program: Program,
    out: TensorId,
}

impl AttentionLayer {
    /// A layer on the caller's device. Error scopes of the device are used while things are made; its
    /// handlers of uncaptured errors stay the caller's.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] for an impossible description, [`ErrorKind::Shape`] for weights of another size,
    /// [`ErrorKind::Limit`] if the device's limits are too low for it.
    pub async fn new(
        device: wgpu::Device,
        queue: wgpu::Queue,
        attention: Attention,
        weights: Weights<'_>,
        capacity: LayerCapacity,
    ) -> Result<Self> {
        let executor = Executor::Gpu(GpuExecutor::new(GpuContext::from_device(device, queue)?).await);
        Self::on(executor, attention, weights, capacity).await
    }

    /// A layer on an executor: the CPU, or a device that several layers share with their compiled shaders.
    ///
    /// # Errors
    /// As [`AttentionLayer::new`].
    pub async fn on(
        executor: Executor,
        attention: Attention,
        weights: Weights<'_>,
        capacity: LayerCapacity,
    ) -> Result<Self> {
        attention.check()?;
        if capacity.batch == 0 || capacity.tokens == 0 {
            return Err(Error::new(
                ErrorKind::Input,
                format!(
                    "attention: a capacity of {} sequences of {} tokens",
                    capacity.batch, capacity.tokens
                ),
            )
            .help("use at least 1 of each"));
        }
        if attention.mask == Mask::Causal && attention.has_cache() && capacity.context == 0 {
            return Err(Error::new(ErrorKind::Input, "attention: a key-value cache of 0 tokens")
                .help("set LayerCapacity::context"));
        }
        let memory = Memory::new(&executor);
        for (name, values) in parameter_values(&attention, weights)? {
            let words: Vec<u32> = values.iter().map(|x| x.to_bits()).collect();
            memory.store(name, DType::F32, &words).await?;
        }
        let mut many = Calls::new(&memory, &attention, &capacity, capacity.tokens).await?;
        many.program.compile().await?;
        let lanes = (0..capacity.batch).map(|slot| Lane { slot, position: 0, ring: 0 }).collect();
        Ok(Self { attention, capacity, memory, many, one: None, lanes, owns_tensors: false })
    }

    /// Attention of `tokens` more tokens of each of the first `batch` sequences. Only submits: the result is
    /// there for whatever the caller submits to the same queue afterwards.
    ///
    /// # Errors
    /// [`ErrorKind::Shape`] for buffers that are too small or a call above the capacity, [`ErrorKind::Limit`]
    /// at the end of the key-value cache; the state is then as before.
    pub async fn forward(&mut self, batch: usize, tokens: usize, buffers: Buffers<'_>) -> Result<()> {
        let Buffers { q, k, v, gate, out } = buffers;
        let given = [("q", Some(q)), ("k", Some(k)), ("v", Some(v)), ("gate", gate), ("out", Some(out))];
        self.check(
            batch,
            tokens,
            given.map(|(name, buffer)| (name, buffer.map(|b| (b.size() / 4) as usize))),
        )?;
        for (name, buffer) in given {
            if let Some(buffer) = buffer {
                self.memory.lend(name, DType::F32, buffer)?;
            }
        }
        self.owns_tensors = false;
        self.run(batch, tokens, None).await.map(drop)
    }

    /// [`AttentionLayer::forward`] with slices, on any executor; the result is there when it returns.
    ///
    /// # Errors
    /// As [`AttentionLayer::forward`].
    pub async fn forward_slices(&mut self, batch: usize, tokens: usize, slices: Slices<'_>) -> Result<()> {
        let Slices { q, k, v, gate, out } = slices;
        let given = [("q", Some(q)), ("k", Some(k)), ("v", Some(v)), ("gate", gate)];
        let lengths = [0, 1, 2, 3].map(|i| (given[i].0, given[i].1.map(<[f32]>::len)));
        self.check(
            batch,
            tokens,
            [lengths[0], lengths[1], lengths[2], lengths[3], ("out", Some(out.len()))],
        )?;
        if !self.owns_tensors {
            let plan = self.many.program.plan();
            for t in plan.tensors.iter().filter(|t| t.bytes > 0 && t.tensor.role == Role::External) {
                let elements = t.tensor.ty.shape.elements(&plan.capacity);
                self.memory.reserve(&t.tensor.name, DType::F32, elements).await?;
            }
            self.owns_tensors = true;
        }
        for (name, values) in given {
            if let Some(values) = values {
                let used = batch * tokens * self.columns(name);
                self.memory.write(name, 0, bytemuck::cast_slice(&values[..used])).await?;
            }
        }
        let elements = batch * tokens * self.columns("out");
        let read = self.run(batch, tokens, Some(elements)).await?;
        out[..elements].copy_from_slice(bytemuck::cast_slice(&read[0]));
        Ok(())
    }

    /// Starts all sequences afresh.
    pub fn reset(&mut self) {
        (0..self.lanes.len()).for_each(|sequence| self.reset_sequence(sequence));
    }

    /// Starts one sequence afresh; one that is not there is not an error.
    pub fn reset_sequence(&mut self, sequence: usize) {
        // Kernels ignore what an earlier text left in the state when they stand at position 0.
        if let Some(lane) = self.lanes.get_mut(sequence) {
            (lane.position, lane.ring) = (0, 0);
        }
    }

    /// Tokens that each sequence has seen; zeros with a full mask.
    pub fn positions(&self) -> Vec<usize> {
        self.lanes.iter().map(|lane| lane.position).collect()
    }

    /// What the layer computes.
    pub fn attention(&self) -> &Attention {
        &self.attention
    }

    /// Bytes of state of all sequences.
    pub fn state_bytes(&self) -> usize {
        self.many.program.plan().bytes(|role| matches!(role, Role::State(_)))
    }

    /// Bytes of scratch memory.
    pub fn scratch_bytes(&self) -> usize {
        self.many.program.plan().bytes(|role| matches!(role, Role::Scratch | Role::Lanes))
    }

    /// Columns of a tensor of a call.
    fn columns(&self, name: &str) -> usize {
        columns(&self.attention, name)
    }

    /// Whether the tensors of a call (elements by name) are those of this layer and large enough.
    fn check(&self, batch: usize, tokens: usize, given: [(&str, Option<usize>); 5]) -> Result<()> {
        let capacity = self.capacity;
        if batch == 0 || batch > capacity.batch || tokens == 0 || tokens > capacity.tokens {
            return Err(Error::new(
                ErrorKind::Shape,
                format!(
                    "attention: a call of {batch} sequences of {tokens} tokens, made for 1 to {} of 1 to {}",
                    capacity.batch, capacity.tokens
                ),
            )
            .help("cut the call, or make the layer with a larger LayerCapacity"));
        }
        for (name, elements) in given {
            let gate = name == "gate";
            let needs = batch * tokens * self.columns(name);
            match elements {
                None if gate && self.attention.layout.gated => {
                    return Err(Error::new(
                        ErrorKind::Input,
                        "attention: no gate logits for a layer with a gate",
                    )
                    .help("give gate, [B, n, G]"));
                }
                Some(_) if gate && !self.attention.layout.gated => {
                    return Err(Error::new(
                        ErrorKind::Input,
                        "attention: gate logits for a layer without a gate",
                    )
                    .help("describe it with_gate(), or give none"));
                }
                Some(elements) if elements < needs => {
                    return Err(Error::new(
                        ErrorKind::Shape,
                        format!("attention: {name} has {elements} numbers, the call needs {needs}"),
                    ));
                }
                _ => {}
            }
        }
        let end = self.lanes[..batch].iter().map(|lane| lane.position + tokens).max().unwrap_or(0);
        if self.attention.mask == Mask::Causal && self.attention.has_cache() && end > capacity.context {
            return Err(Error::new(
                ErrorKind::Limit,
                format!("attention: {end} tokens do not fit the key-value cache of {}", capacity.context),
            )
            .help("make the layer with a larger LayerCapacity::context, or use a kind with constant state"));
        }
        Ok(())
    }

    /// Runs a call, and reads so many elements of the result.
    async fn run(&mut self, batch: usize, tokens: usize, read: Option<usize>) -> Result<Vec<Vec<u32>>> {
        let call = Call { lanes: self.lanes[..batch].to_vec(), tokens, lane_base: 0 };
        let single = self.attention.mask == Mask::Causal && tokens == 1 && self.capacity.tokens > 1;
        if single && self.one.is_none() {
            self.one = Some(Calls::new(&self.memory, &self.attention, &self.capacity, 1).await?);
        }
        let calls = self.one.as_mut().filter(|_| single).unwrap_or(&mut self.many);
        let reads: Vec<(TensorId, usize)> = read.map(|elements| (calls.out, elements)).into_iter().collect();
        let submission = Submission { calls: &[call], inputs: &[], reads: &reads };
        let read = calls.program.run(submission).await?;
        if self.attention.mask == Mask::Causal {
            let block = self.attention.layout.block;
            for lane in &mut self.lanes[..batch] {
                lane.position += tokens;
                lane.ring = ring_after(lane.ring, tokens, block);
            }
        }
        Ok(read)
    }
}

impl Calls {
    /// For calls of up to so many tokens a sequence.
    async fn new(
        memory: &Memory,
        attention: &Attention,
        capacity: &LayerCapacity,
        tokens: usize,
    ) -> Result<Self> {
        let (plan, out) = plan(memory.executor(), attention, capacity, tokens)?;
        Ok(Self { program: Program::new(plan, memory).await?, out })
    }
}

/// Columns of a tensor of a call.
fn columns(attention: &Attention, name: &str) -> usize {
    let l = &attention.layout;
    match name {
        "gate" => l.heads,
        "k" | "v" => l.heads * l.head,
        _ => l.width(),
    }
}

/// Parameters of the graph by name.
type Named<'a> = Vec<(&'static str, std::borrow::Cow<'a, [f32]>)>;

/// The parameters of the graph and their numbers.
fn parameter_values<'a>(attention: &Attention, weights: Weights<'a>) -> Result<Named<'a>> {
    let h = attention.layout.head;
    let mut list = Vec::new();
    let mut add = |name: &'static str, needed: Option<usize>, given: Option<&'a [f32]>| match (needed, given)
    {
        (Some(n), Some(values)) if n == values.len() => {
            list.push((name, values.into()));
            Ok(())
        }
        (Some(n), Some(values)) => Err(Error::new(
            ErrorKind::Shape,
            format!("attention: {name} has {} numbers, this layer needs {n}", values.len()),
        )),
        (Some(n), None) => Err(Error::new(ErrorKind::Input, format!("attention: no {name}"))
            .help(format!("give its {n} numbers in Weights"))),
        (None, Some(_)) => {
            Err(Error::new(ErrorKind::Input, format!("attention: {name} given for a layer that has none")))
        }
        (None, None) => Ok(()),
    };
    add("sketch", attention.sketch_weights(), weights.sketch)?;
    if attention.layout.normed && weights.norms.is_none() {
        let identity: Vec<f32> = [1.0, 0.0, 1.0, 0.0].into_iter().flat_map(|x| vec![x; h]).collect();
        list.push(("norms", identity.into()));
    } else {
        add("norms", attention.layout.normed.then_some(4 * h), weights.norms)?;
    }
    Ok(list)
}

/// The plan of a layer, and its result: join the caller's tensors, attend, and leave the result in the
/// caller's.
fn plan(
    executor: &Executor,
    attention: &Attention,
    capacity: &LayerCapacity,
    tokens: usize,
) -> Result<(Plan, TensorId)> {
    let l = &attention.layout;
    let cached = attention.mask == Mask::Causal && attention.has_cache();
    let context = if cached { capacity.context } else { 0 };
    let (name, mode) = match attention.mask {
        Mask::Causal if tokens == 1 => ("attention_one", Mode::Decode),
        _ => ("attention", Mode::Prefill),
    };
    let mut g = Graph::new();
    let lanes = g.lanes(1);
    let mut parts: Vec<_> = ["q", "k", "v"]
        .iter()
        .map(|name| g.external(name, TensorType::f32(shape![Unit::Rows, columns(attention, name)])))
        .collect();
    if l.gated {
        parts.push(g.external("gate", TensorType::f32(shape![Unit::Rows, l.heads])));
    }
    let qkv = g.apply1("join", JoinColumns { layout: l.clone() }, &parts)?;
    let norms = l.normed.then(|| g.parameter("norms", DType::F32, shape![4, l.head]));
    let sketch = attention.sketch_weights().map(|n| g.parameter("sketch", DType::F32, shape![n]));
    let layer = attention.build(&mut g, "attention", mode, Inputs { qkv, lanes, norms, sketch }, context)?;
    g.export(layer.output, "out");
    let capacity = Capacity { lanes: capacity.batch, tokens, slots: capacity.batch, context };
    Ok((g.lower(name, &executor.traits(), capacity)?, layer.output))
}
