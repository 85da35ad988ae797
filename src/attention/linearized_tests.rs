//! Linearised attention against SPEC §10 written out, in f64: outputs in one call, in pieces and token by token, and
//! gradients against differences.

use pollster::block_on;

use super::*;
use crate::exec::{CpuExecutor, Executor, Memory, Program, Submission};
use crate::graph::{Recompute, Role};
use crate::kernels::DeviceTraits;
use crate::kernels::sketch::sketch_affine::SketchAffine;
use crate::tensor::{Call, Capacity, DType, Lane};

const LANES: usize = 2;

struct Rng(u64);

impl Rng {
    fn normals(&mut self, n: usize, size: f64) -> Vec<f64> {
        let mut uniform = || {
            self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (self.0 >> 11) as f64 / (1u64 << 53) as f64
        };
        (0..n).map(|_| size * ((0..12).map(|_| uniform()).sum::<f64>() - 6.0)).collect()
    }
}

/// A layer of `near` blocks of 8 with `sinks`, two key heads of so many queries.
fn layer(group: usize, near: usize, sinks: usize, gated: bool, normed: bool) -> Attention {
    let mut a = Attention::linearized(2, 8, 4, 8).with_block_size(8).with_near(near, sinks);
    a.layout.group = group;
    a.layout.gated = gated;
    a.layout.rotation = if normed { Rotation::Normed } else { Rotation::Raw };
    a.layout.normed = normed;
    a.theta = 100.0;
    // The slower pairs are not turned.
    a.kind = Kind::Linearized { hidden: 8, turned: 30.0 };
    a
}

fn cases() -> Vec<Attention> {
    vec![
        layer(1, 2, 3, false, false),
        layer(3, 2, 4, true, false),
        layer(1, 1, 0, true, false),
        layer(2, 3, 2, true, true),
        layer(1, 4, 0, false, false),
    ]
}

/// Layers whose sinks keep their distance before these tests' texts end. Near pairs are not trained beyond that.
fn bounded() -> Vec<Attention> {
    vec![
        layer(3, 2, 4, true, false).with_sink_reach(16),
        layer(1, 1, 8, false, false).with_sink_reach(20),
        layer(2, 3, 2, true, true).with_sink_reach(31),
    ]
}

/// Everything that comes in.
#[derive(Clone)]
struct Given {
    qkv: Vec<f64>,    // [lanes, n, qkv_width]
    norms: Vec<f64>,  // [4, h]
    sketch: Vec<f64>, // packed
}

impl Given {
    fn random(a: &Attention, n: usize, rng: &mut Rng) -> Self {
        let l = &a.layout;
        let mut qkv = rng.normals(LANES * n * l.qkv_width(), 1.0);
        // Gates near 1.
        for row in qkv.chunks_mut(l.qkv_width()) {
            row[l.gate_offset()..].iter_mut().for_each(|x| *x += 2.0);
        }
        let norms = rng.normals(4 * l.head, 0.3).into_iter().map(|x| 1.0 + x).collect();
        let n = a.sketch_weights().expect("a sketch");
        Self { qkv, norms, sketch: rng.normals(n, 0.3) }
    }

    fn parts(&self) -> [&Vec<f64>; 3] {
        [&self.qkv, &self.norms, &self.sketch]
    }

    fn moved(&self, step: f64, v: &Self) -> Self {
        let add = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a + step * b).collect();
        Self {
            qkv: add(&self.qkv, &v.qkv),
            norms: add(&self.norms, &v.norms),
            sketch: add(&self.sketch, &v.sketch),
        }
    }
}

struct Bench {
    program: Program,
}

impl Bench {
    fn new(a: &Attention, mode: Mode, tokens: usize) -> Self {
        let l = &a.layout;
        let mut graph = Graph::new();
        let qkv = graph.parameter("qkv", DType::F32, shape![Unit::Rows, l.qkv_width()]);
        let lanes = graph.lanes(1);
        let norms = graph.parameter("norms", DType::F32, shape![4, l.head]);
        let sketch = a.sketch_weights().map(|n| graph.parameter("sketch", DType::F32, shape![n]));
        let inputs = Inputs { qkv, lanes, norms: Some(norms), sketch };
        let o = a.build(&mut graph, "a", mode, inputs, 0).expect("builds").output;
        if matches!(mode, Mode::Train | Mode::Transfer) {
            let seed = graph.input("seed", graph.tensors[o.0].ty.clone());
            let trained = |name: &str| mode == Mode::Train || name == "sketch";
            graph.backward(&[(o, seed)], &trained, Recompute::Nothing).expect("has gradients");
        }
        graph.export(o, "o");
        let capacity = Capacity { lanes: LANES, tokens, slots: LANES, context: 0 };
        let plan = graph.lower("test", &DeviceTraits::cpu(), capacity).expect("plans");
        let memory = Memory::new(&Executor::Oracle(CpuExecutor::default()));
        let given = plan
            .tensors
            .iter()
            .filter(|t| t.bytes > 0 && matches!(t.tensor.role, Role::Parameter | Role::External));
        let program = block_on(async {
            for t in given {
                let elements = t.tensor.ty.shape.elements(&capacity);
                memory.reserve(&t.tensor.name, DType::F32, elements).await.expect("fits");
            }
            Program::new(plan.clone(), &memory).await.expect("runs")
        });
        Self { program }
    }

