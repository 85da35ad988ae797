//! Attention in training plans, forward and backward, in sizes that are no multiples of tiles; and attention
//! with a full mask.

use super::case::{Case, Data, bits};
use super::models::{RandomModel, plain_models, polysketch_models};
use super::random::Rng;
use crate::attention::{
    Attention, HeadLayout, Inputs, Kind, LocalAffinity, Mask, Mode, Norm, RopeScaling, Rotation, Sketch,
};
use crate::error::Result;
use crate::graph::{Graph, Purpose, Recompute, Role, TensorId};
use crate::kernels::dense::attention_dense::{AttentionDense, Keys};
use crate::kernels::pairs::pair_affinity::PairAffinity;
use crate::model::config::ModelConfig;
use crate::model::transformer;
use crate::model::weights;
use crate::shape;
use crate::tensor::{Call, Capacity, DType, Lane, TensorType, Unit};

use super::case::start;

/// Attention in a training plan, without rotation. `sketch` counts where the kind has one.
pub fn attention(
    heads: usize,
    head: usize,
    sketch: usize,
    block: usize,
    kind: Kind,
    gated: bool,
) -> Attention {
    let sketched = matches!(kind, Kind::Polysketch { .. });
    let layout = HeadLayout {
        heads,
        group: 1,
        head,
        size: head,
        exact: !matches!(kind, Kind::Polysketch { local_exact: false, .. }),
        normed: kind != Kind::Softmax,
        norm: Norm::LAYER,
        shared_norm: false,
        sketch: if sketched { sketch } else { 0 },
        sketch_normed: true,
        gated,
        rotation: Rotation::None,
        rotated: head,
        interleaved: false,
        block,
        near: 1,
        sinks: 0,
        sink_reach: 0,
        lead: 0,
    };
    let bias = if kind == Kind::Softmax { 0.0 } else { 1.0 };
    Attention { layout, kind, bias, theta: 1e4, scaling: RopeScaling::None, mask: Mask::Causal }
}

/// Attention whose gradients are checked; those that software adapters check too come first.
fn trained() -> Vec<Attention> {
    let sketch = |local_exact, scale| Kind::Polysketch {
        degree: 4,
        scale,
        local_exact,
        sketch: Sketch::Random { leaves: 1, gain: 1.0 },
    };
    let mut list = vec![
        attention(2, 12, 0, 8, Kind::Softmax, false),
        attention(1, 64, 32, 64, sketch(true, 0.125), true),
        attention(1, 64, 64, 40, sketch(false, 1.0), false),
        attention(2, 20, 0, 36, Kind::Taylor { degree: 2, scale: 0.05 }, false),
        attention(3, 12, 20, 12, Kind::Polynomial { degree: 4, scale: 0.3 }, true),
        attention(3, 12, 20, 12, Kind::Taylor { degree: 3, scale: 0.1 }, true),
        attention(1, 128, 16, 20, sketch(true, 0.1), false),
        // Its projection has no padding behind the gates.
        attention(4, 12, 8, 12, sketch(true, 0.3), true),
    ];
    // Groups of queries: of a scan, of a sketch, of softmax; tiles begin and end in the middle of one.
    let grouped = |group: usize, mut a: Attention| {
        a.layout.group = group;
        a
    };
    list.extend([
        grouped(3, attention(2, 12, 0, 12, Kind::Polynomial { degree: 2, scale: 0.3 }, true)),
        grouped(2, attention(1, 20, 8, 12, sketch(true, 0.3), true)),
        grouped(5, attention(2, 12, 0, 8, Kind::Softmax, false)),
    ]);
    list.extend([
        attention(1, 64, 0, 64, Kind::Softmax, false),
        attention(1, 256, 4, 8, sketch(true, 0.1), false),
    ]);
    for gated in [false, true] {
        let kinds = [sketch(true, 0.3), sketch(false, 1.0)].into_iter();
        let kinds = kinds.chain((1..=4).map(|degree| Kind::Taylor { degree, scale: 0.1 }));
        let kinds = kinds.chain([2, 4, 8].map(|degree| Kind::Polynomial { degree, scale: 0.3 }));
        for a in kinds.map(|kind| attention(3, 12, 20, 12, kind, gated)) {
            // Some are in the core already.
            if !list.contains(&a) {
                list.push(a);
            }
        }
    }
    list
}

/// How many of [`trained`] software adapters check.
const CORE: usize = 11;

