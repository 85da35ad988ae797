//! Small graphs of the row-wise operations whose gradients are checked, and the optimiser's operations.

use super::case::{Case, Data, bits, start};
use super::random::Rng;
use crate::error::Result;
use crate::graph::{Graph, Purpose, Recompute, Role, TensorId};
use crate::kernels::cpu::{Activation, Norm};
use crate::kernels::linear::linear::{Addend, Linear};
use crate::kernels::optimizer::adamw::{AdamW, Decay, ranges};
use crate::kernels::optimizer::clip_factor::{CLIP, ClipFactor};
use crate::kernels::optimizer::settings::{SETTINGS, Settings};
use crate::kernels::optimizer::square_sums::{SquareSums, norms};
use crate::kernels::rows::activate::Activate;
use crate::kernels::rows::clear::Clear;
use crate::kernels::rows::divergence::Divergence;
use crate::kernels::rows::embed::{Embed, Positions};
use crate::kernels::rows::embed_grad;
use crate::kernels::rows::nll::{Nll, UNSCORED};
use crate::kernels::rows::norm::Normalize;
use crate::kernels::rows::transfer_error::TransferError;
use crate::kernels::rows::transfer_error_grad::TransferErrorGrad;
use crate::shape;
use crate::tensor::{Call, Capacity, DType, Extent, Shape, TensorType, Unit};

/// A small graph whose gradients are wanted.
#[derive(Clone, Debug)]
pub struct Differentiable {
    /// For messages.
    pub name: String,
    /// Forward.
    pub graph: Graph,
    /// Whose gradients are given.
    pub outputs: Vec<TensorId>,
    /// The call.
    pub call: Call,
    /// The integers that it reads, by name.
    pub inputs: Vec<(String, Vec<u32>)>,
}

impl Differentiable {
    fn new(
        name: impl Into<String>,
        call: &Call,
        build: impl FnOnce(&mut Graph) -> Result<Vec<TensorId>>,
    ) -> Result<Self> {
        let mut graph = Graph::new();
        let outputs = build(&mut graph)?;
        Ok(Self { name: name.into(), graph, outputs, call: call.clone(), inputs: Vec::new() })
    }

    fn with(mut self, name: &str, words: Vec<u32>) -> Self {
        self.inputs.push((name.to_string(), words));
        self
    }

    /// What its plans are made for.
    pub fn capacity(&self) -> Capacity {
        let lanes = self.call.lanes.len();
        Capacity { lanes, tokens: self.call.tokens + 3, slots: lanes, context: 0 }
    }

    /// The graph with its backward pass: the gradients of the outputs are the inputs `seed.{i}`.
    ///
    /// # Errors
    /// Where an operation has no gradient.
    pub fn backward(&self, recompute: Recompute) -> Result<Graph> {
        let mut graph = self.graph.clone();
        let seed = |(i, id): (usize, &TensorId)| {
            (*id, graph.input(&format!("seed.{i}"), self.graph.tensors[id.0].ty.clone()))
        };
        let seeds: Vec<(TensorId, TensorId)> = self.outputs.iter().enumerate().map(seed).collect();
        graph.backward(&seeds, &|_| true, recompute)?;
        Ok(graph)
    }

    /// Numbers for all that such a graph reads: random ones for seeds, parameters, and what gradients are
    /// added to.
    pub fn data(&self, graph: &Graph) -> Data {
        let mut rng = Rng(self.call.tokens as u64);
        let mut data: Data =
            self.inputs.iter().map(|(name, words)| (name.clone(), words.clone().into())).collect();
        let given = graph.tensors.iter().filter(|t| {
            !data.contains_key(&t.name) && matches!(t.role, Role::Input | Role::Parameter | Role::State(_))
        });
        let given: Vec<(String, usize)> =
            given.map(|t| (t.name.clone(), t.ty.shape.elements(&self.capacity()))).collect();
        for (name, elements) in given {
            data.insert(name, bits(rng.normals(elements)).into());
        }
        data
    }

