//! Small graphs of the row-wise operations whose gradients are checked, and the optimiser's operations.

use polysketch::graph::{Graph, Purpose, Recompute, TensorId};
use polysketch::kernels::linear::linear::{Addend, Linear};
use polysketch::kernels::optimizer::adamw::{AdamW, Decay, SETTINGS, ranges};
use polysketch::kernels::optimizer::clip_factor::{CLIP, ClipFactor};
use polysketch::kernels::optimizer::square_sums::{SquareSums, norms};
use polysketch::kernels::rows::clear::Clear;
use polysketch::kernels::rows::embed::Embed;
use polysketch::kernels::rows::embed_grad;
use polysketch::kernels::rows::glu::Glu;
use polysketch::kernels::rows::layer_norm::LayerNorm;
use polysketch::kernels::rows::nll::{Nll, UNSCORED};
use polysketch::shape;
use polysketch::tensor::{Call, DType, Extent, Lane, Shape, TensorType, Unit};

use super::gradient::{Gradients, Named};
use super::random_model::Rng;

/// A call of some lanes from the start.
pub fn start(lanes: usize, tokens: usize) -> Call {
    Call { lanes: (0..lanes).map(|slot| Lane { slot, position: 0, ring: 0 }).collect(), tokens, lane_base: 0 }
}

/// A graph whose gradients are wanted: it, its outputs, and the integers it reads.
pub struct Case {
    pub name: String,
    graph: Graph,
    outputs: Vec<TensorId>,
    call: Call,
    inputs: Vec<Named>,
}

impl Case {
    fn new(name: impl Into<String>, call: &Call, build: impl FnOnce(&mut Graph) -> Vec<TensorId>) -> Self {
        let mut graph = Graph::new();
        let outputs = build(&mut graph);
        Self { name: name.into(), graph, outputs, call: call.clone(), inputs: Vec::new() }
    }

    fn with(mut self, name: &str, words: Vec<u32>) -> Self {
        self.inputs.push((name.to_string(), words));
        self
    }

