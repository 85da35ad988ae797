//! Kernels in the forms that no model of today asks for, but a caller may: each as a graph of its own.

use super::case::{Case, Data, bits};
use super::random::Rng;
use crate::attention::{HeadLayout, LocalAffinity, RopeScaling, Rotation};
use crate::error::Result;
use crate::graph::{Graph, Role};
use crate::kernels::cpu::{Activation, Norm};
use crate::kernels::dense::attention_dense::{AttentionDense, Keys};
use crate::kernels::dense::attention_dense_decode::AttentionDenseDecode;
use crate::kernels::dense::attention_dense_merge::AttentionDenseMerge;
use crate::kernels::heads::gate_prefix::{Carried, GatePrefix};
use crate::kernels::heads::join_columns::JoinColumns;
use crate::kernels::heads::layout::{DIGITS, rotation_table};
use crate::kernels::linear::linear::{Addend, Linear};
use crate::kernels::pairs::mask::Mask;
use crate::kernels::pairs::pair_affinity::PairAffinity;
use crate::kernels::rows::embed::{Embed, Positions};
use crate::kernels::rows::multiply_add::MultiplyAdd;
use crate::shape;
use crate::tensor::{Call, Capacity, DType, Lane, Quant, TensorId, TensorType, Unit};

/// The heads of them all.
fn layout() -> HeadLayout {
    HeadLayout {
        heads: 2,
        group: 1,
        head: 12,
        size: 12,
        exact: true,
        normed: true,
        norm: Norm::LAYER,
        shared_norm: false,
        sketch: 0,
        sketch_normed: false,
        gated: true,
        rotation: Rotation::None,
        rotated: 12,
        interleaved: false,
        block: 16,
        near: 1,
        sinks: 0,
        sink_reach: 0,
        lead: 0,
    }
}

/// Rows of lanes, not of tokens; both types of weights, with and without a bias.
fn linears(list: &mut Vec<(String, Graph)>) -> Result<()> {
    for (dtype, addend) in
        [DType::F32, DType::F16].into_iter().flat_map(|d| [(d, Addend::None), (d, Addend::Bias)])
    {
        let mut g = Graph::new();
        let x = g.input("x", TensorType::f32(shape![Unit::Lanes, 20]));
        let w = g.parameter("w", dtype, shape![9, 20]);
        let bias = (addend == Addend::Bias).then(|| g.parameter("bias", DType::F32, shape![9]));
        let arguments: Vec<_> = [Some(x), Some(w), bias].into_iter().flatten().collect();
        let kernel = Linear { dtype, addend, rows: Unit::Lanes, ..Linear::new(20, 9) };
        let y = g.apply1("y", kernel, &arguments)?;
        g.output(y, "y");
        list.push((format!("linear of lanes {dtype:?} {addend:?}"), g));
    }
    Ok(())
}

/// Few rows with the second half of what an adapter adds.
fn updates(list: &mut Vec<(String, Graph)>) -> Result<()> {
    const COLUMNS: usize = 40;
    const OUTPUTS: usize = 9;
    const RANK: usize = 72;
    let quants = [(4, true), (8, false)].map(|(bits, minimum)| {
        DType::Quant(Quant { bits, block: 32, wide: false, minimum, columns: COLUMNS as u32 })
    });
    for dtype in [DType::F32, DType::F16].into_iter().chain(quants) {
        for norm in [None, Some(Norm::rms(1e-5))] {
            let mut g = Graph::new();
            let x = g.input("x", TensorType::f32(shape![Unit::Rows, COLUMNS]));
            let w = g.parameter("w", dtype, shape![OUTPUTS, COLUMNS]);
            let (weights, added) = match norm {
                Some(_) => (
                    Some(g.parameter("norm", DType::F32, shape![2, COLUMNS])),
                    g.parameter("bias", DType::F32, shape![OUTPUTS]),
                ),
                None => (None, g.input("residual", TensorType::f32(shape![Unit::Rows, OUTPUTS]))),
            };
            let low = g.input("low", TensorType::f32(shape![Unit::Rows, RANK]));
            let b = g.parameter("b", DType::F32, shape![OUTPUTS, RANK]);
            let addend = if norm.is_some() { Addend::Bias } else { Addend::Residual };
            let kernel = Linear { dtype, addend, norm, update: Some(RANK), ..Linear::new(COLUMNS, OUTPUTS) };
            let arguments: Vec<_> =
                [Some(x), Some(w), weights, Some(added), Some(low), Some(b)].into_iter().flatten().collect();
            let y = g.apply1("y", kernel, &arguments)?;
            g.output(y, "y");
            list.push((format!("linear with an update {dtype:?} norm={}", norm.is_some()), g));
        }
    }
    Ok(())
}