    /// Outputs of tokens `range` of the texts.
    fn run(&mut self, a: &Attention, given: &Given, range: std::ops::Range<usize>, seed: &[f64]) -> Vec<f64> {
        let (l, n) = (&a.layout, given.qkv.len() / LANES / a.layout.qkv_width());
        let memory = self.program.memory();
        let rows = range.len() * l.qkv_width();
        memory.doubles("qkv", |all| {
            for (lane, text) in given.qkv.chunks(n * l.qkv_width()).enumerate() {
                let from = range.start * l.qkv_width();
                all[lane * rows..(lane + 1) * rows].copy_from_slice(&text[from..from + rows]);
            }
        });
        for (name, values) in [("norms", &given.norms), ("sketch", &given.sketch)] {
            if memory.contains(name) {
                memory.doubles(name, |all| all.copy_from_slice(values));
            }
        }
        for name in ["gradient.qkv", "gradient.norms", "gradient.sketch"] {
            if memory.contains(name) {
                memory.doubles(name, |tensor| tensor.fill(0.0));
            }
        }
        let ring = if range.start == 0 { 0 } else { (range.start - 1) % l.block + 1 };
        let lanes = (0..LANES).map(|slot| Lane { slot, position: range.start, ring }).collect();
        let calls = [Call { lanes, tokens: range.len(), lane_base: 0 }];
        let seed: Vec<u32> = seed.iter().map(|x| (*x as f32).to_bits()).collect();
        let inputs: Vec<_> = self.program.plan().find("seed").map(|id| (id, &seed[..])).into_iter().collect();
        block_on(self.program.run(Submission { calls: &calls, inputs: &inputs, reads: &[] })).expect("runs");
        self.tensor("o")[..LANES * range.len() * l.width()].to_vec()
    }

    fn tensor(&self, name: &str) -> Vec<f64> {
        self.program.memory().doubles(name, |values| values.clone())
    }
}

/// The vector of the exact kernel, turned by so many frequencies.
fn vector(
    a: &Attention,
    given: &Given,
    row: &[f64],
    part: usize,
    head: usize,
    at: usize,
    f: &[f64],
) -> Vec<f64> {
    let (l, h) = (&a.layout, a.layout.head);
    let column = l.column(part, head);
    let mut x = row[column..column + h].to_vec();
    if l.normed {
        let mean = x.iter().sum::<f64>() / h as f64;
        let square = x.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / h as f64;
        let [weight, bias] = [2 * part, 2 * part + 1].map(|i| &given.norms[i * h..(i + 1) * h]);
        for (i, x) in x.iter_mut().enumerate() {
            *x = (*x - mean) / (square + l.norm.eps).sqrt() * weight[i] + bias[i];
        }
    }
    let half = h / 2;
    for (i, frequency) in f.iter().enumerate() {
        let (sin, cos) = (at as f64 * frequency).sin_cos();
        (x[i], x[i + half]) = (x[i] * cos - x[i + half] * sin, x[i + half] * cos + x[i] * sin);
    }
    x
}

