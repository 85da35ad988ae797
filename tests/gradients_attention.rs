//! Attention in training plans: every shader of its forward and backward pass against its CPU twin, in sizes
//! that are no multiples of tiles. (The twins themselves are checked by differences in f64, in
//! src/attention/gradient_tests.rs.)

mod common;

use common::gpu_executors;
use common::lowered::{dense_taylor, training};
use common::random_model::Rng;
use common::scene::gpu;
use pollster::block_on;
use polysketch::attention::{Attention, HeadLayout, Inputs, Kind, Mode, Rotation, Sketch};
use polysketch::exec::{Executor, bisect};
use polysketch::graph::{Graph, Recompute, Role};
use polysketch::kernels::DeviceTraits;
use polysketch::shape;
use polysketch::tensor::{Call, Capacity, DType, Lane, Unit};

/// f32 against f32: sums in another order.
const SMALL: f64 = 2e-5;

fn attention(heads: usize, head: usize, sketch: usize, block: usize, kind: Kind, gated: bool) -> Attention {
    let sketched = matches!(kind, Kind::Polysketch { .. });
    let layout = HeadLayout {
        heads,
        head,
        exact: !matches!(kind, Kind::Polysketch { local_exact: false, .. }),
        normed: kind != Kind::Softmax,
        shared_norm: false,
        sketch: if sketched { sketch } else { 0 },
        sketch_normed: true,
        gated,
        rotation: Rotation::None,
        interleaved: false,
        block,
    };
    let bias = if kind == Kind::Softmax { 0.0 } else { 1.0 };
    Attention { layout, kind, bias, theta: 1e4 }
}

fn cases() -> Vec<Attention> {
    let sketch = |local_exact, scale| Kind::Polysketch {
        degree: 4,
        scale,
        local_exact,
        sketch: Sketch::Random { leaves: 1, gain: 1.0 },
    };
    let mut list = vec![
        attention(2, 12, 0, 8, Kind::Softmax, false),
        attention(1, 64, 0, 64, Kind::Softmax, false),
        attention(1, 64, 32, 64, sketch(true, 0.125), true),
        attention(1, 64, 64, 40, sketch(false, 1.0), false),
        attention(1, 128, 16, 20, sketch(true, 0.1), false),
        attention(1, 256, 4, 8, sketch(true, 0.1), false),
        attention(2, 20, 0, 36, Kind::Taylor { degree: 2, scale: 0.05 }, false),
    ];
    for gated in [false, true] {
        let kinds = [sketch(true, 0.3), sketch(false, 1.0)].into_iter();
        let kinds = kinds.chain((1..=4).map(|degree| Kind::Taylor { degree, scale: 0.1 }));
        let kinds = kinds.chain([2, 4, 8].map(|degree| Kind::Polynomial { degree, scale: 0.3 }));
        list.extend(kinds.map(|kind| attention(3, 12, 20, 12, kind, gated)));
    }
    list
}

/// Normal numbers.
fn normals(n: usize, rng: &mut Rng) -> Vec<f32> {
    (0..n).map(|_| rng.normal() as f32).collect()
}

fn words(values: &[f32]) -> Vec<u32> {
    values.iter().map(|x| x.to_bits()).collect()
}

/// Compares every step of one call: the second lane in the middle of a text, the last block not full.
fn compare(
    name: &str,
    what: &str,
    graph: &Graph,
    l: &HeadLayout,
    unbroken: bool,
    failures: &mut Vec<String>,
    executor: &Executor,
) {
    compare_for(&executor.traits(), name, what, graph, l, unbroken, failures, executor);
}

/// The same in the variants for a device of these traits.
#[allow(clippy::too_many_arguments)]
fn compare_for(
    traits: &DeviceTraits,
    name: &str,
    what: &str,
    graph: &Graph,
    l: &HeadLayout,
    unbroken: bool,
    failures: &mut Vec<String>,
    executor: &Executor,
) {
    let mut rng = Rng(7);
    let tokens = 2 * l.block + 5;
    let capacity = Capacity { lanes: 2, tokens, slots: 4, context: 0 };
    let lane = |slot, blocks| Lane { slot, position: blocks * l.block, ring: 0 };
    let call = Call { lanes: vec![lane(0, 0), lane(1, 3)], tokens, lane_base: 0 };
    let plan = graph.lower("", traits, capacity).unwrap();
    let mut tensors = Vec::new();
    for t in plan
        .tensors
        .iter()
        .filter(|t| t.bytes > 0 && matches!(t.tensor.role, Role::Parameter | Role::State(_)))
    {
        let mut values = normals(t.tensor.ty.shape.elements(&capacity), &mut rng);
        if t.tensor.name == "keys" && l.gated {
            for window in values.chunks_mut((l.block + tokens) * l.key_width()) {
                let mut sum = 0.0f64;
                for (i, row) in window.chunks_mut(l.key_width()).enumerate() {
                    sum = if i % l.block == 0 && !unbroken { 0.0 } else { sum }
                        - 0.3 * f64::from(row[l.sum_offset()]).abs();
                    row[l.sum_offset()..].copy_from_slice(&[
                        sum.floor() as f32,
                        (sum - sum.floor()) as f32,
                        0.0,
                        0.0,
                    ]);
                }
            }
        }
        if t.tensor.name.ends_with(".state") {
            // Smaller than what the block itself gives: real states keep the normaliser away from zero, these
            // may not.
            values.iter_mut().for_each(|x| *x *= 0.05);
        }
        tensors.push((t.tensor.name.clone(), DType::F32, words(&values)));
    }
    let seed = words(&normals(2 * tokens * l.heads * l.head, &mut rng));
    let inputs: Vec<(&str, &[u32])> = plan.find("seed").map(|_| ("seed", &seed[..])).into_iter().collect();
    let differences = block_on(bisect(gpu(executor), plan, &tensors, &call, &inputs)).unwrap();
    assert!(!differences.is_empty());
    let wrong = differences.iter().filter(|d| d.relative.is_nan() || d.relative > SMALL);
    failures.extend(wrong.map(|d| format!("{name}: {what}: {d:?}")));
}