/// Matrices of 4 and 8 bits, whose rows are no multiple of a group: products of many rows and of few with all
/// that they add and fuse, and embeddings.
fn quantised(list: &mut Vec<(String, Graph)>) -> Result<()> {
    const COLUMNS: usize = 40;
    let form = |bits, block, wide, minimum| Quant { bits, block, wide, minimum, columns: COLUMNS as u32 };
    let forms = [
        form(4, 32, false, true),
        form(8, 32, false, false),
        form(4, 32, false, false),
        form(4, 32, true, true),
        form(8, 16, true, false),
        form(8, 32, false, true),
    ];
    for (at, quant) in forms.into_iter().enumerate() {
        let dtype = DType::Quant(quant);
        let name = format!(
            "{} blocks of {} wide={} minimum={}",
            quant.name(),
            quant.block,
            quant.wide,
            quant.minimum
        );
        // The first of each size with everything, the others alone.
        let all = at < 2;
        let addends = [Addend::None, Addend::Bias, Addend::Residual, Addend::Both];
        let fused = [(false, false), (true, false), (true, true)];
        for (rows, addend) in
            [Unit::Rows, Unit::Lanes].into_iter().flat_map(|rows| addends.map(|a| (rows, a)))
        {
            for (norm, gated) in fused {
                let few = rows == Unit::Lanes;
                let exists = match (norm, gated) {
                    (false, _) => true,
                    (true, false) => few && !addend.residual(),
                    (true, true) => few && addend == Addend::None,
                };
                if !exists || !(all || (addend == Addend::None && !norm)) {
                    continue;
                }
                let mut g = Graph::new();
                let outputs = 9;
                let x = g.input("x", TensorType::f32(shape![rows, COLUMNS]));
                let w = g.parameter("w", dtype, shape![outputs * if gated { 2 } else { 1 }, COLUMNS]);
                let weights = norm.then(|| g.parameter("norm", DType::F32, shape![2, COLUMNS]));
                let bias = addend.bias().then(|| g.parameter("bias", DType::F32, shape![outputs]));
                let residual =
                    addend.residual().then(|| g.input("residual", TensorType::f32(shape![rows, outputs])));
                let arguments: Vec<_> =
                    [Some(x), Some(w), weights, bias, residual].into_iter().flatten().collect();
                let kernel = Linear {
                    dtype,
                    addend,
                    rows,
                    norm: norm.then_some(Norm::rms(1e-5)),
                    gated: gated.then_some(Activation::Silu),
                    ..Linear::new(COLUMNS, outputs)
                };
                let y = g.apply1("y", kernel, &arguments)?;
                g.output(y, "y");
                list.push((format!("linear {name} {rows:?} {addend:?} norm={norm} gated={gated}"), g));
            }
        }
        for positions in [Positions::None, Positions::Sinusoidal, Positions::Learned(64)] {
            if !all && positions != Positions::None {
                continue;
            }
            let mut g = Graph::new();
            let ids = g.input("ids", TensorType::u32(shape![Unit::Rows]));
            let lanes = g.lanes(1);
            let table = g.parameter("table", dtype, shape![IDS, COLUMNS]);
            let mut arguments = vec![ids, lanes, table];
            match positions {
                Positions::None => {}
                Positions::Sinusoidal => {
                    let turns = rotation_table(&RopeScaling::None.frequencies(COLUMNS, 1e4));
                    let shape = shape![DIGITS * 256, COLUMNS / 2, 2];
                    arguments.push(g.constant_f32("constant.positions", shape, &turns));
                }
                Positions::Learned(n) => {
                    arguments.push(g.parameter("positions", DType::F32, shape![n, COLUMNS]));
                }
            }
            let kernel = Embed { width: COLUMNS, first: 0, rows: IDS, dtype, positions, by_slot: false };
            let x = g.apply1("x", kernel, &arguments)?;
            g.output(x, "x");
            list.push((format!("embed {name} {positions:?}"), g));
        }
    }
    Ok(())
}

/// Token ids of these cases are below it.
const IDS: usize = 9;

fn gates(list: &mut Vec<(String, Graph)>) -> Result<()> {
    let l = layout();
    for unbroken in [false, true] {
        let mut g = Graph::new();
        let qkv = g.input("qkv", TensorType::f32(shape![Unit::Rows, l.qkv_width()]));
        let lanes = g.lanes(1);
        let kernel = GatePrefix { layout: l.clone(), carried: Carried::Nothing, unbroken };
        let sums = g.apply1("sums", kernel, &[qkv, lanes])?;
        g.output(sums, "sums");
        list.push((format!("gate prefix unbroken={unbroken}"), g));
    }
    Ok(())
}

fn joined(list: &mut Vec<(String, Graph)>) -> Result<()> {
    for gated in [false, true] {
        let l = HeadLayout { gated, ..layout() };
        let mut g = Graph::new();
        let mut parts: Vec<_> = ["q", "k", "v"]
            .iter()
            .map(|name| g.input(name, TensorType::f32(shape![Unit::Rows, l.width()])))
            .collect();
        if gated {
            parts.push(g.input("gate", TensorType::f32(shape![Unit::Rows, l.heads])));
        }
        let qkv = g.apply1("qkv", JoinColumns { layout: l }, &parts)?;
        g.output(qkv, "qkv");
        list.push((format!("join columns gated={gated}"), g));
    }
    Ok(())
}