fn inner(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// s of such a vector.
fn sketched(net: &SketchAffine, weights: &[f64], side: usize, head: usize, m: usize, x: &[f64]) -> Vec<f64> {
    let of = net.weights(side);
    let [mean, base, linear, up, down, tilt, level] = of.split(&weights[net.place(side, head)]);
    let d: Vec<f64> = x.iter().zip(mean).map(|(x, mean)| x - mean).collect();
    let gelu = |x: f64| 0.5 * x * (1.0 + (0.797_884_560_802_865_4 * (x + 0.044715 * x.powi(3))).tanh());
    let units: Vec<f64> = up.chunks(of.head).map(|row| gelu(inner(row, &d))).collect();
    let gain = (0.5 * (level[m] + inner(&tilt[m * of.head..(m + 1) * of.head], x))).exp();
    let rows = base.iter().zip(linear.chunks(of.head)).zip(down.chunks(of.hidden));
    rows.map(|((base, linear), down)| gain * (base + inner(linear, &d) + inner(down, &units))).collect()
}

/// SPEC §10, every pair of tokens.
fn dense(a: &Attention, given: &Given) -> Vec<f64> {
    let (l, h) = (&a.layout, a.layout.head);
    let n = given.qkv.len() / LANES / l.qkv_width();
    let Kind::Linearized { hidden, .. } = a.kind else { unreachable!("cases are linearised") };
    let net = SketchAffine { layout: l.clone(), hidden };
    let exact = a.scaling.frequencies(l.rotated, a.theta);
    let slow = a.sketch_frequencies();
    let scale = 1.0 / (h as f64).sqrt();
    let mut o = vec![0.0; LANES * n * l.width()];
    for lane in 0..LANES {
        let row = |i: usize| &given.qkv[(lane * n + i) * l.qkv_width()..][..l.qkv_width()];
        for query in 0..l.query_heads() {
            let (head, m) = (query / l.group, query % l.group);
            for i in 0..n {
                let q = vector(a, given, row(i), 0, query, i, &exact);
                // By as much a sink is nearer to the query's block than it was.
                let turn =
                    if l.sink_reach == 0 { 0 } else { (i / l.block * l.block).saturating_sub(l.sink_reach) };
                let sq =
                    sketched(&net, &given.sketch, 0, head, m, &vector(a, given, row(i), 0, query, i, &slow));
                let (mut sum, mut total, mut gate) = (vec![0.0; h], 0.0, 0.0);
                for j in (0..=i).rev() {
                    let near = i / l.block < j / l.block + l.near || j < l.sinks;
                    let w = if near {
                        let at = if i / l.block < j / l.block + l.near { j } else { j + turn };
                        (scale * inner(&q, &vector(a, given, row(j), 1, head, at, &exact))).exp()
                    } else {
                        let k = vector(a, given, row(j), 1, head, j, &slow);
                        let sk = sketched(&net, &given.sketch, 1, head, 0, &k);
                        f64::exp(gate) * inner(&sq, &sk).powi(2)
                    };
                    let v = &row(j)[l.column(2, head)..][..h];
                    sum.iter_mut().zip(v).for_each(|(sum, v)| *sum += w * v);
                    total += w;
                    if l.gated {
                        gate -= (-row(j)[l.gate_offset() + head]).exp().ln_1p();
                    }
                }
                let out = &mut o[((lane * n + i) * l.query_heads() + query) * h..][..h];
                out.iter_mut().zip(sum).for_each(|(o, sum)| *o = sum / total);
            }
        }
    }
    o
}

fn worst(a: &[f64], b: &[f64]) -> f64 {
    assert_eq!(a.len(), b.len());
    let largest = b.iter().fold(1e-30, |m: f64, x| m.max(x.abs()));
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max) / largest
}

#[test]
fn outputs_are_those_of_the_definition() {
    for (number, a) in cases().iter().chain(&bounded()).enumerate() {
        let n = 8 * a.layout.block - 3;
        let given = Given::random(a, n, &mut Rng(number as u64));
        let want = dense(a, &given);
        let width = a.layout.width();
        let trained = if a.layout.sink_reach == 0 { Mode::Train } else { Mode::Transfer };
        for mode in [trained, Mode::Transfer, Mode::Forward, Mode::Prefill] {
            let got = Bench::new(a, mode, n).run(a, &given, 0..n, &vec![0.0; LANES * n * width]);
            assert!(worst(&got, &want) < 1e-6, "{a:?} {mode:?}: {}", worst(&got, &want));
        }
        // In pieces, some of them of one token, on one state.
        let (mut many, mut one) = (Bench::new(a, Mode::Prefill, n), Bench::new(a, Mode::Decode, 1));
        one.program =
            block_on(Program::new(one.program.plan().clone(), many.program.memory())).expect("runs");
        let cuts = [0, 2, 3, 5, 8, 9, 24, 25, 26, 40, 43, 48, 49, 56, n];
        let mut got = vec![0.0; want.len()];
        for cut in cuts.windows(2) {
            let range = cut[0]..cut[1];
            let bench = if range.len() == 1 { &mut one } else { &mut many };
            let part = bench.run(a, &given, range.clone(), &[]);
            for (lane, part) in part.chunks(range.len() * width).enumerate() {
                got[(lane * n + range.start) * width..][..part.len()].copy_from_slice(part);
            }
        }
        assert!(worst(&got, &want) < 1e-6, "{a:?} in pieces: {}", worst(&got, &want));
        let mut got = vec![0.0; want.len()];
        for i in 0..n {
            let part = one.run(a, &given, i..i + 1, &[]);
            for (lane, part) in part.chunks(width).enumerate() {
                got[(lane * n + i) * width..][..width].copy_from_slice(part);
            }
        }
        assert!(worst(&got, &want) < 1e-6, "{a:?} token by token: {}", worst(&got, &want));
    }
}