    /// The case of its gradients.
    ///
    /// # Errors
    /// As [`Differentiable::backward`].
    pub fn case(self, recompute: Recompute) -> Result<Case> {
        let graph = self.backward(recompute)?;
        let (name, capacity, call) = (self.name.clone(), self.capacity(), self.call.clone());
        let given = graph.clone();
        Ok(Case::new(&name, graph, capacity, call, move || Ok(self.data(&given))))
    }
}

fn matrix(g: &mut Graph, name: &str, rows: impl Into<Extent>, width: usize) -> TensorId {
    g.parameter(name, DType::F32, shape![rows.into(), width])
}

/// A linear layer in shards of these sizes.
fn linear(
    g: &mut Graph,
    x: TensorId,
    kernel: &Linear,
    added: &[TensorId],
    shards: &[usize],
) -> Result<TensorId> {
    let (mut first, mut y) = (0, x);
    for (i, &shard) in shards.iter().enumerate() {
        let w = matrix(g, &format!("w.{i}"), shard, kernel.inputs);
        let arguments = [&[x, w], added].concat();
        let updates = if first == 0 { vec![] } else { vec![y] };
        let outputs =
            g.apply(&format!("linear.{i}"), Linear { first, shard, ..kernel.clone() }, &arguments, &updates)?;
        y = outputs.first().copied().unwrap_or(y);
        first += shard;
    }
    Ok(y)
}

/// All cases of rows: of each graph its gradients, and the optimiser.
///
/// # Errors
/// None: the shapes fit.
pub(super) fn cases() -> Result<Vec<Case>> {
    /// Names begin so: compiling a shader takes a software adapter a second.
    const CORE: [&str; 10] = [
        "linear 1x1100",
        "linear 2x70 20 [9] Bias",
        "linear 3x41 12 [7, 30, 7] Residual",
        "linear 2x130 36 [52] None",
        "linear of lanes 3",
        "layer 3x41",
        "sums",
        "embed",
        "nll 2",
        "divergence 2",
    ];
    let mut list = Vec::new();
    for graph in differentiable()? {
        let core = CORE.iter().any(|name| graph.name.starts_with(name));
        let case = graph.case(Recompute::Nothing)?;
        list.push(if core { case } else { case.wide() });
    }
    list.push(optimiser_case()?);
    list.push(transfer_case()?);
    list.push(divergence_case(300)?);
    list.push(divergence_case(7)?.wide());
    Ok(list)
}

