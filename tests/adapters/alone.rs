//! Attention alone (SPEC §4): on a device that the test itself made, on every adapter, and on the CPU,
//! against a dense computation in f64 that is written here and shares nothing with the crate.

use pollster::block_on;
use polysketch::attention::{
    Attention, AttentionLayer, Buffers, LayerCapacity, Mask, Rotation, Sketch, Slices, Weights,
};
use polysketch::check::slug;
use polysketch::exec::{CpuExecutor, Executor};
use polysketch::{ErrorKind, Result};

use crate::places::{self, Tests};

/// SPEC §5: `max|Δ| <= 5e-5 max|o|`.
const TOLERANCE: f64 = 5e-5;
const B: usize = 2;
const H: usize = 3;

/// Uniform numbers in [-1, 1).
struct Random(u64);

impl Random {
    fn next(&mut self) -> f32 {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (self.0 >> 40) as f32 / (1 << 23) as f32 - 1.0
    }

    fn many(&mut self, n: usize, scale: f32, offset: f32) -> Vec<f32> {
        (0..n).map(|_| self.next() * scale + offset).collect()
    }
}

/// A layer's description in the oracle's own words.
#[derive(Clone, Copy, PartialEq)]
enum Weight {
    Softmax,
    Power { p: i32 },
    Taylor { g: i32 },
    Sketch { r: usize, leaves: usize, local: bool },
}

struct Case {
    name: &'static str,
    h: usize,
    weight: Weight,
    causal: bool,
    gated: bool,
    rotary: bool,
    block: usize,
    n: usize,
}

struct Data {
    q: Vec<f32>,
    k: Vec<f32>,
    v: Vec<f32>,
    gate: Vec<f32>,
    norms: Vec<f32>,
    sketch: Vec<f32>,
}

/// Levels and expansion of the learned sketch; `leaves: 0` means learned.
const LEVELS: usize = 2;
const EXPANSION: usize = 4;
const GAIN: f64 = 0.4;
const BETA: f64 = 0.7;

impl Case {
    fn attention(&self) -> Attention {
        let mut a = match self.weight {
            Weight::Softmax => Attention::softmax(H, self.h),
            Weight::Power { p } => Attention::polynomial(H, self.h, p as usize),
            Weight::Taylor { g } => Attention::taylor(H, self.h, g as usize),
            Weight::Sketch { r, leaves: 0, local } => {
                Attention::polysketch(H, self.h, r, Sketch::Learned { levels: LEVELS, expansion: EXPANSION })
                    .with_local_exact(local)
            }
            Weight::Sketch { r, leaves, local } => {
                Attention::polysketch(H, self.h, r, Sketch::Random { leaves, gain: GAIN })
                    .with_local_exact(local)
            }
        };
        a = a.with_block_size(self.block).with_denominator_bias(BETA);
        if self.gated {
            a = a.with_gate();
        }
        if self.rotary { a.with_rotary(Rotation::Normed, 10_000.0, false) } else { a }
    }