pub(super) fn inputs(g: &mut Graph, a: &Attention, qkv: TensorId) -> Inputs {
    let lanes = g.lanes(1);
    let norms = g.parameter("norms", DType::F32, shape![4, a.layout.head]);
    let sketch = a.sketch_weights().map(|n| g.parameter("sketch", DType::F32, shape![n]));
    Inputs { qkv, lanes, norms: Some(norms), sketch }
}

fn differentiate(g: &mut Graph, o: TensorId) -> Result<()> {
    let seed = g.input("seed", g.tensors[o.0].ty.clone());
    g.backward(&[(o, seed)], &|_| true, Recompute::Nothing).map(drop)
}

/// An attention layer in a training plan, from its packed rows on, which are parameters; with its gradients
/// in [`Mode::Train`] and [`Mode::Transfer`].
///
/// # Errors
/// Where the layer is impossible.
pub fn from_packed_rows(a: &Attention, mode: Mode) -> Result<Graph> {
    let mut g = Graph::new();
    let qkv = g.input("qkv", TensorType::f32(shape![Unit::Rows, a.layout.qkv_width()]));
    let inputs = inputs(&mut g, a, qkv);
    let o = a.build(&mut g, "attention", mode, inputs, 0)?.output;
    // What comes before the rows goes.
    let pack = g.nodes.iter().position(|node| node.kernel.stem() == "pack_heads");
    let pack = pack.expect("every kind of attention packs its heads");
    for (id, name) in g.nodes[pack].outputs.clone().into_iter().zip(["queries", "keys"]) {
        let tensor = &mut g.tensors[id.0];
        (tensor.role, tensor.name) = (Role::Parameter, name.to_string());
    }
    g.nodes.drain(..=pack);
    if matches!(mode, Mode::Train | Mode::Transfer) {
        differentiate(&mut g, o)?;
    }
    g.output(o, "o");
    Ok(g)
}

/// The dense kernel with affinities that no kind of attention has: a Taylor polynomial of more features than
/// a state may have. With its gradients.
///
/// # Errors
/// Where the layout is impossible.
pub fn dense_taylor(l: &HeadLayout, scale: f64, degree: usize) -> Result<Graph> {
    let mut g = Graph::new();
    let lanes = g.lanes(1);
    let queries = g.parameter(
        "queries",
        DType::F32,
        shape![Unit::Lanes, l.heads, Unit::Tokens, l.group, l.query_width()],
    );
    let keys = g.parameter("keys", DType::F32, shape![Unit::Lanes, l.heads, l.window(), l.key_width()]);
    let affinity = PairAffinity::Kernel(LocalAffinity::Taylor { scale, degree });
    let kernel = AttentionDense { layout: l.clone(), affinity, bias: 1.0, keys: Keys::Window(Mask::Causal) };
    let o = g.apply1("attention", kernel, &[queries, keys, lanes])?;
    differentiate(&mut g, o)?;
    g.output(o, "o");
    Ok(g)
}

/// One call of a graph of [`from_packed_rows`]: the second lane in the middle of a text, unless the kind takes a
/// whole text at once. `unbroken`: gates are summed over the whole window, not from block to block.
pub fn of_rows(
    name: &str,
    graph: Graph,
    l: &HeadLayout,
    unbroken: bool,
    lanes: usize,
    tokens: usize,
) -> Case {
    let capacity = Capacity { lanes, tokens, slots: 2 * lanes, context: 0 };
    let whole = l.near > 1 || l.sinks > 0;
    let lane = |slot| Lane { slot, position: if whole { 0 } else { 3 * slot * l.block }, ring: 0 };
    let call = Call { lanes: (0..lanes).map(lane).collect(), tokens, lane_base: 0 };
    let (given, l) = (graph.clone(), l.clone());
    Case::new(name, graph, capacity, call, move || {
        let mut rng = Rng(7);
        let mut data = Data::new();
        for t in &given.tensors {
            let mut values = match t.role {
                Role::Input | Role::Parameter | Role::State(_) => rng.normals(t.ty.shape.elements(&capacity)),
                _ => continue,
            };
            if t.name == "keys" && l.gated {
                sum_gates(&mut values, &l, l.block + l.sinks + tokens, unbroken);
            }
            if t.role == Role::State(Purpose::Scan) {
                // Smaller than what the block itself gives: real states keep the normaliser away from zero,
                // these may not.
                values.iter_mut().for_each(|x| *x *= 0.05);
            }
            data.insert(t.name.clone(), bits(values).into());
        }
        Ok(data)
    })
}

/// Two lanes, the last block not full, and a block that is no longer near it.
pub(super) fn rows_of(name: &str, graph: Graph, l: &HeadLayout, unbroken: bool) -> Case {
    of_rows(name, graph, l, unbroken, 2, (l.near + 1) * l.block + 5)
}