/// Several lanes, rows that are no multiples of tiles or parts, shards, gradients that are added to others.
///
/// # Errors
/// None: the shapes fit.
pub fn differentiable() -> Result<Vec<Differentiable>> {
    let mut list = Vec::new();
    // So many rows that a gradient of few weights is computed in parts, the last of them smaller.
    list.push(Differentiable::new("linear 1x1100 8 [7, 12] None", &start(1, 1100), |g| {
        let x = matrix(g, "x", Unit::Rows, 8);
        Ok(vec![linear(g, x, &Linear::new(8, 19), &[], &[7, 12])?])
    })?);
    for (lanes, tokens, inputs, shards) in
        [(1, 3, 8, &[12][..]), (2, 70, 20, &[9]), (3, 41, 12, &[7, 30, 7]), (2, 130, 36, &[52])]
    {
        let (call, outputs) = (start(lanes, tokens), shards.iter().sum());
        for addend in [Addend::None, Addend::Bias, Addend::Residual, Addend::Both] {
            let name = format!("linear {lanes}x{tokens} {inputs} {shards:?} {addend:?}");
            list.push(Differentiable::new(name, &call, |g| {
                let x = matrix(g, "x", Unit::Rows, inputs);
                let bias = addend.bias().then(|| g.parameter("bias", DType::F32, shape![outputs]));
                let residual = addend.residual().then(|| matrix(g, "residual", Unit::Rows, outputs));
                let added: Vec<TensorId> = bias.into_iter().chain(residual).collect();
                let kernel = Linear { addend, ..Linear::new(inputs, outputs) };
                Ok(vec![linear(g, x, &kernel, &added, shards)?])
            })?);
        }
        // Lanes count the rows; and a fresh gradient of x in the middle of a graph.
        list.push(Differentiable::new(format!("linear of lanes {lanes} {inputs} {shards:?}"), &call, |g| {
            let (x, norm) = (matrix(g, "x", Unit::Lanes, inputs), matrix(g, "norm", 2, inputs));
            let y = g.apply1(
                "norm",
                Normalize { width: inputs, rows: Unit::Lanes, norm: Norm::LAYER },
                &[x, norm],
            )?;
            let bias = g.parameter("bias", DType::F32, shape![outputs]);
            let kernel = Linear { addend: Addend::Bias, rows: Unit::Lanes, ..Linear::new(inputs, outputs) };
            Ok(vec![linear(g, y, &kernel, &[bias], shards)?])
        })?);
        // A layer of a decoder: x is read twice, so its gradient is fresh once and then added to.
        list.push(Differentiable::new(format!("layer {lanes}x{tokens} {inputs}"), &call, |g| {
            let (x, norm) = (matrix(g, "x", Unit::Rows, inputs), matrix(g, "norm", 2, inputs));
            let x = linear(g, x, &Linear::new(inputs, inputs), &[], &[inputs])?;
            let first = g.nodes.len();
            let y = g.apply1(
                "y",
                Normalize { width: inputs, rows: Unit::Rows, norm: Norm::rms(1e-3) },
                &[x, norm],
            )?;
            // Each with another activation, gated and plain in turn.
            let activation =
                [Activation::GeluTanh, Activation::Gelu, Activation::Silu, Activation::Relu][tokens % 4];
            let gated = lanes < 3;
            let hidden = if gated { 32 } else { 16 };
            let (up, down) = (matrix(g, "up", hidden, inputs), matrix(g, "down", inputs, 16));
            let both = g.apply1("both", Linear::new(inputs, hidden), &[y, up])?;
            let z = g.apply1("z", Activate { width: 16, activation, gated }, &[both])?;
            let out = g.apply1(
                "out",
                Linear { addend: Addend::Residual, ..Linear::new(16, inputs) },
                &[z, down, x],
            )?;
            g.section(first);
            Ok(vec![out])
        })?);
    }
    // Gradients that are handed on whole: added in place, and not, where the sum so far is someone else's
    // too.
    list.push(Differentiable::new("sums", &start(2, 5), |g| {
        let (a, b) = (matrix(g, "a", Unit::Rows, 8), matrix(g, "b", 8, 8));
        let x = g.apply1("x", Linear::new(8, 8), &[a, b])?;
        let left = g.apply1("left", Activate::gelu(4), &[x])?;
        let right = g.apply1("right", Activate::gelu(4), &[x])?;
        let (c, d) = (matrix(g, "c", 4, 4), matrix(g, "d", 8, 4));
        let twice =
            g.apply1("twice", Linear { addend: Addend::Residual, ..Linear::new(4, 4) }, &[left, c, left])?;
        let eight = Linear { addend: Addend::Residual, ..Linear::new(4, 8) };
        Ok(vec![twice, g.apply1("sum", eight, &[right, d, x])?])
    })?);
    for (lanes, tokens, width, shards, positions) in [
        (1, 5, 4, &[11][..], Positions::None),
        (3, 30, 68, &[4, 5, 3], Positions::Learned(35)),
        (2, 65, 260, &[11], Positions::Learned(65)),
    ] {
        let call = start(lanes, tokens);
        let mut rng = Rng(width as u64);
        // Not every id is in the table.
        let ids = rng.tokens(lanes * tokens, 13);
        let case = Differentiable::new(format!("embed {lanes}x{tokens} {width} {shards:?}"), &call, |g| {
            let ids = g.input("ids", TensorType::u32(shape![Unit::Rows]));
            let lanes = g.lanes(1);
            let (mut first, mut x) = (0, ids);
            for (i, &rows) in shards.iter().enumerate() {
                let table = matrix(g, &format!("embedding.{i}"), rows, width);
                let kernel = Embed { width, first, rows, dtype: DType::F32, positions, by_slot: false };
                let updates = if first == 0 { vec![] } else { vec![x] };
                let mut arguments = vec![ids, lanes, table];
                if let Positions::Learned(n) = positions {
                    arguments.push(matrix(g, "positions", n, width));
                }
                x = g
                    .apply(&format!("embed.{i}"), kernel, &arguments, &updates)?
                    .first()
                    .copied()
                    .unwrap_or(x);
                first += rows;
            }
            Ok(vec![x])
        })?;
        list.push(case.with("order", embed_grad::order(&ids)).with("ids", ids));
    }
    for (lanes, tokens, vocabulary, shards) in [(1, 4, 7, &[7][..]), (2, 35, 301, &[100, 201])] {
        let call = start(lanes, tokens);
        let mut targets = Rng(tokens as u64).tokens(lanes * tokens, vocabulary);
        targets[1] = UNSCORED;
        let case = Differentiable::new(format!("nll {lanes}x{tokens} {vocabulary}"), &call, |g| {
            let (x, bias) =
                (matrix(g, "x", Unit::Rows, 8), g.parameter("bias", DType::F32, shape![vocabulary]));
            let logits = linear(
                g,
                x,
                &Linear { addend: Addend::Bias, ..Linear::new(8, vocabulary) },
                &[bias],
                shards,
            )?;
            let targets = g.input("targets", TensorType::u32(shape![Unit::Rows]));
            Ok(vec![g.apply1("nll", Nll { vocabulary }, &[logits, targets])?])
        })?;
        list.push(case.with("targets", targets));
        list.push(Differentiable::new(format!("divergence {lanes}x{tokens} {vocabulary}"), &call, |g| {
            let x = matrix(g, "x", Unit::Rows, 8);
            let logits = linear(g, x, &Linear::new(8, vocabulary), &[], shards)?;
            let teacher = g.input("teacher", TensorType::f32(shape![Unit::Rows, vocabulary]));
            Ok(vec![g.apply1("divergence", Divergence { vocabulary }, &[logits, teacher])?])
        })?);
    }
    Ok(list)
}

