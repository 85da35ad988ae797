//! Linearised attention (SPEC §10): whole texts in training plans, forward and backward; its sketch with gradients;
//! and reading and writing on top of the state that real prefixes leave.

use super::attention_cases::{described, from_packed_rows, from_projections, inputs, rows_of};
use super::case::{Case, Data, bits};
use super::random::Rng;
use crate::attention::{Attention, Kind, Mode, Norm, Rotation};
use crate::error::Result;
use crate::exec::{CpuExecutor, Executor, Memory, Program, Submission};
use crate::graph::{Graph, Purpose, Recompute, Role, TensorId};
use crate::kernels::DeviceTraits;
use crate::shape;
use crate::tensor::{Call, Capacity, DType, Lane, TensorType, Unit, ring_after};

/// A layer of so many key heads with a group of queries each, whose sketch has `r` columns and as many hidden units
/// as a head has columns.
pub fn layer(
    [heads, group, head, r]: [usize; 4],
    [block, near, sinks]: [usize; 3],
    gated: bool,
) -> Attention {
    let mut a = Attention::linearized(heads, head, r, head).with_block_size(block).with_near(near, sinks);
    a.layout.group = group;
    a.layout.gated = gated;
    a.layout.rotation = Rotation::Raw;
    a.theta = 100.0;
    // The slower pairs are not turned.
    a.kind = Kind::Linearized { hidden: head, turned: 30.0 };
    a
}

/// Layers whose gradients are checked; those that software adapters check too come first.
fn trained() -> Vec<Attention> {
    vec![
        layer([2, 1, 12, 8], [12, 2, 3], true),
        layer([1, 3, 64, 16], [36, 2, 4], true),
        // As many sinks as a block has tokens; tiles begin and end in the middle of a group.
        layer([2, 5, 20, 12], [8, 3, 8], false),
        layer([1, 1, 12, 4], [8, 1, 5], true),
        layer([3, 2, 12, 8], [40, 4, 0], true),
        layer([1, 1, 128, 16], [20, 2, 1], false),
    ]
}

/// How many of [`trained`] software adapters check.
const CORE: usize = 3;

/// The sketch of a layer with its gradients, from the projections on; in [`Mode::Transfer`] only the sketch is
/// trained.
///
/// # Errors
/// Where the layer is impossible.
pub fn with_sketch(a: &Attention, mode: Mode, tokens: usize, what: &str) -> Result<Case> {
    let mut g = Graph::new();
    let qkv = g.parameter("qkv", DType::F32, shape![Unit::Rows, a.layout.qkv_width()]);
    let inputs = inputs(&mut g, a, qkv);
    let o = a.build(&mut g, "attention", mode, inputs, 0)?.output;
    let seed = g.input("seed", g.tensors[o.0].ty.clone());
    let trained = |name: &str| mode == Mode::Train || name == "sketch";
    g.backward(&[(o, seed)], &trained, Recompute::Nothing)?;
    Ok(from_projections(&format!("affine sketch {} {what}", described(a)), g, tokens))
}

/// A layer from its projections on.
fn whole(a: &Attention, mode: Mode) -> Result<(Graph, TensorId)> {
    let mut g = Graph::new();
    let qkv = g.input("qkv", TensorType::f32(shape![Unit::Rows, a.layout.qkv_width()]));
    let inputs = inputs(&mut g, a, qkv);
    let o = a.build(&mut g, "attention", mode, inputs, 0)?.output;
    g.output(o, "o");
    Ok((g, qkv))
}

/// Numbers as projections have them: gates near 1, so that something is left of what is far.
fn projections(a: &Attention, rows: usize, rng: &mut Rng) -> Vec<f32> {
    let l = &a.layout;
    let mut values = rng.normals(rows * l.qkv_width());
    for row in values.chunks_mut(l.qkv_width()) {
        row[l.gate_offset()..].iter_mut().for_each(|x| *x = 0.2 * *x + 3.0);
    }
    values
}

/// A call of `tokens` tokens in every slot, after prefixes of these lengths.
///
/// # Errors
/// Where the layer is impossible.
pub fn after(a: &Attention, mode: Mode, prefixes: &[usize], tokens: usize) -> Result<Case> {
    let (graph, _) = whole(a, mode)?;
    let slots = prefixes.len();
    let lane = |(slot, &position): (usize, &usize)| {
        let ring = if position == 0 { 0 } else { ring_after(0, position, a.layout.block) };
        Lane { slot, position, ring }
    };
    let call = Call { lanes: prefixes.iter().enumerate().map(lane).collect(), tokens, lane_base: 0 };
    let capacity = Capacity { lanes: slots, tokens: tokens + 3, slots, context: 0 };
    let name = format!("{} {mode:?} of {tokens}", described(a));
    let (a, prefixes) = (a.clone(), prefixes.to_vec());
    Ok(Case::new(&name, graph, capacity, call, move || {
        let mut rng = Rng(3);
        let mut data = Data::new();
        let sketch = rng.normals(a.sketch_weights().unwrap_or_default());
        data.insert("sketch".into(), bits(sketch.into_iter().map(|x| 0.2 * x)).into());
        data.insert("norms".into(), bits(rng.normals(4 * a.layout.head)).into());
        pollster::block_on(read(&a, &prefixes, &mut rng, &mut data))?;
        data.insert("qkv".into(), bits(projections(&a, slots * (tokens + 3), &mut rng)).into());
        Ok(data)
    }))
}