/// Replaces the gate sums of key rows, in windows of so many, by sums that fall.
fn sum_gates(keys: &mut [f32], l: &HeadLayout, rows: usize, unbroken: bool) {
    for window in keys.chunks_mut(rows * l.key_width()) {
        let mut sum = 0.0f64;
        for (i, row) in window.chunks_mut(l.key_width()).enumerate() {
            sum = if i % l.block == 0 && !unbroken { 0.0 } else { sum }
                - 0.3 * f64::from(row[l.sum_offset()]).abs();
            let parts = [sum.floor() as f32, (sum - sum.floor()) as f32, 0.0, 0.0];
            row[l.sum_offset()..].copy_from_slice(&parts);
        }
    }
}

pub(super) fn described(a: &Attention) -> String {
    let l = &a.layout;
    let kind = match &a.kind {
        Kind::Softmax => "softmax".to_string(),
        Kind::Linearized { .. } => format!("linearized near={}+{}", l.near, l.sinks),
        Kind::Polynomial { degree, .. } => format!("polynomial p={degree}"),
        Kind::Taylor { degree, .. } => format!("taylor g={degree}"),
        Kind::Polysketch { local_exact, .. } => format!("sketch local={local_exact}"),
    };
    let gated = if l.gated { " gated" } else { "" };
    let group = if l.group > 1 { format!(" group={}", l.group) } else { String::new() };
    format!("{kind} h={} r={} b={}{gated}{group}", l.head, l.sketch, l.block)
}

/// A layer with a sketch, from its projections on, with its gradients: two lanes of `tokens`.
///
/// # Errors
/// Where the layer is impossible.
pub fn with_sketch(head: usize, r: usize, sketch: Sketch, gated: bool, tokens: usize) -> Result<Case> {
    in_blocks(16, [head, r], sketch, gated, tokens)
}

/// The same with blocks of so many tokens.
fn in_blocks(
    block: usize,
    [head, r]: [usize; 2],
    sketch: Sketch,
    gated: bool,
    tokens: usize,
) -> Result<Case> {
    let learned = matches!(sketch, Sketch::Learned { .. });
    let kind = Kind::Polysketch { degree: 4, scale: 0.125, local_exact: true, sketch };
    let a = attention(1, head, r, block, kind, gated);
    let mut g = Graph::new();
    let qkv = g.parameter("qkv", DType::F32, shape![Unit::Rows, a.layout.qkv_width()]);
    let inputs = inputs(&mut g, &a, qkv);
    let o = a.build(&mut g, "attention", Mode::Train, inputs, 0)?.output;
    differentiate(&mut g, o)?;
    let word = if learned { "learned" } else { "random" };
    let blocks = if block == 16 { String::new() } else { format!(" b={block}") };
    let name = format!("{word} sketch h={head} r={r}{blocks}");
    Ok(from_projections(&name, g, tokens))
}

/// The case of a graph from projections on: two lanes of `tokens`, from the start of a text.
pub(super) fn from_projections(name: &str, g: Graph, tokens: usize) -> Case {
    let capacity = Capacity { lanes: 2, tokens, slots: 2, context: 0 };
    let given = g.clone();
    Case::new(name, g, capacity, start(2, tokens), move || {
        let mut rng = Rng(5);
        let mut data = Data::new();
        for t in &given.tensors {
            if !matches!(t.role, Role::Input | Role::Parameter | Role::State(_)) {
                continue;
            }
            let mut values = rng.normals(t.ty.shape.elements(&capacity));
            if t.name == "sketch" {
                // Larger weights would leave the sketch no slope.
                values.iter_mut().for_each(|x| *x *= 0.2);
            }
            data.insert(t.name.clone(), bits(values).into());
        }
        Ok(data)
    })
}

/// Attention alone with a full mask: only the library has it.
///
/// # Errors
/// Where the layer is impossible.
pub fn full_mask(config: &ModelConfig) -> Result<Option<Graph>> {
    let attention = transformer::attention(config).with_mask(Mask::Full);
    let l = attention.layout.clone();
    if l.gated || config.attention.local_exact || config.linearized.is_some() {
        return Ok(None);
    }
    let mut g = Graph::new();
    let qkv = g.input("qkv", TensorType::f32(shape![Unit::Rows, l.qkv_width()]));
    let lanes = g.lanes(1);
    let norms = l.normed.then(|| g.parameter("norms", DType::F32, shape![4, l.head]));
    let sketch = attention.sketch_weights().map(|n| g.parameter("sketch", DType::F32, shape![n]));
    let inputs = Inputs { qkv, lanes, norms, sketch };
    let o = attention.build(&mut g, "attention", Mode::Prefill, inputs, 0)?.output;
    g.output(o, "o");
    Ok(Some(g))
}

