//! Gradients of the scan and of the dense kinds in f64: against differences of the outputs, and segment by
//! segment.

use pollster::block_on;

use super::{Attention, HeadLayout, Inputs, Kind, Mask, Mode, Rotation, Sketch};
use crate::exec::{CpuExecutor, Executor, Memory, Program, Submission};
use crate::graph::{Graph, Recompute, Role};
use crate::kernels::DeviceTraits;
use crate::kernels::cpu::Norm;
use crate::kernels::heads::layout::RopeScaling;
use crate::shape;
use crate::tensor::{Call, Capacity, DType, Lane, TensorType, Unit};

const LANES: usize = 2;
const HEADS: usize = 3;
const HEAD: usize = 8;
const BLOCK: usize = 8;

/// Numbers like normal ones.
struct Rng(u64);

impl Rng {
    fn uniform(&mut self) -> f64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 11) as f64 / (1u64 << 53) as f64
    }

    fn normals(&mut self, n: usize) -> Vec<f64> {
        (0..n).map(|_| (0..12).map(|_| self.uniform()).sum::<f64>() - 6.0).collect()
    }
}

fn attention(kind: Kind, gated: bool, block: usize) -> Attention {
    let sketch = if matches!(kind, Kind::Polysketch { .. }) { 4 } else { 0 };
    let exact = !matches!(kind, Kind::Polysketch { local_exact: false, .. });
    let layout = HeadLayout {
        heads: HEADS,
        group: 1,
        head: HEAD,
        size: HEAD,
        exact,
        normed: kind != Kind::Softmax,
        norm: Norm::LAYER,
        shared_norm: false,
        sketch,
        sketch_normed: true,
        gated,
        rotation: Rotation::None,
        rotated: HEAD,
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

fn cases() -> Vec<Attention> {
    let sketch = |degree, local_exact| Kind::Polysketch {
        degree,
        scale: 0.4,
        local_exact,
        sketch: Sketch::Random { leaves: 1, gain: 1.0 },
    };
    let mut list = vec![attention(Kind::Softmax, false, BLOCK)];
    for gated in [false, true] {
        let kinds = [sketch(4, true), sketch(8, true), sketch(4, false)].into_iter();
        let kinds = kinds.chain((1..=4).map(|degree| Kind::Taylor { degree, scale: 0.125 }));
        let kinds = kinds.chain([2, 4, 8].map(|degree| Kind::Polynomial { degree, scale: 0.4 }));
        list.extend(kinds.map(|kind| attention(kind, gated, BLOCK)));
    }
    // Blocks of more than one tile.
    list.push(attention(sketch(4, true), true, 80));
    list
}

/// A plan of the layer from its packed rows on, as parameters, and its tensors in f64.
struct Bench {
    program: Program,
    layout: HeadLayout,
}

/// What comes in: rows as the layer would pack them, except for the gate sums.
#[derive(Clone)]
struct Rows {
    queries: Vec<f64>, // [lanes, H, n, query_width]
    keys: Vec<f64>,    // [lanes, H, n, key_width]
    logs: Vec<f64>,    // [lanes, H, n]
}

impl Rows {
    fn random(l: &HeadLayout, n: usize, rng: &mut Rng) -> Self {
        let rows = LANES * HEADS * n;
        let logs = rng.normals(rows).into_iter().map(|x| -(1.0 + (x - 2.0).exp()).ln()).collect();
        Self { queries: rng.normals(rows * l.query_width()), keys: rng.normals(rows * l.key_width()), logs }
    }

    /// `self + step * direction`.
    fn moved(&self, step: f64, direction: &Self) -> Self {
        let add = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a + step * b).collect();
        Self {
            queries: add(&self.queries, &direction.queries),
            keys: add(&self.keys, &direction.keys),
            logs: add(&self.logs, &direction.logs),
        }
    }

    /// Tokens `range` of every lane and head.
    fn part(&self, range: std::ops::Range<usize>) -> Self {
        let n = self.logs.len() / (LANES * HEADS);
        let cut = |data: &[f64]| {
            let width = data.len() / (LANES * HEADS * n);
            data.chunks(n * width)
                .flat_map(|rows| rows[range.start * width..range.end * width].to_vec())
                .collect()
        };
        Self { queries: cut(&self.queries), keys: cut(&self.keys), logs: cut(&self.logs) }
    }

    /// Key rows at the head of windows, with their gate sums.
    fn windows(&self, l: &HeadLayout, unbroken: bool) -> Vec<f64> {
        let (n, k) = (self.logs.len() / (LANES * HEADS), l.key_width());
        let mut windows = vec![0.0; LANES * HEADS * (l.block + n) * k];
        for (at, rows) in windows.chunks_mut((l.block + n) * k).enumerate() {
            rows[..n * k].copy_from_slice(&self.keys[at * n * k..(at + 1) * n * k]);
            let mut sum = 0.0;
            for (i, row) in rows[..n * k].chunks_mut(k).enumerate().filter(|_| l.gated) {
                sum = if i % l.block == 0 && !unbroken { 0.0 } else { sum } + self.logs[at * n + i];
                row[l.sum_offset()..].copy_from_slice(&[f64::floor(sum), sum - f64::floor(sum), 0.0, 0.0]);
            }
        }
        windows
    }
}

impl Bench {
    fn new(attention: &Attention, mode: Mode, tokens: usize, slots: usize) -> Self {
        let l = &attention.layout;
        let mut graph = rows_onward(attention, mode);
        let o = graph.nodes.last().unwrap().outputs[0];
        if mode == Mode::Train {
            let seed = graph.input("seed", graph.tensors[o.0].ty.clone());
            graph.backward(&[(o, seed)], &|_| true, Recompute::Nothing).unwrap();
        }
        graph.export(o, "o");
        let capacity = Capacity { lanes: LANES, tokens, slots, context: 0 };
        let plan = graph.lower("test", &DeviceTraits::cpu(), capacity).unwrap();
        let memory = Memory::new(&Executor::Oracle(CpuExecutor::default()));
        let given = plan
            .tensors
            .iter()
            .filter(|t| t.bytes > 0 && matches!(t.tensor.role, Role::Parameter | Role::External));
        let program = block_on(async {
            for t in given {
                let elements = t.tensor.ty.shape.elements(&capacity);
                memory.reserve(&t.tensor.name, DType::F32, elements).await.unwrap();
            }
            Program::new(plan.clone(), &memory).await.unwrap()
        });
        Self { program, layout: l.clone() }
    }

    /// The numbers of a tensor.
    fn tensor(&self, name: &str) -> Vec<f64> {
        self.program.memory().doubles(name, |values| values.clone())
    }

    /// Runs one call on rows of `tokens`; returns o.
    fn run(&mut self, rows: &Rows, unbroken: bool, seed: &[f64], position: usize, slot: usize) -> Vec<f64> {
        let n = rows.logs.len() / (LANES * HEADS);
        let windows = rows.windows(&self.layout, unbroken);
        let memory = self.program.memory();
        for (name, values) in [("queries", &rows.queries), ("keys", &windows)] {
            memory.doubles(name, |tensor| tensor[..values.len()].copy_from_slice(values));
        }
        for name in ["gradient.queries", "gradient.keys"] {
            if memory.contains(name) {
                memory.doubles(name, |tensor| tensor.fill(0.0));
            }
        }
        let lanes: Vec<Lane> = (0..LANES).map(|lane| Lane { slot: slot + lane, position, ring: 0 }).collect();
        let calls = [Call { lanes, tokens: n, lane_base: 0 }];
        let seed: Vec<u32> = seed.iter().map(|x| (*x as f32).to_bits()).collect();
        let inputs: Vec<_> = self.program.plan().find("seed").map(|id| (id, &seed[..])).into_iter().collect();
        let submission = Submission { calls: &calls, inputs: &inputs, reads: &[] };
        block_on(self.program.run(submission)).unwrap();
        self.tensor("o")[..LANES * n * HEADS * HEAD].to_vec()
    }

    /// Gradients of the last run: queries, keys without the gate sums' columns, and log gates' global sums.
    fn gradients(&mut self, n: usize) -> Rows {
        let l = self.layout.clone();
        let (k, rows) = (l.key_width(), LANES * HEADS * n);
        let queries = self.tensor("gradient.queries")[..rows * l.query_width()].to_vec();
        let windows = self.tensor("gradient.keys");
        let mut keys: Vec<f64> =
            windows.chunks((l.block + n) * k).take(LANES * HEADS).flat_map(|w| w[..n * k].to_vec()).collect();
        let mut logs = vec![0.0; rows];
        for (row, log) in keys.chunks_mut(k).zip(&mut logs).filter(|_| l.gated) {
            *log = std::mem::take(&mut row[l.sum_offset()]);
            assert_eq!(row[l.sum_offset()..], [0.0; 4], "the other columns of the gate sum");
        }
        Rows { queries, keys, logs }
    }
}

/// The layer's graph without what makes its rows: queries and keys are parameters.
fn rows_onward(attention: &Attention, mode: Mode) -> Graph {
    let l = &attention.layout;
    let mut graph = Graph::new();
    let qkv = graph.input("qkv", TensorType::f32(shape![Unit::Rows, l.qkv_width()]));
    let lanes = graph.lanes(1);
    let norms = graph.parameter("norms", DType::F32, shape![4, l.head]);
    let sketch = attention.sketch_weights().map(|n| graph.parameter("sketch", DType::F32, shape![n]));
    attention.build(&mut graph, "a", mode, Inputs { qkv, lanes, norms: Some(norms), sketch }, 0).unwrap();
    let pack = graph.nodes.iter().position(|node| node.kernel.stem() == "pack_heads").unwrap();
    for (id, name) in graph.nodes[pack].outputs.clone().into_iter().zip(["queries", "keys"]) {
        let tensor = &mut graph.tensors[id.0];
        (tensor.role, tensor.name) = (Role::Parameter, name.to_string());
    }
    graph.nodes.drain(..=pack);
    graph
}

fn inner(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// dG into the gradient of each log gate.
fn suffix_sums(logs: &[f64], n: usize) -> Vec<f64> {
    let mut out = logs.to_vec();
    for lane_head in out.chunks_mut(n) {
        for i in (1..n).rev() {
            lane_head[i - 1] += lane_head[i];
        }
    }
    out
}

/// SPEC §1 written out: o of every pair of tokens.
fn dense(a: &Attention, rows: &Rows) -> Vec<f64> {
    let (l, n) = (&a.layout, rows.logs.len() / (LANES * HEADS));
    let (q, k) = (l.query_width(), l.key_width());
    let power = |x: f64, scale: f64, degree: usize| (scale * x).powi(degree as i32);
    let mut o = vec![0.0; LANES * n * HEADS * HEAD];
    for (at, i) in (0..LANES * HEADS).flat_map(|at| (0..n).map(move |i| (at, i))) {
        let query = &rows.queries[(at * n + i) * q..][..q];
        let (mut sum, mut total, mut gate) = (vec![0.0; HEAD], a.bias, 0.0);
        for j in (0..=i).rev() {
            let key = &rows.keys[(at * n + j) * k..][..k];
            let x = if l.exact { inner(&query[..HEAD], &key[..HEAD]) } else { 0.0 };
            let s = inner(&query[l.sketch_offset()..], &key[l.sketch_offset()..q]);
            let w = match a.kind {
                Kind::Softmax => (x / (HEAD as f64).sqrt()).exp(),
                Kind::Polynomial { degree, scale } => power(x, scale, degree),
                Kind::Taylor { degree, scale } => {
                    (0..=degree).map(|m| power(x, scale, m) / (1..=m).product::<usize>() as f64).sum()
                }
                Kind::Polysketch { degree, scale, local_exact: true, .. } if i / l.block == j / l.block => {
                    power(x, scale, degree)
                }
                Kind::Polysketch { .. } => s * s,
                Kind::Linearized { .. } => unreachable!("linearized_tests"),
            } * f64::exp(gate);
            sum.iter_mut().zip(&key[l.value_offset()..]).for_each(|(s, v)| *s += w * v);
            total += w;
            if l.gated {
                gate += rows.logs[at * n + j];
            }
        }
        let out = &mut o[((at / HEADS * n + i) * HEADS + at % HEADS) * HEAD..][..HEAD];
        out.iter_mut().zip(sum).for_each(|(o, s)| *o = s / total);
    }
    o
}

fn worst(a: &[f64], b: &[f64]) -> f64 {
    let largest = b.iter().fold(1e-30, |m: f64, x| m.max(x.abs()));
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max) / largest
}

#[test]
fn gradients_are_those_of_differences() {
    for (number, a) in cases().iter().enumerate() {
        let (l, mut rng) = (&a.layout, Rng(number as u64 + 1));
        let n = 3 * l.block - 3;
        let mut bench = Bench::new(a, Mode::Train, n + 2, LANES);
        let rows = Rows::random(l, n, &mut rng);
        let seed: Vec<f64> =
            rng.normals(LANES * n * HEADS * HEAD).into_iter().map(|x| f64::from(x as f32)).collect();
        let o = bench.run(&rows, a.has_cache(), &seed, 0, 0);
        assert!(worst(&o, &dense(a, &rows)) < 1e-6, "{a:?}: outputs"); // the features have f32 weights
        let mut gradients = bench.gradients(n);
        gradients.logs = suffix_sums(&gradients.logs, n);
        // One group of columns at a time.
        let groups =
            [0..l.sketch_offset(), l.sketch_offset()..l.value_offset(), l.value_offset()..l.sum_offset()];
        for what in 0..2 * groups.len() + usize::from(l.gated) {
            let mut v = Rows {
                queries: vec![0.0; rows.queries.len()],
                keys: vec![0.0; rows.keys.len()],
                logs: vec![0.0; rows.logs.len()],
            };
            let (data, width) = match what % 2 {
                _ if what == 6 => (&mut v.logs, 1),
                0 => (&mut v.queries, l.query_width()),
                _ => (&mut v.keys, l.key_width()),
            };
            let columns = if what == 6 { 0..1 } else { groups[what / 2].clone() };
            for (i, x) in rng
                .normals(data.len())
                .into_iter()
                .enumerate()
                .filter(|(i, _)| columns.contains(&(i % width)))
            {
                data[i] = x;
            }
            if what == 4 {
                continue; // queries have no values
            }
            let step = 1e-5;
            let mut loss =
                |step: f64| inner(&bench.run(&rows.moved(step, &v), a.has_cache(), &seed, 0, 0), &seed);
            let difference = (loss(step) - loss(-step)) / (2.0 * step);
            let product = inner(&gradients.queries, &v.queries)
                + inner(&gradients.keys, &v.keys)
                + inner(&gradients.logs, &v.logs);
            let scale = difference.abs().max(inner(&v.keys, &v.keys).sqrt() * 1e-3).max(1e-3);
            assert!(
                (difference - product).abs() < 2e-6 * scale,
                "{a:?}: group {what}: {difference} by difference, {product} by product"
            );
        }
    }
}

#[test]
fn segments_make_the_same_gradients() {
    for (number, a) in cases().iter().enumerate().filter(|(_, a)| !a.has_cache()) {
        let (l, mut rng) = (&a.layout, Rng(number as u64 + 100));
        let n = 4 * l.block + 3;
        let cuts = [0, l.block, 3 * l.block, n];
        let rows = Rows::random(l, n, &mut rng);
        let seed: Vec<f64> =
            rng.normals(LANES * n * HEADS * HEAD).into_iter().map(|x| f64::from(x as f32)).collect();
        let mut whole = Bench::new(a, Mode::Train, n, LANES);
        let want_o = whole.run(&rows, false, &seed, 0, 0);
        let want = whole.gradients(n);
        let seed_part = |from: usize, to: usize| -> Vec<f64> {
            let width = HEADS * HEAD;
            seed.chunks(n * width).flat_map(|lane| lane[from * width..to * width].to_vec()).collect()
        };

        let slots = LANES * cuts.len();
        let mut forward = Bench::new(a, Mode::Forward, n, slots);
        // What an earlier text left.
        forward.program.memory().doubles("a.state", |state| state.fill(7.0));
        let mut train = Bench::new(a, Mode::Train, n, slots);
        let mut outputs = Vec::new();
        for (s, cut) in cuts.windows(2).enumerate() {
            outputs.push(forward.run(&rows.part(cut[0]..cut[1]), false, &[], cut[0], s * LANES));
        }
        train.program.memory().doubles("a.state", |state| *state = forward.tensor("a.state"));
        for (s, cut) in cuts.windows(2).enumerate().rev() {
            let seed = seed_part(cut[0], cut[1]);
            let o = train.run(&rows.part(cut[0]..cut[1]), false, &seed, cut[0], s * LANES);
            assert!(worst(&o, &outputs[s]) < 1e-12, "{a:?}: outputs of both plans");
            let of_whole: Vec<f64> = want_o
                .chunks(n * HEADS * HEAD)
                .flat_map(|lane| lane[cut[0] * HEADS * HEAD..cut[1] * HEADS * HEAD].to_vec())
                .collect();
            assert!(worst(&o, &of_whole) < 1e-11, "{a:?}: outputs of segment {s}");
            let (got, want) = (train.gradients(cut[1] - cut[0]), want.part(cut[0]..cut[1]));
            for (what, got, want) in [
                ("queries", got.queries, want.queries),
                ("keys", got.keys, want.keys),
                ("gates", got.logs, want.logs),
            ] {
                assert!(worst(&got, &want) < 1e-10, "{a:?}: segment {s}: {what}: {:.1e}", worst(&got, &want));
            }
        }
    }
}

#[test]
fn what_has_no_gradient_says_so() {
    for kind in [Kind::Softmax, Kind::Taylor { degree: 2, scale: 0.3 }] {
        let full = attention(kind, false, BLOCK).with_mask(Mask::Full);
        let mut graph = rows_onward(&full, Mode::Prefill);
        let o = graph.nodes.last().unwrap().outputs[0];
        let seed = graph.input("seed", graph.tensors[o.0].ty.clone());
        let error = graph.backward(&[(o, seed)], &|_| true, Recompute::Nothing).unwrap_err();
        assert!(error.to_string().contains("a.output"), "{error}");
    }
}

#[test]
fn only_a_reading_call_has_a_full_mask() {
    let full = attention(Kind::Softmax, false, BLOCK).with_mask(Mask::Full);
    for (mode, fits) in
        [(Mode::Prefill, true), (Mode::Decode, false), (Mode::Train, false), (Mode::Forward, false)]
    {
        let mut graph = Graph::new();
        let qkv = graph.input("qkv", TensorType::f32(shape![Unit::Rows, full.layout.qkv_width()]));
        let lanes = graph.input("lanes", TensorType::u32(shape![Unit::Lanes, 4]));
        let inputs = Inputs { qkv, lanes, norms: None, sketch: None };
        let built = full.build(&mut graph, "a", mode, inputs, 0);
        assert_eq!(built.is_ok(), fits, "{mode:?}: {built:?}");
    }
}