/// Parameters of the optimiser's graph: shape, and which ranges do not decay.
#[allow(clippy::single_range_in_vec_init, reason = "a list of one range")]
pub fn optimised() -> Vec<(Shape, Vec<std::ops::Range<usize>>)> {
    vec![
        (shape![9, 100], vec![]),
        (shape![7], vec![0..7]),
        (shape![3, 5, 1000], vec![3..40, 4090..4100, 14_000..15_000]),
        (shape![1], vec![]),
    ]
}

/// One step of the optimiser on parameters `p.{i}`, with the states `m.{i}`, `v.{i}`, `gradient.{i}`, `norms`
/// and `clip`; clears the state `carry`.
///
/// # Errors
/// None: the shapes fit.
pub fn optimiser() -> Result<Graph> {
    let mut g = Graph::new();
    let parameters = optimised();
    let settings = g.input("settings", TensorType::f32(shape![SETTINGS]));
    let (sums, clip) = (
        g.state("norms", Purpose::Norm, norms(parameters.len())),
        g.state("clip", Purpose::Norm, TensorType::f32(shape![CLIP])),
    );
    let gradients: Vec<TensorId> = parameters
        .iter()
        .enumerate()
        .map(|(i, (shape, _))| {
            g.state(&format!("gradient.{i}"), Purpose::Gradient, TensorType::f32(shape.clone()))
        })
        .collect();
    let elements = |shape: &Shape| shape.0.iter().map(|e| e.factor).product();
    for (index, (shape, _)) in parameters.iter().enumerate() {
        g.apply("squares", SquareSums { elements: elements(shape), index }, &[gradients[index]], &[sums])?;
    }
    g.apply("clip_factor", ClipFactor { parameters: parameters.len() }, &[sums, settings], &[clip])?;
    for (i, (shape, kept)) in parameters.iter().enumerate() {
        let p = g.state(&format!("p.{i}"), Purpose::Weight, TensorType::f32(shape.clone()));
        let [m, v] = ["m", "v"]
            .map(|name| g.state(&format!("{name}.{i}"), Purpose::Moment, TensorType::f32(shape.clone())));
        let elements = elements(shape);
        let decay = match kept.first() {
            None => Decay::All,
            Some(range) if range.len() == elements => Decay::None,
            Some(_) => Decay::Except(kept.len()),
        };
        let mut inputs = vec![settings, clip];
        if let Decay::Except(n) = decay {
            inputs.push(g.constant_u32(&format!("kept.{i}"), shape![n, 2], ranges(kept).into()));
        }
        g.apply("adamw", AdamW { elements, decay }, &inputs, &[p, m, v, gradients[i]])?;
    }
    let ty = TensorType::f32(shape![Unit::Slots, 3, 70]);
    let carry = g.state("carry", Purpose::Carry, ty.clone());
    g.apply("clear", Clear { ty, range: None }, &[], &[carry])?;
    Ok(g)
}