    fn data(&self, random: &mut Random) -> Data {
        let numbers = B * self.n * H * self.h;
        let attention = self.attention();
        let mut norms = random.many(4 * self.h, 0.2, 0.0);
        for weight in [0, 2] {
            norms[weight * self.h..(weight + 1) * self.h].iter_mut().for_each(|x| *x += 1.0);
        }
        Data {
            q: random.many(numbers, 1.5, 0.1),
            k: random.many(numbers, 1.5, -0.1),
            v: random.many(numbers, 1.0, 0.0),
            gate: random.many(B * self.n * H, 3.0, 1.5),
            norms,
            sketch: random.many(attention.sketch_weights().unwrap_or(0), 0.6, 0.05),
        }
    }
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn layer_norm(x: &[f64], weight: &[f64], bias: &[f64]) -> Vec<f64> {
    let mean = x.iter().sum::<f64>() / x.len() as f64;
    let variance = x.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / x.len() as f64;
    x.iter().zip(weight).zip(bias).map(|((x, w), b)| (x - mean) / (variance + 1e-5).sqrt() * w + b).collect()
}

fn rotate(x: &[f64], position: usize) -> Vec<f64> {
    let half = x.len() / 2;
    let mut y = vec![0.0; x.len()];
    for i in 0..half {
        let (sin, cos) = (position as f64 * 10_000f64.powf(-2.0 * i as f64 / x.len() as f64)).sin_cos();
        y[i] = x[i] * cos - x[i + half] * sin;
        y[i + half] = x[i + half] * cos + x[i] * sin;
    }
    y
}

/// x `[i]` times a matrix of rows `[o, i]`.
fn rows(m: &[f64], x: &[f64]) -> Vec<f64> {
    m.chunks_exact(x.len()).map(|row| dot(row, x)).collect()
}

/// x `[i]` times a matrix `[i, o]`.
fn columns(x: &[f64], m: &[f64]) -> Vec<f64> {
    let o = m.len() / x.len();
    (0..o).map(|c| x.iter().enumerate().map(|(i, x)| x * m[i * o + c]).sum()).collect()
}

fn take<'a>(from: &mut &'a [f64], n: usize) -> &'a [f64] {
    let (head, tail) = from.split_at(n);
    *from = tail;
    head
}

fn gelu(x: f64) -> f64 {
    0.5 * x * (1.0 + ((2.0 / std::f64::consts::PI).sqrt() * (x + 0.044715 * x.powi(3))).tanh())
}

fn learned(x: &[f64], weights: &mut &[f64], r: usize) -> Vec<f64> {
    let mut x = x.to_vec();
    for _ in 0..LEVELS {
        let i = x.len();
        let (weight, bias) = (take(weights, i), take(weights, i));
        let (up, down) = (take(weights, EXPANSION * r * i), take(weights, r * EXPANSION * r));
        let hidden: Vec<f64> = rows(up, &layer_norm(&x, weight, bias)).into_iter().map(gelu).collect();
        x = rows(down, &hidden);
    }
    x
}

fn sketch(x: &[f64], weights: &[f64], r: usize, leaves: usize) -> Vec<f64> {
    let mut rest = weights;
    if leaves == 0 {
        let (left, right) = (learned(x, &mut rest, r), learned(x, &mut rest, r));
        let root = (r as f64).sqrt();
        return left.iter().zip(right).map(|(a, b)| root * (a * b / root).tanh()).collect();
    }
    let product =
        |a: Vec<f64>, b: Vec<f64>| -> Vec<f64> { a.iter().zip(b).map(|(a, b)| GAIN * a * b).collect() };
    let mut level: Vec<Vec<f64>> = vec![];
    for _ in 0..leaves {
        let (left, right) = (take(&mut rest, x.len() * r), take(&mut rest, x.len() * r));
        level.push(product(columns(x, left), columns(x, right)));
    }
    while level.len() > 1 {
        let mut next = vec![];
        for pair in level.chunks_exact(2) {
            let (left, right) = (take(&mut rest, r * r), take(&mut rest, r * r));
            next.push(product(columns(&pair[0], left), columns(&pair[1], right)));
        }
        level = next;
    }
    level.swap_remove(0)
}