/// Reads a text in each slot, on the CPU; leaves the state in `data`. Where no block has left the ring, it is
/// whatever an earlier text left.
async fn read(a: &Attention, prefixes: &[usize], rng: &mut Rng, data: &mut Data) -> Result<()> {
    let (graph, qkv) = whole(a, Mode::Prefill)?;
    let longest = prefixes.iter().copied().max().unwrap_or(0).max(1);
    let capacity = Capacity { lanes: 1, tokens: longest, slots: prefixes.len(), context: 0 };
    let plan = graph.lower("before", &DeviceTraits::cpu(), capacity)?;
    let memory = Memory::new(&Executor::Cpu(CpuExecutor::default()));
    for t in plan.tensors.iter().filter(|t| t.bytes > 0 && t.tensor.role == Role::Parameter) {
        memory.store(&t.tensor.name, t.tensor.ty.dtype, &data[&t.tensor.name]).await?;
    }
    let mut program = Program::new(plan, &memory).await?;
    for (slot, &tokens) in prefixes.iter().enumerate().filter(|(_, tokens)| **tokens > 0) {
        let lanes = vec![Lane { slot, position: 0, ring: 0 }];
        let calls = [Call { lanes, tokens, lane_base: 0 }];
        let inputs = [(qkv, &bits(projections(a, tokens, rng))[..])];
        program.run(Submission { calls: &calls, inputs: &inputs, reads: &[] }).await?;
    }
    let plan = program.plan();
    for t in plan.tensors.iter().filter(|t| t.bytes > 0) {
        let Role::State(purpose) = t.tensor.role else { continue };
        let elements = t.tensor.ty.shape.elements(&plan.capacity);
        let mut words = memory.read(&t.tensor.name, 0..elements).await?;
        if purpose == Purpose::Scan {
            let of_slots = words.chunks_mut(elements / prefixes.len()).zip(prefixes);
            for (words, _) in of_slots.filter(|(_, n)| **n <= a.layout.near * a.layout.block) {
                words.copy_from_slice(&bits(rng.normals(words.len())));
            }
        }
        data.insert(t.tensor.name.clone(), words.into());
    }
    Ok(())
}

/// Reading and writing: prefixes that end in sinks, at blocks and amid them, before and behind what is near, and what
/// sinks reach.
fn states(list: &mut Vec<Case>, a: &Attention, core: bool) -> Result<()> {
    let [block, near] = [a.layout.block, a.layout.near * a.layout.block];
    let cases = [
        after(a, Mode::Prefill, &[0, block, near, 2, near + 3, near + block], block + 5)?,
        after(a, Mode::Prefill, &[near + 3, 1], 2)?,
        after(a, Mode::Decode, &[1, block, near, near + 3, near + block, 2 * near + block - 1], 1)?,
    ];
    list.extend(cases.into_iter().map(|case| if core { case } else { case.wide() }));
    Ok(())
}

/// All of them.
pub(super) fn cases() -> Result<Vec<Case>> {
    let mut list = Vec::new();
    let bounded = layer([1, 3, 64, 16], [16, 2, 4], true).with_sink_reach(40);
    let name = format!("{} transfer", described(&bounded));
    list.push(rows_of(&name, from_packed_rows(&bounded, Mode::Transfer)?, &bounded.layout, false));
    let modes = [(Mode::Train, "train"), (Mode::Transfer, "transfer"), (Mode::Forward, "forward")];
    for (at, a) in trained().iter().enumerate() {
        for (mode, what) in modes {
            let name = format!("{} {what}", described(a));
            let case = rows_of(&name, from_packed_rows(a, mode)?, &a.layout, false);
            let core = at < CORE && (mode == Mode::Train || at == 0);
            list.push(if core { case } else { case.wide() });
        }
    }
    let mut smol = layer([3, 3, 64, 16], [16, 2, 4], true);
    smol.layout.rotation = Rotation::Raw;
    list.push(with_sketch(&smol, Mode::Train, 41, "raw")?);
    list.push(with_sketch(&smol, Mode::Transfer, 41, "transfer")?);
    let normed = |norm, rotation| {
        let mut a = layer([2, 2, 20, 12], [12, 2, 3], false);
        (a.layout.normed, a.layout.norm, a.layout.rotation) = (true, norm, rotation);
        a
    };
    list.push(with_sketch(&normed(Norm::LAYER, Rotation::Normed), Mode::Train, 33, "normed")?);
    let mut shared = normed(Norm::rms(1e-6), Rotation::Raw);
    (shared.layout.shared_norm, shared.layout.interleaved) = (true, true);
    list.push(with_sketch(&shared, Mode::Train, 70, "shared norm")?.wide());
    // More hidden units than a workgroup has at a time, and a last few of them.
    let mut wide = layer([1, 1, 32, 20], [16, 2, 2], false);
    wide.kind = Kind::Linearized { hidden: 148, turned: 0.0 };
    list.push(with_sketch(&wide, Mode::Train, 40, "wide")?);
    states(&mut list, &layer([2, 1, 12, 8], [12, 2, 3], true), true)?;
    states(&mut list, &layer([1, 3, 64, 16], [16, 3, 4], true).with_sink_reach(48), true)?;
    states(&mut list, &layer([2, 2, 20, 12], [8, 1, 8], false).with_sink_reach(11), false)?;
    states(&mut list, &layer([1, 9, 64, 32], [20, 4, 0], true), false)?;
    Ok(list)
}