#[test]
fn near_pairs_are_not_trained_where_sinks_are_turned() {
    let plan = |reach: usize, tokens: usize| {
        let a = layer(1, 2, 4, false, false).with_sink_reach(reach);
        let mut graph = Graph::new();
        let qkv = graph.parameter("qkv", DType::F32, shape![Unit::Rows, a.layout.qkv_width()]);
        let lanes = graph.lanes(1);
        let sketch = a.sketch_weights().map(|n| graph.parameter("sketch", DType::F32, shape![n]));
        let inputs = Inputs { qkv, lanes, norms: None, sketch };
        let o = a.build(&mut graph, "a", Mode::Train, inputs, 0).expect("builds").output;
        let seed = graph.input("seed", graph.tensors[o.0].ty.clone());
        graph.backward(&[(o, seed)], &|_| true, Recompute::Nothing).expect("has gradients");
        let capacity = Capacity { lanes: 1, tokens, slots: 1, context: 0 };
        graph.lower("test", &DeviceTraits::cpu(), capacity).map(drop)
    };
    // The block from 24 on is the last one that sees sinks where they are.
    plan(24, 32).expect("no sink is turned");
    plan(31, 32).expect("no sink is turned");
    plan(31, 33).expect_err("sinks are turned by one token");
    let refused = plan(24, 33).expect_err("sinks are turned");
    assert!(refused.message().contains("gradients over 33 tokens with a sink reach of 24"), "{refused}");
}

#[test]
fn a_near_part_as_long_as_the_text_is_softmax() {
    let a = layer(2, 4, 3, false, false);
    let n = 4 * a.layout.block;
    let given = Given::random(&a, n, &mut Rng(11));
    let layout = HeadLayout { sketch: 0, near: 1, sinks: 0, sink_reach: 0, ..a.layout.clone() };
    let teacher = Attention { kind: Kind::Softmax, layout, ..a.clone() };
    let student = Bench::new(&a, Mode::Prefill, n).run(&a, &given, 0..n, &[]);
    let teacher = Bench::new(&teacher, Mode::Forward, n).run(&teacher, &given, 0..n, &[]);
    assert!(worst(&student, &teacher) < 1e-14, "{}", worst(&student, &teacher));
}

#[test]
fn gradients_are_those_of_differences() {
    for (number, a) in cases().iter().chain(&bounded()).enumerate() {
        let (l, mut rng) = (&a.layout, Rng(number as u64 + 50));
        let n = 6 * l.block - 3;
        let given = Given::random(a, n, &mut rng);
        let seed: Vec<f64> =
            rng.normals(LANES * n * l.width(), 1.0).into_iter().map(|x| f64::from(x as f32)).collect();
        for mode in [Mode::Train, Mode::Transfer] {
            if mode == Mode::Train && l.sink_reach > 0 {
                continue;
            }
            let mut bench = Bench::new(a, mode, n);
            bench.run(a, &given, 0..n, &seed);
            let gradients = ["gradient.qkv", "gradient.norms", "gradient.sketch"]
                .map(|name| bench.program.memory().contains(name).then(|| bench.tensor(name)));
            for (what, gradient) in gradients.iter().enumerate() {
                if mode == Mode::Transfer && what < 2 || what == 1 && !l.normed {
                    continue;
                }
                let gradient = gradient.as_ref().expect("is trained");
                let mut direction = Given {
                    qkv: vec![0.0; given.qkv.len()],
                    norms: vec![0.0; given.norms.len()],
                    sketch: vec![0.0; given.sketch.len()],
                };
                let parts = [&mut direction.qkv, &mut direction.norms, &mut direction.sketch];
                let part = parts.into_iter().nth(what).expect("one of three");
                *part = rng.normals(part.len(), 1.0);
                let step = 1e-5;
                let mut loss =
                    |step: f64| inner(&bench.run(a, &given.moved(step, &direction), 0..n, &seed), &seed);
                let difference = (loss(step) - loss(-step)) / (2.0 * step);
                let product = inner(gradient, direction.parts()[what]);
                let scale = difference
                    .abs()
                    .max(inner(direction.parts()[what], direction.parts()[what]).sqrt() * 1e-2);
                assert!(
                    (difference - product).abs() < 2e-6 * scale,
                    "{a:?} {mode:?}: input {what}: {difference} by difference, {product} by product"
                );
            }
        }
    }
}