/// SPEC §1 as it is written: every pair, in f64.
fn oracle(case: &Case, data: &Data) -> Vec<f64> {
    let wide = |x: &[f32]| x.iter().map(|x| f64::from(*x)).collect::<Vec<f64>>();
    let (h, n) = (case.h, case.n);
    let (norms, weights) = (wide(&data.norms), wide(&data.sketch));
    let norm = |x: &[f64], part: usize| {
        layer_norm(x, &norms[2 * part * h..][..h], &norms[(2 * part + 1) * h..][..h])
    };
    let turn = |x: Vec<f64>, position: usize| if case.rotary { rotate(&x, position) } else { x };
    let scale = 1.0 / (h as f64).sqrt();
    let mut out = vec![0.0; B * n * H * h];
    for b in 0..B {
        for head in 0..H {
            let at = |t: usize| ((b * n + t) * H + head) * h;
            let row = |x: &[f32], t: usize| wide(&x[at(t)..at(t) + h]);
            let raw: Vec<[Vec<f64>; 3]> =
                (0..n).map(|t| [row(&data.q, t), row(&data.k, t), row(&data.v, t)]).collect();
            let normed: Vec<[Vec<f64>; 2]> = raw.iter().map(|[q, k, _]| [norm(q, 0), norm(k, 1)]).collect();
            let exact: Vec<[Vec<f64>; 2]> = normed
                .iter()
                .enumerate()
                .map(|(t, [q, k])| [turn(q.clone(), t), turn(k.clone(), t)])
                .collect();
            let sketched: Vec<[Vec<f64>; 2]> = match case.weight {
                Weight::Sketch { r, leaves, .. } => {
                    normed.iter().map(|x| [0, 1].map(|part| sketch(&x[part], &weights, r, leaves))).collect()
                }
                _ => vec![],
            };
            let mut sums = vec![0.0; n]; // G
            for t in 0..n {
                let logit = f64::from(data.gate[(b * n + t) * H + head]);
                let before = if t > 0 { sums[t - 1] } else { 0.0 };
                sums[t] = before + if case.gated { -(-logit).exp().ln_1p() } else { 0.0 };
            }
            for i in 0..n {
                let mut total = if case.weight == Weight::Softmax { 0.0 } else { BETA };
                let mut sum = vec![0.0; h];
                for j in 0..if case.causal { i + 1 } else { n } {
                    let t = scale * dot(&exact[i][0], &exact[j][1]);
                    let w = match case.weight {
                        // Small numbers: no maximum to subtract.
                        Weight::Softmax => (scale * dot(&raw[i][0], &raw[j][1])).exp(),
                        Weight::Power { p } => t.powi(p),
                        Weight::Taylor { g } => {
                            (0..=g).map(|m| t.powi(m) / (1..=m).map(f64::from).product::<f64>()).sum()
                        }
                        Weight::Sketch { leaves, local: true, .. } if i / case.block == j / case.block => {
                            t.powi(4 * leaves.max(1) as i32)
                        }
                        Weight::Sketch { .. } => dot(&sketched[i][0], &sketched[j][1]).powi(2),
                    };
                    let w = w * (sums[i] - sums[j]).exp();
                    total += w;
                    sum.iter_mut().zip(&raw[j][2]).for_each(|(s, v)| *s += w * v);
                }
                out[at(i)..at(i) + h].iter_mut().zip(sum).for_each(|(o, s)| *o = s / total);
            }
        }
    }
    out
}

/// Tokens `range` of every sequence of x `[B, n, width]`.
fn cut(x: &[f32], n: usize, width: usize, range: std::ops::Range<usize>) -> Vec<f32> {
    (0..B).flat_map(|b| x[(b * n + range.start) * width..(b * n + range.end) * width].to_vec()).collect()
}

/// Where a layer runs.
#[derive(Clone)]
enum Place {
    Cpu,
    Device(wgpu::Device, wgpu::Queue),
}

/// A device of the test's own, with default limits and no features; or the CPU.
fn device(place: &places::Place) -> Place {
    let Some(adapter) = place.adapter() else { return Place::Cpu };
    let required_limits = wgpu::Limits::defaults().or_worse_values_from(&adapter.raw.limits());
    let descriptor = wgpu::DeviceDescriptor { required_limits, ..Default::default() };
    let (device, queue) = block_on(adapter.raw.request_device(&descriptor)).unwrap();
    Place::Device(device, queue)
}

fn layer(place: &Place, case: &Case, data: &Data, tokens: usize) -> Result<AttentionLayer> {
    let attention = case.attention().with_mask(if case.causal { Mask::Causal } else { Mask::Full });
    let weights = Weights {
        norms: (case.weight != Weight::Softmax).then_some(&data.norms),
        sketch: attention.sketch_weights().is_some().then_some(&data.sketch),
    };
    let capacity = LayerCapacity { batch: B, tokens, context: case.n };
    match place {
        Place::Cpu => {
            block_on(AttentionLayer::on(Executor::Cpu(CpuExecutor::default()), attention, weights, capacity))
        }
        Place::Device(device, queue) => {
            block_on(AttentionLayer::new(device.clone(), queue.clone(), attention, weights, capacity))
        }
    }
}