#[test]
fn shaders_of_training_plans_equal_their_twins() {
    let mut failures = Vec::new();
    for (number, (name, executor)) in gpu_executors().into_iter().enumerate() {
        // Every case on some adapter, and each adapter others.
        for (at, a) in cases().iter().enumerate().filter(|(at, _)| at % 3 == number % 3) {
            let l = &a.layout;
            for mode in [Mode::Train, Mode::Forward].into_iter().take(1 + usize::from(at % 6 == number)) {
                let what = format!(
                    "{mode:?} {:?} h={} r={} b={} gated={}",
                    a.kind, l.head, l.sketch, l.block, l.gated
                );
                compare(&name, &what, &training(a, mode), l, a.has_cache(), &mut failures, &executor);
            }
        }
        let l = attention(2, 12, 0, 8, Kind::Polynomial { degree: 4, scale: 0.3 }, true).layout;
        compare(&name, "dense Taylor", &dense_taylor(&l, 0.1, 3), &l, true, &mut failures, &executor);
    }
    assert!(failures.is_empty(), "{} failures: {:#?}", failures.len(), &failures[..failures.len().min(20)]);
}

/// Where loops may not be long, gradients go on in further dispatches.
#[test]
fn gradients_in_several_dispatches() {
    let mut failures = Vec::new();
    for (name, executor) in gpu_executors() {
        // A round of every loop a dispatch.
        let traits = DeviceTraits { loop_iterations: Some(4096), ..executor.traits() };
        for a in [
            attention(1, 64, 0, 64, Kind::Softmax, false),
            attention(2, 12, 0, 64, Kind::Polynomial { degree: 4, scale: 0.3 }, true),
        ] {
            compare_for(
                &traits,
                &name,
                &format!("{:?}", a.kind),
                &training(&a, Mode::Train),
                &a.layout,
                true,
                &mut failures,
                &executor,
            );
        }
    }
    assert!(failures.is_empty(), "{} failures: {:#?}", failures.len(), &failures[..failures.len().min(20)]);
}

/// Sketches as models have them, whose matrices are larger than tiles, in the variants for every sort of
/// device.
#[test]
fn learned_sketches_of_working_size() {
    let mut failures = Vec::new();
    for (name, executor) in gpu_executors() {
        let traits = executor.traits();
        for (head, r, expansion) in [(64, 32, 8), (48, 12, 4)] {
            let kind = Kind::Polysketch {
                degree: 4,
                scale: 0.125,
                local_exact: true,
                sketch: Sketch::Learned { levels: 2, expansion },
            };
            let a = attention(1, head, r, 16, kind, false);
            let (l, tokens) = (&a.layout, 3 * a.layout.block + 7);
            let mut g = Graph::new();
            let qkv = g.parameter("qkv", DType::F32, shape![Unit::Rows, l.qkv_width()]);
            let lanes = g.lanes(1);
            let norms = Some(g.parameter("norms", DType::F32, shape![4, head]));
            let sketch = Some(g.parameter("sketch", DType::F32, shape![a.sketch_weights().unwrap()]));
            let o = a
                .build(&mut g, "attention", Mode::Train, Inputs { qkv, lanes, norms, sketch }, 0)
                .unwrap()
                .output;
            let seed = g.input("seed", g.tensors[o.0].ty.clone());
            g.backward(&[(o, seed)], &|_| true, Recompute::Nothing).unwrap();
            let capacity = Capacity { lanes: 2, tokens, slots: 2, context: 0 };
            let call = Call {
                lanes: [0, 1].map(|slot| Lane { slot, position: 0, ring: 0 }).to_vec(),
                tokens,
                lane_base: 0,
            };
            let mut rng = Rng(5);
            let mut tensors = Vec::new();
            for t in g.tensors.iter().filter(|t| matches!(t.role, Role::Parameter | Role::State(_))) {
                // Larger weights would leave the sketch no slope.
                let scale = if t.name == "sketch" { 0.2 } else { 1.0 };
                let values: Vec<f32> = normals(t.ty.shape.elements(&capacity), &mut rng)
                    .into_iter()
                    .map(|x| x * scale)
                    .collect();
                tensors.push((t.name.clone(), DType::F32, words(&values)));
            }
            let seed = words(&normals(2 * tokens * head, &mut rng));
            for (sort, of) in [("its own", traits.clone()), ("the floor", DeviceTraits::floor())] {
                let plan = g.lower("", &of, capacity).unwrap();
                let differences =
                    block_on(bisect(gpu(&executor), plan, &tensors, &call, &[("seed", &seed)])).unwrap();
                assert!(differences.iter().any(|d| format!("{d:?}").contains("sketch_learned_grad")));
                // What a slab holds beside its sums is the shaders' own.
                let wrong = differences.iter().filter(|d| {
                    d.tensor != "attention.sketch.input.0" && (d.relative.is_nan() || d.relative > SMALL)
                });
                failures.extend(wrong.map(|d| format!("{name}: h={head} r={r}, cut for {sort}: {d:?}")));
            }
        }
    }
    assert!(failures.is_empty(), "{} failures: {:#?}", failures.len(), &failures[..failures.len().min(20)]);
}