/// Keys that a cache of 64 rows holds.
const CACHE: usize = 64;

fn dense(list: &mut Vec<(String, Graph)>) -> Result<()> {
    let l = layout();
    let affinity = PairAffinity::Kernel(LocalAffinity::Taylor { scale: 0.3, degree: 2 });
    // Gates are of causal attention only.
    let ungated = HeadLayout { gated: false, ..layout() };
    for (l, place) in [(&l, Keys::Cache(CACHE)), (&ungated, Keys::Window(Mask::Full))] {
        let (mut g, arguments) = rows(l, place);
        let kernel = AttentionDense { layout: l.clone(), affinity, bias: 1.0, keys: place };
        let o = g.apply1("o", kernel, &arguments)?;
        g.output(o, "o");
        list.push((format!("dense taylor {place:?}"), g));
    }
    let place = Keys::Cache(CACHE);
    let (mut g, arguments) = rows(&l, place);
    let kernel = AttentionDense { layout: l, affinity, bias: 1.0, keys: place };
    let parts = g.apply1("parts", AttentionDenseDecode(kernel.clone()), &arguments)?;
    let o = g.apply1("o", AttentionDenseMerge(kernel), &[parts])?;
    g.output(o, "o");
    list.push((ONE_TOKEN.to_string(), g));
    Ok(())
}

/// The graph that takes one token a lane.
const ONE_TOKEN: &str = "dense taylor, one token";

/// Query rows, key rows and the lane table.
fn rows(l: &HeadLayout, place: Keys) -> (Graph, [TensorId; 3]) {
    let mut g = Graph::new();
    let lanes = g.lanes(1);
    let queries = shape![Unit::Lanes, l.heads, Unit::Tokens, l.query_width()];
    let queries = g.input("queries", TensorType::f32(queries));
    let keys = match place {
        Keys::Cache(rows) => shape![Unit::Slots, l.heads, rows, l.key_width()],
        _ => shape![Unit::Lanes, l.heads, l.window(), l.key_width()],
    };
    let keys = g.input("keys", TensorType::f32(keys));
    (g, [queries, keys, lanes])
}

/// All graphs, with their names.
///
/// # Errors
/// None: the shapes fit.
pub fn graphs() -> Result<Vec<(String, Graph)>> {
    let mut list = Vec::new();
    linears(&mut list)?;
    updates(&mut list)?;
    quantised(&mut list)?;
    gates(&mut list)?;
    joined(&mut list)?;
    dense(&mut list)?;
    let mut peak = Graph::new();
    let sums = peak.apply1("peak", MultiplyAdd { groups: 2, steps: 16 }, &[])?;
    peak.output(sums, "sums");
    list.push(("multiply add".to_string(), peak));
    Ok(list)
}

/// All cases: two lanes, some tokens from the start, or one in the middle of a text.
pub(super) fn cases() -> Result<Vec<Case>> {
    let case = |(name, graph): (String, Graph)| {
        let (tokens, position) = if name == ONE_TOKEN { (1, 40) } else { (17, 0) };
        let capacity = Capacity { lanes: 2, tokens: tokens + 3, slots: 2, context: CACHE };
        let lanes = [0, 1].map(|slot| Lane { slot, position: position + slot, ring: 0 });
        let call = Call { lanes: lanes.to_vec(), tokens, lane_base: 0 };
        let given = graph.clone();
        Case::new(&format!("alone {name}"), graph, capacity, call, move || Ok(data(&given, &capacity)))
    };
    Ok(graphs()?.into_iter().map(case).collect())
}

/// Random numbers for everything that a graph reads.
fn data(graph: &Graph, capacity: &Capacity) -> Data {
    let mut rng = Rng(11);
    let mut data = Data::new();
    for t in &graph.tensors {
        if !matches!(t.role, Role::Input | Role::Parameter | Role::State(_)) {
            continue;
        }
        let elements = t.ty.shape.elements(capacity);
        let words = match t.ty.dtype {
            DType::F16 => {
                let half = |x: f32| u32::from(half::f16::from_f32(x).to_bits());
                let values = rng.normals(elements.next_multiple_of(2));
                values.chunks(2).map(|pair| half(pair[0]) | half(pair[1]) << 16).collect()
            }
            DType::Quant(quant) => {
                let mut words = vec![0; t.ty.dtype.bytes(elements) / 4];
                let values = rng.normals(elements);
                let rows = values.chunks(quant.columns()).zip(words.chunks_mut(quant.row_words()));
                for (values, row) in rows {
                    // A normal number fits every form.
                    quant.round(values, row);
                }
                words
            }
            DType::U32 => rng.tokens(elements, IDS),
            DType::F32 => bits(rng.normals(elements)),
        };
        data.insert(t.name.clone(), words.into());
    }
    data
}