/// One call through the caller's own buffers (or slices on the CPU, and on a device where `slices`).
fn forward(
    place: &Place,
    layer: &mut AttentionLayer,
    case: &Case,
    data: &Data,
    range: std::ops::Range<usize>,
    slices: bool,
) -> Vec<f32> {
    let width = H * case.h;
    let tokens = range.len();
    let [q, k, v] = [&data.q, &data.k, &data.v].map(|x| cut(x, case.n, width, range.clone()));
    let gate = cut(&data.gate, case.n, H, range);
    let mut out = vec![0.0; q.len()];
    let (device, queue) = match place {
        Place::Device(device, queue) if !slices => (device, queue),
        _ => {
            let slices = Slices { q: &q, k: &k, v: &v, gate: case.gated.then_some(&gate), out: &mut out };
            block_on(layer.forward_slices(B, tokens, slices)).unwrap();
            return out;
        }
    };
    let buffer = |usage| {
        // Larger than the call, as a caller's buffers are, and full of what must not be read.
        let size = (q.len() * 4 + 256) as u64;
        let buffer = device.create_buffer(&wgpu::BufferDescriptor {
            label: None,
            size,
            usage,
            mapped_at_creation: false,
        });
        queue.write_buffer(&buffer, 0, bytemuck::cast_slice(&vec![f32::NAN; size as usize / 4]));
        buffer
    };
    let upload = |x: &[f32]| {
        let buffer = buffer(wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_DST);
        queue.write_buffer(&buffer, 0, bytemuck::cast_slice(x));
        buffer
    };
    let (q, k, v, gate) = (upload(&q), upload(&k), upload(&v), upload(&gate));
    let result =
        buffer(wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_SRC | wgpu::BufferUsages::COPY_DST);
    let buffers = Buffers { q: &q, k: &k, v: &v, gate: case.gated.then_some(&gate), out: &result };
    block_on(layer.forward(B, tokens, buffers)).unwrap();
    // Read back by the caller's own means, on the same queue.
    let bytes = (out.len() * 4) as u64;
    let usage = wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST;
    let staging = device.create_buffer(&wgpu::BufferDescriptor {
        label: None,
        size: bytes,
        usage,
        mapped_at_creation: false,
    });
    let mut encoder = device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
    encoder.copy_buffer_to_buffer(&result, 0, &staging, 0, bytes);
    queue.submit([encoder.finish()]);
    staging.slice(..).map_async(wgpu::MapMode::Read, |mapped| mapped.unwrap());
    device.poll(wgpu::PollType::wait_indefinitely()).unwrap();
    out.copy_from_slice(bytemuck::cast_slice(&staging.slice(..).get_mapped_range().unwrap()));
    out
}

fn error(got: &[f32], want: &[f64]) -> f64 {
    let largest = want.iter().fold(0.0, |m: f64, x| m.max(x.abs()));
    got.iter()
        .zip(want)
        .map(|(g, w)| if g.is_finite() { (f64::from(*g) - w).abs() } else { f64::INFINITY })
        .fold(0.0, f64::max)
        / largest
}