/// Lanes and tokens of the calls with a full mask.
pub const FULL_MASK: (usize, usize) = (2, 37);

/// The models whose attention is also run with a full mask: a kind each, and sketches.
pub fn full_mask_models() -> Vec<RandomModel> {
    const KINDS: [&str; 6] = [
        "softmax h=12 ",
        "polynomial p=4 h=4",
        "polynomial p=2 h=16",
        "taylor g=1 h=64",
        "taylor g=2 h=16",
        "taylor g=4 h=4",
    ];
    let mut list: Vec<RandomModel> =
        plain_models().into_iter().filter(|m| KINDS.iter().any(|kind| m.name.starts_with(kind))).collect();
    let sketched = polysketch_models().into_iter().filter(|m| m.name.contains("local=false gate=none"));
    list.extend(sketched.step_by(9));
    list
}

/// The case of a model's attention with a full mask: its first layer's weights, random `qkv`.
///
/// # Errors
/// Where the layer is impossible.
pub fn full_mask_case(model: &RandomModel) -> Result<Option<Case>> {
    let config = model.parsed();
    let Some(graph) = full_mask(&config)? else { return Ok(None) };
    let (lanes, tokens) = FULL_MASK;
    let capacity = Capacity { lanes, tokens: tokens + 3, slots: lanes, context: 0 };
    let model = model.clone();
    let name = format!("{} full mask", model.name);
    Ok(Some(Case::new(&name, graph, capacity, start(lanes, tokens), move || {
        let config = model.parsed();
        let attention = transformer::attention(&config);
        let source = model.source();
        let mut data = Data::new();
        for packed in weights::packed(&config, &attention, DType::F32, usize::MAX) {
            if let Some(name) = packed.name.strip_prefix("layers.0.") {
                data.insert(name.to_string(), packed.words(&source.checkpoint)?.into());
            }
        }
        let mut rng = Rng(model.seed);
        let qkv = rng.normals(lanes * tokens * attention.layout.qkv_width());
        data.insert("qkv".into(), bits(qkv).into());
        Ok(data)
    })))
}

/// All of them.
pub(super) fn cases() -> Result<Vec<Case>> {
    let mut list = Vec::new();
    for (at, a) in trained().iter().enumerate() {
        let case = |mode, what: &str| -> Result<Case> {
            let name = format!("{} {what}", described(a));
            let case = rows_of(&name, from_packed_rows(a, mode)?, &a.layout, a.has_cache());
            Ok(if at < CORE { case } else { case.wide() })
        };
        list.push(case(Mode::Train, "train")?);
        list.push(case(Mode::Forward, "forward")?);
    }
    let l = attention(2, 12, 0, 8, Kind::Polynomial { degree: 4, scale: 0.3 }, true).layout;
    list.push(rows_of("dense taylor", dense_taylor(&l, 0.1, 3)?, &l, true));
    // As models have them: their matrices are larger than tiles.
    let learned = |expansion| Sketch::Learned { levels: 2, expansion };
    list.push(with_sketch(64, 32, learned(8), false, 55)?);
    list.push(with_sketch(48, 12, learned(4), false, 55)?);
    // Few vectors, two and four of them a workgroup.
    list.push(with_sketch(36, 8, learned(4), false, 11)?);
    list.push(with_sketch(20, 12, learned(3), true, 16)?);
    list.push(with_sketch(20, 12, Sketch::Random { leaves: 2, gain: 0.3 }, true, 41)?);
    // As many tokens as get the largest cut on a device that does not tell its processors.
    list.push(in_blocks(64, [20, 12], Sketch::Random { leaves: 1, gain: 0.3 }, true, 4090)?);
    for model in full_mask_models() {
        list.extend(full_mask_case(&model)?);
    }
    Ok(list)
}

/// Attention over all pairs whose gradients take several dispatches where loops may not be long.
///
/// # Errors
/// None: the shapes fit.
pub fn long_loops() -> Result<Vec<Case>> {
    let list = [
        attention(1, 64, 0, 64, Kind::Softmax, false),
        attention(2, 12, 0, 64, Kind::Polynomial { degree: 4, scale: 0.3 }, true),
    ];
    list.iter()
        .map(|a| {
            let name = format!("{} long", described(a));
            Ok(rows_of(&name, from_packed_rows(a, Mode::Train)?, &a.layout, true))
        })
        .collect()
}