    pub fn gradients(&self, recompute: Recompute) -> Gradients {
        Gradients::new(self.graph.clone(), &self.outputs, recompute, self.call.clone(), self.inputs.clone())
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
    addend: Option<TensorId>,
    shards: &[usize],
) -> TensorId {
    let (mut first, mut y) = (0, x);
    for (i, &shard) in shards.iter().enumerate() {
        let w = matrix(g, &format!("w.{i}"), shard, kernel.inputs);
        let arguments: Vec<TensorId> = [Some(x), Some(w), addend].into_iter().flatten().collect();
        let updates = if first == 0 { vec![] } else { vec![y] };
        let outputs = g
            .apply(&format!("linear.{i}"), Linear { first, shard, ..kernel.clone() }, &arguments, &updates)
            .unwrap();
        y = outputs.first().copied().unwrap_or(y);
        first += shard;
    }
    y
}

/// Several lanes, rows that are no multiples of tiles or parts, shards, gradients that are added to others.
pub fn cases() -> Vec<Case> {
    let mut list = Vec::new();
    for (lanes, tokens, inputs, shards) in
        [(1, 3, 8, &[12][..]), (2, 70, 20, &[9]), (3, 41, 12, &[7, 30, 7]), (2, 130, 36, &[52])]
    {
        let (call, outputs) = (start(lanes, tokens), shards.iter().sum());
        for addend in [Addend::None, Addend::Bias, Addend::Residual] {
            list.push(Case::new(
                format!("linear {lanes}x{tokens} {inputs} {shards:?} {addend:?}"),
                &call,
                |g| {
                    let x = matrix(g, "x", Unit::Rows, inputs);
                    let added = match addend {
                        Addend::None => None,
                        Addend::Bias => Some(g.parameter("bias", DType::F32, shape![outputs])),
                        Addend::Residual => Some(matrix(g, "residual", Unit::Rows, outputs)),
                    };
                    vec![linear(g, x, &Linear { addend, ..Linear::new(inputs, outputs) }, added, shards)]
                },
            ));
        }
        // Lanes count the rows; and a fresh gradient of x in the middle of a graph.
        list.push(Case::new(format!("linear of lanes {lanes} {inputs} {shards:?}"), &call, |g| {
            let (x, norm) = (matrix(g, "x", Unit::Lanes, inputs), matrix(g, "norm", 2, inputs));
            let y = g.apply1("norm", LayerNorm { width: inputs, rows: Unit::Lanes }, &[x, norm]).unwrap();
            let bias = g.parameter("bias", DType::F32, shape![outputs]);
            let kernel = Linear { addend: Addend::Bias, rows: Unit::Lanes, ..Linear::new(inputs, outputs) };
            vec![linear(g, y, &kernel, Some(bias), shards)]
        }));
        // A layer of a decoder: x is read twice, so its gradient is fresh once and then added to.
        list.push(Case::new(format!("layer {lanes}x{tokens} {inputs}"), &call, |g| {
            let (x, norm) = (matrix(g, "x", Unit::Rows, inputs), matrix(g, "norm", 2, inputs));
            let x = linear(g, x, &Linear::new(inputs, inputs), None, &[inputs]);
            let first = g.nodes.len();
            let y = g.apply1("y", LayerNorm { width: inputs, rows: Unit::Rows }, &[x, norm]).unwrap();
            let (up, down) = (matrix(g, "up", 2 * 16, inputs), matrix(g, "down", inputs, 16));
            let both = g.apply1("both", Linear::new(inputs, 32), &[y, up]).unwrap();
            let z = g.apply1("z", Glu { width: 16 }, &[both]).unwrap();
            let out = g
                .apply1("out", Linear { addend: Addend::Residual, ..Linear::new(16, inputs) }, &[z, down, x])
                .unwrap();
            g.section(first);
            vec![out]
        }));
    }
    // Gradients that are handed on whole: added in place, and not, where the sum so far is someone else's
    // too.
    list.push(Case::new("sums", &start(2, 5), |g| {
        let (a, b) = (matrix(g, "a", Unit::Rows, 8), matrix(g, "b", 8, 8));
        let x = g.apply1("x", Linear::new(8, 8), &[a, b]).unwrap();
        let left = g.apply1("left", Glu { width: 4 }, &[x]).unwrap();
        let right = g.apply1("right", Glu { width: 4 }, &[x]).unwrap();
        let (c, d) = (matrix(g, "c", 4, 4), matrix(g, "d", 8, 4));
        let twice = g
            .apply1("twice", Linear { addend: Addend::Residual, ..Linear::new(4, 4) }, &[left, c, left])
            .unwrap();
        vec![
            twice,
            g.apply1("sum", Linear { addend: Addend::Residual, ..Linear::new(4, 8) }, &[right, d, x])
                .unwrap(),
        ]
    }));
    for (lanes, tokens, width, shards) in [(1, 5, 4, &[11][..]), (3, 30, 68, &[4, 5, 3]), (2, 65, 260, &[11])]
    {
        let call = start(lanes, tokens);
        let mut rng = Rng(width as u64);
        // Not every id is in the table.
        let ids = rng.tokens(lanes * tokens, 13);
        let case = Case::new(format!("embed {lanes}x{tokens} {width} {shards:?}"), &call, |g| {
            let ids = g.input("ids", TensorType::u32(shape![Unit::Rows]));
            let lanes = g.lanes(1);
            let (mut first, mut x) = (0, ids);
            for (i, &rows) in shards.iter().enumerate() {
                let table = matrix(g, &format!("embedding.{i}"), rows, width);
                let kernel =
                    Embed { width, first, rows, dtype: DType::F32, sinusoidal: false, by_slot: false };
                let updates = if first == 0 { vec![] } else { vec![x] };
                x = g
                    .apply(&format!("embed.{i}"), kernel, &[ids, lanes, table], &updates)
                    .unwrap()
                    .first()
                    .copied()
                    .unwrap_or(x);
                first += rows;
            }
            vec![x]
        });
        list.push(case.with("order", embed_grad::order(&ids)).with("ids", ids));
    }
    for (lanes, tokens, vocabulary, shards) in [(1, 4, 7, &[7][..]), (2, 35, 301, &[100, 201])] {
        let call = start(lanes, tokens);
        let mut targets = Rng(tokens as u64).tokens(lanes * tokens, vocabulary);
        targets[1] = UNSCORED;
        let case = Case::new(format!("nll {lanes}x{tokens} {vocabulary}"), &call, |g| {
            let (x, bias) =
                (matrix(g, "x", Unit::Rows, 8), g.parameter("bias", DType::F32, shape![vocabulary]));
            let logits = linear(
                g,
                x,
                &Linear { addend: Addend::Bias, ..Linear::new(8, vocabulary) },
                Some(bias),
                shards,
            );
            let targets = g.input("targets", TensorType::u32(shape![Unit::Rows]));
            vec![g.apply1("nll", Nll { vocabulary }, &[logits, targets]).unwrap()]
        });
        list.push(case.with("targets", targets));
    }
    list
}

/// Parameters of the optimiser's graph: shape, and which ranges do not decay.
#[allow(clippy::single_range_in_vec_init)]
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
pub fn optimiser() -> Graph {
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
        g.apply("squares", SquareSums { elements: elements(shape), index }, &[gradients[index]], &[sums])
            .unwrap();
    }
    g.apply("clip_factor", ClipFactor { parameters: parameters.len() }, &[sums, settings], &[clip]).unwrap();
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
        g.apply("adamw", AdamW { elements, decay }, &inputs, &[p, m, v, gradients[i]]).unwrap();
    }
    let ty = TensorType::f32(shape![Unit::Slots, 3, 70]);
    let carry = g.state("carry", Purpose::Carry, ty.clone());
    g.apply("clear", Clear { ty, range: None }, &[], &[carry]).unwrap();
    g
}