const CASES: &[Case] = &[
    Case {
        name: "softmax",
        h: 8,
        weight: Weight::Softmax,
        causal: true,
        gated: false,
        rotary: false,
        block: 16,
        n: 83,
    },
    Case {
        name: "softmax, full",
        h: 8,
        weight: Weight::Softmax,
        causal: false,
        gated: false,
        rotary: false,
        block: 16,
        n: 37,
    },
    Case {
        name: "learned polysketch, local, gate, rotary",
        h: 16,
        weight: Weight::Sketch { r: 8, leaves: 0, local: true },
        causal: true,
        gated: true,
        rotary: true,
        block: 16,
        n: 83,
    },
    Case {
        name: "learned polysketch, full",
        h: 16,
        weight: Weight::Sketch { r: 8, leaves: 0, local: false },
        causal: false,
        gated: false,
        rotary: false,
        block: 16,
        n: 37,
    },
    Case {
        name: "random polysketch of degree 8",
        h: 8,
        weight: Weight::Sketch { r: 4, leaves: 2, local: false },
        causal: true,
        gated: false,
        rotary: false,
        block: 12,
        n: 40,
    },
    Case {
        name: "polynomial 2, gate",
        h: 8,
        weight: Weight::Power { p: 2 },
        causal: true,
        gated: true,
        rotary: false,
        block: 16,
        n: 40,
    },
    Case {
        name: "polynomial 4, full",
        h: 8,
        weight: Weight::Power { p: 4 },
        causal: false,
        gated: false,
        rotary: true,
        block: 16,
        n: 19,
    },
    Case {
        name: "taylor 3",
        h: 8,
        weight: Weight::Taylor { g: 3 },
        causal: true,
        gated: false,
        rotary: true,
        block: 16,
        n: 40,
    },
];

fn agrees_with_dense_attention(place: &Place, number: usize) {
    let case = &CASES[number];
    let data = case.data(&mut Random(number as u64 + 1));
    let want = oracle(case, &data);
    // Causal: a text in pieces, uneven, across blocks, and single tokens. The calls before the reset must not
    // matter.
    let pieces: &[usize] = if case.causal { &[5, 1, 1, 30, 2, 1, 27, 16] } else { &[usize::MAX] };
    let mut layer = layer(place, case, &data, if case.causal { 30 } else { case.n }).unwrap();
    let width = H * case.h;
    forward(place, &mut layer, case, &data, 0..3, false);
    layer.reset();
    let mut got = vec![0.0; want.len()];
    let mut at = 0usize;
    for (i, piece) in pieces.iter().enumerate() {
        let end = at.saturating_add(*piece).min(case.n);
        if at == end {
            break;
        }
        // Slices and buffers may alternate.
        let out = forward(place, &mut layer, case, &data, at..end, i % 4 == 3);
        for (b, out) in out.chunks_exact((end - at) * width).enumerate() {
            got[(b * case.n + at) * width..(b * case.n + end) * width].copy_from_slice(out);
        }
        at = end;
    }
    assert_eq!(at, case.n, "the pieces do not cover the case");
    assert_eq!(layer.positions(), [if case.causal { case.n } else { 0 }; B]);
    let error = error(&got, &want);
    assert!(error <= TOLERANCE, "{error:.2e}");
}