/// A case of it, in the middle of a run.
///
/// # Errors
/// None: the shapes fit.
pub(super) fn optimiser_case() -> Result<Case> {
    let capacity = Capacity { lanes: 1, tokens: 1, slots: 2, context: 0 };
    let graph = optimiser()?;
    let given = graph.clone();
    Ok(Case::new("optimiser", graph, capacity, start(1, 1), move || {
        let mut rng = Rng(7);
        let mut data = Data::new();
        let second_moments: Vec<String> = (0..optimised().len()).map(|i| format!("v.{i}")).collect();
        for t in given.tensors.iter().filter(|t| matches!(t.role, Role::Parameter | Role::State(_))) {
            let mut values = rng.normals(t.ty.shape.elements(&capacity));
            if second_moments.contains(&t.name) {
                // A mean of squares.
                values.iter_mut().for_each(|x| *x = x.abs());
            }
            data.insert(t.name.clone(), bits(values).into());
        }
        let settings = Settings {
            learning_rate: 0.01,
            beta1: 0.9,
            beta2: 0.999,
            eps: 1e-8,
            weight_decay: 0.1,
            clip: 1.0,
        };
        data.insert("settings".into(), bits(settings.at(3)).into());
        Ok(data)
    }))
}

/// A student's outputs beside a teacher's, and the gradient of their relative error: one lane at the start of a text,
/// of which the first positions do not count, one behind them.
///
/// # Errors
/// None: the shapes fit.
pub(super) fn transfer_case() -> Result<Case> {
    let (width, tokens) = (12, 37);
    let capacity = Capacity { lanes: 2, tokens: tokens + 2, slots: 2, context: 0 };
    let mut g = Graph::new();
    let lanes = g.lanes(1);
    let [y, t] = ["y", "t"].map(|name| g.parameter(name, DType::F32, shape![Unit::Rows, width]));
    let kernel = TransferError { width, first: 20 };
    let errors = g.apply1("errors", kernel.clone(), &[y, t, lanes])?;
    let dy = g.apply1("dy", TransferErrorGrad(kernel), &[y, t, errors, lanes])?;
    g.output(errors, "squares");
    g.output(dy, "gradient");
    let mut call = start(2, tokens);
    call.lanes[1].position = 40;
    Ok(Case::new("attention transfer", g, capacity, call, move || {
        let mut rng = Rng(9);
        let mut data = Data::new();
        for name in ["y", "t"] {
            data.insert(name.into(), bits(rng.normals(2 * tokens * width)).into());
        }
        Ok(data)
    }))
}

/// The divergence itself, which its gradient does not read: of some rows, one of them the teacher's own.
///
/// # Errors
/// None: the shapes fit.
fn divergence_case(vocabulary: usize) -> Result<Case> {
    let rows = 9;
    let capacity = Capacity { lanes: 1, tokens: rows + 2, slots: 1, context: 0 };
    let mut g = Graph::new();
    let of = |g: &mut Graph, name| g.input(name, TensorType::f32(shape![Unit::Rows, vocabulary]));
    let both = [of(&mut g, "logits"), of(&mut g, "teacher")];
    let kl = g.apply1("divergence", Divergence { vocabulary }, &both)?;
    g.output(kl, "kl");
    Ok(Case::new(&format!("divergence of {vocabulary}"), g, capacity, start(1, rows), move || {
        let mut rng = Rng(11);
        let [logits, mut teacher] = [(); 2].map(|()| rng.normals(rows * vocabulary));
        teacher[..vocabulary].copy_from_slice(&logits[..vocabulary]);
        let both =
            [("logits".to_string(), bits(logits).into()), ("teacher".to_string(), bits(teacher).into())];
        Ok(Data::from_iter(both))
    }))
}