fn refuses_what_does_not_fit_and_stays_usable() {
    let case = &CASES[0];
    let data = case.data(&mut Random(7));
    let mut layer = layer(&Place::Cpu, case, &data, 30).unwrap();
    let call = |layer: &mut AttentionLayer, batch, tokens, gate: Option<&[f32]>, short: usize| {
        let mut out = vec![0.0; B * 40 * H * case.h];
        let slices = Slices { q: &data.q, k: &data.k[short..], v: &data.v, gate, out: &mut out };
        block_on(layer.forward_slices(batch, tokens, slices)).map_err(|e| e.kind())
    };
    assert_eq!(call(&mut layer, B + 1, 1, None, 0), Err(ErrorKind::Shape));
    assert_eq!(call(&mut layer, B, 0, None, 0), Err(ErrorKind::Shape));
    assert_eq!(call(&mut layer, B, 31, None, 0), Err(ErrorKind::Shape));
    assert_eq!(call(&mut layer, B, 30, None, data.k.len() - 3), Err(ErrorKind::Shape));
    assert_eq!(call(&mut layer, B, 30, Some(&data.gate), 0), Err(ErrorKind::Input));
    assert_eq!(layer.positions(), [0, 0]);
    // The cache holds 83 tokens of a sequence, and sequences move on their own.
    assert_eq!(call(&mut layer, B, 30, None, 0), Ok(()));
    assert_eq!(call(&mut layer, 1, 30, None, 0), Ok(()));
    assert_eq!(call(&mut layer, 1, 30, None, 0), Err(ErrorKind::Limit));
    assert_eq!(layer.positions(), [60, 30]);
    layer.reset_sequence(0);
    assert_eq!(call(&mut layer, B, 30, None, 0), Ok(()));

    let new = |attention: Attention, weights, mask| {
        let capacity = LayerCapacity { batch: 1, tokens: 8, context: 0 };
        block_on(AttentionLayer::on(
            Executor::Cpu(CpuExecutor::default()),
            attention.with_mask(mask),
            weights,
            capacity,
        ))
        .map(|_| ())
        .map_err(|e| e.kind())
    };
    let learned = || Attention::polysketch(2, 8, 4, Sketch::Learned { levels: 1, expansion: 1 });
    let none = Weights::default();
    // A cache of nothing.
    assert_eq!(new(Attention::softmax(2, 8), none, Mask::Causal), Err(ErrorKind::Input));
    assert_eq!(new(Attention::softmax(2, 8), none, Mask::Full), Ok(()));
    assert_eq!(new(Attention::softmax(2, 8).with_gate(), none, Mask::Full), Err(ErrorKind::Config));
    assert_eq!(new(Attention::softmax(2, 6), none, Mask::Full), Err(ErrorKind::Config));
    // Too many features.
    assert_eq!(new(Attention::taylor(2, 64, 4), none, Mask::Causal), Err(ErrorKind::Config));
    assert_eq!(new(Attention::polynomial(2, 8, 3), none, Mask::Causal), Err(ErrorKind::Config));
    assert_eq!(new(Attention::taylor(2, 8, 2).with_gate(), none, Mask::Full), Err(ErrorKind::Config));
    assert_eq!(new(learned(), none, Mask::Full), Err(ErrorKind::Config)); // exact blocks need a causal mask
    assert_eq!(new(learned(), none, Mask::Causal), Err(ErrorKind::Input)); // no weights
    assert_eq!(
        new(learned(), Weights { norms: None, sketch: Some(&[0.0; 5]) }, Mask::Causal),
        Err(ErrorKind::Shape)
    );
    assert_eq!(
        new(Attention::taylor(2, 8, 2), Weights { norms: Some(&[0.0; 5]), sketch: None }, Mask::Causal),
        Err(ErrorKind::Shape)
    );
}

fn a_buffer_that_cannot_be_bound_is_an_error(place: &Place) {
    let Place::Device(device, _) = place else { return };
    let case = &CASES[0];
    let data = case.data(&mut Random(8));
    let mut layer = layer(place, case, &data, 4).unwrap();
    let bytes = (B * 4 * H * case.h * 4) as u64;
    let buffer = |size, usage| {
        let descriptor = wgpu::BufferDescriptor { label: None, size, usage, mapped_at_creation: false };
        device.create_buffer(&descriptor)
    };
    let good = buffer(bytes, wgpu::BufferUsages::STORAGE);
    let small = buffer(bytes - 4, wgpu::BufferUsages::STORAGE);
    let other = buffer(bytes, wgpu::BufferUsages::COPY_DST);
    let mut call = |out| {
        block_on(layer.forward(B, 4, Buffers { q: &good, k: &good, v: &good, gate: None, out }))
            .map_err(|e| e.kind())
    };
    assert_eq!(call(&small), Err(ErrorKind::Shape));
    assert_eq!(call(&other), Err(ErrorKind::Device));
    // In place.
    assert_eq!(call(&good), Ok(()));
}

pub fn add(tests: &mut Tests) {
    for (number, case) in CASES.iter().enumerate() {
        tests.each(
            |place| !place.is_oracle(),
            "attention_alone",
            &slug(case.name),
            move |place| {
                agrees_with_dense_attention(&device(place), number);
            },
        );
    }
    let name = "a_buffer_that_cannot_be_bound_is_an_error";
    tests.each(places::Place::is_gpu, "attention_alone", name, |place| {
        a_buffer_that_cannot_be_bound_is_an_error(&device(place));
    });
    let name = "refuses_what_does_not_fit_and_stays_usable";
    tests.add("cpu", "attention_alone", name, refuses_what_does_not_fit_and_stays_usable);
}
